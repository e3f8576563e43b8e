"""A saved model in the formats of other programs. Each is written, read back, and compared with the original on two batches."""

import importlib.util
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sota_exp.errors import ConfigError, RunFailed, first_line
from sota_exp.models import saved
from sota_exp.models.standalone import Deployed

#: Logits of what was read back may differ from the original's by this much of their spread: other kernels round otherwise.
TOLERANCE = 1e-3

Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written: the file or folder, in words what it takes, and how far its logits were from the original's."""

    path: Path
    takes: str
    largest_difference: float


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """The files of a saved model, and the model in them."""

    description: Path
    weights: Path
    model: saved.SavedModel

    @property
    def network(self) -> nn.Module:
        return Deployed(self.model).eval()

    def images(self, num: int) -> Tensor:
        """Random images that the model can read, the same every time: float [num, 3, S, S] in [0, 1]."""
        size = self.model.view.size
        return torch.rand(num, 3, size, size, generator=torch.Generator().manual_seed(num))


def export(shipped: Shipped, form: str, output: Path) -> Exported:
    """Write the model to `output` as `form`, one of `FORMATS`, with `model.json` beside it.

    Raises:
        ConfigError: an unknown format, or a package that it needs is missing.
        RunFailed: the model can't be written so, or what was read back gives other logits.
    """
    if form not in FORMATS:
        raise ConfigError(f"format={form} is not legal: {', '.join(FORMATS)}")
    output.mkdir(parents=True, exist_ok=True)
    try:
        with torch.no_grad(), quiet():
            path, takes, predict = FORMATS[form](shipped, output)
            difference = largest_difference(shipped, predict)
    except (ConfigError, RunFailed):
        raise
    except Exception as error:
        cause = first_line(error)
        raise RunFailed(f"format={form}: this network can't be written so: {cause}") from error
    if shipped.description.resolve() != (output / "model.json").resolve():
        shutil.copyfile(shipped.description, output / "model.json")
    return Exported(path=path, takes=takes, largest_difference=difference)


def largest_difference(shipped: Shipped, predict: Predict) -> float:
    """Of logits, between what was read back and the original, on a batch of one and a batch of three.

    Raises:
        RunFailed: it is more than rounding.
    """
    worst = 0.0
    for num in (1, 3):
        images = shipped.images(num)
        expected = shipped.network(images).float()
        difference = (predict(images).float() - expected).abs().max().item()
        if not difference <= TOLERANCE * max(1.0, expected.abs().max().item()):
            raise RunFailed(f"what was read back gives other logits: they differ by {difference:.3g}")
        worst = max(worst, difference)
    return worst


def as_safetensors(shipped: Shipped, output: Path) -> tuple[Path, str, Predict]:
    """The files of the run themselves."""
    path, description = output / "model.safetensors", output / "model.json"
    if shipped.weights.resolve() != path.resolve():
        shutil.copyfile(shipped.weights, path)
        shutil.copyfile(shipped.description, description)
    network = Deployed(saved.load(description, path)).eval()
    return path, 'sota_exp.models.saved.load(Path("model.json"), Path("model.safetensors")) reads it', network


def as_torch_export(shipped: Shipped, output: Path) -> tuple[Path, str, Predict]:
    """A program of PyTorch's that needs no code of ours; any batch size, any height and width where the network allows."""
    path = output / "model.pt2"
    program = exported_program(shipped)
    torch.export.save(program, path)
    read = torch.export.load(path).module()
    return path, f"torch.export.load(path).module() reads it; it takes {shape_of(program)}", read


def as_onnx(shipped: Shipped, output: Path) -> tuple[Path, str, Predict]:
    """ONNX with the input `images` and the output `logits`, checked with ONNX Runtime on the CPU."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"format=onnx needs {', '.join(missing)}: pip install 'sota-exp[onnx]'")
    import onnxruntime

    path = output / "model.onnx"
    program = exported_program(shipped)
    torch.onnx.export(
        program,
        f=str(path),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def predict(images: Tensor) -> Tensor:
        (logits,) = session.run(None, {"images": images.numpy()})
        return torch.from_numpy(np.asarray(logits))

    return path, f"onnxruntime.InferenceSession(path) reads it; it takes {shape_of(program)}", predict


def as_mlflow(shipped: Shipped, output: Path) -> tuple[Path, str, Predict]:
    """A folder that MLflow serves and loads, its signature with free batch size, height and width."""
    import mlflow

    from sota_exp.models.export_mlflow import save_model

    path, draft = output / "mlflow_model", output / ".mlflow_model.draft"
    shutil.rmtree(draft, ignore_errors=True)
    save_model(shipped.model, draft)
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    read = mlflow.pyfunc.load_model(str(path))
    takes = (
        "mlflow.pyfunc.load_model(path) reads it, mlflow models serve -m path serves it; it takes float32 [B, 3, H, W]"
    )
    return path, takes, lambda images: torch.as_tensor(read.predict(images.numpy()))


FORMATS: dict[str, Callable[[Shipped, Path], tuple[Path, str, Predict]]] = {
    "safetensors": as_safetensors,
    "torch_export": as_torch_export,
    "onnx": as_onnx,
    "mlflow": as_mlflow,
}


def exported_program(shipped: Shipped) -> torch.export.ExportedProgram:
    """The network traced on a batch of two, each of its batch, height and width free unless the network fixes it."""
    free = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    return torch.export.export(shipped.network, (shipped.images(2),), dynamic_shapes=(free,))


def shape_of(program: torch.export.ExportedProgram) -> str:
    """`float32 [B, 3, H, W]`, with a number where the program has fixed one."""
    (name,) = program.graph_signature.user_inputs
    (node,) = [node for node in program.graph.nodes if node.name == name]
    shape = node.meta["val"].shape
    sides = (str(side) if isinstance(side, int) else letter for side, letter in zip(shape, "BCHW", strict=True))
    return f"float32 [{', '.join(sides)}]"


@contextmanager
def quiet() -> Iterator[None]:
    """While entered, what exporters warn of among themselves is not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
