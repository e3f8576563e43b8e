"""A run whose files were damaged resumes to the same bits, or says which file is damaged; never to other numbers."""

import json
import shutil

import pytest

from sota_exp.errors import RunFailed
from sota_exp.runs.digests import read_json_lines
from sota_exp.training import trainer
from sota_exp.training.run import run
from tests.damages import DAMAGES
from tests.training.test_run import EMA, Killed, Silent, assert_same_run, killed_at, reference, request

__all__ = ["reference"]

#: The files of a run that was killed in its third epoch.
FILES = (
    "checkpoint/state.pt",
    "checkpoint/former.pt",
    "checkpoint/epochs",
    "metrics.jsonl",
    "config.yaml",
    "start.json",
    "trained_on.npy",
    "digests.json",
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run of which two epochs and their two checkpoints are there."""
    directory = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "MIN_CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(Killed):
            run(request(directory, *EMA), Silent(killed_at(8)))
    assert {name for name in FILES if (directory / name).is_file()} == set(FILES)
    return directory


def refuse_or_run(place):
    """The line of a run that does not start; "" for one that ends."""
    try:
        run(request(place, *EMA), Silent())
    except RunFailed as error:
        return str(error)
    return ""


@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.torture)])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_changes_no_number(tmp_path, killed, reference, name, share, caplog):
    """Here a quarter of the damages for one file, another for the next; all of them for each in `make torture`."""
    for number, damage in enumerate(list(DAMAGES)[FILES.index(name) % share :: share]):
        place = tmp_path / str(number)
        shutil.copytree(killed, place)
        DAMAGES[damage](place / name)
        caplog.clear()
        refusal = refuse_or_run(place)
        if refusal:
            assert name.rpartition("/")[2] in refusal, damage
            assert name == "digests.json" or damage == "a folder", f"{damage}: {refusal}"
            continue
        assert_same_run(place, reference)
        if name == "checkpoint/state.pt" and damage != "deleted":
            assert "state.pt is damaged" in caplog.text, damage


def test_the_damaged_newest_checkpoint_is_trained_again_from_the_former(tmp_path, killed, reference):
    shutil.copytree(killed, tmp_path / "run")
    DAMAGES["a flipped bit"](tmp_path / "run" / "checkpoint" / "state.pt")
    listener = Silent()
    run(request(tmp_path / "run", *EMA), listener)
    assert listener.steps == list(range(4, 10))
    assert_same_run(tmp_path / "run", reference)


def test_without_a_sound_checkpoint_the_run_says_what_to_do(tmp_path, killed, reference):
    place = tmp_path / "run"
    shutil.copytree(killed, place)
    for name in ("state.pt", "former.pt"):
        DAMAGES["half"](place / "checkpoint" / name)
    with pytest.raises(RunFailed, match=r"every checkpoint in .*checkpoint is damaged; remove this folder to train"):
        run(request(place, *EMA), Silent())
    shutil.rmtree(place / "checkpoint")
    run(request(place, *EMA), Silent())
    assert_same_run(place, reference)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_finished_run_with_a_damaged_result_is_scored_again_without_training(tmp_path, reference, damage):
    place = tmp_path / "run"
    shutil.copytree(reference, place)
    DAMAGES[damage](place / "result.json")
    listener = Silent()
    if damage == "a folder":
        with pytest.raises(RunFailed, match=r"result.json"):
            run(request(place, *EMA), listener)
        return
    assert run(request(place, *EMA), listener)["resumed"] == 1
    assert listener.steps == []
    assert_same_run(place, reference)


def test_lines_that_the_checkpoint_does_not_know_are_dropped(tmp_path, killed, reference):
    place = tmp_path / "run"
    shutil.copytree(killed, place)
    with (place / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"epoch": 9, "step": 27, "val/accuracy": 1.0}) + "\n")
    run(request(place, *EMA), Silent())
    assert [line["epoch"] for line in read_json_lines(place / "metrics.jsonl")] == [1, 2, 3]
    assert_same_run(place, reference)


def test_a_directory_that_is_deleted_while_it_is_trained_in_is_gone(tmp_path):
    place = tmp_path / "run"

    def delete(step):
        if step == 2:
            shutil.rmtree(place)

    listener = Silent(delete)
    with pytest.raises(RunFailed, match=r"the run's directory .*run is gone"):
        run(request(place, *EMA), listener)
    assert not place.exists()
