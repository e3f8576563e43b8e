"""The command line: mistakes end with status 2 and one line; Hydra's features work; whole runs."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from sota_exp.cli.main import COMMANDS, limit_openmp_spinning, load_command, run_command_line
from sota_exp.config import compose
from sota_exp.errors import Interrupted, find_cause
from sota_exp.report.run.charts import draw_learning_curves
from sota_exp.report.run.figure_data import RunFigureData
from sota_exp.runs import result_json
from sota_exp.runs.contents import RunContent
from sota_exp.runs.result_json import get_commit
from sota_exp.tracking.mlflow_note import format_run_note
from tests.experiments import TINY
from tests.options import ROOT
from tests.rows import each_row

#: A complete training of about one second.
TINY_RUN = (*(text for text in TINY if not text.startswith("schedule.length")), "schedule.length.epochs=1")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working directory outside the repository, with a folder of the user's own options."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sota-exp"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    options = tmp_path / "mine" / "augmentation" / "mix"
    options.mkdir(parents=True)
    (options / "typo.yaml").write_text("_target_: sota_exp.techniques.augmentation.mix.mixup.Mixup\nalhpa: 0.2\n")
    (options / "warmup.yaml").write_text("_target_: sota_exp.stages.schedule.NoWarmup\n")
    (options / "gone.yaml").write_text("_target_: sota_exp.techniques.augmentation.mix.gone.Gone\n")
    (options / "broken.yaml").write_text("_target_: [\n")
    (options / "half.yaml").write_text("_target_: sota_exp.techniques.augmentation.mix.mixup.Mixup\nalpha: 0.5\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    return tmp_path


#: Arguments of `train` → texts in the error message.
FOUND_BY_COMPOSITION = {
    "augmentation/mix=mixupp": ["augmentation/mix=mixupp", "legal: cutmix, mixup", "Did you mean mixup?"],
    "augmentation/mixx=mixup": ["augmentation/mixx: no such group", "Did you mean augmentation/mix?"],
    "experiment=mine": ["experiment=mine: no such option; legal: cutmix_long, ", ". Yours with --config-dir DIR."],
    "augmentation=cutmix": ["augmentation=cutmix: no such option", "legal: classic, none, torchvision"],
    "data=cifar": ["data=cifar: no such option", "animals_on_photos"],
    "recipe=torchvison": ["recipe=torchvison", "Did you mean torchvision?"],
    "scale=tiny": ["scale=tiny", "full, quick, smoke"],
    "data=null": ["data=null", "name of an option"],
    "evaluation/metrics=inf": ["evaluation/metrics=inf: the value of a group is the name of an option"],
    "evaluation/metrics=1e3": ["evaluation/metrics=1e3: the value", "that reads as a number", "experiment=\"'1'\""],
    "model/weights=imagenet": ["Did you mean model/weights=pretrained?"],
    "schedule.warmup.fracton=0.1": [
        "schedule.warmup.fracton: no such key", "fraction, start_factor", "Did you mean fraction?"
    ],
    "optimiser.lr=1": ["optimiser.lr: no such key", "Did you mean optimizer.lr?"],
    "sead=1": ["sead: no such key", "Did you mean seed?"],
    "augmentation/mix=none augmentation.mix.alpha=1": [
        "augmentation.mix.alpha: no such key", "augmentation/mix has no keys"
    ],
    "optimizer=adamw optimizer.momentum=0.9": [
        "optimizer.momentum: no such key", "lr, weight_decay, beta1, beta2, eps"
    ],
    "augmentation.mix.alpha=0.3": ["augmentation.mix.alpha: no such key", "augmentation/mix=cutmix|mixup"],
    "~augmentation.mix.alpha": ["augmentation.mix.alpha: no such key", "augmentation/mix=cutmix|mixup"],
    "optimizer.beta1=0.9": ["optimizer.beta1: no such key; legal: lr", "optimizer=adam|adamw|lamb|lion"],
    "data.root=plain": ["data.root: no such key", "It is a key of data=image_folder|imagenet|parquet|webdataset|cifar10"],
    "model.weights.path=x": ["model.weights.path: no such key", "model/weights=checkpoint: choose one of them too"],
    "dropout=0.1": ["Did you mean regularization/dropout=head|none?"],
    "clip=1": ["Did you mean regularization/clip="],
    "norm=1": ["Did you mean regularization/norm="],
    "wandb=true": ["Did you mean tracking=mlflow?"],
    "gpu=0": ["Did you mean runtime.device?"],
    "fp16=true": ["Did you mean runtime.precision?"],
    "resume=R": ["Did you mean the same command again, which resumes its run?"],
    "output_dir=x": ["Did you mean hydra.run.dir?"],
    "lr=0.1": ["lr: no such key. Did you mean optimizer.lr?"],
    "learning_rate=0.1": ["Did you mean optimizer.lr?"],
    "trainer.max_epochs=3": ["trainer.max_epochs: no such key. Did you mean schedule.length.epochs?"],
    "data.batch_size=3": ["data.batch_size: no such key; legal: name", "Did you mean batch_size?"],
    "model.name=resnet18": ["legal: arch, weights, tuning", "Did you mean model.arch.name?"],
    "arch=resnet18": ["Did you mean model.arch.name?"],
    "dataset=cifar10": ["Did you mean data=cifar10?"],
    "batch=32": ["batch: no such key. Did you mean batch_size?"],
    "data_dir=x": ["data_dir: no such key. Did you mean data=image_folder data.root=…?"],
    "dataset.root=x": ["Did you mean data=image_folder data.root=…?"],
    "data.dir=x": ["data.dir: no such key; legal: name", "Did you mean data=image_folder data.root=…?"],
    "data=image_folder data_dir=x": ["data_dir: no such key. Did you mean data.root?"],
    "scheduler=cosine": ["scheduler: no such key. Did you mean schedule/lr=cosine?"],
    "opt=sgd": ["opt: no such key. Did you mean optimizer=sgd?"],
    "drop_path=0.1": ["Did you mean regularization/stochastic_depth=linear regularization.stochastic_depth.drop_path"],
    "patience=3": ["Did you mean schedule/early_stopping=patience schedule.early_stopping.patience=N?"],
    "study=ladder": ["study=ladder: not of train; sota-exp ablate has it: sota-exp ablate study=ladder"],
    "+study=ladder": ["study=ladder: not of train; sota-exp ablate has it: sota-exp ablate study=ladder"],
    "study.seeds=3": ["study.seeds=3: not of train; sota-exp ablate has it: sota-exp ablate study=KIND study.seeds=3"],
    "-m hydra/sweeper=study +study=ladder": ["hydra/sweeper=study: not of train", "sota-exp ablate study=KIND"],
    "+study.looks=[6,8]": ["sota-exp ablate study=KIND study.looks=[6,8]"],
    "search=learning_rate": ["search=learning_rate: not of train", ": sota-exp sweep search=learning_rate"],
    "-m +search=learning_rate": ["search=learning_rate: not of train", ": sota-exp sweep search=learning_rate"],
    "+hydra.sweeper.n_trials=3": ["hydra.sweeper.n_trials: no such key; sota-exp sweep has its keys in hydra.sweeper"],
    "optimizer.lr=interval(0.1,1)": ["optimizer.lr=interval(0.1,1): this is a range, which sota-exp sweep searches"],
    "mixup=true": ["Did you mean augmentation/mix=mixup?"],
    "schedule=cosine": ["legal: classic, none, torchvision. Did you mean schedule/lr=cosine?"],
    "optimizer=SGD": ["Did you mean sgd?"],
    "model=resnet18": ["model=resnet18: no such option", "model/arch=timm model.arch.name=resnet18"],
    "model/arch=resnet18": ["no such option", "model/arch=timm model.arch.name=resnet18"],
    "data=empty": ["data=empty: no such option", "data=image_folder data.root=empty"],
    "data=./empty": ["data=./empty: no such option", "data=image_folder data.root=./empty"],
    "hydra.sweeper.confirm=2": ["hydra.sweeper.confirm: no such key; sota-exp sweep"],
    "optimizer.lr": ["optimizer.lr: not an override", "key=value"],
    "hydra.run.dir=my run": ["run: not an override", "one word within quotes: 'hydra.run.dir=my run'"],
    "--epochs 3": ["--epochs: no such flag; keys have no dashes. Did you mean schedule.length.epochs=3?"],
    "--lr=0.1": ["--lr: no such flag; keys have no dashes. Did you mean optimizer.lr=0.1?"],
    "--wandb": ["--wandb: no such flag; keys have no dashes. Did you mean tracking=mlflow?"],
    "--frobnicate": ["--frobnicate: no such flag; sota-exp COMMAND --help lists all"],
    "seed=[1": ["seed=[1: Hydra cannot read this value", "seed='\"[1\"'"],
    "hydra.run.dir=runs/lr=1": ["runs/lr=1: Hydra cannot read this value", "hydra.run.dir='\"runs/lr=1\"'"],
    "hydra.run.dir=~/runs": ["hydra.run.dir=~/runs: Hydra reads no ~; write the path in full", "/runs"],
    "seed=0,1": ["seed=0,1: for one run per seed add -m; a study has study.seeds=[0,1]"],
    "batch_size=16,32": ["batch_size=16,32: for one run per value add -m; for a list write batch_size=[16,32]"],
    "regularization.smoothing=0.1": ["is chosen with slashes: regularization/smoothing=label_smoothing|none"],
    "hydra.run.dir=rd/عرب": ["Hydra cannot read this value, because of ع; in quotes it is one text"],
    "hydra.run.dir=~nosuchuser/x": ["there is no such user; in quotes", "'\"~nosuchuser/x\"'"],
    "hydra.run.dir=gone/../x": ["gone does not exist; write the path without .."],
    "hydra.run.dir=file/x": ["/file is a file, not a folder; hydra.run.dir=DIR takes another"],
    "--config-dir file": ["--config-dir: /", "/file is a file, not a folder; give the folder"],
    "-m seed=0,1 hydra.run.dir=x": ["hydra.run.dir=x: several runs lie in another folder: hydra.sweep.dir=x"],
    "hydra.sweep.dir=x": ["hydra.sweep.dir=x: one run lies in another folder: hydra.run.dir=x"],
    "seeds=3": ["Did you mean study.seeds of ablate"],
    "n_trials=3": ["Did you mean hydra.sweeper.n_trials"],
    "num_classes=5": ["num_classes: no such key; it is not needed: the classes are those of the data"],
    "ckpt_path=x": ["Did you mean model/weights=checkpoint model.weights.path=FILE?"],
    "optimizer.lr=${foo}": ["optimizer.lr=${foo}: the configuration has no key foo"],
    "--config-dir nowhere": ["/nowhere does not exist"],
    "--config-dir mine augmentation/mix=broken": ["broken.yaml", "line 2"],
    "augmentation.mix=cutmix": ["augmentation.mix=cutmix", "augmentation/mix=cutmix"],
    "schedule.lr=cosine": ["schedule.lr=cosine", "schedule/lr=cosine"],
    "data=image_folder": ["data.root: a value is missing", "data.root=…"],
    "model/weights=checkpoint": ["model.weights.path: a value is missing"],
    "augmentation/train_size=fixres augmentation/crop=none": [
        "augmentation/train_size=fixres", "augmentation/crop=random_resized"
    ],
}  # fmt: skip

FOUND_BY_TYPES = {
    "data=image_folder data.root=~/nophotos": ["/nophotos is not legal: /", "/nophotos does not exist"],
    "data=image_folder data.root=[new": ["data.root=[new is not legal", "[new does not exist"],
    f"data=image_folder data.root={'x' * 300}": ["is not legal", ": File name too long; give a folder"],
    f"hydra.run.dir={'x' * 300}": ["no folder can be made for the run", ": File name too long; hydra.run.dir=DIR"],
    "hydra.job.chdir=true": ["hydra.job.chdir=true: relative paths are those of the directory of the command"],
    "~augmentation/mix": ["augmentation/mix: no option is chosen"],
    "+foo=1": ["foo: no such key", "seed"],
    "++optimizer.foo=1": ["optimizer.foo: no such key", "lr, weight_decay, momentum"],
    "~regularization.average.horizon": ["regularization.average.horizon: a value is missing"],
    "+augmentation.mix.alpha=0.3": ["augmentation.mix.alpha: no such key", "augmentation/mix=cutmix|mixup"],
    "scale.epochs=0.5": ["scale.epochs=0.5: expected an integer, not a fraction of the recipe's value; give the number"],
    "scale.train_images=0.1": ["expected an integer, or null, not a fraction"],
    "scale=full recipe.epochs=0.5": ["recipe.epochs=0.5: expected an integer"],
    "gradient_descent.lr=high": ["gradient_descent.lr=high: expected a number"],
    "optimizer.lr=high": ["optimizer.lr=high: expected a number"],
    "optimizer.lr=null": ["optimizer.lr=null: expected a number"],
    "optimizer.lr=inf": ["optimizer.lr=inf is not legal: a finite number"],
    "optimizer.eps=nan optimizer=adamw": ["optimizer.eps=nan is not legal: a finite number"],
    "augmentation/crop=random_resized augmentation.crop.scale=[0.5,inf]": ["augmentation.crop.scale=[0.5, inf] is not legal: a finite number"],
    "optimizer.lr=-1": ["optimizer.lr=-1.0 is not legal", "above 0"],
    "seed=one": ["seed=one: expected an integer"],
    "seed=-1": ["seed=-1 is not legal", "from 0"],
    "batch_size=2.5": ["batch_size=2.5: expected an integer"],
    "batch_size=0": ["batch_size=0 is not legal", "at least 1"],
    "schedule.length.epochs=0": ["schedule.length.epochs=0 is not legal"],
    "augmentation/crop=random_resized augmentation.crop.scale=0.5": ["augmentation.crop.scale=0.5: expected a list"],
    "augmentation/crop=random_resized augmentation.crop.scale=[1]": ["augmentation.crop.scale=[1.0] is not legal"],
    "schedule/warmup=linear schedule.warmup.fraction=1": [
        "schedule.warmup.fraction=1.0 is not legal", "shorter than training"
    ],
    "evaluation.select=worst": ["evaluation.select=worst is not legal: one of best, last"],
    "runtime.device=tpu": ["runtime.device=tpu is not legal", "cuda"],
    "runtime.workers=-1": ["runtime.workers=-1 is not legal"],
    "scale.train_images=1": ["scale.train_images=1 is not legal"],
    "model.arch.name=resnet_sx": ["model.arch.name=resnet_sx is not legal", "resnet_s"],
    "model/arch=torchvision model.arch.name=resnet81": ["model.arch.name=resnet81", "resnet18"],
    "model/arch=timm model.arch.name=resnet10q": ["model.arch.name=resnet10q", "resnet10t"],
    "data=image_folder data.root=nowhere": ["data.root=nowhere is not legal", "nowhere does not exist", "one folder of images per class"],
    "data=image_folder data.root=empty": ["data.root=empty is not legal", "is an empty folder"],
    "data=image_folder data.root=file": ["data.root=file is not legal", "is a file, not a folder"],
    "data=fake model/weights=checkpoint model.weights.path=nowhere.pth": [
        "model.weights.path=nowhere.pth is not legal: /", "/nowhere.pth does not exist; give a file of weights"
    ],
    "data=huggingface data.dataset=": ["data.dataset= is empty; give the name of a data set of the hub"],
    "data.cache=file/x": ["data.cache=file/x is not legal: /", "/file is a file, not a folder; give a folder"],
    "--config-dir mine augmentation/mix=typo": ["augmentation.mix.alhpa: no such key", "Did you mean alpha?"],
    "--config-dir mine augmentation/mix=warmup": [
        "augmentation.mix._target_=sota_exp.stages.schedule.NoWarmup is no BatchTransform"
    ],
    "--config-dir mine augmentation/mix=gone": [
        "augmentation.mix._target_=sota_exp.techniques.augmentation.mix.gone.Gone", "imported"
    ],
}  # fmt: skip


@each_row("arguments", [*FOUND_BY_COMPOSITION, *FOUND_BY_TYPES])
def test_a_mistake_is_status_2_and_one_line_that_names_it(arguments, capfd, elsewhere):
    assert run_command_line(["train", *arguments.split()]) == 2
    output = capfd.readouterr()
    lines = [line for line in output.err.splitlines() if not line.startswith(("WARNING:", "INFO:"))]
    assert len(lines) == 1 and lines[0].startswith("sota-exp: ")
    assert output.out == ""
    for words in {**FOUND_BY_COMPOSITION, **FOUND_BY_TYPES}[arguments]:
        assert words in lines[0]
    assert [path for path in (elsewhere / "outputs").rglob("*") if path.is_file()] == []


#: What takes a tenth of a second or more to import.
SLOW_MODULES = {
    *("torch", "torchvision", "timm", "mlflow", "numpy", "scipy", "pandas", "matplotlib", "altair", "vl_convert"),
    *("PIL", "sklearn", "skimage", "optuna", "sqlalchemy", "pyarrow", "requests", "jinja2"),
}

#: Command lines that end before anything slow is needed, and their exit status.
QUICK = {
    0: [
        *(["--help"], ["techniques"], ["train", "--help", "data"], ["techniques", "optimizer", "--json"]),
        *([name, "--help"] for name in COMMANDS),
    ],
    2: [
        *(["train", *line.split()] for line in FOUND_BY_COMPOSITION),
        *(["train", line] for line in ("optimizer.lr=high", "batch_size=0", "runtime.device=tpu", "seed=-1")),
        *(["train", "model/arch=torchvision", "model.arch.name=resnet81"], ["sweep", "n_trials=3"], ["ablate"]),
        *(
            ["evaluate", "run=nowhere"],
            ["predict", "run=photos", "top=5"],
            ["predict", "nowhere", "a.jpg"],
            ["compare"],
        ),
        *(["rerun", "nowhere"], ["report", "nowhere"], ["trian"], ["export", "a", "--format", "onxx"]),
    ],
}


def test_help_and_mistakes_import_nothing_slow(elsewhere):
    """All in one process, which prints its imports at the end."""
    script = f"""
