"""A table for programs: numbers that they read, and words without the marks of a page."""

import pytest
from markupsafe import Markup

from sota_exp.report.document.markdown import Code, Table, link

COLUMNS = {
    "percent": (["35.00 %", "–", "1.5 %"], ["A", "35.00", "", "1.5"], "A, %"),
    "an ASCII minus": (["\N{MINUS SIGN}12.02", "+0.30"], ["A", "-12.02", "+0.30"], "A"),
    "intervals": (["\N{MINUS SIGN}1.2 to +3.4 %", "0.0 to 1.0 %"], ["A", "-1.2 to +3.4", "0.0 to 1.0"], "A, %"),
    "thousands": (["1,600", "12"], ["A", "1600", "12"], "A"),
    "a star": (["+1.2*", "0.0"], ["A", "+1.2", "0.0"], "A"),
    "a unit": (["900 MiB", "1,024 MiB"], ["A", "900", "1024"], "A, MiB"),
    "two units": (["5.6 s", "12 min 5 s"], ["A", "5.6 s", "12 min 5 s"], "A"),
    "words among numbers": (["12", "a, b"], ["A", "12", "a, b"], "A"),
    "a name": (["2\N{NO-BREAK SPACE}TrivialAugment"], ["A", "2 TrivialAugment"], "A"),
    "a verdict": (["▼ hurts", "○ not decided"], ["A", "hurts", "not decided"], "A"),
    "links": (
        [Markup(" ").join([link(Code("0"), "a/"), link(Code("1"), "b/report.html")]), link(Code("2"), "c/")],
        ["A", "0 1", "2"],
        "A",
    ),
    "what only looks like a link": (["[a](b) `c`"], ["A", "[a](b) `c`"], "A"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_a_column_for_programs(case):
    cells, (_, *expected), heading = COLUMNS[case]
    table = Table(["", "A"], [["row", cell] for cell in cells])
    _, found = table.list_plain_columns()
    assert found == [heading, *expected]
