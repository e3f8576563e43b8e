"""Lines of the report of `make gpu-check`, and how a section makes them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from sota_exp.errors import first_line
from sota_exp.runs.atomic import write_recomputable_text

AS_EXPECTED, NOT_AS_EXPECTED = "as expected", "NOT as expected"

#: Why a line was not tried.
NEEDS_CUDA, NEEDS_TWO_GPUS, OUT_OF_TIME = "needs CUDA", "needs two GPUs", "out of time"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was looked at, seen and expected. verdict: `AS_EXPECTED`, `NOT_AS_EXPECTED`, or why it was not tried."""

    section: str = ""
    what: str
    seen: str
    expected: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Of a section. only: a part of the names of trainings to run; "": all. until: seconds of `time.monotonic`."""

    device: str
    folder: Path
    only: str = ""
    until: float = float("inf")

    @property
    def on_cuda(self) -> bool:
        return self.device.startswith("cuda")


#: What was seen, and whether it is as expected.
Seen = tuple[str, bool]


def judge(what: str, expected: str, look: Callable[[], Seen], can_be_seen: bool = True) -> Line:
    """The line of what `look` returns; where that raises, of the error. can_be_seen: else only an error counts."""
    try:
        seen, is_fine = look()
    except Exception as error:
        seen, is_fine = f"{type(error).__name__}: {first_line(error)}", False
        can_be_seen = True
    verdict = AS_EXPECTED if is_fine else NOT_AS_EXPECTED
    return Line(what=what, seen=seen, expected=expected, verdict=verdict if can_be_seen else NEEDS_CUDA)


def skip(what: str, expected: str, why: str) -> Line:
    return Line(what=what, seen=why, expected=expected, verdict=why)


def write_report(folder: Path, facts: dict[str, object], lines: Iterable[Line], seconds: dict[str, float]) -> None:
    """`gpu-check.json` and `gpu-check.md`. facts: of the machine. seconds: of each section that has ended."""
    rows = list(lines)
    verdicts = [row.verdict for row in rows]
    counts = {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}
    content = {"machine": facts, "counts": counts, "seconds": seconds, "lines": [asdict(row) for row in rows]}
    write_recomputable_text(folder / "gpu-check.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    page = ["# GPU check", "", ", ".join(f"{name} {fact}" for name, fact in facts.items()) + ".", ""]
    page += [f"**{', '.join(f'{number} {verdict}' for verdict, number in counts.items())}.** ", ""]
    page += ["Seconds: " + ", ".join(f"{name} {took:.0f}" for name, took in seconds.items()) + ".", ""]
    page += ["| section | what | seen | expected | verdict |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: row.verdict != NOT_AS_EXPECTED):  # what is wrong comes first
        page.append("| " + " | ".join(cell.replace("|", "\\|") for cell in vars(row).values()) + " |")
    write_recomputable_text(folder / "gpu-check.md", "\n".join(page) + "\n")
