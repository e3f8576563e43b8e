"""Check of what killed processes left: temporary files, locks of dead owners, unfinished stores; and their removal."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sota_exp.data.store_writer import find_dead_drafts
from sota_exp.preview.doctor.finding import CheckResult, build_note, build_ok
from sota_exp.report.numbers import format_quantity
from sota_exp.runs.atomic import is_dead_draft
from sota_exp.runs.find import RUN_ROOTS
from sota_exp.runs.lock import find_owner

#: Folders of the cache whose files are listed; downloads belong to torchvision.
CACHE_FOLDERS = ("stores", "streams", "listings")


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """A file or folder that its process left, and what it is, in the plural."""

    path: Path
    kind: str

    @property
    def num_bytes(self) -> int:
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(path.stat().st_size for path in files if path.is_file())


def find_orphans(runs: Iterable[Path], cache: Path) -> list[Orphan]:
    """What is left below the folders of runs, and in the cache of decoded images."""
    found = []
    for folder in (*runs, *(cache / name for name in CACHE_FOLDERS)):
        for path in sorted(folder.rglob("*")):
            if is_dead_draft(path):
                found.append(Orphan(path=path, kind="temporary files"))
            elif path.name == "owner.json" and not find_owner(path.parent):
                found.append(Orphan(path=path, kind="locks of dead owners"))
    drafts = {"unfinished stores": cache / "stores", "unfinished listings": cache / "listings"}
    return found + [Orphan(path=path, kind=kind) for kind, place in drafts.items() for path in find_dead_drafts(place)]


def check_orphans(cache: Path, must_remove: bool) -> list[CheckResult]:
    """One finding per kind of orphan, or that there is none. must_remove: whether they are removed."""
    orphans = find_orphans(map(Path, RUN_ROOTS), cache)
    kinds = {kind: [each for each in orphans if each.kind == kind] for kind in dict.fromkeys(o.kind for o in orphans)}
    if not kinds:
        return [build_ok("no killed process left anything")]
    return [_remove(kind, those) if must_remove else _describe(kind, those) for kind, those in kinds.items()]


def _describe(kind: str, orphans: Sequence[Orphan]) -> CheckResult:
    size = format_quantity(sum(each.num_bytes for each in orphans), "B")
    text = f"{len(orphans):,} {kind} of killed processes, {size}, such as {orphans[0].path}"
    return build_note(text, "sota-exp doctor --clean removes them")


def _remove(kind: str, orphans: Sequence[Orphan]) -> CheckResult:
    text = _describe(kind, orphans).message
    for each in orphans:
        if each.path.is_dir():
            shutil.rmtree(each.path)
        else:
            each.path.unlink(missing_ok=True)
    return build_ok(f"removed: {text}")
