"""What strangers may send: runs, weights, studies, lists and images that try to run, send, write, read or hang.

A case gets the `World` of `tests.torture.hostile` and changes what the commands then read. `{evil}` is the directory of
the stranger's run, `{server}` the stranger's server, `{world}` the folder of everything.
"""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import yaml

from tests.data.test_open_image import write_jpeg_bomb, write_png_bomb
from tests.report.studies import STEPS, write_study

if TYPE_CHECKING:
    from tests.torture.hostile import World

#: Every command that reads a run.
RUN_COMMANDS = (
    "predict {evil} photo.png",
    "evaluate run={evil} hydra.run.dir=outputs/scored",
    "rerun {evil} hydra.run.dir=outputs/again",
    "rerun {evil} seed=1 optimizer.lr=0.01 hydra.run.dir=outputs/changed",
    "export {evil} --format=safetensors --output=exported",
    "compare {evil} outputs/mine --html page.html",
    "diff outputs/mine {evil}",
    "sync {evil}",
    "doctor",
)


class Case(NamedTuple):
    """prepare: changes the world. commands: whose outcome is looked at."""

    prepare: Callable[["World"], object]
    commands: tuple[str, ...] = RUN_COMMANDS


class Executes:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


def values(**changes: Any) -> Callable[["World"], object]:
    """Dotted keys of the configuration, with `__` for a dot; a value of None as key removes nothing."""
    return lambda world: world.change_config({key.replace("__", "."): value for key, value in changes.items()})


def choices(**changes: str) -> Callable[["World"], object]:
    return lambda world: world.change_json("result.json", choices={k.replace("__", "/"): v for k, v in changes.items()})


def link(name: str, target: str) -> Callable[["World"], object]:
    def make(world: "World") -> None:
        path = world.evil / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(world.fill(target))

    return make


def write(name: str, text: str) -> Callable[["World"], object]:
    return lambda world: world.write(world.evil / name, world.fill(text))


def several(*steps: Callable[["World"], object]) -> Callable[["World"], object]:
    return lambda world: [step(world) for step in steps]


def pickled(name: str, content: Callable[["World"], object] = lambda world: Executes(world.marker)) -> Any:
    def make(world: "World") -> None:
        (world.evil / name).write_bytes(pickle.dumps(content(world)))

    return make


def saved(name: str, **more: Any) -> Callable[["World"], object]:
    """A file of PyTorch with an object that runs a command."""
    return lambda world: torch.save(
        {"state_dict": {"x": torch.zeros(1)}, "args": Executes(world.marker)} | more, world.work / name
    )


def write_npz(world: "World") -> None:
    with zipfile.ZipFile(world.evil / "predictions.npz", "w") as file:
        array = np.array([Executes(world.marker)], dtype=object)
        with file.open("test_labels.npy", "w") as member:
            np.lib.format.write_array(member, array, allow_pickle=True)
        file.writestr("../../../written.npy", b"x")


def write_safetensors(header: bytes, size: int | None = None) -> Callable[["World"], object]:
    def make(world: "World") -> None:
        num = len(header) if size is None else size
        (world.evil / "model.safetensors").write_bytes(struct.pack("<Q", num) + header)

    return make


def config_directory(world: "World") -> None:
    """A folder of YAML, beside the run, whose options read the environment and a class."""
    folder = world.work / "conf_of_evil"
    world.write(folder / "augmentation/mix/evil.yaml", "_target_: evil_module.Mix\nalpha: ${oc.env:SECRET}\n")
    world.write(folder / "recipe/baseline.yaml", "# @package _global_\nrecipe: {name: '${oc.env:SECRET}'}\n")
    sources = [{"path": str(folder), "schema": "file", "provider": "command-line"}]
    world.write(world.evil / ".hydra/hydra.yaml", yaml.safe_dump({"hydra": {"runtime": {"config_sources": sources}}}))
    world.change_config({"augmentation.mix": {"_target_": "evil_module.Mix"}})


