"""`sota-exp export`: a finished run's model for other programs, compared with the original."""

import os
from pathlib import Path

from sota_exp.cli.command_line import RUN_HELP, CommandLine
from sota_exp.cli.saved_model_argument import find_weights, load_named_model, require_description
from sota_exp.config.data_paths import expand_home, require_possible_folder
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import escape, make_console

#: Files by which the folder of a run is known.
WRITTEN = ("config.yaml", "start.json", "result.json")


#: `--format` → what it writes.
FORMATS = {
    "safetensors": "model.safetensors: weights, for sota_exp.models.saved.load_saved_model",
    "torch_export": "model.pt2: a program for torch.export.load",
    "onnx": "model.onnx: for ONNX Runtime and TensorRT; needs pip install 'sota-exp[onnx]'",
    "mlflow": "mlflow_model/: for mlflow.pyfunc.load_model and mlflow models serve",
}

COMMAND = CommandLine(
    "export",
    "Writes a finished run's model for other programs, reads it back and compares its logits with the original's."
    "\n\n"
    "Of a cross-validation all folds are exported as one program, which answers with the logarithm of the mean of "
    "their "
    "probabilities; safetensors holds one network, so there a fold is named."
    "\n\n"
    "All formats but safetensors take RGB images, float in [0, 1], and contain normalization and the averaging of "
    "views. model.json, written beside them, contains the class names and the sizes. For the same logits, resize with "
    "antialiasing until the shorter side is `resize` px, the longer one rounded down as in torchvision, and cut the "
    "central square of `size` px. Transparent pixels are white. trained_on.npy, also beside them, has the digests "
    "of the "
    "files that the model was trained on, by which train and evaluate know these images again.",
    {
        "export small_images --format onnx --output exported": "for ONNX Runtime",
        "export outputs/cv --format torch_export --output exported": "all folds as one program",
        "export model.safetensors --format mlflow --output served": "for MLflow",
    },
    choices={"formats": FORMATS},
    trusts=True,
)
COMMAND.add_argument("run", metavar="RUN", help=RUN_HELP)
COMMAND.add_argument("--format", choices=FORMATS, required=True, help="what is written")
COMMAND.add_argument("--output", metavar="DIR", required=True, help="a folder, which may be new")


def main(arguments: list[str]) -> None:
    """Export the model that the arguments name."""
    given = COMMAND.parse(arguments)
    found, output = find_weights(given.run), expand_home(given.output)
    require_possible_folder("--output", given.output)
    require_no_other_run(output, found.weights)
    from sota_exp.models.export import ExportSource, export

    description, model = require_description(found), load_named_model(found)
    members = tuple(each.weights for each in found.folds)
    shipped = ExportSource(description=description, weights=found.weights, model=model, folds=members)
    exported = export(shipped, given.format, output)
    out = make_console()
    if members:
        out.print(f"{escape(found.name)}: the mean of the probabilities of {len(members)} networks")
    size = sum(file.stat().st_size for file in [exported.path, *exported.path.rglob("*")] if file.is_file()) / 2**20
    out.print(f"[bold]{escape(os.path.relpath(exported.path))}[/] ({size:.1f} MiB): {exported.usage}", soft_wrap=True)
    view = model.view
    out.print(
        f"images: RGB in [0, 1], the shorter side resized to {view.resize} px, the central {view.size} × {view.size}; "
        f"{len(model.classes)} classes in model.json",
        soft_wrap=True,
    )
    out.print(f"read back: logits differ by {exported.largest_difference:.1g} at most", style="green")


def require_no_other_run(output: Path, weights: Path) -> None:
    """Refuse the folder of another run than that of the weights, whose model would be replaced.

    Raises:
        ConfigError: it is one.
    """
    if any((output / name).exists() for name in WRITTEN) and output.resolve() != weights.resolve().parent:
        raise ConfigError(
            f"--output {output} is the folder of another run, whose model would be replaced; choose another"
        )
