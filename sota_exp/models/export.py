"""Exports a saved model to other formats. Each export is read back and compared with the original on two batches."""

import importlib.util
import io
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sota_exp.errors import ConfigError, RunFailed, first_line
from sota_exp.models import saved
from sota_exp.models.ensemble import describe_ensemble
from sota_exp.models.model_json import read_description
from sota_exp.models.standalone import StandaloneModel
from sota_exp.runs.atomic import write_recomputable
from sota_exp.runs.digests import remove_checked, write_checked, write_checked_json
from sota_exp.runs.files import read_trained_on_beside

#: Largest difference of logits after reading back, relative to the largest absolute logit: kernels round differently.
LOGIT_TOLERANCE = 1e-3

PredictFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """The file or folder written, how to load it and its input, and the largest difference of its logits."""

    path: Path
    usage: str
    largest_difference: float


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """The files of a saved model, and the model in them. folds: the weights of all networks that it averages."""

    description: Path
    weights: Path
    model: saved.SavedModel
    folds: tuple[Path, ...] = ()

    @property
    def network(self) -> nn.Module:
        return StandaloneModel(self.model).eval()

    def images(self, num: int) -> Tensor:
        """Fixed random images of the model's size: float32 [num, 3, S, S] in [0, 1]."""
        size = self.model.view.size
        return torch.rand(num, 3, size, size, generator=torch.Generator().manual_seed(num))


def export(shipped: ExportSource, form: str, output: Path) -> ExportResult:
    """Write the model to the folder `output` as `form`, one of `EXPORT_FORMATS`, with `model.json` and the digests.

    Raises:
        ConfigError: the format is unknown, or a package that it needs is missing.
        RunFailed: the model cannot be exported to this format, or the export gives different logits.
    """
    if form not in EXPORT_FORMATS:
        raise ConfigError(f"--format {form} is not legal: {', '.join(EXPORT_FORMATS)}")
    if shipped.folds and form == "safetensors":
        raise ConfigError(
            f"--format safetensors holds one network, not those of {len(shipped.folds)} folds: name one, "
            f"{shipped.weights.parent}, or choose {', '.join(name for name in EXPORT_FORMATS if name != form)}"
        )
    output.mkdir(parents=True, exist_ok=True)
    try:
        # Exporters warn about their own code.
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            path, takes, predict = EXPORT_FORMATS[form](shipped, output)
            difference = compare_logits(shipped, predict)
    except (ConfigError, RunFailed):
        raise
    except Exception as error:
        cause = first_line(error)
        raise RunFailed(f"--format {form}: this network cannot be exported: {cause}") from error
    write_description(shipped, output / "model.json")
    copy_trained_on(shipped.folds or (shipped.weights,), output)
    return ExportResult(path=path, usage=takes, largest_difference=difference)


def write_description(shipped: ExportSource, target: Path) -> None:
    """Write the `model.json` of an export."""
    if not shipped.folds:
        copy_file(shipped.description, target)
        return
    described = read_description(shipped.description) or {}
    write_checked_json(target, describe_ensemble(described, shipped.model, len(shipped.folds)))


def copy_trained_on(weights: Sequence[Path], output: Path) -> None:
    """Copy the digests of the images that weights were trained on; where these are unknown, `output` has none after."""
    target = output / "trained_on.npy"
    known = [content for each in weights if (content := read_trained_on_beside(each)) is not None]
    if len(known) < len(weights):
        remove_checked(target)
        return
    united = unite_trained_on(known)
    if not target.exists() or target.read_bytes() != united:
        write_checked(target, lambda file: file.write(united))


def unite_trained_on(contents: Sequence[bytes]) -> bytes:
    """One file of digests of several; a single one stays as it is."""
    if len(contents) == 1:
        return contents[0]
    digests = [np.load(io.BytesIO(content), allow_pickle=False) for content in contents]
    united = io.BytesIO()
    np.save(united, np.unique(np.concatenate(digests)), allow_pickle=False)
    return united.getvalue()


