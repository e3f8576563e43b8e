"""Each file of a run, damaged in eight ways, and then each command that reads runs: the same, or the file is named.

`python -m tests.torture.damages` prints one row per command.
"""

import contextlib
import functools
import io
import json
import os
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from PIL import Image

from sota_exp.cli.main import run_command_line
from sota_exp.runs.digests import compute_digest
from tests.composing import compositions_share_their_work
from tests.conftest import reset_logging
from tests.damages import DAMAGES
from tests.experiments import TINY
from tests.torture.cases import Fault, Part, run_parts

#: The files of a finished run.
FILES = (
    *(f"checkpoint/{name}" for name in ("best.safetensors", "last.safetensors", "state.pt", "epochs")),
    *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "config.yaml", "start.json", "result.json"),
    *("metrics.jsonl", "model.json", "model.safetensors", "predictions.npz", "predictions.csv", "mistakes.npz"),
    *("mistakes.csv", "trained_on.npy", "digests.json", "run.log"),
)
#: Those of them that a report reads, and that of the study.
REPORTED = (
    "config.yaml",
    "start.json",
    "result.json",
    "metrics.jsonl",
    "predictions.npz",
    "digests.json",
    "study.json",
)

TRAIN = (
    "train",
    *TINY,
    "recipe=baseline",
    "regularization/average=ema",
    "regularization.average.every=1",
    "schedule.length.epochs=3",
)
ABLATE = (
    *("ablate", *TINY, "study=add_one_in", "study.only=[label_smoothing]", "recipe=baseline", "study.seeds=2"),
    "hydra.sweep.dir=study",
)
COMMANDS = {
    "train": (*TRAIN, "hydra.run.dir=run"),
    "explain": ("explain", *TRAIN[1:], "hydra.run.dir=run"),
    "evaluate": ("evaluate", "run=run", "hydra.run.dir=made"),
    "predict": ("predict", "run", "image.png", "--top=1"),
    "export": ("export", "run", "--format=safetensors", "--output=made"),
    "compare": ("compare", "run", "other"),
    "compare_folder": ("compare", "."),
    "diff": ("diff", "run", "other"),
    "rerun": ("rerun", "run", "hydra.run.dir=made"),
    "report": ("report", "study"),
}


#: Commands that train or measure: they get each third case, so every file and every damage.
SLOW, STEP = ("rerun", "explain"), 3


def list_cases(command: str) -> list[tuple[str, str]]:
    """(file, damage) for a command."""
    found = [(name, damage) for name in (REPORTED if command == "report" else FILES) for damage in DAMAGES]
    return found[:: STEP if command in SLOW else 1]


def call(command: str) -> tuple[int | str, str, str]:
    """Exit status or traceback, what was made, and what was said, of a command in the working directory."""
    out, err = io.StringIO(), io.StringIO()
    reset_logging()  # that of Hydra's last job in this process
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code: int | str = run_command_line(list(COMMANDS[command]))
    except BaseException as error:
        code = f"{type(error).__name__}: {error} {traceback.extract_tb(error.__traceback__)[-1]}"
    return code, describe_made(command, out.getvalue()), out.getvalue() + err.getvalue()


def describe_made(command: str, printed: str) -> str:
    """What must be the same whatever happened to a file: numbers and weights, or what was printed."""
    if command in ("train", "evaluate", "rerun"):
        place = Path("run" if command == "train" else "made")
        result = json.loads(read(place / "result.json") or "{}")
        weights = place / "model.safetensors"
        return f"{result.get('metrics')} {compute_digest(weights) if weights.is_file() else None}"
    if command == "explain":
        return str("finished" in printed)
    if command == "export":
        return ", ".join(compute_digest(path) for path in sorted(Path("made").glob("model.*")))
    return read(Path("study/report.md")) if command == "report" else printed


def read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


@functools.cache
def whole() -> tuple[Path, dict[str, tuple[int | str, str, str]]]:
    """A folder with two finished runs and a study, and what each command makes of them."""
    place = Path(os.environ["SOTA_EXP_CACHE"]).parent / "whole"
    place.mkdir()
    with contextlib.chdir(place), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        Image.radial_gradient("L").convert("RGB").resize((24, 24)).save("image.png")
        assert run_command_line([*TRAIN, "hydra.run.dir=run"]) == 0
        assert run_command_line([*TRAIN, "hydra.run.dir=other", "seed=1"]) == 0
        assert run_command_line(list(ABLATE)) == 0
    return place, {command: damaged(place, command, "", "")[:3] for command in COMMANDS}


def damaged(place: Path, command: str, name: str, damage: str) -> tuple[int | str, str, str]:
    """What a command makes of a copy of the folder whose file was damaged."""
    with tempfile.TemporaryDirectory() as copy, contextlib.chdir(copy):
        shutil.copy(place / "image.png", copy)
        for folder in ("study",) if command == "report" else ("run", "other"):
            shutil.copytree(place / folder, folder)
        if name:
            run = next(Path("study/runs").glob("*/0")) if command == "report" else Path("run")
            path = Path("study/study.json") if name == "study.json" else run / name
            DAMAGES[damage](path)
        return call(command)


def check(command: str, number: int) -> str:
    """One damage and one command: "same", "named" (exit status 0, and the file is named) or "one line" that names it.

    Raises:
        Fault: other numbers without a word, a traceback, or a failure that does not name the file.
    """
    place, references = whole()
    name, damage = list_cases(command)[number]
    code, made, said = damaged(place, command, name, damage)
    what = f"{command}, {name}, {damage}: {code}: {said[-300:]!r}"
    is_named = Path(name).name in said
    if isinstance(code, str) or "a fault of sota-exp" in said:
        raise Fault(f"TRACEBACK {what}")
    if code == 0 and made == references[command][1]:
        return "same"
    if code == 0:
        if not is_named:
            raise Fault(f"SILENT {what}")
        return "named"
    lines = [line for line in said.splitlines() if line.startswith("sota-exp: ")]
    if len(lines) != 1 or not is_named:
        raise Fault(f"NO LINE {what}")
    return "one line"


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """A cache and a place for the runs; charts, which take most of a report's time, are empty."""
    empty = '<svg width="1" height="1" viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg"></svg>'
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, format="png")
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        settings = {"OMP_NUM_THREADS": "1", "SOTA_EXP_CACHE": f"{place}/cache", "HYDRA_FULL_ERROR": "1"}
        stack.enter_context(mock.patch.dict(os.environ, settings))
        stack.enter_context(mock.patch("sota_exp.training.trainer.MIN_CHECKPOINT_SECONDS", 0.0))
        stack.enter_context(mock.patch("os.fsync"))
        stack.enter_context(mock.patch("vl_convert.vegalite_to_svg", return_value=empty))
        stack.enter_context(mock.patch("vl_convert.svg_to_png", return_value=file.getvalue()))
        stack.enter_context(compositions_share_their_work())
        yield


PARTS = {
    command: Part(functools.partial(check, command), f"`{command}` of a damaged run", len(list_cases(command)))
    for command in COMMANDS
}


def main(arguments: list[str] | None = None) -> int:
    """Run all cases, or some."""
    return run_parts("damages", PARTS, prepared, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