import sys
from contextlib import redirect_stdout
from io import StringIO
from sota_exp.cli.main import run_command_line
from tests.composing import compositions_share_their_work
with compositions_share_their_work(), redirect_stdout(StringIO()):
    wrong = [words for status, lines in {QUICK!r}.items() for words in lines if run_command_line(words) != status]
print(wrong, sorted({SLOW_MODULES!r} & set(sys.modules)))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "[] []\n"


def test_the_first_step_of_our_own_networks_comes_without_libraries_it_does_not_use(tmp_path):
    script = f"""
import sys
import sota_exp.tracking.listeners, sota_exp.tracking.mlflow
from sota_exp.cli import main
from sota_exp.training import loop

def first_step(*given):
    unused = {{"torchvision", "timm", "matplotlib", "altair", "vl_convert"}}
    unused |= {{"mlflow", "optuna", "sklearn", "pandas", "scipy"}}
    print(sorted(unused & set(sys.modules)))
    sys.exit()

loop.train_step = first_step
main.run_command_line({["train", *TINY_RUN]})
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_an_unknown_command_is_status_2_with_a_suggestion(capfd):
    assert run_command_line(["trian"]) == 2
    output = capfd.readouterr().err
    assert "trian: no such command; legal: train" in output and "Did you mean train?" in output


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(arguments, capfd):
    assert run_command_line(arguments) == 0
    output = capfd.readouterr().out
    assert all(f"  {name} " in output and summary in output for name, summary in COMMANDS.items())
    lines = output.splitlines()
    assert len(lines) <= 60 and max(map(len, lines)) <= 80 and output.count("  sota-exp ") == 4
    assert "the page of a run, a study or a sweep" in output


def test_no_command_is_wrong_usage(capfd):
    assert run_command_line([]) == 2
    assert "usage: sota-exp COMMAND" in capfd.readouterr().out


def test_every_command_is_there():
    for name in COMMANDS:
        assert callable(load_command(name).main)


def test_python_m_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "sota_exp", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sota-exp ")


def test_a_traceback_on_request(monkeypatch):
    from sota_exp.errors import ConfigError

    monkeypatch.setenv("SOTA_EXP_TRACEBACK", "1")
    with pytest.raises(ConfigError, match="seed=-1 is not legal"):
        run_command_line(["train", "seed=-1"])


def test_cfg_job_prints_the_configuration(capfd):
    assert run_command_line(["train", "--cfg", "job", "augmentation/mix=mixup", "seed=7"]) == 0
    output = capfd.readouterr().out
    assert "_target_: sota_exp.techniques.augmentation.mix.mixup.Mixup" in output and "seed: 7" in output


def test_package_narrows_it(capfd):
    assert run_command_line(["train", "--cfg", "job", "--package", "optimizer"]) == 0
    assert capfd.readouterr().out.startswith("# @package optimizer")


@pytest.mark.parametrize("command", [["sweep", "search=learning_rate"], ["ablate", "study=ladder"]])
def test_the_commands_of_many_runs_print_the_configuration_of_one(command, capsys, elsewhere):
    assert run_command_line([*command, "seed=3", "--cfg", "job"]) == 0
    assert "\nseed: 3\n" in f"\n{capsys.readouterr().out}"
    assert not (elsewhere / "multirun").exists()


@pytest.mark.parametrize("kind", ["defaults", "searchpath", "plugins"])
def test_info_is_hydras(kind, capfd):
    assert run_command_line(["train", "--info", kind]) == 0
    assert len(capfd.readouterr().out.splitlines()) > 3


def test_the_default_list_reads_as_the_table_of_contents(capfd):
    assert run_command_line(["train", "--info", "defaults"]) == 0
    output = capfd.readouterr().out
    assert "augmentation/mix/none" in output and "schedule/lr/cosine" in output


def test_an_option_of_ones_own_from_config_dir(capfd):
    assert run_command_line(["train", "--config-dir", "mine", "augmentation/mix=half", "--cfg", "job"]) == 0
    assert "alpha: 0.5" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sota-exp tra", "train"),
        ("sota-exp train augmentation/mix=mixup_", "augmentation/mix=mixup_or_cutmix"),
        ("sota-exp train optimizer.weight_d", "optimizer.weight_decay="),
        ("sota-exp train recipe=torch", "recipe=torchvision"),
    ],
)
def test_the_shell_completes(typed, offered, capfd, monkeypatch):
    monkeypatch.setenv("COMP_LINE", typed)
    monkeypatch.setenv("COMP_POINT", str(len(typed)))
    assert run_command_line(["-sc", "query=bash"]) == 0
    assert offered in capfd.readouterr().out.split()


def test_the_shells_rule_can_be_installed(capfd):
    assert run_command_line(["--shell-completion", "install=bash"]) == 0
    assert "complete" in capfd.readouterr().out


def result_of(directory):
    return json.loads((Path(directory) / "result.json").read_text())


def test_a_whole_run_and_its_repetition(capfd, elsewhere):
    command = ["train", *TINY_RUN, "recipe=torchvision", "tracking.figures=true", "hydra.run.dir=here"]
    assert run_command_line(command) == 0
    output = capfd.readouterr().out
    drawn = {path.name for path in (elsewhere / "here" / "figures").iterdir()}
    assert drawn >= {"learning_curves.png", "learning_rate.png", "confusion_matrix.png", "reliability.png"}
    assert "val accuracy" in output and "finished" in output and "images/s" in output
    result = result_of("here")
    assert (result["status"], result["choices"]["augmentation/mix"]) == ("finished", "mixup_or_cutmix")
    before = (elsewhere / "here" / "result.json").stat().st_mtime_ns
    assert run_command_line(command) == 0
    assert "finished before; nothing was done" in capfd.readouterr().out
    assert (elsewhere / "here" / "result.json").stat().st_mtime_ns == before


def test_the_directory_is_the_same_for_the_same_overrides_in_any_order(elsewhere):
    assert run_command_line(["train", *TINY_RUN]) == 0
    (first,) = (elsewhere / "outputs").iterdir()
    assert run_command_line(["train", *reversed(TINY_RUN)]) == 0
    assert list((elsewhere / "outputs").iterdir()) == [first]
    assert first.name.startswith("small_images-fake-seed0-")


def read_files(directory):
    return {path: path.read_bytes() for path in Path(directory).rglob("*") if path.is_file() and path.name != "run.log"}


def test_another_configuration_in_the_same_directory_is_refused_and_changes_no_file(capfd):
    assert run_command_line(["train", *TINY_RUN, "hydra.run.dir=here"]) == 0
    before = read_files("here")
    assert {path.name for path in before if path.parent.name == ".hydra"} == {
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    }
    assert run_command_line(["train", *TINY_RUN, "hydra.run.dir=here", "seed=1"]) == 2
    assert "holds another run, which differs in seed: 0 → 1" in capfd.readouterr().err
    assert run_command_line(["train", *TINY_RUN, "-m", "hydra.sweep.dir=.", "hydra.sweep.subdir=here", "seed=1"]) == 2
    assert run_command_line(["evaluate", "run=here", "hydra.run.dir=here", "evaluation.part=train"]) == 2
    assert read_files("here") == before


def test_an_evaluation_in_the_directory_of_an_unfinished_run_is_refused_and_changes_no_file(capfd):
    for place in ("there", "here"):
        assert run_command_line(["train", *TINY_RUN, f"hydra.run.dir={place}"]) == 0
    for name in ("result.json", "digests.json"):
        Path("here", name).unlink()
    before = read_files("here")
    assert run_command_line(["evaluate", "run=there", "hydra.run.dir=here"]) == 2
    assert "hydra.run.dir=here holds a run that is not finished" in capfd.readouterr().err
    assert read_files("here") == before


def test_the_files_of_hydra_say_what_was_composed(elsewhere):
    assert run_command_line(["train", *TINY_RUN, "hydra.run.dir=here", "seed=4"]) == 0
    read = {name: OmegaConf.load(elsewhere / f"here/.hydra/{name}.yaml") for name in ("config", "hydra", "overrides")}
    assert read["config"].seed == 4 and "hydra" not in read["config"]
    assert "seed=4" in read["overrides"] and read["hydra"].hydra.overrides.task == read["overrides"]


def test_a_multirun_over_slots_and_values_makes_four_runs_and_a_table(capfd, elsewhere):
    arguments = [*TINY_RUN, "augmentation/mix=none,mixup_or_cutmix", "seed=0,1"]
    assert run_command_line(["train", "-m", *arguments, "hydra.sweep.dir=swept"]) == 0
    results = {path.parent.name: json.loads(path.read_text()) for path in elsewhere.glob("swept/*/result.json")}
    made = [(results[name]["choices"]["augmentation/mix"], results[name]["seed"]) for name in "0123"]
    assert made == [("none", 0), ("none", 1), ("mixup_or_cutmix", 0), ("mixup_or_cutmix", 1)]
    table = capfd.readouterr().out.split("4 runs in swept")[1]
    assert "augmentation/mix" in table and "seed" in table and "test accuracy" in table
    assert table.count("finished") == 4
    before = {path: path.stat().st_mtime_ns for path in elsewhere.glob("swept/*/result.json")}
    assert run_command_line(["train", "-m", *arguments, "hydra.sweep.dir=swept"]) == 0
    assert {path: path.stat().st_mtime_ns for path in elsewhere.glob("swept/*/result.json")} == before


def test_a_signal_ends_a_whole_multirun(elsewhere):
    begun = []

    def interrupted(config):
        begun.append(config.seed)
        raise Interrupted(15)

    with pytest.raises(Interrupted):
        compose.run_hydra(interrupted, ["-m", "seed=0,1"], "train")
    assert begun == [0]


def test_what_a_multirun_wrote_of_its_command_is_not_replaced_by_another_command(elsewhere):
    written = []
    for seeds in ("0,1", "2,3", "0,1", "2,3"):
        compose.run_hydra(lambda config: None, ["-m", f"seed={seeds}", "hydra.sweep.dir=swept"], "train")
        written.append(Path("swept/multirun.yaml").read_bytes())
    assert len(set(written)) == 1
    found = {path.name: OmegaConf.load(path).hydra.overrides.task for path in Path("swept").glob("*.yaml")}
    assert found == {"multirun.yaml": ["seed=0,1"], "multirun-2.yaml": ["seed=2,3"]}


def test_a_multirun_has_the_same_default_directory_each_time(elsewhere):
    for _ in range(2):
        assert run_command_line(["train", "-m", *TINY_RUN, "seed=0,1"]) == 0
    (place,) = (elsewhere / "multirun").iterdir()
    assert sorted(path.parent.name for path in place.glob("*/result.json")) == ["0", "1"]


def test_a_diverged_run_is_status_1_and_one_line(capfd):
    assert run_command_line(["train", *TINY_RUN, "optimizer.lr=1e30", "hydra.run.dir=here"]) == 1
    assert "sota-exp: diverged: train/loss is nan" in capfd.readouterr().err
    assert result_of("here")["status"] == "failed"


def test_an_image_that_cannot_be_read_is_status_1_and_named(capfd, elsewhere):
    for name in ("a", "b"):
        (elsewhere / "images" / name).mkdir(parents=True)
        (elsewhere / "images" / name / "bad.png").write_bytes(b"no image")
    assert run_command_line(["train", "data=image_folder", "data.root=images"]) == 1
    assert "bad.png can't be read as an image" in capfd.readouterr().err


def test_output_without_a_terminal_has_no_control_characters(capfd):
    assert run_command_line(["train", *TINY_RUN]) == 0
    assert "\x1b" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("given", "load", "found"),
    [
        ({}, 0.5, "1000"),
        ({}, 0.49, ""),
        ({"GOMP_SPINCOUNT": "7"}, 9.0, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, 9.0, ""),
    ],
    ids=["busy", "idle", "count", "policy"],
)
def test_openmp_spinning_depends_on_the_user_and_the_load(monkeypatch, given, load, found):
    monkeypatch.setattr(os, "environ", dict(given))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (load * 4, 0.0, 0.0))
    limit_openmp_spinning()
    assert os.environ.get("GOMP_SPINCOUNT", "") == found


def test_brackets_in_the_users_names_are_printed_as_they_are(tmp_path, capfd):
    """In rich's markup, `[red]` is a colour and `[/b]` a mistake."""
    for name in ("[red]", "[bold"):
        folder = tmp_path / "[photos]" / name
        folder.mkdir(parents=True)
        for index in range(20):
            Image.new("RGB", (20, 20), (index * 12, len(name) * 40, 0)).save(folder / f"{index}.png")
    own = [text for text in TINY_RUN if not text.startswith("data")]
    data = ["data=image_folder", "data.root='[photos]'", "data.image_size=16", "batch_size=8", "hydra.run.dir='[out]'"]
    assert run_command_line(["train", *own, *data]) == 0
    output = " ".join(capfd.readouterr().out.split())
    assert "[red]" in output and "[bold" in output and "in [out]" in output and "files [out]" in output