def study(world: "World") -> None:
    """A study whose names are scripts."""
    directory, text = (
        write_study(world.work / "multirun/s", STEPS[:2], range(3), num_test=60),
        "<script>evil()</script>",
    )
    tree = json.loads((directory / "study.json").read_text())
    tree |= {"title": text, "recipe": text, "command": text, "notes": [text], "rules": [{"message": text}]}
    (directory / "study.json").write_text(json.dumps(tree))


def study_that_leads_out(world: "World") -> None:
    (write_study(world.work / "multirun/s", STEPS[:2], range(3), num_test=60) / "figures").symlink_to(world.home)


def sweep(world: "World") -> None:
    world.write(world.work / "multirun/s/sweep.json", json.dumps({"ranking": [{"knobs": {"hydra.run.dir": "/x"}}]}))
    (world.work / "multirun/s/figures").symlink_to(world.home)


def table(row: str) -> Callable[["World"], object]:
    return lambda world: world.write(world.work / "list.csv", "path,label\n" + world.fill(row) + "\nphoto.png,b\n")


def name_with_signs(world: "World") -> None:
    odd = world.evil.with_name("\x1b]0;evil\x07\n${oc.env:SECRET}[red]")
    world.evil.rename(odd)
    world.evil = odd


def postscript(world: "World") -> None:
    program = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n({world.marker}) (w) file\n"
    world.write(world.work / "evil.png", program)


