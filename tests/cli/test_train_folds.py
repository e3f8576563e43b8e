"""`sota-exp train data/split=cross_validation`: one command trains all folds, and goes on where it was ended."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sota_exp.cli.main import run_command_line
from sota_exp.models.saved import load_saved_model
from sota_exp.models.standalone import StandaloneModel
from sota_exp.report.folds import read_folds
from sota_exp.report.run.facts import list_techniques
from sota_exp.runs.files import RunFiles
from sota_exp.statistics.groups import count_independent
from sota_exp.statistics.proportion import wilson_interval
from sota_exp.training import run as run_module
from tests.data.split.splitting import write_table
from tests.experiments import TINY

FOLDS = [*TINY, "schedule.length.epochs=1", "data/split=cross_validation", "data.split.folds=3", "hydra.run.dir=cv"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All folds, for tests that read them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        assert run_command_line(["train", *FOLDS]) == 0
        return Path("cv").absolute()


@pytest.fixture
def cv(trained: Path, elsewhere: Path) -> None:
    shutil.copytree(trained, elsewhere / "cv")


def test_one_command_tests_every_image_once_and_a_repeated_one_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["train", "--config-dir", ".", *FOLDS]) == 0
    said = " ".join(capsys.readouterr().out.split())
    places = [Path(f"cv/repeat0-fold{fold}") for fold in range(3)]
    results = [RunFiles(directory=place).result() for place in places]
    tested = [np.load(place / "predictions.npz")["test_images"].tolist() for place in places]
    assert sorted(itertools.chain.from_iterable(tested)) == list(range(60))
    assert [result["seed"] for result in results] == [0, 1, 2]
    values = [result["metrics"]["test/accuracy"] for result in results]
    found = read_folds(Path("cv"))
    assert found["command"].startswith(f"sota-exp train --config-dir={Path.cwd()} ")
    assert found["status"] == "complete" and [run["fold"] for run in found["runs"]] == [0, 1, 2]
    assert found["metrics"]["test/accuracy"] == pytest.approx({"mean": np.mean(values), "sd": np.std(values, ddof=1)})
    assert found["tested"]["images"] == 60
    assert found["tested"]["interval"] == pytest.approx(wilson_interval(float(np.mean(values)), 60))
    assert said.endswith("sota-exp predict cv new.jpg")
    assert "repeat 0, fold 2" in said and "mean over folds" in said and "60 test images in all" in said
    before = {
        path: path.stat().st_mtime_ns for path in Path("cv").rglob("*") if path.name in ("result.json", "state.pt")
    }
    assert run_command_line(["train", *FOLDS]) == 0
    assert "All folds were finished before; nothing was done." in " ".join(capsys.readouterr().out.split())
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_groups_of_a_table_count_together_in_the_interval_of_all_folds(tmp_path: Path) -> None:
    words = [word for word in TINY if not word.startswith("data")]
    table = ["data=csv", "data.path=table.csv", "data.image_size=8", "schedule.length.epochs=1"]
    write_table(tmp_path, groups=[f"{index % 2} {index // 8}" for index in range(40)])  # each of one class
    assert run_command_line(["train", *words, *table, "data/split=cross_validation", "hydra.run.dir=cv"]) == 0
    right, groups = [], []
    for place in sorted(Path("cv").glob("repeat0-fold*")):
        with np.load(place / "predictions.npz") as arrays:
            images = arrays["test_images"]
            assert arrays["test_groups"].tolist() == (images // 8 * 8 + images % 2).tolist()
            groups.append(arrays["test_groups"])
            right.append(np.unpackbits(arrays["test_correct"], count=len(arrays["test_labels"])))
    found = read_folds(Path("cv"))["tested"]
    independent = count_independent(np.concatenate(right), np.concatenate(groups))
    assert found["interval"] == pytest.approx(wilson_interval(found["accuracy"], independent)) and independent < 20

    # Given parts stay as they are, and other groups are another run.
    assert run_command_line(["train", *words, *table, "hydra.run.dir=one"]) == 0
    assert RunFiles(directory=Path("one")).result()["independent_images"]["test"] >= 1
    write_table(tmp_path, groups=[str(index // 4) for index in range(40)])
    assert run_command_line(["train", *words, *table, "hydra.run.dir=one"]) == 2


def test_it_goes_on_at_the_fold_that_failed_and_further_repeats_keep_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run_module.train_and_score

    def failing(request, session, *rest):
        if session.experiment.data.split.fold == 1:
            raise run_module.RunFailed("the disk is full")
        return whole(request, session, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "train_and_score", failing)
        assert run_command_line(["train", *FOLDS]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert json.loads(Path("cv/folds.json").read_text())["status"] == "partial"
    first = Path("cv/repeat0-fold0/result.json").stat().st_mtime_ns
    assert run_command_line(["train", *FOLDS, "data.split.repeats=2"]) == 0
    assert Path("cv/repeat0-fold0/result.json").stat().st_mtime_ns == first
    found = read_folds(Path("cv"))
    assert [(run["repeat"], run["fold"], run["seed"]) for run in found["runs"]] == [
        (number // 3, number % 3, number) for number in range(6)
    ]
    assert found["tested"]["images"] == 60


def test_a_fold_alone_is_a_run_like_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["train", *FOLDS, "data.split.fold=2"]) == 0
    assert Path("cv/result.json").is_file() and not Path("cv/folds.json").exists()


def test_what_cannot_be_split_ends_at_once_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["train", *FOLDS, "data.val_fraction=null"]) == 2
    assert "data.val_fraction=null is not legal: a fraction here" in capsys.readouterr().err
    assert not Path("cv").exists()


def test_the_split_is_no_technique(capsys: pytest.CaptureFixture[str]) -> None:
    """A study that leaves out every technique does not leave out the cross-validation, in which the arms are paired."""
    words = [item for item in TINY if not item.startswith("schedule.length")]
    study = [
        "study=leave_one_out",
        "study.every_slot=true",
        "study.techniques={}",
        "study.seeds=4",
        "hydra.sweep.dir=study",
    ]
    split = ["recipe=small_images", "data/split=cross_validation"]
    assert run_command_line(["ablate", *study, *words, *split, "--plan"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "cross_validation" not in said and "seed k tests fold k mod 5" in said
    assert "an image is tested 0 to 1 times; study.seeds=5 with seed=0 tests each once per repeat" in said
    assert list_techniques({"data/split": "holdout", "augmentation/mix": "cutmix"}) == ["augmentation/mix=cutmix"]
    assert run_command_line(["ablate", *study, *words, *split, "data.split.fold=1", "--plan"]) == 2
    assert "data.split.fold=1: here the seed of a run chooses its split; study.seeds says" in capsys.readouterr().err


@pytest.mark.usefixtures("cv")
def test_predict_and_export_take_the_mean_of_all_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.random.default_rng(0).integers(256, size=(24, 24, 3), dtype=np.uint8)).save("photo.png")

    def shares(run: str) -> dict[str, float]:
        capsys.readouterr()
        assert run_command_line(["predict", f"{run}", "photo.png", "--format=json", "--device=cpu"]) == 0
        said = capsys.readouterr()
        assert ("cv: the mean of the probabilities of 3 networks" in said.err) == (run == "cv")
        return json.loads(said.out)["classes"]

    alone = [shares(f"cv/repeat0-fold{fold}") for fold in range(3)]
    assert len({json.dumps(each) for each in alone}) == 3
    together = shares("cv")
    assert together == pytest.approx({name: np.mean([each[name] for each in alone]) for name in alone[0]}, abs=1e-6)
    assert run_command_line(["export", "cv", "--format=torch_export", "--output=out"]) == 0
    assert "the mean of the probabilities of 3 networks" in " ".join(capsys.readouterr().out.split())
    image = torch.rand(2, 3, 16, 16)
    found = torch.export.load("out/model.pt2").module()(image).softmax(1)
    members = [
        StandaloneModel(load_saved_model(place / "model.json", place / "model.safetensors")).eval()
        for place in (Path(f"cv/repeat0-fold{fold}") for fold in range(3))
    ]
    assert torch.allclose(found, torch.stack([each(image).softmax(1) for each in members]).mean(0), atol=1e-5)
    description = json.loads(Path("out/model.json").read_text())
    assert (description["folds"], description["preprocessing"]["mean"]) == (3, [0.0, 0.0, 0.0])
    trained = [set(np.load(f"cv/repeat0-fold{fold}/trained_on.npy").tolist()) for fold in range(3)]
    assert set(np.load("out/trained_on.npy").tolist()) == set.union(*trained)


@pytest.mark.usefixtures("cv")
def test_folds_that_chose_other_sizes_answer_with_their_mean_too(capsys: pytest.CaptureFixture[str]) -> None:
    """The largest view is read, and each network sees its own part of it at its own size."""
    views = [(16, 16), (24, 24), (20, 16)]
    for fold, (resize, size) in enumerate(views):
        file = Path(f"cv/repeat0-fold{fold}/model.json")
        description = json.loads(file.read_text())
        description["preprocessing"] |= {"resize": resize, "size": size}
        file.write_text(json.dumps(description))
        file.with_name("digests.json").unlink()
    across = np.linspace(0, 255, 96).astype(np.uint8)
    Image.fromarray(np.stack(np.broadcast_arrays(across, across[:, None], across[::-1]), axis=-1)).save("photo.png")

    def shares(run: str) -> dict[str, float]:
        capsys.readouterr()
        assert run_command_line(["predict", run, "photo.png", "--format=json", "--device=cpu"]) == 0
        found: dict[str, float] = json.loads(capsys.readouterr().out)["classes"]
        return found

    alone = [shares(f"cv/repeat0-fold{fold}") for fold in range(3)]
    mean = {name: np.mean([each[name] for each in alone]) for name in alone[0]}
    assert shares("cv") == pytest.approx(mean, abs=0.002) and mean != pytest.approx(alone[1], abs=0.01)
    assert run_command_line(["export", "cv", "--format=torch_export", "--output=out"]) == 0
    assert json.loads(Path("out/model.json").read_text())["preprocessing"]["size"] == 24


@pytest.mark.usefixtures("cv")
def test_what_needs_one_network_names_the_folds(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_command_line(["export", "cv", "--format=safetensors", "--output=out"]) == 2
    said = capsys.readouterr().err
    assert "--format safetensors holds one network, not those of 3 folds: name one, cv/repeat0-fold0" in said
    assert run_command_line(["evaluate", "run=cv", "hydra.run.dir=again"]) == 2
    assert "run=cv has 3 networks; name the run of one: run=cv/repeat0-fold0" in capsys.readouterr().err
    found = json.loads(Path("cv/folds.json").read_text())
    found["runs"][2]["status"] = "not run yet"
    Path("cv/folds.json").write_text(json.dumps(found))
    assert run_command_line(["predict", "cv", "photo.png"]) == 2
    assert Path("out").exists() is False


@pytest.mark.usefixtures("cv")
def test_a_fold_is_scored_again_on_its_own_images_and_explained_as_one_of_several(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command_line(["evaluate", "run=cv/repeat0-fold1", "hydra.run.dir=again"]) == 0
    one, again = (RunFiles(directory=Path(place)).result() for place in ("cv/repeat0-fold1", "again"))
    assert again["image_digests"]["test"] == one["image_digests"]["test"]
    assert again["metrics"]["test/accuracy"] == pytest.approx(one["metrics"]["test/accuracy"])
    other = [
        "data=fake",
        "data.num_images=40",
        "data.val_fraction=0.2",
        "hydra.run.dir=other",
    ]  # other data have no folds
    capsys.readouterr()
    assert run_command_line(["evaluate", "run=cv/repeat0-fold1", *other, *TINY[1:2], *TINY[3:6]]) == 0
    assert RunFiles(directory=Path("other")).result()["evaluated_images"] == {"val": 8, "test": 4}
    capsys.readouterr()
    assert run_command_line(["explain", *FOLDS[:-1], "--no-measure"]) == 0
    assert "one fold; train goes through all 3 trainings" in " ".join(capsys.readouterr().out.split())
