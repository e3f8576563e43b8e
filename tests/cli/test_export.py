"""`sota-exp export`: another process reads each format with its own library, and gets the same logits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sota_exp.cli import main
from sota_exp.errors import RunFailed
from sota_exp.models import saved
from sota_exp.models.export import ExportSource, compare_logits, export
from sota_exp.models.standalone import StandaloneModel
from sota_exp.runs.files import read_trained_on_beside
from tests.experiments import TINY
from tests.forked import Program

#: Programs that read images and print logits; only those for safetensors and MLflow import this package.
READERS = {
    "torch_export": "import torch; f = torch.export.load('model.pt2').module()\n"
    "g = lambda x: f(torch.from_numpy(x)).detach().numpy()",
    "onnx": "import onnxruntime as o; s = o.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])\n"
    "g = lambda x: s.run(['logits'], {'images': x})[0]",
    "mlflow": "import mlflow; f = mlflow.pyfunc.load_model('mlflow_model'); g = lambda x: f.predict(x)",
    "safetensors": "import torch; from pathlib import Path\n"
    "from sota_exp.models import saved; from sota_exp.models.standalone import StandaloneModel\n"
    "f = StandaloneModel(saved.load_saved_model(Path('model.json'), Path('model.safetensors'))).eval()\n"
    "g = lambda x: f(torch.from_numpy(x)).detach().numpy()",
}
READ = (
    "import warnings; warnings.simplefilter('ignore'); import numpy as np\n"
    "{reader}\nnp.save('logits.npy', g(np.load('images.npy')))"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "a_run"
    flags = ["recipe=baseline", "evaluation/tta=flip", "regularization/norm=ghost_batch", "optimizer.lr=0.05"]
    assert main.run_command_line(["train", *TINY, *flags, f"hydra.run.dir={directory}"]) == 0
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("form", READERS)
def test_another_program_sees_the_same(
    finished: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run_command_line(["export", f"{finished}", f"--format={form}", f"--output={tmp_path}"]) == 0
    output = capsys.readouterr().out
    assert "read back" in output and "4 classes" in output
    assert json.loads((tmp_path / "model.json").read_text())["classes"]
    # Another batch size, height and width than any it was made with.
    images = torch.rand(5, 3, 24, 20, generator=torch.Generator().manual_seed(7))
    np.save(tmp_path / "images.npy", images.numpy())
    (tmp_path / "read.py").write_text(READ.format(reader=READERS[form]))
    reader = Program(path=tmp_path / "read.py", cwd=tmp_path, output=tmp_path / "said.txt", is_bare=True)
    assert reader.wait() == 0, (tmp_path / "said.txt").read_text()
    model = saved.load_saved_model(finished / "model.json", finished / "model.safetensors")
    with torch.no_grad():
        expected = StandaloneModel(model).eval()(images)
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "logits.npy")), expected, rtol=1e-4, atol=1e-4)


def test_the_same_directory_again(finished: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert main.run_command_line(["export", f"{finished}", "--format=safetensors", f"--output={tmp_path}"]) == 0
    assert (
        main.run_command_line(
            ["export", f"{tmp_path}/model.safetensors", "--format=safetensors", f"--output={tmp_path}"]
        )
        == 0
    )
    assert (tmp_path / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


def test_a_flipped_bit_of_an_export_is_found(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", f"{finished}", "--format=safetensors", f"--output={tmp_path}"]
    assert main.run_command_line(arguments) == 0
    weights, image = tmp_path / "model.safetensors", tmp_path / "image.png"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 64
    weights.write_bytes(content)
    Image.new("RGB", (32, 32)).save(image)
    assert main.run_command_line(["predict", f"{weights}", str(image)]) in (1, 2)
    assert "model.safetensors is damaged" in capsys.readouterr().err
    assert main.run_command_line(arguments) == 0
    assert main.run_command_line(["predict", f"{weights}", str(image)]) == 0


def test_an_export_of_unknown_images_leaves_no_digests_of_others(finished: Path, tmp_path: Path) -> None:
    model = saved.load_saved_model(finished / "model.json", finished / "model.safetensors")
    for place in (finished, tmp_path / "alone"):
        place.mkdir(exist_ok=True)
        for name in ("model.json", "model.safetensors"):
            content = (finished / name).read_bytes()
            (place / name).write_bytes(content)
        shipped = ExportSource(description=place / "model.json", weights=place / "model.safetensors", model=model)
        export(shipped, "safetensors", tmp_path / "made")
        assert read_trained_on_beside(tmp_path / "made" / "model.safetensors") == (
            (finished / "trained_on.npy").read_bytes() if place == finished else None
        )


def test_a_network_that_cannot_be_written_is_a_failure_in_one_line(finished: Path, tmp_path: Path) -> None:
    model = saved.load_saved_model(finished / "model.json", finished / "model.safetensors")

    class Fickle(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((1, 2, 3)) if images.sum().item() > 0 else images

    broken = saved.SavedModel(**{**vars(model), "network": Fickle()})
    shipped = ExportSource(description=finished / "model.json", weights=finished / "model.safetensors", model=broken)
    with pytest.raises(RunFailed, match=r"--format torch_export: this network cannot be exported: \S+"):
        export(shipped, "torch_export", tmp_path)


def test_other_logits_are_a_failure(finished: Path) -> None:
    model = saved.load_saved_model(finished / "model.json", finished / "model.safetensors")
    shipped = ExportSource(description=finished / "model.json", weights=finished / "model.safetensors", model=model)
    network = shipped.network
    assert compare_logits(shipped, network) == 0
    with pytest.raises(RunFailed, match="different logits"):
        compare_logits(shipped, lambda images: network(images) + 0.1)
    with pytest.raises(RunFailed, match="different logits"):
        compare_logits(shipped, lambda images: network(images) * float("nan"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format=onnx", "--output=x"], "export needs RUN: sota-exp export RUN --format FORMAT --output DIR"),
        (["{finished}", "--output=x"], "export needs --format"),
        (
            ["{finished}", "--format=onxx", "--output={tmp}/x"],
            "--format onxx is not legal; legal: safetensors, torch_export",
        ),
        (
            ["{finished}", "--format=onnx", "--output={finished}/result.json"],
            "result.json is a file, not a folder; give",
        ),
        (["{finished}", "--format=onnx", "--output={other}"], "is the folder of another run, whose model would be"),
        (["{finished}", "--fromat=onnx", "--format=onnx", "--output=x"], "Did you mean --format?"),
        (["{tmp}", "--format=onnx", "--output=x"], "not the directory of a finished run"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").write_text("seed: 1\n")
    places = {"finished": finished, "tmp": tmp_path, "other": other}
    assert main.run_command_line(["export", *(word.format(**places) for word in arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "x").exists()
