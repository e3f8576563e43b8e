"""`sota-exp evaluate`: a finished run again, with other options, on other data; and mistakes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file, save_file

from sota_exp.cli import main
from tests.experiments import TINY

CONFIGURED = [*TINY, "recipe=baseline", "optimizer.lr=0.05", "evaluation.batch_size=7"]

#: Of `TINY`, what an evaluation of weights alone uses.
GIVEN = [*(text for text in TINY if text.startswith(("data", "model", "runtime", "tracking"))), "recipe=baseline"]


GIVEN_NORMALIZATION = ["model.weights.mean=[0.5,0.5,0.5]", "model.weights.std=[0.5,0.5,0.5]"]


def normalization_of(run: Path) -> list[str]:
    """The overrides that give mean and std of the training of a run."""
    preprocessing = json.loads((run / "model.json").read_text())["preprocessing"]
    return [f"model.weights.{name}={preprocessing[name]}" for name in ("mean", "std")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "a_run"
    assert main.run_command_line(["train", *CONFIGURED, f"hydra.run.dir={directory}"]) == 0
    return directory


def evaluated(place: Path, *arguments: str) -> dict:
    assert main.run_command_line(["evaluate", *arguments, f"hydra.run.dir={place}"]) == 0
    return json.loads((place / "result.json").read_text())


def read(directory: Path) -> dict:
    return json.loads((directory / "result.json").read_text())


def test_a_run_has_the_same_metrics_again(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


SEARCH = ("evaluation/resolution=search", "evaluation.resolution.relative_sizes=[1.0,1.5]")


@pytest.mark.parametrize(
    ("arguments", "sizes", "ratio"),
    [
        (("data.image_size=20",), [20], 1.0),
        (("data.crop_ratio=0.5",), [16], 0.5),
        (("data=digits",), [16], 1.0),
        (("data=digits", "data.image_size=20"), [20], 1.0),
        (("data=digits", *SEARCH), [16, 24], 1.0),  # not the size of the other set
        (("data=digits", "data.image_size=32", *SEARCH), [32, 48], 1.0),
        ((*SEARCH, "evaluation.resolution.size=24"), [24, 36], 1.0),
    ],
)
def test_a_view_is_the_saved_one_unless_an_override_changes_it(
    finished: Path, tmp_path: Path, arguments: tuple[str, ...], sizes: list[int], ratio: float
) -> None:
    classes = json.loads((finished / "model.json").read_text())["classes"]
    for index in range(40):
        place = tmp_path / "set" / classes[index % 4]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + index, 40), (index, 0, 0)).save(place / f"{index}.png")
    other = ["data=image_folder", f"data.root={tmp_path}/set", f"data.cache={tmp_path}/cache", "data.val_fraction=0.4"]
    overrides = [word for argument in arguments for word in (other if argument == "data=digits" else [argument])]
    result = evaluated(tmp_path / "e", f"run={finished}", *overrides)
    report = result["resolution"]
    assert [point["size"] for point in report.get("curve", [report["chosen"]])] == sizes
    default = report.get("default", report["chosen"])
    assert default["resize"] == round(default["size"] / ratio)


def test_another_interpolation_is_used_and_saved(finished: Path, tmp_path: Path) -> None:
    bicubic = evaluated(tmp_path / "e", f"run={finished}", "data.interpolation=bicubic")
    assert bicubic["metrics"]["test/loss"] != read(finished)["metrics"]["test/loss"]
    assert json.loads((tmp_path / "e" / "model.json").read_text())["preprocessing"]["interpolation"] == "bicubic"
    again = evaluated(tmp_path / "again", f"weights={tmp_path}/e/model.safetensors", *TINY[:6])
    assert again["metrics"]["test/loss"] == bicubic["metrics"]["test/loss"]


def test_another_description_is_another_evaluation(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    evaluated(tmp_path / "e", f"run={tmp_path}/copy")
    description = json.loads((tmp_path / "copy" / "model.json").read_text())
    description["preprocessing"]["mean"] = [0.1, 0.1, 0.1]
    (tmp_path / "copy" / "model.json").write_text(json.dumps(description))
    again = ["evaluate", f"run={tmp_path}/copy", f"hydra.run.dir={tmp_path}/e"]
    assert main.run_command_line(again) == 1
    assert "model.json is damaged" in capsys.readouterr().err
    (tmp_path / "copy" / "digests.json").unlink()
    assert main.run_command_line(again) == 2
    assert "holds another result" in capsys.readouterr().err


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


@pytest.mark.parametrize("name", ["net.pth", "net.ckpt", "net.safetensors"])
def test_weights_without_description_on_the_given_network(finished: Path, tmp_path: Path, name: str) -> None:
    state = load_file(finished / "model.safetensors")
    lightning = {"net." + key: value for key, value in state.items()} | {"criterion.weight": torch.ones(4)}
    settings = OmegaConf.create({"lr": 0.1})
    files: dict[str, Callable[[], None]] = {
        "net.pth": lambda: torch.save({"state_dict": state}, tmp_path / name),
        "net.ckpt": lambda: torch.save({"state_dict": lightning, "hyper_parameters": settings}, tmp_path / name),
        "net.safetensors": lambda: save_file(state, tmp_path / name),
    }
    files[name]()
    result = evaluated(tmp_path / "e", f"weights={tmp_path}/{name}", *GIVEN, *normalization_of(finished))
    assert result["metrics"]["test/accuracy"] == read(finished)["metrics"]["test/accuracy"]
    again = evaluated(tmp_path / "again", f"weights={tmp_path}/e/model.safetensors", *TINY[:6])
    assert again["metrics"]["test/loss"] == pytest.approx(result["metrics"]["test/loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("model.arch.name=resnet_l",), "weights of this network"),
        (("data.num_classes=3",), "the set has 3 classes, the weights have 4; choose a set with these classes"),
        (("data.num_classes=5",), "the set has 5 classes, the weights have 4; choose a set with these classes"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    finished: Path, tmp_path: Path, words: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(finished / "model.safetensors", tmp_path / "net.safetensors")
    given = [*GIVEN, *normalization_of(finished), *words]
    command = ["evaluate", f"weights={tmp_path}/net.safetensors", *given, f"hydra.run.dir={tmp_path}/e"]
    assert main.run_command_line(command) == 2
    assert reason in capsys.readouterr().err


#: Colours of the classes 1, 2 and 10: red, green and blue.
NUMBERS = ("1", "2", "10")


def draw_numbers(root: Path, names: tuple[str, ...] = NUMBERS) -> Path:
    """A folder of three classes of 20 images each, whose colours tell them apart."""
    for index, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(20):
            color = tuple(200 if channel == index else number for channel in range(3))
            Image.new("RGB", (24, 24), color).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `set` of the classes 1, 2 and 10, a run on it, right on all images, and its weights alone."""
    place = tmp_path_factory.mktemp("foreign")
    draw_numbers(place / "set")
    words = ["data.test_fraction=0.4", "data.val_fraction=0.3", "optimizer.lr=0.05", "schedule.length.epochs=8"]
    words = [*TINY[6:], "recipe=baseline", *words, *DATA, f"data.root={place}/set", "data.class_order=natural"]
    assert main.run_command_line(["train", *words, f"hydra.run.dir={place}/run"]) == 0
    assert read(place / "run")["metrics"]["test/accuracy"] == 1
    shutil.copy(place / "run" / "model.safetensors", place / "net.safetensors")
    return place


