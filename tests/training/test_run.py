"""A run's directory: complete, resumed bitwise after any interruption, never trained twice, never mixed with others."""

import itertools
import json
import os
import re
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sota_exp.errors import STOP_SIGNALS, ConfigError, Interrupted, RunFailed, error_to_failure
from sota_exp.models import saved
from sota_exp.models.cost import count_flops
from sota_exp.runs.contents import is_being_trained
from sota_exp.runs.digests import find_damaged, read_json_lines
from sota_exp.runs.files import RunFiles
from sota_exp.training import finish, trainer
from sota_exp.training import run as running
from sota_exp.training.finish import require_equal_accuracy
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.loop import start_training
from sota_exp.training.run import run
from tests.experiments import OFF, TINY, composed, session_of

#: The keys of `result.json`.
KEYS = {
    "status", "reason", "fingerprint", "training_fingerprint", "seed", "choices", "metrics", "evaluated_images",
    "image_digests", "steps", "images_seen", "distinct_images", "resumed", "seconds", "images_per_second", "peak_memory_bytes", "parameters",
    "flops_per_image", "train_flops_per_image", "device", "versions", "commit",
}  # fmt: skip


class Silent(Listener):
    """Records its calls; `at_step` is called with the number of every step."""

    def __init__(self, at_step=lambda step: None):
        self.at_step, self.steps, self.epochs, self.results, self.first_step = at_step, [], [], [], None

    def on_start(self, request, session, state):
        self.first_step = state.step

    def on_step(self, record):
        self.steps.append(record.step)
        self.at_step(record.step)

    def on_epoch_end(self, epoch):
        self.epochs.append(epoch)

    def on_end(self, result):
        self.results.append(result)


class Killed(BaseException):
    """Simulates SIGKILL: nothing catches it, nothing is written after it."""


def request(directory, *overrides):
    found = composed(*TINY, *OFF, *overrides)
    return RunRequest(configuration=found, directory=directory)


def signalled_at(moment, number):
    return lambda step: os.kill(os.getpid(), number) if step == moment else None


def killed_at(moment):
    def kill(step):
        if step == moment:
            raise Killed

    return kill


def weights(directory):
    return {name: load_file(directory / "checkpoint" / f"{name}.safetensors") for name in ("best", "last")}


def assert_same_run(directory, reference):
    for name, tensors in weights(directory).items():
        for key, value in weights(reference)[name].items():
            assert torch.equal(tensors[key], value), (name, key)
    volatile = {"seconds", "validate_seconds", "images_per_second"}
    ours, theirs = (
        [{k: v for k, v in epoch.items() if k not in volatile} for epoch in read_json_lines(place / "metrics.jsonl")]
        for place in (directory, reference)
    )
    assert ours == theirs
    assert RunFiles(directory=directory).result()["metrics"] == RunFiles(directory=reference).result()["metrics"]


EMA = ("regularization/average=ema", "regularization.average.every=1", "schedule.length.epochs=3")


