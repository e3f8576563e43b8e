"""A command with several runs says once on the terminal what is wrong with their data; the log of each run has it."""

import io
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sota_exp.cli import main
from sota_exp.config import console_log
from sota_exp.config.console_log import (
    SHOWN_VARIABLE,
    OncePerCommand,
    TerminalHandler,
    forget_shown_messages,
    share_shown_messages,
)
from tests.experiments import TINY

FLAGS = [word for word in TINY if not word.startswith("data")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Training and Testing of two classes with an image in no class folder, and a training image among those of test."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for index in range(20):
            place = tmp_path / "photos" / ("Training" if index < 16 else "Testing") / name / f"{index:02}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(place)
    Image.open(tmp_path / "photos/Training/cat/00.png").save(tmp_path / "photos/Testing/stray.png")
    (tmp_path / "photos/Testing/cat/copy.png").write_bytes((tmp_path / "photos/Training/dog/01.png").read_bytes())
    return tmp_path / "photos"


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize(
    "command",
    [
        ["train", "-m", "seed=0,1"],
        ["explain", "--no-measure", "-m", "seed=0,1"],
        ["ablate", "study=add_one_in", "study.only=[mixup]", "study.seeds=2", "recipe=torchvision"],
        pytest.param(
            ["ablate", "study=add_one_in", "study.only=[mixup]", "study.seeds=2", "recipe=torchvision", "--plan"],
            marks=pytest.mark.torture,
        ),
    ],
    ids=lambda words: " ".join(words[:2]) + " --plan" * ("--plan" in words),
)
def test_a_command_says_it_once(folder: Path, capfd: pytest.CaptureFixture[str], command: list[str]) -> None:
    data = ["data=image_folder", f"data.root={folder}", "data.image_size=16", f"data.cache={folder.parent / 'cache'}"]
    for _ in range(2):
        assert main.run_command_line([*command, *FLAGS, *data, "batch_size=64", "hydra.sweep.dir=out"]) == 0
        lines = capfd.readouterr().err.splitlines()
        told = [line for line in lines if "stray.png" in line or "copy.png" in line or "batch_size=64" in line]
        assert len(told) == 3 and all(line.startswith("WARNING: ") for line in told) and "[HYDRA]" not in "".join(told)
        if not {"explain", "--plan"} & set(command):
            break  # a finished run is not trained again
    if command[0] == "train":
        for number in (0, 1):
            log = (folder.parent / "out" / str(number) / "run.log").read_text()
            assert log.count("is left out: stray.png") == 1 and log.count("such as Testing/cat/copy.png") == 1


def test_what_a_process_of_a_command_has_said_no_other_one_says() -> None:
    """Each worker of joblib told the same near-duplicates, and one that was started anew told them again."""

    def shows(words: str) -> bool:
        return OncePerCommand().filter(logging.makeLogRecord({"name": "sota_exp.data.x", "msg": words}))

    forget_shown_messages()
    assert shows("before the workers")
    share_shown_messages()
    folder = Path(os.environ[SHOWN_VARIABLE])
    assert shows("near-duplicates: none")
    console_log._shown.clear()  # as in another process
    assert [shows(words) for words in ("before the workers", "near-duplicates: none", "new", "new")] == [
        False, False, True, False,
    ]  # fmt: skip
    forget_shown_messages()
    assert shows("near-duplicates: none") and SHOWN_VARIABLE not in os.environ and not folder.exists()


def test_a_line_of_the_log_is_above_the_bar_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As rich does, which shows a bar: what is written to `sys.stderr` in the meantime goes above it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, above, log_file = Terminal(), Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", above)
    for stream in (terminal, log_file):
        TerminalHandler(stream).emit(logging.makeLogRecord({"msg": "read 8 images"}))
    assert (terminal.getvalue(), above.getvalue(), log_file.getvalue()) == ("", *["read 8 images\n"] * 2)
