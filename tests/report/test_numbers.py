"""Numbers as text."""

from sota_exp.report import numbers
from sota_exp.report.study.study import ConfidenceInterval
from sota_exp.statistics import units
from tests.rows import each_row


@each_row(
    "shown, expected",
    [
        (units.SHARE_FORMAT.value(0.83871), "83.87"),
        (units.SHARE_FORMAT.format_with_unit(0.5), "50.00 %"),
        (units.SHARE_FORMAT.difference(0.0124), "+1.24"),
        (units.SHARE_FORMAT.difference(-0.0031), "−0.31"),
        (units.SHARE_FORMAT.difference(-0.00001), "0.00"),
        (numbers.format_interval(units.SHARE_FORMAT, ConfidenceInterval(low=-0.01, high=0.02)), "−1.00 to +2.00"),
        (units.SHARE_FORMAT.format_difference_with_unit(None), "–"),
        (units.PLAIN_FORMAT.format_with_unit(1.25), "1.2500"),
        (units.format_p_value(0.0004), "< 0.001"),
        (units.format_p_value(0.0005), "0.001"),
        (units.format_p_value(1.0), "1.000"),
        (numbers.format_duration(5.64), "5.6 s"),
        (numbers.format_duration(48.2), "48 s"),
        (numbers.format_duration(0.34), "0.3 s"),
        (numbers.format_duration(59.7), "1 min"),
        (numbers.format_duration(61), "1 min 1 s"),
        (numbers.format_duration(125), "2 min 5 s"),
        (numbers.format_duration(3599.8), "1 h"),
        (numbers.format_duration(25500), "7 h 5 min"),
        (numbers.format_duration(273_600), "76 h"),
        (numbers.format_duration(3600), "1 h"),
        (numbers.format_duration(12000), "3 h 20 min"),
        (numbers.format_duration(None), "–"),
        (numbers.format_quantity(308826), "309 k"),
        (numbers.format_quantity(13593088, "FLOPs"), "13.6 MFLOPs"),
        (numbers.format_quantity(12.0), "12"),
        (numbers.format_mebibytes(900 * 2**20), "900 MiB"),
        (units.format_signed(-3875.7, 0), "−3,876"),
        (numbers.format_count(1, "seed"), "1 seed"),
        (numbers.format_count(8, "seed"), "8 seeds"),
        (numbers.join_with_and(["a"]), "a"),
        (numbers.join_with_and(["a", "b", "c"]), "a, b and c"),
        (numbers.choose_time_unit(299), ("s", 1.0)),
        (numbers.choose_time_unit(86400), ("hours", 3600.0)),
    ],
)
def test_shown(shown: object, expected: object) -> None:
    assert shown == expected
