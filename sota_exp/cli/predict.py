"""usage: sota-exp predict run=DIR|weights=FILE IMAGE|FOLDER … [top=5] [format=table|csv|json] [batch_size=64]
                        [device=auto]

Classifies image files, or all images below a folder, with a finished run's model: prints the most probable classes
with their probabilities. Images are decoded, resized and cropped exactly as in evaluation; JPEGs above 12 megapixels
are decoded at a reduced size, as from a streamed set. At most 24 megapixels are decoded at once, or one image of more,
which takes about 12 bytes of memory for each of its pixels.

  sota-exp predict run=outputs/a_run photo.jpg                    one image
  sota-exp predict run=outputs/a_run photos top=1 format=csv      a folder, as CSV
  sota-exp predict run=outputs/cv photos                          a cross-validation: the mean of its folds' networks
  sota-exp predict weights=model.safetensors photo.jpg            weights with model.json beside them

Hidden files and folders inside a folder are skipped, as in training; other files that are not images by their endings
are counted on standard error. A file that cannot be read is reported; the other files are classified, and the exit
status is 1.
"""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.cli.saved_model_argument import load_named_model, parse_values, parse_weights_argument
from sota_exp.config.data_paths import expand_home
from sota_exp.config.printable import make_decodable, make_printable
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.report.numbers import format_percent
from sota_exp.report.terminal import escape, make_console

if TYPE_CHECKING:
    from sota_exp.models.predict import Prediction

PREDICT_DEFAULTS = {"top": "5", "format": "table", "batch_size": "64", "device": "auto"}


def main(arguments: list[str]) -> None:
    """Classify the files and folders in the arguments.

    Raises:
        ConfigError: no images, or a value that is not legal.
        RunFailed: some files cannot be read as images; the others are classified first.
    """
    existing = [word for word in arguments if os.path.exists(expand_home(word))]  # A file may be called top=1.png.
    found, others = parse_weights_argument("predict", [word for word in arguments if word not in existing])
    free = [word for word in others if word.partition("=")[0] not in PREDICT_DEFAULTS]
    places = [word for word in arguments if word in (*existing, *free)]
    given = parse_values("predict", [word for word in others if word not in free], PREDICT_DEFAULTS)
    formats = {"table": print_table, "csv": print_csv, "json": print_json}
    if given["format"] not in formats:
        raise ConfigError(f"format={given['format']} is not legal: {', '.join(formats)}")
    top, batch_size = (parse_positive_int(name, given[name]) for name in ("top", "batch_size"))
    if missing := [place for place in places if not os.path.exists(expand_home(place))]:
        raise ConfigError(f"{missing[0]}: no such file or folder")
    if not places:
        raise ConfigError("predict needs images: files or folders; see sota-exp predict --help")
    paths = [path for place in places for path in find_images(expand_home(place))]
    from sota_exp.models.predict import Prediction, describe_remarks, predict_files
    from sota_exp.training.device import pick_device

    model = load_named_model(found)
    if found.folds:
        warn(f"{found.name}: the mean of the probabilities of the networks of {len(found.folds)} folds")
    unreadable: list[str] = []
    readable: list[Prediction] = []

    def iterate_readable() -> Iterator[Prediction]:
        for made in predict_files(model, paths, top, batch_size, pick_device(given["device"])):
            if isinstance(made, Prediction):
                readable.append(made)
                yield made
            else:
                warn(str(made))
                unreadable.append(str(made.path))

    formats[given["format"]](iterate_readable())
    for remark in describe_remarks(readable, len(paths)):
        warn(remark)
    if unreadable:
        raise RunFailed(f"{len(unreadable)} of {len(paths)} files cannot be read as images; they are listed above")


def warn(text: str) -> None:
    """Print a line on standard error."""
    print(f"sota-exp: {make_printable(text)}", file=sys.stderr)


def parse_positive_int(name: str, value: str) -> int:
    """Parse a whole number.

    Raises:
        ConfigError: not a whole number, or 0.
    """
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{name}={value} is not legal: a whole number, at least 1")
    return int(value)


def find_images(place: Path) -> list[Path]:
    """The file itself, or all images below a folder, sorted by path; other files in it are counted in a warning.

    Raises:
        ConfigError: the path is a folder without images, or neither a file nor a folder.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ConfigError(f"{place} is neither a file nor a folder; give image files or folders of such")
    from sota_exp.models import predict

    found, left_out = predict.find_images(place)
    if not found:
        raise ConfigError(f"{place}: no image file in this folder or below it{'; ' * bool(left_out)}{left_out}")
    if left_out:
        warn(f"{place}: {left_out}")
    return found


def print_table(made: "Iterable[Prediction]") -> None:
    """One line per file: `photo.jpg  dog 92.1 %  cat 4.0 % …`."""
    out = make_console()
    for each in made:
        ranked = [
            f"{escape(name)} {format_percent(share, 1)}"
            for name, share in zip(each.classes, each.probabilities, strict=True)
        ]
        others = f"  [dim]{'  '.join(ranked[1:])}[/]" if ranked[1:] else ""
        out.print(f"{escape(str(each.path))}  [bold]{ranked[0]}[/]{others}", soft_wrap=True)


def print_csv(made: "Iterable[Prediction]") -> None:
    """One row per file and class: path, rank from 1, class, probability in [0, 1]."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["path", "rank", "class", "probability"])
    for each in made:
        for rank, (name, share) in enumerate(zip(each.classes, each.probabilities, strict=True), start=1):
            rows.writerow([make_decodable(str(each.path)), rank, name, f"{share:.6f}"])


def print_json(made: "Iterable[Prediction]") -> None:
    """One JSON object per line and file: path, and class → probability in descending order."""
    for each in made:
        ranked = dict(zip(each.classes, each.probabilities, strict=True))
        print(json.dumps({"path": make_decodable(str(each.path)), "classes": ranked}, ensure_ascii=False))
