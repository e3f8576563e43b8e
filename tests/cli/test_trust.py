"""One's own runs need no `--trust`, wherever they are moved; those of another user do, for what the command leaves to them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sota_exp.cli import main
from tests.experiments import TINY

COMMANDS = {"evaluate": "run=moved", "rerun": "moved"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of images, in `moved`, after it was trained in `outputs/one`."""
    place = tmp_path_factory.mktemp("trust")
    for name in ("a", "b"):
        (place / "photos" / name).mkdir(parents=True)
        for index in range(20):
            pixels = np.random.default_rng(index).integers(256, size=(20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "photos" / name / f"{index}.png")
    words = [word for word in TINY if not word.startswith(("data=", "data.num", "data.m", "runtime"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        data = ["data=image_folder", "data.root=photos", "hydra.run.dir=outputs/one"]
        assert main.run_command_line(["train", *words, "recipe=baseline", *data]) == 0
    (place / "outputs/one").rename(place / "moved")
    return place


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "user, words, status",
    [
        ("the same", [], 0),
        ("another", [], 2),
        ("another", ["data.root=photos"], 0),
        ("another", ["--trust"], 0),
    ],
)
def test_what_another_users_run_names_needs_trust(
    command: str,
    user: str,
    words: list[str],
    status: int,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(finished)
    if user == "another":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    arguments = [command, COMMANDS[command], *words, f"hydra.run.dir={tmp_path}/out"]
    assert main.run_command_line(arguments) == status
    errors = capsys.readouterr().err
    if status:
        assert f"data.root={finished}/photos" in errors and "--trust" in errors and errors.count("\n") == 1
        assert not (tmp_path / "out").exists()