#: No epoch is better than the first.
STALLED = (
    "schedule/early_stopping=patience",
    "schedule.early_stopping.patience=1",
    "schedule.length.epochs=6",
    "optimizer.lr=1e-9",
    "regularization/norm=none",
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """An uninterrupted run of three epochs of three steps, with an average."""
    directory = tmp_path_factory.mktemp("reference")
    run(request(directory, *EMA), Silent())
    return directory


def test_a_finished_run_has_every_file_and_every_key(reference):
    names = {str(path.relative_to(reference)) for path in reference.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml", "start.json", "metrics.jsonl", "result.json", "predictions.npz", "mistakes.npz", "model.safetensors",
            "model.json",
        "checkpoint/state.pt", "checkpoint/best.safetensors", "checkpoint/last.safetensors",
    }  # fmt: skip
    assert "checkpoint/former.pt" not in names and find_damaged(reference) == []  # several times the weights
    result = json.loads((reference / "result.json").read_text())
    assert set(result) >= KEYS
    assert (result["status"], result["steps"], result["images_seen"], result["resumed"]) == ("finished", 9, 144, 0)
    assert result["distinct_images"] == 48
    assert result["evaluated_images"] == {"val": 6, "test": 6}
    assert result["choices"]["augmentation/mix"] == "none"
    for split in ("val", "test"):
        for name in ("accuracy", "loss", "ece"):
            assert result["metrics"][f"{split}/{name}"] >= 0
    assert result["parameters"] > 1000 and result["flops_per_image"] > 1000
    network = start_training(session_of(composed(*TINY, *OFF).experiment)[0]).model
    assert result["train_flops_per_image"] == result["flops_per_image"] == count_flops(network, 16)


def test_a_training_on_smaller_images_has_fewer_operations(tmp_path):
    sizes = ("augmentation/train_size=fixres", "augmentation/crop=random_resized")
    result = run(request(tmp_path / "run", *sizes), Silent())
    assert 0 < result["train_flops_per_image"] < result["flops_per_image"]


def test_an_epoch_s_line_says_where_it_is_and_how_it_went(reference):
    lines = [json.loads(line) for line in (reference / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 3), (2, 6), (3, 9)]
    assert [line["progress"] for line in lines] == pytest.approx([1 / 3, 2 / 3, 1])
    assert {"seconds", "train/loss", "train/lr", "val/accuracy", "val_raw/accuracy"} <= set(lines[0])


def test_predictions_are_those_of_the_numbers(reference):
    result, found = RunFiles(directory=reference).result(), np.load(reference / "predictions.npz")
    for split in ("val", "test"):
        labels, correct = found[f"{split}_labels"], np.unpackbits(found[f"{split}_correct"])[:6]
        assert found[f"{split}_logits"].dtype == np.float32
        assert correct.mean() == pytest.approx(result["metrics"][f"{split}/accuracy"])
        assert ((found[f"{split}_logits"].argmax(1) == labels) == correct.astype(bool)).all()


def test_a_finished_run_is_not_done_again(reference):
    before = {path: path.stat().st_mtime_ns for path in reference.rglob("*")}
    listener = Silent()
    result = run(request(reference, *EMA), listener)
    assert listener.first_step is None and listener.steps == []
    assert result == RunFiles(directory=reference).result()
    assert {path: path.stat().st_mtime_ns for path in reference.rglob("*")} == before


@pytest.fixture
def no_nohup():
    """SIGHUP is not ignored, even where the tests run under `nohup`."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, former)


MOMENTS = (1, 3, 4, 6, 8)

#: Each moment with another signal; each with each in `make torture`.
FEW = set(zip(MOMENTS, STOP_SIGNALS, strict=True))


@pytest.mark.usefixtures("no_nohup")
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param(*each, marks=[] if each in FEW else pytest.mark.torture)
        for each in itertools.product(MOMENTS, STOP_SIGNALS)
    ],
)
def test_a_signal_at_any_step_leaves_a_checkpoint_and_the_repeated_run_ends_alike(tmp_path, reference, moment, number):
    """Even at the last step of an epoch, before its validation."""
    handlers = [signal.getsignal(each) for each in STOP_SIGNALS]
    with pytest.raises(Interrupted) as caught:
        run(request(tmp_path, *EMA), Silent(signalled_at(moment, number)))
    assert caught.value.signal_number == number
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == handlers
    assert RunFiles(directory=tmp_path).result()["status"] == "interrupted"
    listener = Silent()
    result = run(request(tmp_path, *EMA), listener)
    assert listener.first_step == moment
    assert listener.steps == list(range(moment + 1, 10))
    assert (result["resumed"], result["status"]) == (1, "finished")
    assert_same_run(tmp_path, reference)


def test_a_signal_in_the_last_validation_ends_the_command_and_the_repeated_run_ends_alike(tmp_path, reference):
    """It was lost: a study trained all its further runs."""

    class InLastEpoch(Silent):
        def on_epoch_end(self, record):
            super().on_epoch_end(record)
            if record["epoch"] == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        run(request(tmp_path, *EMA), InLastEpoch())
    assert caught.value.signal_number == signal.SIGTERM
    listener = Silent()
    result = run(request(tmp_path, *EMA), listener)
    assert (listener.steps, result["resumed"], result["status"]) == ([], 1, "finished")
    assert_same_run(tmp_path, reference)


def test_under_nohup_the_end_of_the_session_is_ignored_and_training_goes_on(tmp_path, reference, no_nohup):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    result = run(request(tmp_path, *EMA), Silent(signalled_at(2, signal.SIGHUP)))
    assert (result["status"], result["resumed"]) == ("finished", 0)
    with pytest.raises(Interrupted):
        run(request(tmp_path / "other", *EMA), Silent(signalled_at(2, signal.SIGUSR1)))


def test_in_a_long_epoch_the_clock_asks_for_checkpoints_and_a_kill_loses_no_more_than_since_the_last(
    tmp_path, reference, monkeypatch
):
    """The last step of an epoch has none: its validation would be left out."""
    with pytest.raises(Killed):
        run(request(tmp_path, *EMA, "runtime.checkpoint_minutes=1e-9"), Silent(killed_at(6)))
    listener = Silent()
    assert run(request(tmp_path, *EMA), listener)["resumed"] == 1
    assert listener.first_step in (4, 5)
    assert_same_run(tmp_path, reference)
    written = []
    monkeypatch.setattr(trainer.RunTrainer, "save", lambda training: written.append(training.state.step))
    run(request(tmp_path / "default", *EMA), Silent())
    assert written == [9]


def test_killed_at_three_moments_it_ends_alike(tmp_path, reference, monkeypatch):
    monkeypatch.setattr(trainer, "MIN_CHECKPOINT_SECONDS", 0.0)
    for moment in (2, 4, 8):
        with pytest.raises(Killed):
            run(request(tmp_path, *EMA), Silent(killed_at(moment)))
    listener = Silent()
    result = run(request(tmp_path, *EMA), listener)
    assert listener.steps == [7, 8, 9]
    assert result["resumed"] == 2
    assert_same_run(tmp_path, reference)


def test_killed_after_training_only_the_scoring_is_done_again(tmp_path, reference, monkeypatch):
    def no_time(*_):
        raise Killed

    monkeypatch.setattr(running, "write_and_score", no_time)
    with pytest.raises(Killed):
        run(request(tmp_path, *EMA), Silent())
    monkeypatch.undo()
    listener = Silent()
    run(request(tmp_path, *EMA), listener)
    assert listener.steps == []
    assert_same_run(tmp_path, reference)


def test_another_evaluation_shares_the_training(tmp_path):
    first = run(request(tmp_path), Silent())
    listener = Silent()
    second = run(request(tmp_path, "evaluation/tta=flip"), listener)
    assert listener.steps == []
    assert second["training_fingerprint"] == first["training_fingerprint"]
    assert second["fingerprint"] != first["fingerprint"]
    assert second["metrics"]["val/loss"] != first["metrics"]["val/loss"]


def test_which_epoch_is_best_does_not_depend_on_how_many_views_are_scored_at_the_end(tmp_path):
    plain, views = Silent(), Silent()
    first = run(request(tmp_path / "plain"), plain)
    second = run(request(tmp_path / "views", "evaluation/tta=multi_crop"), views)
    measured = ("seconds", "validate_seconds", "images_per_second")
    kept = [[{k: v for k, v in epoch.items() if k not in measured} for epoch in one.epochs] for one in (plain, views)]
    assert kept[0] == kept[1] and first["metrics"]["best/epoch"] == second["metrics"]["best/epoch"]
    assert first["metrics"]["val/loss"] != second["metrics"]["val/loss"]


def test_a_directory_that_holds_another_run_is_refused_saying_in_what(tmp_path):
    run(request(tmp_path), Silent())
    with pytest.raises(ConfigError, match=r"hydra.run.dir=.* holds another run, which differs in seed: 0 → 5"):
        run(request(tmp_path, "seed=5"), Silent())


def test_where_it_runs_is_no_other_run(tmp_path):
    first = run(request(tmp_path), Silent())
    assert run(request(tmp_path, "runtime.threads=1", "runtime.workers=1"), Silent()) == first


def test_divergence_is_a_failure_in_one_line(tmp_path):
    listener = Silent()
    with pytest.raises(RunFailed, match=r"^diverged: train/loss is nan in epoch 1; try a lower optimizer.lr$"):
        run(request(tmp_path, "optimizer.lr=1e30"), listener)
    result = RunFiles(directory=tmp_path).result()
    assert (result["status"], result["reason"][:8]) == ("failed", "diverged")
    assert listener.results == [result]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("batch_size=48", "optimizer.lr=1e8"), "diverged: val/loss is nan in epoch 1; try a lower optimizer.lr"),
        (
            (
                "evaluation/fine_tune=classifier_and_norm",
                "evaluation.fine_tune.batch_size=8",
                "evaluation.fine_tune.lr=1e38",
            ),
            "diverged: val/loss is nan with the final weights; try a lower evaluation.fine_tune.lr or optimizer.lr",
        ),
    ],
)
def test_divergence_in_the_last_step_is_the_same_failure(words, reason, tmp_path):
    """The loss of training was measured before that step, so only the scores show it; a study trains it once."""
    with pytest.raises(RunFailed, match=f"^{re.escape(reason)}$"):
        run(request(tmp_path, *words, "schedule.length.epochs=1"), Silent())
    result = RunFiles(directory=tmp_path).result()
    assert (result["status"], result["reason"]) == ("failed", reason)


def test_a_run_is_being_trained_from_its_first_file_to_its_result(tmp_path, monkeypatch):
    """Also when it is taken up again beside the result of the interruption; config.yaml, which makes it a run, is last."""
    seen, written = [], []
    original = RunFiles.write_config
    monkeypatch.setattr(
        RunFiles,
        "write_config",
        lambda files, tree: written.append((files.directory / "start.json").exists()) or original(files, tree),
    )

    def look(step):
        seen.append(is_being_trained(tmp_path))
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        run(request(tmp_path), Silent(look))
    assert not is_being_trained(tmp_path)
    run(request(tmp_path), Silent(look))
    assert not is_being_trained(tmp_path)
    assert len(seen) > 3 and all(seen) and written == [True, True]


def test_early_stopping_ends_with_its_reason_and_stays_ended(tmp_path):
    result = run(request(tmp_path, *STALLED), Silent())
    assert result["status"] == "stopped_early"
    assert result["reason"].startswith("no better validation accuracy since epoch 1 of 6")
    assert result["steps"] == 6
    listener = Silent()
    assert run(request(tmp_path, *STALLED), listener) == result
    assert listener.first_step is None


def test_a_stopped_run_that_was_killed_before_its_result_does_not_train_on(tmp_path, monkeypatch):
    def no_time(*_):
        raise Killed

    monkeypatch.setattr(running, "write_and_score", no_time)
    with pytest.raises(Killed):
        run(request(tmp_path, *STALLED), Silent())
    monkeypatch.undo()
    listener = Silent()
    result = run(request(tmp_path, *STALLED), listener)
    assert listener.steps == []
    assert (result["status"], result["steps"]) == ("stopped_early", 6)


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_weights_that_ship_are_the_chosen_ones(tmp_path, select):
    run(request(tmp_path, f"evaluation.select={select}", "schedule.length.epochs=4", "optimizer.lr=0.3"), Silent())
    shipped, kept = load_file(tmp_path / "model.safetensors"), weights(tmp_path)[select]
    assert all(torch.equal(value, kept[name]) for name, value in shipped.items())


def test_a_saved_model_that_scores_otherwise_fails_the_run(tmp_path, monkeypatch):
    def damaged(description, path):
        model = original(description, path)
        model.network.fc.weight.data.neg_()
        return model

    original = saved.load_saved_model
    monkeypatch.setattr(saved, "load_saved_model", damaged)
    monkeypatch.setattr(
        finish, "require_equal_accuracy", lambda trained, rescored, num: require_equal_accuracy(1.0, 0.0, 6)
    )
    with pytest.raises(RunFailed, match="the saved model scores 0.00 % on val, the trained one scored 100.00 %"):
        run(request(tmp_path), Silent())


@pytest.mark.parametrize(
    ("difference", "num", "fails"), [(1, 100, False), (2, 100, True), (4, 5000, False), (6, 5000, True)]
)
def test_one_image_in_a_thousand_may_change_sides(difference, num, fails):
    if fails:
        with pytest.raises(RunFailed):
            require_equal_accuracy(0.5, 0.5 - difference / num, num)
    else:
        require_equal_accuracy(0.5, 0.5 - difference / num, num)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "out of memory: CUDA out of memory.; try a smaller batch_size"),
        (MemoryError(), "out of memory: MemoryError; try a smaller batch_size"),
        (OSError(28, "No space left on device"), r"disk full: \[Errno 28\] No space left"),
        (OSError(5, "Input/output error"), r"cannot read or write: \[Errno 5\]"),
        (RunFailed("diverged"), "diverged"),
        (
            RuntimeError("[/gloo/gloo/transport/tcp/pair.cc:545] Read error [::1]:3: Connection reset by peer"),
            "another process of this run ended or can't be reached: what it printed last says why; the same command",
        ),
        (
            RuntimeError("NCCL error: remote process exited or there was a network error"),
            "another process of this run ended",
        ),
        (
            RuntimeError("Deterministic behavior was enabled …: CUBLAS_WORKSPACE_CONFIG=:4096:8 or …"),
            "runtime.deterministic=true: cuBLAS was used, or set to something else, before sota_exp was imported; set ",
        ),
        (
            torch._inductor.exc.InductorError(OSError("/tmp/torchinductor/cx/main.so: file too short"), None),
            r"runtime.compile=true: .*main.so: file too short; an earlier compilation was cut off: remove that file",
        ),
        (
            torch._inductor.exc.InductorError(RuntimeError("no compiler"), None),
            r"runtime.compile=true: .*no compiler; try runtime.compile=false",
        ),
        (
            ValueError("Expected more than 1 value per channel when training, got input size [1, 512, 1, 1]"),
            "a batch of one image leaves batch norm a single value per channel; try a larger batch_size",
        ),
    ],
)
def test_what_goes_wrong_is_one_line(error, line):
    failure = error_to_failure(error)
    assert isinstance(failure, RunFailed)
    with pytest.raises(RunFailed, match=line):
        raise failure


def test_what_nobody_foresaw_stays_what_it_is():
    assert error_to_failure(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_a_full_disk_fails_the_run_and_the_repeated_one_ends_alike(tmp_path, reference, monkeypatch):
    def full(self, state, num_epochs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunFiles, "write_checkpoint", full)
    with pytest.raises(RunFailed, match="disk full"):
        run(request(tmp_path, *EMA), Silent())
    monkeypatch.undo()
    run(request(tmp_path, *EMA), Silent())
    assert_same_run(tmp_path, reference)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("runtime.device=cuda",), "runtime.device=cuda is not on this machine"),
    ],
)
def test_what_the_data_and_the_machine_refuse_names_its_key(tmp_path, monkeypatch, overrides, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=message):
        run(request(tmp_path, *overrides), Silent())


@pytest.mark.parametrize(("asked", "trained"), [(48, 48), (49, 32), (5000, 32)])
def test_a_batch_is_made_smaller_where_the_training_set_does_not_fill_it(tmp_path, caplog, asked, trained):
    result = run(request(tmp_path / "r", f"batch_size={asked}"), Silent())
    assert result["images_seen"] == result["steps"] * trained
    assert RunFiles(directory=tmp_path / "r").config()["batch_size"] == trained
    said = f"batch_size={asked} becomes {trained}: the training set has 48 images"
    assert caplog.text.count(said) == (asked != trained)
    assert run(request(tmp_path / "same", f"batch_size={trained}"), Silent())["fingerprint"] == result["fingerprint"]
    assert run(request(tmp_path / "r", f"batch_size={asked}"), Silent()) == result  # costs nothing


def test_repeated_augmentation_reports_how_few_images_were_distinct(tmp_path):
    result = run(request(tmp_path, "augmentation/repeat=repeated", "schedule.length.epochs=1"), Silent())
    assert (result["images_seen"], result["distinct_images"]) == (48, 12)


def test_early_stopping_and_the_best_epoch_watch_the_weights_that_ship(tmp_path):
    """Not the trained weights, whose accuracies move in the opposite direction here."""
    made = composed(*TINY, *STALLED, "regularization/average=ema").experiment
    session, _ = session_of(made)
    watched = trainer.RunTrainer(
        session=session,
        state=start_training(session),
        files=RunFiles(directory=tmp_path),
        training_fingerprint="",
    )
    rising, falling = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    for shipped, raw, best, stops in ((rising, falling, 3, False), (falling, rising, 1, True)):
        pairs = zip(shipped, raw, strict=True)
        watched.epochs = [{"val/accuracy": one, "val_raw/accuracy": other} for one, other in pairs]
        assert watched.best_epoch == best and (watched.stopping_reason is not None) == stops
