"""`sota-exp predict`: the most probable classes of image files, by a finished run's model."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.cli.command_line import RUN_HELP, CommandLine, one_number
from sota_exp.cli.saved_model_argument import find_weights, load_named_model
from sota_exp.config.data_paths import expand_home
from sota_exp.config.printable import make_decodable, make_printable
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.report.numbers import format_percent
from sota_exp.report.terminal import escape, make_console

if TYPE_CHECKING:
    from sota_exp.models.predict import Prediction

#: What `--format` may be.
FORMATS = ("table", "csv", "json")

COMMAND = CommandLine(
    "predict",
    "Classifies image files, or all images below a folder, with a finished run's model: prints the most probable "
    "classes with their probabilities. Images are decoded, resized and cropped exactly as in evaluation; JPEGs above "
    "12 megapixels are decoded at a reduced size, as from a streamed set. At most 24 megapixels are decoded at once, "
    "or one image of more, which takes about 12 bytes of memory for each of its pixels."
    "\n\n"
    "Hidden files and folders inside a folder are skipped, as in training; other files that are not images by their "
    "endings are counted on standard error, and so are files that the networks were trained on. A file that cannot be "
    "read is reported; the other files are classified, and the exit status is 1.",
    {
        "predict small_images photo.jpg": "one image",
        "predict outputs/cv photos/ --top 1 --format csv": "the mean of a cross-validation's networks",
        "predict model.safetensors photo.jpg": "weights with model.json beside them",
    },
    trusts=True,
)
COMMAND.add_argument("run", metavar="RUN", help=RUN_HELP)
COMMAND.add_argument("images", metavar="IMAGE", nargs="+", help="image files, and folders of such")
COMMAND.add_argument(
    "--top", type=one_number(1), default=5, metavar="N", help="classes of each image, the likeliest first"
)
COMMAND.add_argument("--format", choices=FORMATS, default="table", help="what is printed")
COMMAND.add_argument("--batch-size", type=one_number(1), default=64, metavar="N", help="images at once")
COMMAND.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")


def main(arguments: list[str]) -> None:
    """Classify the files and folders in the arguments.

    Raises:
        ConfigError: no images, or a value that is not legal.
        RunFailed: some files cannot be read as images; the others are classified first.
    """
    given = COMMAND.parse(arguments)
    found = find_weights(given.run)
    if missing := [place for place in given.images if not os.path.exists(expand_home(place))]:
        raise ConfigError(f"{missing[0]}: no such file or folder")
    paths = [path for place in given.images for path in find_images(expand_home(place))]
    from sota_exp.models.predict import Prediction, describe_remarks, predict_files
    from sota_exp.training.device import pick_device
    from sota_exp.training.trained_on import describe_predicted, read_trained_on_of

    model, device = load_named_model(found), pick_device(given.device)
    trained_on = read_trained_on_of(model.weights)
    if found.folds:
        warn(f"{found.name}: the mean of the probabilities of {len(found.folds)} networks")
    unreadable: list[str] = []
    readable: list[Prediction] = []

    def iterate_readable() -> Iterator[Prediction]:
        for made in predict_files(model, paths, given.top, given.batch_size, device):
            if isinstance(made, Prediction):
                readable.append(made)
                yield made
            else:
                warn(str(made))
                unreadable.append(str(made.path))

    print_all = {"table": print_table, "csv": print_csv, "json": print_json}[given.format]
    print_all(iterate_readable())
    for remark in describe_remarks(readable, len(paths)):
        warn(remark)
    if known := describe_predicted([each.path for each in readable], trained_on):
        warn(known)
    if unreadable:
        raise RunFailed(f"{len(unreadable)} of {len(paths)} files cannot be read as images; they are listed above")


def warn(text: str) -> None:
    """Print a line on standard error."""
    print(f"sota-exp: {make_printable(text)}", file=sys.stderr)


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