@pytest.mark.parametrize(("word", "status"), [("--help", 141), ("techniques", 1)], ids=["printed", "by rich"])
def test_a_closed_pipe_is_no_mistake(word, status):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "sota_exp", word], stdout=writer, stderr=subprocess.PIPE, cwd=ROOT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (status, b"")


@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        (">/dev/full", 1, "sota-exp: standard output cannot be written: No space left on device\n"),
    ],
)
def test_an_output_that_cannot_be_written_is_told(redirection, status, said):
    command = f"{sys.executable} -m sota_exp techniques loss {redirection}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", said)


def test_an_interrupt_that_code_in_c_turns_into_another_error_is_no_fault(monkeypatch, capfd):
    """As `torch.asarray` in safetensors did, in one of 300 kills."""

    def interrupted(arguments):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None

    monkeypatch.setattr("sota_exp.cli.train.main", interrupted)
    assert run_command_line(["train"]) == 130
    assert capfd.readouterr().err == "sota-exp: stopping\nsota-exp: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_that_is_among_its_own_causes_has_a_first_one():
    first, second = ValueError("1"), ValueError("2")
    first.__context__, second.__context__ = second, first
    assert find_cause(first) is second and find_cause(KeyError("alone")).args == ("alone",)


def test_a_data_set_that_cannot_be_loaded_leaves_no_files(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use, for later tests too
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    own = [text for text in TINY_RUN if not text.startswith("data")]
    assert run_command_line(["train", *own, "data=cifar10", "hydra.run.dir=here"]) == 1
    assert "cifar10" in capfd.readouterr().err and not (tmp_path / "here").exists()


def test_the_commit_is_that_of_the_code_wherever_it_is_started(tmp_path, monkeypatch):
    def git(place, *arguments):
        names = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        done = subprocess.run(["git", *names, *arguments], cwd=place, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "another repository")
    monkeypatch.chdir(tmp_path)
    assert str(get_commit.__wrapped__()).removesuffix("-dirty") == git(ROOT, "rev-parse", "HEAD")
    monkeypatch.setattr(result_json, "PACKAGE", tmp_path)
    assert get_commit.__wrapped__() == git(tmp_path, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer.lr=-1,0.1"], "optimizer.lr=-1.0 is not legal"),
        (["optimizer.lr=1e30,1e31"], "diverged"),
        (["optimizer.lr=-1,-2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], "optimizer.lr=-1.0 is not legal"),
        (["optimizer.lr=interval(0,1)"], "sota-exp sweep searches an interval"),
        (["augmentation/mix=mixup,cutmix", "augmentation.mix.alpha=0.3"], "a sweep of augmentation/mix; write ++augm"),
        (["data=null,fake"], "data=null,fake: the value of a group"),
        (["seed=choice(null,1)"], "seed=null: expected an integer"),
    ],
)
def test_a_failed_job_of_a_multirun_is_one_line_of_ours(capfd, overrides, words):
    quiet = ["hydra/hydra_logging=sota_exp", "tracking=none"]
    assert run_command_line(["train", "-m", *TINY_RUN, *quiet, *overrides]) in (1, 2)
    errors = capfd.readouterr().err
    lines = [line for line in errors.splitlines() if not line.startswith(("WARNING:", "INFO:"))]
    assert len(lines) == 1 and lines[0].startswith("sota-exp: ") and words in lines[0]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer.lr=0.1,abc"], "optimizer.lr=abc: expected a number (in the run optimizer.lr=abc; no run was"),
        (["optimizer.lr=0.1,0.2", "seed=1,-1"], "seed=-1 is not legal: an integer from 0 to 2⁶³ − 1 (in the run optim"),
        (["augmentation/mix=none,mixes"], "augmentation/mix=mixes: no such option"),
        (["augmentation/policy=none,randaugment", "++augmentation.policy.p=0.5"], "augmentation.policy.p: no such key"),
        (["schedule/lr=cosine,one_cycle", "schedule/warmup=linear"], "(in the run schedule/lr=one_cycle; no run was"),
        (["schedule.length.epochs=choice(1,0.5)"], "schedule.length.epochs=0.5: expected an integer"),
        (["batch_size=range(8,-9,-8)"], "batch_size=0 is not legal: images, at least 1"),
    ],
)
def test_all_runs_of_a_multirun_are_checked_before_the_first_one_trains(capfd, elsewhere, overrides, words):
    assert run_command_line(["train", "-m", *TINY_RUN, "tracking=none", "hydra.sweep.dir=swept", *overrides]) == 2
    errors = capfd.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not (elsewhere / "swept").exists()


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_panel_the_note_and_the_curves_name_the_epoch_whose_weights_are_saved(capsys, select):
    overrides = ["schedule.length.epochs=3", "optimizer.lr=1e-6", "recipe=baseline", f"evaluation.select={select}"]
    command = ["train", *TINY_RUN[:-1], *overrides, "tracking=none", "hydra.run.dir=run"]
    assert run_command_line(command) == 0
    result = json.loads(Path("run/result.json").read_text())
    best, saved = result["metrics"]["best/epoch"], result["saved_epoch"]
    assert saved == (best if select == "best" else 3) and best < 3
    said = f"epoch {best} was best on val" if select == "best" else "epoch 3, the last (evaluation.select=last)"
    assert said in " ".join(capsys.readouterr().out.replace("│", "").split())
    assert said in format_run_note(RunContent.read(Path("run")))
    titles = json.dumps(draw_learning_curves(RunFigureData.read(Path("run")), 900).to_dict())
    assert re.search(rf"saved weights: [\d.]+ %, epoch {saved}", titles)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.lr=interval(0,0.1)", "batch_size=0"], "batch_size=0 is not legal: images, at least 1"),
        (["seed=range(0,9)", "data=image_folder", "data.root=nowhere"], "data.root=nowhere is not legal"),
        (["optimizer.lr=choice(0.1,abc)"], "optimizer.lr=abc: expected a number"),
        (["optimizer.lr=interval(-1,0.1)"], "optimizer.lr is searched from -1 to 0.1: optimizer.lr=-0.9999989 is not"),
        (["batch_size=range(0,64,step=16)"], "batch_size is searched from 0 to 48: batch_size=0 is not legal"),
        (["augmentation/mix=choice(none,mixes)"], "augmentation/mix=mixes: no such option"),
    ],
)
def test_values_of_a_sweep_are_checked_before_the_first_trial(words, message, capfd, elsewhere):
    own = [word for word in TINY_RUN if "data=image_folder" not in words or not word.startswith("data")]
    assert run_command_line(["sweep", *own, "tracking=none", "hydra.sweep.dir=s", *words]) == 2
    said = capfd.readouterr()
    assert said.err.startswith(f"sota-exp: {message}") and said.err.count("\n") == 1 and not said.out
    assert not list(elsewhere.glob("s/study.db*"))


@pytest.mark.parametrize("key", ["batch_size", "schedule.early_stopping.patience"])
def test_an_interval_of_a_whole_number_is_refused_before_any_trial(key, capfd, elsewhere):
    words = ["schedule/early_stopping=patience", "hydra.sweep.dir=s", "tracking=none"]
    assert run_command_line(["sweep", f"{key}=interval(2,5)", *words]) == 2
    assert f"{key}=interval(2,5): {key} is a whole number; write {key}=int(interval(2,5))" in capfd.readouterr().err
    assert not list(Path("s").glob("[0-9]*"))
