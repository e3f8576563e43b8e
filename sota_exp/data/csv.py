"""A data set of image files listed in a CSV file with the columns path and label, and optionally split."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sota_exp.config.data_paths import expand_home, find_path_problem
from sota_exp.data.decode import ImageFile
from sota_exp.data.folders import SPLIT_NAMES, find_split
from sota_exp.data.image_files import FileList, FileSource
from sota_exp.stages.stage import InvalidValue

#: Number of wrong lines that an error lists.
MAX_LISTED = 3


def read_rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column → stripped cell) of every row that is not blank.

    Raises:
        InvalidValue: the file does not exist, is not CSV in UTF-8, has no header with the columns path and label, or
            has a row of another length.
    """
    if problem := find_path_problem(table, is_folder=False):
        legal = f"{problem}; give a CSV file with the columns path and label, optionally split"
        raise InvalidValue("path", table, legal)
    with open(table, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
            if not {"path", "label"} <= set(header):
                columns = ", ".join(header) or "none"
                legal = f"a first line with the columns path and label, optionally split; it has {columns}"
                raise InvalidValue("path", table, legal)
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    legal = f"{len(header)} cells per line as in the first one; line {reader.line_num} has {len(cells)}"
                    raise InvalidValue("path", table, legal)
                yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidValue("path", table, f"CSV in UTF-8; after line {reader.line_num}: {error}") from error


def find_rows(table: Path, root: Path) -> list[ImageFile]:
    """The images that a CSV file lists, its paths below `root`: relative to it, or absolute.

    Raises:
        InvalidValue: a line is wrong; the message lists the first such lines. See also `read_rows`.
    """
    found: dict[Path, tuple[int, ImageFile]] = {}
    lines: dict[str, tuple[int, str, int | None]] = {}  # real path → line, label, split
    wrong: list[str] = []
    for number, row in read_rows(table):
        path, split = root / row["path"], find_split(row.get("split", "train"))
        error = find_way_out(path, root) or find_error(row, path, split)
        if not error and path in found:
            error = f"{row['path']} is on line {found[path][0]} too"
        known = lines.setdefault(os.path.realpath(path), (number, row["label"], split))
        if not error and known[1:] != (row["label"], split):
            error = f"{row['path']} is a link to the image on line {known[0]}, with another label or split"
        if error or split is None:
            wrong.append(f"line {number}: {error}")
        else:
            found[path] = number, ImageFile(path, row["label"], split)
    if wrong:
        more = f"; and {len(wrong) - MAX_LISTED} more lines" if len(wrong) > MAX_LISTED else ""
        raise InvalidValue(
            "path", table, f"an image, a label and a split on every line, but {'; '.join(wrong[:MAX_LISTED])}{more}"
        )
    return [image for _, image in found.values()]


def find_error(row: dict[str, str], path: Path, split: int | None) -> str:
    """What is wrong with a single row; empty where it is correct."""
    if not row["path"] or not row["label"]:
        return f"the {'label' if row['path'] else 'path'} is empty"
    if split is None:
        return f"split={row['split']} is not one of {', '.join(SPLIT_NAMES)}"
    return "" if os.path.isfile(path) else f"{path} is not a file"


def find_way_out(path: Path, root: Path) -> str:
    """That a path leads out of `root`, and what allows it; "" where it does not. Links are followed as they are."""
    inside = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))
    return "" if inside else f"{path} is not below {root}; data.root=FOLDER, one above all images, allows it"


@dataclass(frozen=True, kw_only=True)
class CsvTable(FileSource):
    """The images that a CSV file lists; missing splits are taken from train.

    root: the folder that its paths are relative to, and below; null: the folder of the CSV file.
    """

    path: str
    root: str | None

    def list_files(self) -> FileList:
        table = expand_home(self.path)
        root = expand_home(self.root) if self.root else table.parent
        return FileList(root, find_rows(table, root), "path")
