"""`sota-exp evaluate` as a person runs it: a finished run again, in other ways, on other data; what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from sota_exp import cli
from tests.experiments import TINY

CONFIGURED = [*TINY, "recipe=baseline", "optimizer.lr=0.05", "evaluation.batch_size=7"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "a_run"
    assert cli.run(["train", *CONFIGURED, f"hydra.run.dir={directory}"]) == 0
    return directory


def evaluated(place: Path, *arguments: str) -> dict:
    assert cli.run(["evaluate", *arguments, f"hydra.run.dir={place}"]) == 0
    return json.loads((place / "result.json").read_text())


def read(directory: Path) -> dict:
    return json.loads((directory / "result.json").read_text())


def test_a_run_scores_as_it_did(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, trained = evaluated(tmp_path / "e", f"run={finished}"), read(finished)
    for split in ("val", "test"):
        for name in ("accuracy", "loss", "ece"):
            assert result["metrics"][f"{split}/{name}"] == trained["metrics"][f"{split}/{name}"]
    assert result["evaluated_images"] == trained["evaluated_images"]
    assert result["confusion_matrix"] == trained["confusion_matrix"]
    assert result["training_fingerprint"] == trained["training_fingerprint"]
    assert (tmp_path / "e" / "predictions.npz").is_file()
    assert "evaluated" in capsys.readouterr().out
    assert not any(finished.glob("*.tmp"))


def test_a_search_without_training(finished: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    sizes = "evaluation.resolution.relative_sizes=[1.0,1.5]"
    result = evaluated(tmp_path / "e", f"run={finished}", "evaluation/resolution=search", sizes)
    assert [point["size"] for point in result["resolution"]["curve"]] == [16, 24]
    assert (tmp_path / "e" / "figures" / "resolution.png").is_file()
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_other_views_of_each_image(finished: Path, tmp_path: Path) -> None:
    flipped = evaluated(tmp_path / "e", f"run={finished}", "evaluation/tta=flip")
    assert flipped["choices"]["evaluation/tta"] == "flip"
    assert flipped["metrics"]["test/loss"] != read(finished)["metrics"]["test/loss"]


def test_other_data_of_the_same_classes(finished: Path, tmp_path: Path) -> None:
    result = evaluated(tmp_path / "e", f"run={finished}", "data.num_images=100")
    assert result["evaluated_images"]["val"] > read(finished)["evaluated_images"]["val"]


def test_a_file_of_weights_in_its_run_and_alone(finished: Path, tmp_path: Path) -> None:
    trained = read(finished)
    at_home = evaluated(tmp_path / "home", f"weights={finished}/model.safetensors")
    assert at_home["metrics"]["test/loss"] == trained["metrics"]["test/loss"]
    last = evaluated(tmp_path / "last", f"weights={finished}/checkpoint/last.safetensors")
    assert last["evaluated_images"] == trained["evaluated_images"]
    for name in ("model.safetensors", "model.json"):
        shutil.copy(finished / name, tmp_path)
    data = [text for text in TINY if text.startswith("data")]
    alone = evaluated(tmp_path / "alone", f"weights={tmp_path}/model.safetensors", *data)
    assert alone["metrics"]["test/loss"] == trained["metrics"]["test/loss"]


def test_the_same_command_twice_is_done_once(finished: Path, tmp_path: Path) -> None:
    evaluated(tmp_path / "e", f"run={finished}")
    written = (tmp_path / "e" / "result.json").stat().st_mtime_ns
    evaluated(tmp_path / "e", f"run={finished}")
    assert (tmp_path / "e" / "result.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "evaluate needs one of run=DIR"),
        (["run={finished}", "weights=x.safetensors"], "evaluate needs one of"),
        (["run={tmp}/nowhere"], "no such directory"),
        (["run={tmp}"], "not the directory of a finished run"),
        (["weights={tmp}/nowhere.safetensors"], "a .safetensors file that exists"),
        (["weights={tmp}/lone.safetensors"], "no model.json beside it"),
        (["run={finished}", "data.num_classes=5"], "the set has 5 classes, the model 4"),
        (["run={finished}", "evaluation/tta=filp"], "Did you mean flip?"),
        (["run={finished}", "hydra.run.dir={finished}"], "holds another result"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "lone.safetensors").touch()
    words = [word.format(finished=finished, tmp=tmp_path) for word in arguments]
    place = [] if any("hydra.run.dir" in word for word in words) else [f"hydra.run.dir={tmp_path}/e"]
    assert cli.run(["evaluate", *words, *place]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("INFO: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (tmp_path / "e").exists()


def test_an_unfinished_run_is_refused(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").write_text(json.dumps({**read(finished), "status": "interrupted"}))
    assert cli.run(["evaluate", f"run={tmp_path}"]) == 2
    assert "is interrupted, not finished" in capsys.readouterr().err


def test_help_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", "--help"]) == 0
    assert "run=outputs/a_run evaluation/resolution=search" in capsys.readouterr().out