TRAIN = "train data=fake scale=smoke tracking=none tracking.figures=false hydra.run.dir=outputs/trained"
BOMB = "&a [x,x,x,x,x,x,x,x,x]"
ALIASES = "".join(
    f", &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)

CASES: dict[str, Case] = {
    "a value reads the environment": Case(values(recipe__name="${oc.env:SECRET}")),
    "an address with the environment in it": Case(values(tracking__uri="{server}/${oc.env:SECRET}")),
    "a server": Case(values(tracking__uri="{server}")),
    "a server in tracking.json": Case(write("tracking.json", '{"uri": "{server}", "experiment": "x"}')),
    "a database elsewhere": Case(write("tracking.json", '{"uri": "sqlite:///{home}/x/y.db", "experiment": "x"}')),
    "an experiment named as a path": Case(write("tracking.json", '{"uri": "", "experiment": "../../../home/x"}')),
    "a parent in the home": Case(write("tracking.json", '{"uri": "", "origin": {"parent": "{home}", "kind": "arm"}}')),
    "the environment in Hydra's files": Case(
        write(".hydra/hydra.yaml", "hydra: {mode: MULTIRUN, overrides: {task: ['a=${oc.env:SECRET}']}}")
    ),
    "Hydra's own keys": Case(values(hydra__job_logging__formatters__simple__format="evil")),
    "Hydra's launcher": Case(choices(hydra__launcher="evil")),
    "an option that is a path": Case(choices(augmentation__mix="../../evil,hydra.run.dir=/x")),
    "a key that is an override": Case(values(recipe={"name=x,hydra.run.dir=/tmp/evil": 1})),
    "a folder of YAML": Case(config_directory),
    "a class of another package": Case(values(optimizer___target_="evil_module.Optimizer")),
    "a function of Python": Case(values(optimizer={"_target_": "os.system", "command": "touch {marker}"})),
    "a network of another package": Case(
        lambda world: world.change_json("model.json", arch={"_target_": "evil_module.Net"})
    ),
    "a network of a Hub": Case(values(model__arch={"_option_": "timm", "name": "hf-hub:evil/x", "img_size": None})),
    "data of the home": Case(values(data={"_option_": "image_folder", "root": "{home}/.ssh", "cache": "{home}/x"})),
    "a cache in the home": Case(values(data__cache="{home}/x")),
    "weights of the home": Case(values(model__weights={"_option_": "checkpoint", "path": "{home}/.ssh/key"})),
    "weights of a server": Case(
        values(model__weights={"_option_": "checkpoint", "path": "runs:/" + "0" * 32, "store": "{server}"})
    ),
    "Python in YAML": Case(write("config.yaml", "!!python/object/apply:os.system ['touch {marker}']")),
    "aliases that multiply": Case(write("config.yaml", f"seed: 0\ndata: {{x: [{BOMB}{ALIASES}]}}")),
    "a deep result": Case(write("result.json", '{"status":' + "[" * 100_000)),
    "numbers without end": Case(write("result.json", '{"status": "finished", "fingerprint": NaN, "choices": 1e999}')),
    "a log that is a link": Case(link("run.log", "{home}/.ssh/key")),
    "a figure that is a link": Case(link("figures/a.png", "{home}/.ssh/key")),
    "a lock that is a link": Case(link(".tracking.lock", "{home}/.bashrc")),
    "a configuration that is a link": Case(link("config.yaml", "{home}/.ssh/key")),
    "a pipe": Case(lambda world: [(world.evil / "metrics.jsonl").unlink(), os.mkfifo(world.evil / "metrics.jsonl")]),
    "a pickle as predictions": Case(write_npz),
    "a pickle as digests of images": Case(pickled("trained_on.npy")),
    "a pickle as weights": Case(pickled("model.safetensors")),
    "classes that are markup": Case(
        lambda world: world.change_json(
            "model.json", classes=["[red]\x1b[2J", "<script>", "${oc.env:SECRET}", "=cmd|' /C calc'!A0"]
        )
    ),
    "a name with signs": Case(name_with_signs),
    "a header of weights without end": Case(write_safetensors(b"{}", 2**62)),
    "weights out of their file": Case(
        write_safetensors(b'{"a":{"dtype":"F32","shape":[999999999],"data_offsets":[0,3999999996]}}')
    ),
    "a checkpoint that runs": Case(
        saved("evil.pth.tar"), ("evaluate weights=evil.pth.tar model/arch=timm model.arch.name=resnet10t data=fake",)
    ),
    "weights to begin with that run": Case(
        saved("evil.pt"), (f"{TRAIN} model/weights=checkpoint model.weights.path=evil.pt",)
    ),
    "a checkpoint in the directory that runs": Case(
        lambda world: torch.save(
            {"state": Executes(world.marker)}, world.make(world.work / "outputs/trained/checkpoint/state.pt")
        ),
        (TRAIN,),
    ),
    "a teacher of another package": Case(
        lambda world: world.change_json("model.json", arch={"_target_": "evil_module.Net"}),
        (
            f"{TRAIN} regularization/distillation=logits regularization.distillation.path=outputs/evil/model.safetensors",
        ),
    ),
    "a study that is a page": Case(study, ("report s",)),
    "a study that leads out": Case(study_that_leads_out, ("report s",)),
    "names that are scripts": Case(
        values(recipe__name="<script>evil()</script>", data__name="<script>evil()</script>")
    ),
    "a sweep that leads out": Case(
        sweep,
        (
            "report s",
            f"sweep search=learning_rate {TRAIN[6:]} hydra.sweeper.n_trials=1 hydra.sweeper.warm_start=multirun/s hydra.sweep.dir=multirun/t",
        ),
    ),
    "a list that leaves its folder": Case(table("../home/.ssh/key,a"), (f"{TRAIN} data=csv data.path=list.csv",)),
    "a list of absolute paths": Case(table("{home}/.ssh/key,a"), (f"{TRAIN} data=csv data.path=list.csv",)),
    "a PNG of 3.6 gigapixels": Case(
        lambda world: write_png_bomb(world.work / "evil.png"), ("predict outputs/mine evil.png photo.png",)
    ),
    "a JPEG of 3.6 gigapixels": Case(
        lambda world: write_jpeg_bomb(world.work / "evil.jpg"), ("predict outputs/mine evil.jpg photo.png",)
    ),
    "a program as image": Case(postscript, ("predict outputs/mine evil.png photo.png",)),
    "a password in an address": Case(
        lambda world: None,
        (
            f"{TRAIN} tracking=mlflow tracking.uri=http://me:{{secret}}@127.0.0.1:9 tracking.patience=1",
            "doctor --uri http://me:{secret}@127.0.0.1:9",
        ),
    ),
}
