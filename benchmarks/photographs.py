"""The folders of photographs of the studies in docs/results, as links to the files of one folder for each class.

python -m benchmarks.photographs SOURCE NAME DIR: SOURCE has a folder of files for each class. DIR gets those that NAME
takes of each, in the order of their names, below train, val and test where the study has these parts.
"""

import sys
from pathlib import Path

#: Name → part → the first and the last file of each class, counted from 1; part "" is DIR itself.
PARTS: dict[str, dict[str, list[tuple[int, int]]]] = {
    "ten": {"train": [(1, 500)], "val": [(1001, 1100)], "test": [(1101, 2000)]},
    "ten_unseen": {"test": [(2001, 4000)]},
    "search": {"train": [(1, 3500)], "val": [(3501, 4000)], "test": [(4001, 5000)]},
    "race": {"train": [(1001, 3500), (4001, 5000)], "val": [(3501, 4000)], "test": [(1, 1000)]},
    "f240": {"": [(1, 48)]},
    "f240_unseen": {"test": [(49, 248)]},
    "f1000": {"": [(1, 200)]},
}


def count(name: str, part: str) -> int:
    """Files of each class in a part."""
    return sum(last - first + 1 for first, last in PARTS[name][part])


def link(source: Path, name: str, folder: Path) -> None:
    """Make the folders.

    Raises:
        SystemExit: a class has fewer files than a part takes.
    """
    for place in sorted(each for each in source.iterdir() if each.is_dir()):
        files = sorted(place.iterdir())
        for part, spans in PARTS[name].items():
            target = folder / part / place.name
            target.mkdir(parents=True)
            for first, last in spans:
                if len(files) < last:
                    raise SystemExit(f"{place} has {len(files)} files; {name} takes those up to the {last}th")
                for file in files[first - 1 : last]:
                    (target / file.name).symlink_to(file.resolve())


if __name__ == "__main__":
    link(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
