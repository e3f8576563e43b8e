"""A table of image files: columns path and label, and split where the parts are given."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sota_exp.data.decode import Found
from sota_exp.data.image_files import PARTS, FileSource, States, check_classes, check_parts, data_set_of_files
from sota_exp.data.process_cache import remembered
from sota_exp.stages.data import DataSet
from sota_exp.stages.stage import InvalidValue

#: Mistakes named at once.
SHOWN = 3


def rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cells by column, stripped) of every row that isn't blank.

    Raises:
        InvalidValue: no such file, no text, no header with the columns path and label, a row of another length.
    """
    if not table.is_file():
        raise InvalidValue("path", table, "a CSV file that exists, with the columns path and label, and maybe split")
    with open(table, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
            if not {"path", "label"} <= set(header):
                legal = f"a first line with the columns path and label, and maybe split; it has {', '.join(header) or 'none'}"
                raise InvalidValue("path", table, legal)
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    legal = f"{len(header)} cells a line as in the first one; line {reader.line_num} has {len(cells)}"
                    raise InvalidValue("path", table, legal)
                yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidValue("path", table, f"CSV in UTF-8; after line {reader.line_num}: {error}") from error


def find_rows(table: Path, root: Path) -> list[Found]:
    """The images that a table lists, its paths taken from `root`. Raises `InvalidValue` with the lines that are wrong."""
    found: dict[Path, tuple[int, Found]] = {}
    wrong: list[str] = []
    for number, row in rows(table):
        path, split = root / row["path"], row.get("split", "train").lower()
        fault = mistake(row, path, split)
        if not fault and path in found:
            fault = f"{row['path']} is on line {found[path][0]} too"
        if fault:
            wrong.append(f"line {number}: {fault}")
        else:
            found[path] = number, Found(path, row["label"], PARTS[split])
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more lines" if len(wrong) > SHOWN else ""
        raise InvalidValue(
            "path", table, f"an image, a label and a part on every line, but {'; '.join(wrong[:SHOWN])}{more}"
        )
    return [image for _, image in found.values()]


def mistake(row: dict[str, str], path: Path, split: str) -> str:
    """What is wrong with a row by itself; empty where nothing is."""
    if not row["path"] or not row["label"]:
        return f"the {'label' if row['path'] else 'path'} is empty"
    if split not in PARTS:
        return f"split={split} is not one of {', '.join(PARTS)}"
    return "" if path.is_file() else f"{path} is no file"


@dataclass(frozen=True, kw_only=True)
class Csv(FileSource):
    """The images that a CSV file lists; missing parts are cut from train.

    root: the folder that its paths start from; null: the CSV file's own.
    """

    path: str
    root: str | None

    def __call__(self) -> DataSet:
        return remembered(self, lambda: [Path(self.path).expanduser()], self._find, self._open)

    def _find(self) -> list[Found]:
        table = Path(self.path).expanduser()
        found = find_rows(table, self._folder)
        check_classes(found, "path", table)
        return found

    @property
    def _folder(self) -> Path:
        """The folder that the table's paths start from."""
        return Path(self.root if self.root else Path(self.path).parent).expanduser()

    def _open(self, found: list[Found], states: States) -> DataSet:
        data = data_set_of_files(self, self._folder, found, states)
        return check_parts(data, "path", self.path)
