"""A data set of image files listed in a CSV file with the columns path and label, and optionally split and group."""

import csv
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sota_exp.config.data_paths import expand_home, find_path_problem
from sota_exp.config.values import join_first
from sota_exp.data.folders import SPLIT_COLUMN, SPLIT_NAMES, find_split
from sota_exp.data.image_files import FileList, FileSource
from sota_exp.data.listing import ImageFile, Listing, ListingWriter
from sota_exp.data.listing_state import read_state
from sota_exp.data.shared_listing import share_listing
from sota_exp.stages.stage import InvalidValue, added_field

#: The column that says which images belong together, such as those of one patient.
GROUP = "group"

#: Number of wrong lines that an error lists, and of columns that a message names.
MAX_LISTED = 3

log = logging.getLogger(__name__)


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
            if twice := {name for name in header if name and header.count(name) > 1}:
                raise InvalidValue("path", table, f"each column once in the first line, not {', '.join(twice)} twice")
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    legal = f"{len(header)} cells per line as in the first one; line {reader.line_num} has {len(cells)}"
                    raise InvalidValue("path", table, legal)
                yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidValue("path", table, f"CSV in UTF-8; after line {reader.line_num}: {error}") from error


def check_split_column(table: Path, rows: Sequence[Mapping[str, str]], column: str | None) -> None:
    """Check that the column of the splits is known. column: its name in lower case; None: none. What is unread is told.

    Raises:
        InvalidValue: there is no such column, or only others that may be meant.
    """
    columns = {name: sorted({row[name] for row in rows} - {""}) for name in (rows[0] if rows else ())}
    others = [name for name in columns if name not in ("path", "label", GROUP, column)]
    if rows and column not in (None, "split", *columns):
        raise InvalidValue("split_column", column, f"a column of {table}: {', '.join(columns)}; or null: none")
    says_split = {name: all(find_split(value) is not None for value in columns[name]) for name in others}
    meant = [name for name in others if columns[name] and (says_split[name] or SPLIT_COLUMN.search(name))]
    if column is not None and column not in columns and meant:
        name = max(meant, key=lambda name: says_split[name])
        use = f"data.split_column={name}" if says_split[name] else "a column split with train, val or test in it"
        legal = f"a column split, but {name} ({join_first(columns[name], MAX_LISTED)}) may be meant"
        raise InvalidValue("path", table, f"{legal}: {use} splits by it, data.split_column=null does not")
    if others:
        log.info("%s: columns that are not read: %s", table, join_first(others, MAX_LISTED))


def read_groups(table: Path) -> np.ndarray | None:
    """The number of the group of every image, int64 [N], from the column `group`; None without such a column.

    An image without a group is one of its own.
    """
    read = read_rows(table)
    if (first := next(read, None)) is None or GROUP not in first[1]:
        return None
    rows = [first[1][GROUP], *(row[GROUP] for _, row in read)]
    numbers: dict[str | int | None, int] = {}
    return np.array([numbers.setdefault(name or row, len(numbers)) for row, name in enumerate(rows)])


def find_rows(table: Path, root: Path, column: str | None = "split") -> Listing:
    """The images that a CSV file lists, its paths below `root`: relative to it, or absolute. column: of the splits.

    Raises:
        InvalidValue: a line is wrong; the message lists the first such lines. See also `read_rows`.
    """
    rows = list(read_rows(table))
    check_split_column(table, [row for _, row in rows], column)
    found: dict[Path, tuple[int, ImageFile]] = {}
    lines: dict[str, tuple[int, str, int | None]] = {}  # real path → line, label, split
    wrong: list[str] = []
    for number, row in rows:
        path, part = root / row["path"], row.get(column, "train") if column else "train"
        split = find_split(part)
        error = find_way_out(path, root) or find_error(row, path)
        if not error and split is None:
            error = f"{column}={part} is not one of {', '.join(SPLIT_NAMES)}"
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
    listed, images = ListingWriter(root), [image for _, image in found.values()]
    paths = [str(image.path) for image in images]
    names = [path.removeprefix(f"{str(root).rstrip('/')}/") for path in paths]
    classes, splits = [image.class_name for image in images], [image.split for image in images]
    listed.add(names, [read_state(path) for path in paths], classes, splits)
    return listed.finish()


def find_error(row: dict[str, str], path: Path) -> str:
    """What is wrong with path and label of a single row; empty where they are correct."""
    if not row["path"] or not row["label"]:
        return f"the {'label' if row['path'] else 'path'} is empty"
    return "" if os.path.isfile(path) else f"{path} is not a file"


def find_way_out(path: Path, root: Path) -> str:
    """That a path leads out of `root`, and what allows it; "" where it does not. Links are followed as they are."""
    inside = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))
    return "" if inside else f"{path} is not below {root}; data.root=FOLDER, one above all images, allows it"


@dataclass(frozen=True, kw_only=True)
class CsvTable(FileSource):
    """The images that a CSV file lists; missing splits are taken from train.

    root: the folder that its paths are relative to, and below; null: the folder of the CSV file.
    split_column: the column that says train, val or test, in any case; null: none does.
    """

    path: str
    root: str | None
    split_column: str | None = added_field("split")

    def list_files(self) -> FileList:
        table = expand_home(self.path)
        root = expand_home(self.root) if self.root else table.parent
        column = self.split_column and self.split_column.lower()
        request = ["csv", str(table.absolute()), str(root.absolute()), column]
        found = share_listing(self.cache, request, lambda: find_rows(table, root, column))
        return FileList(root, found, "path", groups=read_groups(table))
