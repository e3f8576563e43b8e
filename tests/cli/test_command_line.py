"""The command lines: help that fits a screen, examples that work, the first release's keys, and completion."""

import itertools
import json
import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from sota_exp.cli import main
from sota_exp.cli.command_line import CommandLine, Composition
from sota_exp.cli.main import COMMANDS, load_command, run_command_line
from sota_exp.config.hydra_compose import list_config_groups
from tests.rows import each_row

LINES = {name: load_command(name).COMMAND for name in COMMANDS}

#: Help of groups that is longer than a screen.
LONG_GROUPS = ("hydra/sweeper",)

EXAMPLES = [(name, words) for name, line in LINES.items() for words in line.examples]
EXAMPLES += [(words.split()[0], words) for words in main.EXAMPLES]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def help_of(capsys, *words):
    assert run_command_line(list(words)) == 0
    return capsys.readouterr().out.splitlines()


@each_row("name, flag", itertools.product(COMMANDS, ["--help", "-h"]))
def test_the_help_of_a_command_fits_a_screen(name, flag, capsys):
    lines = help_of(capsys, name, flag)
    assert len(lines) <= 60 and max(map(len, lines)) <= 80
    assert lines[0].startswith(f"usage: sota-exp {name}") and len(LINES[name].examples) == 3
    assert all(" ".join(f"sota-exp {words}".split()[:3]) in "\n".join(lines) for words in LINES[name].examples)
    if isinstance(LINES[name], Composition):
        assert {f"  {group}=" in "\n".join(lines) for group in LINES[name].groups} == {True}


@each_row("name, words", EXAMPLES)
def test_each_example_is_a_command_line(name, words, capsys):
    command, *given = shlex.split(words)
    line = LINES[name]
    assert command == name
    if name == "translate":
        assert run_command_line([name, *(word for word in given if word not in ("2>", "lost.txt"))]) == 0
    elif isinstance(line, CommandLine):
        assert line.parse(given)
    else:
        if name in ("rerun", "evaluate"):  # A run that is not here.
            command, given = "train", [*given[1:], *["model/weights=checkpoint"] * given[0].startswith("weights=")]
        if "-m" in given:  # One of its runs.
            given = [word.partition(",")[0] for word in given if word != "-m"]
        for word in (word for word in given if "(" in word):
            assert OverridesParser.create().parse_override(word).is_sweep_override()
        given = [word for word in given if "(" not in word]
        assert run_command_line([command, *given, "--cfg", "job"]) == 0
        assert "seed:" in capsys.readouterr().out


@each_row("group", sorted({*list_config_groups(), *(each.split("/")[0] for each in list_config_groups())}))
def test_the_help_of_a_group_fits_a_screen(group, capsys):
    lines = help_of(capsys, "train", "--help", group)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 60 or group in LONG_GROUPS


@pytest.mark.parametrize(
    "asked, said",
    [
        ("optimizer", "optimizer.weight_decay 0.0 (adam), 0.05 (adamw, muon), 0.02 (lamb), 0.25 (lion), 5.0e-4 or the recipe's"),
        ("optimizer.lr", "optimizer=OPTION"),
        ("mix", "augmentation.mix.alpha 1.0 (cutmix), 0.2 (mixup); a number above 0"),
        ("model.arch", "model.arch.name empty (python), resnet_s (small), resnet18 (timm, torchvision)"),
        ("data", "data.crop_ratio a fraction in [0.1, 1]"),
        ("data=csv", "data.crop_ratio 0.875 or 1; a fraction in [0.1, 1]; the larger where training shows whole images"),
        ("data=image_folder", "data.digest auto; one of auto, sampled, full; of streamed sets: full"),
        ("evaluation", "evaluation.select best; one of best, last; saved weights"),
        ("scale", "scale.epochs that of recipe.epochs (full), 14 (quick), 2 (smoke); an integer"),
        ("study", "study.seeds 8; a count, starting at `seed`, or a list"),
        ("study=few_images", "study.seeds 10; a count, starting at `seed`, or a list"),
        ("runtime=auto", "runtime.precision fp32; one of fp32, tf32, bf16, fp16"),
        ("study/techniques=few_images", "by their names in study.only: transfer pretrained weights head_first training the"),
        ("hydra/sweeper=sota_exp", "hydra.sweeper.seeds 1; runs per trial"),
        ("augmentation", "augmentation/erase cutout, none, random_erasing"),
        ("hydra/launcher", "joblib several at once on this machine"),
        ("recipe", "ladder_06_mixup The ladder, step 6: mixup ladder_07_cutmix The ladder, step 7: either"),
        ("recipe", "transfer Fine-tuning of pretrained weights"),
        ("recipe", "The ladder, step 11: the evaluation size"),
        ("experiment", "which of its techniques matter with a few hundred? fine_tuned_photos"),
        ("study", "leave_one_out The recipe, and the recipe without each of its techniques one_slot"),
        ("data", "python A data set that Python hands in"),
        ("augmentation/policy", "9 (randaugment); a bin in [0, num_magnitude_bins) augmentation.policy.num_"),
    ],
)  # fmt: skip
def test_the_help_of_a_group_says_what_is_legal(asked, said, capsys):
    assert said in " ".join(" ".join(help_of(capsys, "train", "--help", asked)).split())