#: An image folder at the size of `TINY`.
DATA = ["data=image_folder", "data.image_size=16"]


def command_of(foreign: Path, root: Path, *words: str) -> list[str]:
    """Evaluate the weights alone on a folder."""
    network = [text for text in GIVEN if not text.startswith("data")]
    return [f"weights={foreign}/net.safetensors", *network, *DATA, f"data.root={root}", *words]


def test_weights_of_others_in_another_order_of_classes(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ["data.test_fraction=0.4", "data.val_fraction=0.3", *normalization_of(foreign / "run")]
    command = command_of(foreign, foreign / "set", *parts)
    assert main.run_command_line(["evaluate", *command]) == 2
    assert "data.class_order=natural (1, 2, 10 …, timm's)" in capsys.readouterr().err
    assert evaluated(tmp_path / "e", *command, "data.class_order=natural")["metrics"]["test/accuracy"] == 1
    assert "another order" not in capsys.readouterr().err
    assert evaluated(tmp_path / "f", *command, "data.class_order=lexical")["metrics"]["test/accuracy"] < 0.5
    assert "with it the accuracy on test is 100.00 %: data.class_order=['1','2','10']" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["whole", "whole/test", "whole/val", "part"])
def test_another_order_of_classes_is_told_where_one_part_is_scored(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    draw_numbers(tmp_path / folder, ("red", "green", "blue"))
    root = tmp_path / folder.partition("/")[0]
    command = command_of(foreign, root, *normalization_of(foreign / "run"))
    command += ["evaluation.part=all", "data.val_fraction=0.2"] if folder == "part" else []
    result = evaluated(tmp_path / "e", *command)
    assert sum(result["evaluated_images"].values()) == 60
    assert (
        "accuracy on half of the images is 100.00 %: data.class_order=['red','green','blue']" in capsys.readouterr().err
    )
    evaluated(tmp_path / "f", *command, "data.class_order=[red,green,blue]")
    assert "another order" not in capsys.readouterr().err


def test_weights_of_fewer_classes_need_the_names_of_all(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(draw_numbers(tmp_path / "set", ("red", "green", "blue")) / "green")
    command = command_of(foreign, tmp_path / "set", *normalization_of(foreign / "run"))
    assert main.run_command_line(["evaluate", *command, f"hydra.run.dir={tmp_path}/e"]) == 2
    error = capsys.readouterr().err
    assert (
        "the set has 2 classes, the weights have 3; with the names of all 3" in error and "starts at zero" not in error
    )
    assert evaluated(tmp_path / "f", *command, "data.class_order=[red,green,blue]")["metrics"]["test/accuracy"] == 1


@pytest.mark.parametrize("folder", ["whole", "parts/test", "parts/train"])
def test_mean_and_std_of_weights_of_others_are_never_those_of_the_images(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    draw_numbers(tmp_path / folder, ("red", "green", "blue"))
    root, given = tmp_path / folder.partition("/")[0], normalization_of(foreign / "run")
    for words in ([], given[:1], given[1:]):
        command = command_of(foreign, root, "data.class_order=[red,green,blue]", *words)
        assert main.run_command_line(["evaluate", *command, f"hydra.run.dir={tmp_path}/e"]) == 2
        missing = "std" if words == given[:1] else "mean"
        assert f"model.weights.{missing}: net.safetensors does not say which mean and std" in capsys.readouterr().err
        assert not (tmp_path / "e").exists()
    command = command_of(foreign, root, "data.class_order=[red,green,blue]", *given)
    assert evaluated(tmp_path / "f", *command)["metrics"]["test/accuracy"] == 1
    assert "net.safetensors does not say how its images were resized" in capsys.readouterr().err
    described = json.loads((tmp_path / "f" / "model.json").read_text())["preprocessing"]
    assert [f"model.weights.{name}={described[name]}" for name in ("mean", "std")] == given


def test_mean_and_std_beside_the_weights_are_theirs(foreign: Path, tmp_path: Path) -> None:
    torch.save(load_file(foreign / "net.safetensors"), tmp_path / "net.pth")
    shutil.copy(foreign / "run" / "model.json", tmp_path)
    _, *others = command_of(foreign, foreign / "set", "data.class_order=natural")
    result = evaluated(tmp_path / "e", f"weights={tmp_path}/net.pth", *others)
    assert result["metrics"]["test/accuracy"] == 1
    described = [json.loads((place / "model.json").read_text()) for place in (tmp_path, tmp_path / "e")]
    assert described[0]["preprocessing"]["mean"] == described[1]["preprocessing"]["mean"]


@pytest.mark.parametrize("is_beside", [True, False])
def test_an_average_of_parameters_has_the_statistics_of_its_file_or_is_refused(
    foreign: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], is_beside: bool
) -> None:
    state = load_file(foreign / "net.safetensors")
    average = {key: value for key, value in state.items() if "running" not in key and "num_batches" not in key}
    torch.save({"model": state, "model_ema": average} if is_beside else average, tmp_path / "net.pth")
    others = command_of(foreign, foreign / "set", "data.class_order=natural", *normalization_of(foreign / "run"))[1:]
    command = [f"weights={tmp_path}/net.pth", *others]
    if is_beside:
        assert evaluated(tmp_path / "e", *command)["metrics"]["test/accuracy"] == 1
        output = "".join(capfd.readouterr())
        assert output.count("the weights are its entry model_ema, not model") == 1
        assert output.count("the averaged weights lack") == 1 and "trained without" not in output
    else:
        assert main.run_command_line(["evaluate", *command, f"hydra.run.dir={tmp_path}/e"]) == 2
        assert "no statistics of batch norm are in it" in capfd.readouterr().err
        evaluated(tmp_path / "f", *command, "regularization/norm=group", "regularization.norm.num_groups=1")


TRAINING_WORDS = (
    *("model/arch=timm", "model.arch.name=resnet_s", "model/weights=pretrained", "regularization/average=swa"),
    *(
        "regularization/norm=group",
        "optimizer.lr=0.1",
        "optimizer=adam",
        "augmentation/mix=cutmix",
        "loss=cross_entropy",
    ),
    *("seed=99", "batch_size=7", "schedule.length.epochs=9", "recipe=baseline", "supervision=full", "+seed=3"),
    *("evaluation.select=last", "experiment=cutmix_long", "model=none"),
)


@pytest.mark.parametrize("word", TRAINING_WORDS)
def test_a_key_of_training_is_refused_not_recorded(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert main.run_command_line(["evaluate", f"run={finished}", word, f"hydra.run.dir={tmp_path}/e"]) == 2
    error = capsys.readouterr().err
    assert f"{word}: evaluate trains nothing and does not use this key" in error
    assert f"sota-exp rerun {finished} {word} trains with it" in error
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    "word",
    [
        word
        for word in TRAINING_WORDS
        if not word.startswith(("model/arch", "model.arch", "model=", "experiment", "recipe", "regularization/norm"))
    ],
)
def test_weights_alone_take_keys_of_their_network_only(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    torch.save(load_file(finished / "model.safetensors"), tmp_path / "net.pth")
    command = ["evaluate", f"weights={tmp_path}/net.pth", *GIVEN, *normalization_of(finished), word]
    assert main.run_command_line([*command, f"hydra.run.dir={tmp_path}/e"]) == 2
    assert f"{word}: evaluate trains nothing and does not use this key" in capsys.readouterr().err


def test_the_seed_of_fine_tuning_may_be_set(finished: Path, tmp_path: Path) -> None:
    tuned = ["evaluation/fine_tune=classifier_and_norm", "seed=5"]
    assert evaluated(tmp_path / "e", f"run={finished}", *tuned)["seed"] == 5


def test_the_same_command_twice_is_done_once(finished: Path, tmp_path: Path) -> None:
    evaluated(tmp_path / "e", f"run={finished}")
    written = (tmp_path / "e" / "result.json").stat().st_mtime_ns
    evaluated(tmp_path / "e", f"run={finished}")
    assert (tmp_path / "e" / "result.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "evaluate needs one of run=RUN"),
        (["run={finished}", "weights=x.safetensors"], "evaluate needs one of"),
        (["run={tmp}/nowhere"], "no such directory"),
        (["run={tmp}"], "not the directory of a finished run"),
        (
            ["weights={tmp}/nowhere.safetensors"],
            "nowhere.safetensors does not exist (did you mean",
        ),
        (["weights={tmp}"], "is a folder, not a file; give a file that ends in"),
        (["run={finished}/result.json"], "a file, not a folder"),
        (["weights={tmp}/empty.safetensors"], "is an empty file; give a file"),
        (
            ["weights={tmp}/lone.safetensors", *TINY[:6], *GIVEN_NORMALIZATION],
            "a safetensors file or a PyTorch file of tensors and plain values",
        ),
        (["run={finished}", "data.num_classes=5"], "the model has no class 'color_04'; its 4 classes are 'color_00'"),
        (["run={finished}", "evaluation/tta=filp"], "Did you mean flip?"),
        (["run={finished}", "hydra.run.dir={finished}"], "holds another result"),
    ],
)
def test_what_cannot_be_evaluated_is_reported_in_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "lone.safetensors").write_text("no weights")
    (tmp_path / "empty.safetensors").touch()
    words = [word.format(finished=finished, tmp=tmp_path) for word in arguments]
    place = [] if any("hydra.run.dir" in word for word in words) else [f"hydra.run.dir={tmp_path}/e"]
    assert main.run_command_line(["evaluate", *words, *place]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("INFO: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (tmp_path / "e").exists()


def test_an_unfinished_run_is_refused(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").write_text(json.dumps({**read(finished), "status": "interrupted"}))
    assert main.run_command_line(["evaluate", f"run={tmp_path}"]) == 2
    assert "is interrupted, not finished" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["config.yaml", "model.json"])
def test_what_is_missing_of_a_run_is_no_default(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    """Without its configuration, another data set would be evaluated without a word."""
    shutil.copytree(finished, tmp_path / "copy")
    (tmp_path / "copy" / missing).unlink()
    assert main.run_command_line(["evaluate", f"run={tmp_path}/copy", f"hydra.run.dir={tmp_path}/e"]) == 2
    assert f"copy/{missing} is missing" in capsys.readouterr().err
    assert not (tmp_path / "e").exists()