def compare_logits(shipped: ExportSource, predict: PredictFunction) -> float:
    """The largest difference of logits between an export and the original, on a batch of one and a batch of three.

    Raises:
        RunFailed: the difference is larger than `LOGIT_TOLERANCE`.
    """
    worst = 0.0
    for num in (1, 3):
        images = shipped.images(num)
        expected = shipped.network(images).float()
        difference = (predict(images).float() - expected).abs().max().item()
        if not difference <= LOGIT_TOLERANCE * max(1.0, expected.abs().max().item()):
            raise RunFailed(f"the export gives different logits when read back: they differ by {difference:.3g}")
        worst = max(worst, difference)
    return worst


def copy_file(path: Path, target: Path) -> None:
    """Copy a file to `target`, with its digest, unless it is there."""
    if path.resolve() != target.resolve():
        write_checked(target, lambda file: shutil.copyfile(path, file.name))


def export_safetensors(shipped: ExportSource, output: Path) -> tuple[Path, str, PredictFunction]:
    """Copy the files of the run."""
    path = output / "model.safetensors"
    copy_file(shipped.weights, path)
    network = StandaloneModel(saved.load_saved_model(shipped.description, path)).eval()
    return (
        path,
        'sota_exp.models.saved.load_saved_model(Path("model.json"), Path("model.safetensors")) reads it',
        network,
    )


def export_torch(shipped: ExportSource, output: Path) -> tuple[Path, str, PredictFunction]:
    """A torch.export program, which runs without this package; batch, height and width are free where possible."""
    path = output / "model.pt2"
    program = trace(shipped)
    write_recomputable(path, lambda file: torch.export.save(program, file))
    read = torch.export.load(path).module()
    return path, f"torch.export.load(path).module() reads it; it takes {format_input_shape(program)}", read


def export_onnx(shipped: ExportSource, output: Path) -> tuple[Path, str, PredictFunction]:
    """ONNX with the input `images` and the output `logits`, read back with ONNX Runtime on the CPU.

    Raises:
        ConfigError: a package of the extra `onnx` is missing.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"--format onnx needs {', '.join(missing)}: pip install 'sota-exp[onnx]'")
    import onnxruntime

    path = output / "model.onnx"
    program = trace(shipped)
    write_recomputable(
        path,
        lambda file: torch.onnx.export(
            program,
            f=file.name,
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        ),
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def predict(images: Tensor) -> Tensor:
        (logits,) = session.run(None, {"images": images.numpy()})
        return torch.from_numpy(np.asarray(logits))

    return path, f"onnxruntime.InferenceSession(path) reads it; it takes {format_input_shape(program)}", predict


def export_mlflow(shipped: ExportSource, output: Path) -> tuple[Path, str, PredictFunction]:
    """A folder that MLflow loads and serves; batch size, height and width are free in its signature."""
    import mlflow

    from sota_exp.models.export_mlflow import mlflow_arguments

    path, draft = output / "mlflow_model", output / ".mlflow_model.draft"
    shutil.rmtree(draft, ignore_errors=True)
    mlflow.pytorch.save_model(shipped.network, str(draft), **mlflow_arguments(shipped.model))
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    read = mlflow.pyfunc.load_model(str(path))
    takes = (
        "mlflow.pyfunc.load_model(path) reads it, mlflow models serve -m path serves it; it takes float32 [B, 3, H, W]"
    )
    return path, takes, lambda images: torch.as_tensor(read.predict(images.numpy()))


EXPORT_FORMATS: dict[str, Callable[[ExportSource, Path], tuple[Path, str, PredictFunction]]] = {
    "safetensors": export_safetensors,
    "torch_export": export_torch,
    "onnx": export_onnx,
    "mlflow": export_mlflow,
}


def trace(shipped: ExportSource) -> torch.export.ExportedProgram:
    """Trace the network on a batch of two; batch, height and width are free unless the network fixes them."""
    free = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    return torch.export.export(shipped.network, (shipped.images(2),), dynamic_shapes=(free,))


def format_input_shape(program: torch.export.ExportedProgram) -> str:
    """`float32 [B, 3, H, W]`, with a number for each dimension that the program fixes."""
    (name,) = program.graph_signature.user_inputs
    (node,) = [node for node in program.graph.nodes if node.name == name]
    shape = node.meta["val"].shape
    sides = (str(side) if isinstance(side, int) else letter for side, letter in zip(shape, "BCHW", strict=True))
    return f"float32 [{', '.join(sides)}]"