@pytest.mark.parametrize(
    "asked, said",
    [
        ("optimiser", "optimiser: no such group; --help lists them. Did you mean optimizer?"),
        ("data=cifar", "data=cifar: no such option; legal: animals_on_photos"),
        ("experiment=mine", "Yours with --config-dir DIR."),
    ],
)
def test_help_of_what_is_not_there_is_one_line(asked, said, capsys):
    assert run_command_line(["sweep", "--help", asked]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.fixture
def own_option(tmp_path):
    """A folder of a user with one more option of a slot, of a class that is in no package here."""
    (tmp_path / "mine" / "augmentation" / "erase").mkdir(parents=True)
    lines = ["# Fills a square with grey", "_target_: mine.erase.Grey", "size: 8   # of the square in pixels"]
    (tmp_path / "mine" / "augmentation" / "erase" / "grey.yaml").write_text("\n".join(lines) + "\n")


@pytest.mark.usefixtures("own_option")
@pytest.mark.parametrize(
    "words",
    [
        "train --config-dir mine --help augmentation/erase",
        "train --help augmentation/erase --config-dir=mine",
        "train hydra.searchpath=[file://mine] --help erase",
        "techniques augmentation/erase --config-dir mine",
    ],
)
def test_options_of_the_user_are_listed(words, capsys):
    assert "grey Fills a square with grey" in " ".join(" ".join(help_of(capsys, *words.split())).split())


@pytest.mark.usefixtures("own_option")
def test_a_group_has_the_values_of_the_recipe_that_is_named(capsys):
    said = " ".join(" ".join(help_of(capsys, "train", "recipe=rsb_a2", "--help", "optimizer")).split())
    assert "with recipe=rsb_a2, optimizer=lamb: optimizer.lr 0.005" in said
    asked = ["explain", "--help", "augmentation/erase", "--config-dir", "mine", "recipe=torchvision"]
    said = " ".join(" ".join(help_of(capsys, *asked)).split())
    assert "augmentation.erase.size 8" in said and "with recipe=torchvision, augmentation/erase=random_erasing" in said


@pytest.mark.parametrize("width", [80, 120])
def test_techniques_cut_nothing(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = help_of(capsys, "techniques")
    numbers = [line.partition("arXiv:")[2].strip() for line in lines if "arXiv:" in line]
    assert max(map(len, lines)) <= width and all(re.fullmatch(r"\d{4}\.\d{4,5}", number) for number in numbers)


def test_techniques_are_listed_for_programs(capsys):
    found = json.loads("\n".join(help_of(capsys, "techniques", "augmentation/mix", "--json")))
    (mixup,) = [each for each in found if each["name"] == "mixup"]
    assert mixup["defaults"] == {"alpha": 0.2} and "1710.09412" in mixup["paper"] and len(found) == 4


#: Command lines of the first release → those of now.
FIRST_RELEASE = {
    "predict run=photos photo.jpg top=1 format=csv batch_size=8 device=cpu": (
        "predict photos photo.jpg --top 1 --format csv --batch-size 8 --device cpu"
    ),
    "predict 'weights=my model.safetensors' photo.jpg": "predict 'my model.safetensors' photo.jpg",
    "export run=a format=onnx output=out": "export a --format onnx --output out",
    "new-technique optimizer/adan 'Adaptive momentum' like=adamw": (
        "new-technique optimizer/adan 'Adaptive momentum' --like adamw"
    ),
    "doctor data=image_folder data.root=photos tracking.uri=http://host:5000 --json": (
        "doctor --json --data image_folder --root photos --uri http://host:5000"
    ),
    "doctor runtime.device=cpu data.cache=there": "doctor --device cpu --cache there",
    "compare a b html=page.html": "compare a b --html page.html",
    "dashboard port=5001": "dashboard --port 5001",
    "sync uri=http://host:5000": "sync --uri http://host:5000",
}


@pytest.mark.parametrize("before, now", FIRST_RELEASE.items())
def test_keys_of_the_first_release_end_with_the_line_that_is_meant(before, now, capsys):
    name, *words = shlex.split(before)
    assert run_command_line([name, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{name} takes arguments and options, not keys: sota-exp {now}")
    LINES[name].parse(shlex.split(now)[1:])


@pytest.mark.parametrize(
    "words, said",
    [
        (
            "predict --tpo 5",
            "--tpo: no such option of predict; legal: --top, --format, --batch-size, --device, --trust. Did",
        ),
        ("export a --fromat=onnx", "--fromat: no such option of export; legal: --format"),
        ("predict a b --batch_size 3", "--batch_size: no such option of predict; legal: --top"),
        ("predict a b --top 1.5", "--top: 1.5 is not legal: a whole number, at least 1"),
        ("compare a --format csv", "--format: no such option of compare; legal: --each, --json, --html, --trust."),
        (
            "techniques a b",
            "b: techniques takes no further argument: sota-exp techniques [GROUP] [--config-dir DIR] [--json]",
        ),
        ("export a --format onnx", "export needs --output: sota-exp export RUN --format FORMAT --output DIR"),
        ("sync --uri", "--uri: expected one argument; see sota-exp sync --help"),
    ],
)
def test_a_mistake_is_one_line(words, said, capsys):
    assert run_command_line(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    "typed, offered",
    [
        ("sota-exp predict --", "--top --format --batch-size --device --trust"),
        ("sota-exp predict run --fo", "--format"),
        ("sota-exp predict run --format ", "table csv json"),
        ("sota-exp export run --format=o", "--format=onnx"),
        ("sota-exp export ru", ""),
        ("sota-exp new", "new-technique"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_the_shell_completes_options_and_their_values(typed, offered, shell, capsys, monkeypatch):
    monkeypatch.setenv("COMP_LINE", typed)
    assert run_command_line(["--shell-completion", f"query={shell}"]) == 0
    said = capsys.readouterr().out
    assert said.split() == offered.split()
    assert shell == "bash" or len(said.split()) < 2 or "\n" in said.strip()
