"""The functions do what the shell does, and leave the process as it was."""

import logging
import os
import re
import signal
import sys
import threading
import types
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import sota_exp
from sota_exp import CONF
from sota_exp.cli.python.notebook import import_tqdm_quietly
from sota_exp.cli.train import main as train_in_shell
from sota_exp.report.changing_line import loading_pytorch
from tests.conftest import only_make_charts
from tests.experiments import TINY
from tests.options import ROOT

WORDS = ("scale=smoke", *TINY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("python")


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def run(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return sota_exp.train(*WORDS, quiet=True)


def test_a_run_is_that_of_the_shell(run, capsys):
    train_in_shell(list(WORDS))
    assert "This run was finished before" in capsys.readouterr().out
    assert [path.name for path in Path("outputs").iterdir()] == [run.name]


def test_frames_have_what_the_files_have(run):
    metrics = run.metrics
    assert list(metrics.index) == ["val", "test"]
    assert metrics.loc["test", "accuracy"] == run.result["metrics"]["test/accuracy"]
    assert metrics.accuracy_low["test"] <= metrics.accuracy["test"] <= metrics.accuracy_high["test"]
    assert list(run.epochs.index) == [1, 2]
    predictions = run.predictions
    assert list(predictions.groupby("part").size()) == [metrics.images["test"], metrics.images["val"]]
    tested = predictions[predictions.part == "test"]
    assert (tested.label == tested.prediction).mean() == pytest.approx(metrics.accuracy["test"])
    assert list(run.classes.index) == list(run.model.classes)
    assert sota_exp.load_run(run.name).directory.samefile(run.directory)
    assert "val accuracy" in repr(run)


def test_pictures_are_attributes(run):
    assert "learning_curves" in dir(run.figures)
    assert run.figures.learning_curves.path.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(AttributeError, match="no figure learning_curve in .*; there are: .*learning_curves"):
        run.figures.learning_curve  # noqa: B018


def test_a_notebook_shows_tables_and_pictures_and_no_foreign_markup(run, monkeypatch):
    shown = run._repr_html_()
    assert "<table>" in shown and "data:image/png;base64" in shown
    monkeypatch.setitem(run.values["data"], "name", "<script>")
    assert "<script>" not in run._repr_html_()


def test_the_process_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mine", "--flag"])
    torch.manual_seed(3)
    file = logging.FileHandler(tmp_path / "mine.log", mode="w")
    logging.root.addHandler(file)
    before = state_of_process()
    sota_exp.train(*WORDS, "seed=5", "runtime.threads=1", quiet=True)
    assert state_of_process() == before
    logging.getLogger("mine").warning("still written")
    assert (tmp_path / "mine.log").read_text() == "still written\n"


def state_of_process():
    log = logging.getLogger("sota_exp")
    return (
        list(sys.argv),
        os.getcwd(),
        dict(os.environ),
        (list(logging.root.handlers), logging.root.level, log.propagate, log.level, list(log.handlers)),
        signal.getsignal(signal.SIGINT),
        (torch.get_num_threads(), torch.get_rng_state().tolist()),
        GlobalHydra.instance().hydra,
    )


def test_warnings_go_to_the_handlers_of_the_process_and_to_the_log(caplog):
    found = sota_exp.train(*WORDS, "batch_size=512", quiet=True)
    assert [text for text in caplog.messages if "becomes" in text] == [
        "batch_size=512 becomes 32: the training set has 48 images"
    ]
    assert "[WARNING] batch_size=512 becomes 32" in (found.directory / "run.log").read_text()


def test_only_progress_is_printed(capsys):
    sota_exp.train(*WORDS, "seed=6")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(re.match(r"epoch +\d/2  loss .* (left|scoring …)$", line) for line in lines)
    sota_exp.train(*WORDS, "seed=7", quiet=True)
    assert capsys.readouterr() == ("", "")


class Output:
    """What IPython's `display` returns: a place below the cell whose content can be replaced."""

    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, data: dict[str, str], raw: bool) -> None:
        self.shown.append(data["text/plain"])


@pytest.fixture
def notebook(monkeypatch):
    """As Jupyter's kernel looks to a program: a shell of this name, and a function that shows objects; what was shown."""
    lines, changing = [], []

    def display(given, raw=False, display_id=False):
        if raw:
            changing.append(given["text/plain"])
        else:
            lines.append(given.text)
        return Output(changing)

    module = types.ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    return lines, changing


def test_a_notebook_shows_progress_as_it_comes(notebook, monkeypatch):
    monkeypatch.setattr("sota_exp.report.changing_line.SHOW_EVERY", 0.0)
    lines, changing = notebook
    sota_exp.train(*WORDS, "seed=9")
    assert len(lines) == 2 and all(re.match(r"epoch +\d/2  loss", text) for text in lines)
    assert changing[:2] == ["reading the images", ""] and changing[-1] == ""
    assert re.match(r".*training .*16/96 images .* left", changing[3])


def test_a_notebook_without_widgets_is_not_warned_of_bars(monkeypatch):
    kernel = types.ModuleType("IPython")
    kernel.get_ipython = lambda: None
    for name, module in (("IPython", kernel), ("ipykernel.zmqshell", kernel), ("ipywidgets", None)):
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("tqdm.auto", "tqdm.autonotebook", "tqdm.notebook"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        import_tqdm_quietly()
        import tqdm.auto  # noqa: F401
    assert told == []


def test_a_notebook_says_what_it_waits_for(notebook, monkeypatch):
    _, changing = notebook
    with loading_pytorch():
        pass
    assert changing == []
    monkeypatch.delitem(sys.modules, "torch")
    with loading_pytorch():
        pass
    assert changing == ["loading PyTorch", ""]


def test_it_works_in_a_thread_and_beside_the_callers_hydra():
    found = []
    with initialize_config_dir(str(CONF)):
        mine = GlobalHydra.instance().hydra
        thread = threading.Thread(target=lambda: found.append(sota_exp.train(*WORDS, "seed=8", quiet=True)))
        thread.start()
        thread.join()
        assert GlobalHydra.instance().hydra is mine
        assert compose("config", ["seed=4"]).seed == 4
    assert found[0].status == "finished"


def test_compose_is_what_train_trains(run):
    found = sota_exp.compose(*WORDS)
    assert found.choices == run.choices
    assert found.values["optimizer"] == run.values["optimizer"] and found.experiment.seed == 0
    assert repr(found).startswith("<Configuration ") and " data=fake" in repr(found) and len(repr(found)) < 1000
    assert "=none" not in repr(found) and max(map(len, repr(found).splitlines())) <= 120


WRONG = {
    "an option": (
        ("augmentation/mix=cutmixx",),
        "augmentation/mix=cutmixx: no such option; legal: .* Did you mean cutmix",
    ),
    "a key": (("seedd=3",), "seedd: no such key; legal: seed"),
    "a value": (("batch_size=-1",), "batch_size=-1 is not legal"),
    "several": (("seed=0,1",), "seed=0,1"),
    "a flag": (("-m", "seed=0,1"), "-m: a flag of the shell: sota-exp train -m"),
    "no text": ((3,), "3: an override is a text, such as 'seed=1'"),
    "no object": (("model/arch=python",), "model.arch.digest= is not legal: that of an object which Python hands in"),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("function", [sota_exp.compose, sota_exp.train])
def test_mistakes_are_errors_of_one_line(function, words, message):
    with pytest.raises(sota_exp.ConfigError, match=message) as caught:
        function(*words)
    assert "\n" not in str(caught.value)


def test_an_interrupt_is_one_of_python(monkeypatch):
    def stop(*_):
        raise sota_exp.Interrupted(signal.SIGINT)

    monkeypatch.setattr("sota_exp.cli.python.commands.run_job", stop)
    with pytest.raises(KeyboardInterrupt, match="repeat the command"):
        sota_exp.train(*WORDS)


def test_folds_are_runs_with_frames_together():
    found = sota_exp.train(*WORDS, "data/split=cross_validation", "data.split.folds=3", quiet=True)
    assert isinstance(found, sota_exp.CrossValidation) and len(found.folds) == 3
    assert found.tested["images"] == sum(each.metrics.images["test"] for each in found.folds) == 60
    assert found.metrics.accuracy["test"] == pytest.approx(
        np.mean([each.metrics.accuracy["test"] for each in found.folds])
    )
    assert sorted(found.predictions.fold.unique()) == sorted(found.epochs.fold.unique()) == [0, 1, 2]
    assert "<table>" in found._repr_html_()
    assert isinstance(sota_exp.load_run(found.directory), sota_exp.CrossValidation)


def test_evaluate_scores_again(run):
    found = sota_exp.evaluate(run, "evaluation/tta=flip", quiet=True)
    assert found.saved.is_evaluation and found.choices["evaluation/tta"] == "flip"
    by_file = sota_exp.evaluate(run.directory / "model.safetensors", "data=fake", *TINY[1:6], quiet=True)
    assert by_file.metrics.accuracy["test"] == run.metrics.accuracy["test"]
    with pytest.raises(sota_exp.ConfigError, match="optimizer.lr=1: evaluate trains nothing"):
        sota_exp.evaluate(run, "optimizer.lr=1")


@pytest.mark.slow
def test_a_study_and_a_sweep_are_read_back(page):
    study = page["study"]
    assert len(study.effects) == len(study.result.compared) and set(study.effects.verdict) == {"too few seeds"}
    assert len(study.runs) == 2 * len(study.arms)
    first = study.runs.iloc[0]
    assert study.run(first.arm, first.seed).metrics.accuracy["test"] == first.value
    assert "<table>" in study._repr_html_() and study.answer and study.page.is_file()
    assert sota_exp.load_study(study.directory.name).effects.equals(study.effects)
    search = page["search"]
    assert len(search.trials) == 2 and search.best["number"] in search.trials.index
    assert "<table>" in search._repr_html_() and len(search.confirmation) == 0
    assert sota_exp.load_sweep(search.directory).best == search.best


@pytest.fixture(scope="module")
def page(folder):
    """The names that docs/python.md leaves, from its first to its last block, with tiny runs."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    names = {"blocks": blocks}
    for block in blocks:
        tiny = block.replace('["scale=smoke"]', repr(list(WORDS))).replace(
            '"scale=smoke",', '"scale=smoke", "tracking=none",'
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            only_make_charts(patch)
            exec(compile(tiny, "docs/python.md", "exec"), names)
    return names


@pytest.mark.slow
def test_the_page_runs(page):
    assert isinstance(page["run"].metrics, pd.DataFrame)
    named = set(re.findall(r"sota_exp\.(\w+)\(", "".join(page["blocks"]))) | {"load_study", "load_sweep"}
    assert named >= {name for name in sota_exp.__all__ if name.islower()} - {"compose"}
    assert Path("photo.png").is_file()
    for frame, index, columns in re.findall(
        r"^\| `(\S+)` \| (\S*) ?\| (.*) \|$", (ROOT / "docs/python.md").read_text(), re.M
    ):
        found, told = eval(frame, page), re.findall(r"`([\w/]+)`", columns)
        assert f"`{found.index.name}`" == index or found.index.name is None
        assert set(told) - {"top5_accuracy"} <= set(found.columns) and (
            set(found.columns) <= set(told) or "…" in columns
        )
