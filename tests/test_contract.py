"""What every option owes, whatever it does: found by reading conf/, so that a new option is held to it by being there.

It composes and builds, is its own schema, trains, repeats and resumes to the bit, changes something where its slot's neutral
option changes nothing, draws only its own random numbers, and has its module, test and row.
"""

import contextlib
import dataclasses
import json
import shutil
import sys
import tarfile
import typing
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from sota_exp.config.build import build, import_class
from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import PublishedWeights
from sota_exp.stages.stage import InvalidValue, Stage
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.arch.timm import TimmNetwork
from tests import archives, handed_in, hub
from tests.experiments import OFF, ON, TINY, Trace, composed, recorded_draws, trace_of
from tests.options import ROOT, Option, missing_touches, options, presets
from tests.rows import each_row

OPTIONS = options()
SLOTS = sorted({option.slot for option in OPTIONS})

#: Neutral options that are not called `none`; of slots where something always happens, the plainest.
NEUTRAL = {
    "augmentation/train_size": "native",
    "data": "fake",
    "data/split": "holdout",
    "evaluation/resolution": "fixed",
    "loss": "cross_entropy",
    "model/arch": "small",
    "model/tuning": "full",
    "model/weights": "scratch",
    "optimizer": "sgd",
    "regularization/norm": "batch",
    "schedule/length": "standard",
    "schedule/lr": "constant",
    "schedule/stepping": "step",
    "supervision": "full",
}

#: Where several choices only mean something together: overrides for the option and for its neutral one alike.
CONTEXT = {
    "augmentation/train_size=fixres": ("augmentation/crop=random_resized",),
    "evaluation/tta=multi_crop": ("data.image_size=24", "data.min_side=24"),
    "model/tuning=gradual": ("optimizer.lr=0.01",),
    "schedule/stepping=epoch": ("schedule/lr=cosine",),
    "schedule/lr_scaling=linear": ("optimizer.lr=0.05",),
}

#: Values at which an option acts within six steps of sixteen images.
VALUES = {
    "augmentation/crop=pad": ("augmentation.crop.padding_fraction=0.25",),
    "augmentation/erase=random_erasing": ("augmentation.erase.p=0.5",),
    "data/split=cross_validation": ("data.split.folds=10",),
    "evaluation/resolution=fixed": (),
    "model/arch=timm": ("model.arch.name=test_resnet", "~model.arch.width_multiplier"),
    "model/arch=torchvision": ("model.arch.name=shufflenet_v2_x0_5", "~model.arch.width_multiplier"),
    "regularization/average=ema": ("regularization.average.every=1",),
    "regularization/average=swa": ("regularization.average.start=0.5",),
    "regularization/clip=norm": ("regularization.clip.max_norm=0.1",),
    "regularization/clip=value": ("regularization.clip.clip_value=0.001",),
    "regularization/norm=ghost_batch": ("regularization.norm.ghost_batch_size=8",),
    "schedule/accumulation=micro_batches": ("schedule.accumulation.micro_batch_size=8",),
    "schedule/length=long": ("schedule.length.epochs=3",),
    "schedule/length=standard": (),
    "schedule/warmup=constant": ("schedule.warmup.fraction=0.4",),
    "schedule/warmup=linear": ("schedule.warmup.fraction=0.4",),
}

#: Options whose effect a single process on a processor does not have, or that act after training: what shows it instead.
ELSEWHERE = {
    "evaluation/metrics=top_k": "tests/techniques/evaluation/metrics/test_top_k.py",
    "evaluation/fine_tune=classifier_and_norm": "tests/techniques/evaluation/fine_tune/test_classifier_and_norm.py",
    "regularization/norm=sync_batch": "tests/techniques/regularization/norm/test_sync_batch.py",
}

#: Sets of pixels of their own: fewer and smaller images than they ship with.
SETS = {
    "data=animals_on_photos": ("data.stored_size=16",),
    "data=digits_on_photos": ("data.stored_size=16",),
    "data=imagenet": ("data.val_fraction=0.1",),
}


def neutral(slot: str) -> str:
    return NEUTRAL.get(slot, "none")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, tiny sets in their published formats, and weights for the options that start from a file."""
    place = tmp_path_factory.mktemp("made")
    make_files(place)
    return place


def make_files(place: Path) -> None:
    """Fill an empty folder with what `overrides_of` names."""
    torch.manual_seed(1)
    save_file(SmallNetwork(name="resnet_xs", width_multiplier=1.0)(4).state_dict(), place / "teacher.safetensors")
    save_file(SmallNetwork(name="resnet_xs", width_multiplier=0.25)(4).state_dict(), place / "start.safetensors")
    for index in range(64):
        folder = place / "images" / f"class_{index % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(torch.randint(256, (20, 24, 3), dtype=torch.uint8).numpy()).save(folder / f"{index}.png")
    for name, write in {**archives.WRITERS, "imagenet": archives.imagenet}.items():
        (place / name).mkdir()
        write(place / name)
    (place / "shards").mkdir()
    with tarfile.open(place / "shards" / "all.tar", "w") as archive:
        for index in range(64):
            archive.add(place / "images" / f"class_{index % 4}" / f"{index}.png", f"{index}.png")
            (place / "class.txt").write_text(str(index % 4))
            archive.add(place / "class.txt", f"{index}.cls")
    (place / "rows").mkdir()
    pictures = [(place / "images" / f"class_{index % 4}" / f"{index}.png").read_bytes() for index in range(64)]
    table = pa.table({"image": pictures, "label": [index % 4 for index in range(64)]})
    pq.write_table(table, place / "rows" / "all.parquet")
    rows = [f"images/class_{index % 4}/{index}.png,{index % 4}" for index in range(64)]
    (place / "images.csv").write_text("\n".join(["path,label", *rows]) + "\n")


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published weights without a network connection: those of another seed."""

    def of_another_seed(self: TimmNetwork, tag: str) -> PublishedWeights:
        torch.manual_seed(2)
        preprocessing = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        return PublishedWeights(state=self(4).state_dict(), preprocessing=preprocessing, content_hash="of another seed")

    monkeypatch.setattr(TimmNetwork, "load_published", of_another_seed)


@pytest.fixture(scope="module")
def parts() -> dict[str, hub.Dataset]:
    kind = hub.ClassLabel(["ant", "bee", "cat", "dog"])
    return {"train": hub.part([index % 4 for index in range(64)], kind)}


@pytest.fixture(autouse=True)
def sets(monkeypatch: pytest.MonkeyPatch, parts: dict[str, hub.Dataset]) -> None:
    """Published sets without a network connection: torchvision takes the tiny ones, and the hub offers one of its own."""
    archives.admit(monkeypatch)
    monkeypatch.setitem(sys.modules, "datasets", hub.module(lambda *_, **__: parts))


def overrides_of(option: Option, made: Path) -> tuple[str, ...]:
    """The overrides, beside `slot=option`, that make an option act in a tiny experiment."""
    cache = f"data.cache={made}/cache"  # A set of 104 images must not be found under a published set's name.
    handed = handed_in.overrides_of(str(option)) if option.name == "python" else ()
    files = {
        **{f"data={name}": (f"data.root={made}/{name}", cache) for name in archives.WRITERS},
        "data=imagenet": (f"data.root={made}/imagenet/imagenet", cache),
        "data=huggingface": ("data.dataset=someone/animals", cache),
        "data=csv": (f"data.path={made}/images.csv",),
        "data=image_folder": (f"data.root={made}/images",),
        "data=webdataset": (f"data.root={made}/shards", cache),
        "data=parquet": (f"data.root={made}/rows", cache),
        "data=python": (*handed, cache),
        "model/arch=python": handed,
        "model/weights=checkpoint": (f"model.weights.path={made}/start.safetensors",),
        "regularization/distillation=logits": (
            "regularization.distillation.source=file",
            "regularization.distillation.name=resnet_xs",
            f"regularization.distillation.path={made}/teacher.safetensors",
        ),
    }
    return VALUES.get(str(option), ()) + files.get(str(option), ())


def context_of(option: Option) -> tuple[str, ...]:
    """TINY and OFF, but for what the option's slot itself replaces."""
    tiny = TINY
    if option.slot == "data" and option.name != "fake":
        own = ("data=", "data.num_", "data.min_side", "data.max_side")
        tiny = (*(text for text in TINY if not text.startswith(own)), "scale.train_images=48", "scale.eval_images=20")
    if str(option) in ("model/arch=timm", "model/arch=torchvision", "model/arch=python"):
        tiny = tuple(text for text in tiny if not text.startswith("model.arch."))
    if option.slot == "schedule/length":
        tiny = tuple(text for text in tiny if not text.startswith("schedule.length"))
    if str(option) == "model/weights=pretrained":
        tiny = (
            *(text for text in tiny if not text.startswith("model.arch.")),
            "model/arch=timm",
            "model.arch.name=test_resnet",
        )
    return (*tiny, *OFF, *CONTEXT.get(str(option), ()), *SETS.get(str(option), ()))


def with_option(option: Option, made: Path) -> Configuration:
    values = tuple(text for text in overrides_of(option, made) if not text.startswith("~"))
    return composed(*context_of(option), f"{option.slot}={option.name}", *values)


def with_neutral(option: Option) -> Configuration:
    if option.slot == "data":
        return composed(*TINY, *OFF)
    context = context_of(option)
    if option.slot == "schedule/length":
        return composed(*context, "schedule/length=standard", "schedule.length.epochs=2")
    if option.slot == "model/arch":
        return composed(*TINY, *OFF)
    return composed(*context, f"{option.slot}={neutral(option.slot)}")


def trace_once(configuration: Configuration, interrupt_at: int | None = None) -> Trace:
    """Options that do nothing have one configuration, and many others are compared with it."""
    key = json.dumps([configuration.choices, configuration.values], sort_keys=True), interrupt_at
    if key not in _traced:
        _traced[key] = trace_of(configuration.experiment, interrupt_at)
    return _traced[key]


_traced: dict[tuple[str, int | None], Trace] = {}


def differences(one: Trace, other: Trace) -> set[str]:
    names = {*one.prints, *other.prints}
    return {name for name in names if one.prints.get(name) != other.prints.get(name)}


@each_row("group, name", presets())
def test_every_preset_recipe_and_scale_composes_and_builds(group: str, name: str) -> None:
    made = composed("data=fake", f"{group}={name}")
    assert made.choices[group] == name
    assert made.experiment.seed == 0


@each_row("option", OPTIONS)
def test_the_yaml_is_the_classs_own_schema(option: Option) -> None:
    """Every field has its default in the YAML, in the field's order, and nowhere else; the first line says what it does."""
    text = (ROOT / "conf" / option.slot / f"{option.name}.yaml").read_text()
    cls = import_class(option.target, str(option))
    assert isinstance(cls, type) and dataclasses.is_dataclass(cls)
    slots = {other.slot.removeprefix(f"{option.slot}/") for other in OPTIONS}  # `data/split` is a slot of its own
    fields = [item for item in dataclasses.fields(cls) if item.name not in slots]
    assert [key for key in yaml.safe_load(text) if key != "_target_"] == [item.name for item in fields]
    assert [item.name for item in fields if item.default is not dataclasses.MISSING] == []
    assert typing.cast(typing.Any, cls).__dataclass_params__.frozen
    assert text.startswith("# ") and sys.modules[cls.__module__].__doc__


def assert_builds_stage(option: Option, found: Configuration) -> None:
    """It is a stage of its slot."""
    assert found.choices[option.slot] == option.name
    node: typing.Any = found.experiment
    for part in option.slot.split("/"):
        node = vars(node)[part]
    assert type(node).__name__ == option.target.rpartition(".")[2]
    assert type(node).__module__ == option.target.rpartition(".")[0]


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_it_builds_trains_repeats_resumes_and_changes_something(option: Option, made: Path) -> None:
    """Six steps; again, with a checkpoint in the middle of the second epoch; and beside the slot's neutral option."""
    configuration = with_option(option, made)
    assert_builds_stage(option, configuration)
    trace = trace_once(configuration)
    assert all(map(torch.isfinite, torch.tensor(trace.losses))) and len(trace.losses) >= 6
    assert differences(trace, trace_once(configuration, interrupt_at=4)) == set()
    if option.name == neutral(option.slot):
        return
    changed = differences(trace, trace_once(with_neutral(option)))
    assert bool(changed) == (str(option) not in ELSEWHERE), changed


def slots_with_neutral() -> list[str]:
    return [
        slot for slot in SLOTS if slot.split("/")[0] in ("augmentation", "regularization", "schedule", "supervision")
    ]


@pytest.fixture(scope="module")
def draws_with_everything_on() -> dict[str, list[str]]:
    with recorded_draws() as draws:
        trace_of(composed(*TINY, *ON).experiment)
    return draws


@pytest.mark.parametrize("slot", slots_with_neutral())
def test_the_neutral_option_draws_nothing_and_leaves_every_other_draw(
    slot: str, draws_with_everything_on: dict[str, list[str]]
) -> None:
    """Bitwise: switching a slot off in the fullest recipe changes no random number but its own."""
    own = {
        "augmentation/crop": ("augmentation/train_size=native",),  # FixRes needs a resized crop
    }.get(slot, ())
    without = tuple(text for text in ON if not text.startswith((f"{slot}=", f"{slot.replace('/', '.')}.")))
    with recorded_draws() as draws:
        trace_of(composed(*TINY, *without, f"{slot}={neutral(slot)}", *own).experiment)
    assert [key for key in draws if key.split("@")[0] == slot] == []
    assert draws == {name: value for name, value in draws_with_everything_on.items() if name.split("@")[0] != slot}


def test_the_fullest_recipe_draws_in_many_slots(draws_with_everything_on: dict[str, list[str]]) -> None:
    """What the test before compares is not nothing."""
    drawing = {name.split("@")[0] for name in draws_with_everything_on}
    assert drawing >= {f"augmentation/{slot}" for slot in ("crop", "flip", "geometry", "policy", "erase", "mix")}
    assert "order" in drawing


@each_row("slot", SLOTS)
def test_a_slot_needs_a_stage_of_its_own_kind(slot: str) -> None:
    tree: typing.Any = composed(*TINY, *OFF).values
    wrong = "sota_exp.stages.schedule.NoWarmup" if slot != "schedule/warmup" else "sota_exp.stages.batch.KeepBatch"
    changed = yaml.safe_load(yaml.safe_dump(tree))
    *path, last = slot.split("/")
    node = changed
    for part in path:
        node = node[part]
    node[last] = {"_target_": wrong}
    with pytest.raises(Exception, match=f"{slot.replace('/', '.')}._target_={wrong} is no "):
        build(Experiment, changed)


# ------------------------------------------------------------------------------------------------------ the four touches


def test_every_technique_has_its_four_touches() -> None:
    assert missing_touches(ROOT) == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the tree, and which touches are missing there."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("conf", "sota_exp", "tests", "docs"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return root, missing_touches(root)


TOUCHES = {
    "sota_exp/techniques/augmentation/erase/painted_column.py": (
        '"""Painted column: paints the first column.\n\nx[:, 0] = 0\n\nPaper: none\nSetting: none\n"""\n\n'
        "from dataclasses import dataclass\n\nfrom sota_exp.stages.batch import Batch, BatchTransform\n"
        "from sota_exp.stages.random import Draws\n\n\n@dataclass(frozen=True, kw_only=True)\n"
        'class PaintedColumn(BatchTransform):\n    """Paints the first column."""\n\n    value: float\n\n'
        "    def __call__(self, batch: Batch, progress: float, rng: Draws) -> Batch:\n"
        "        images = batch.images.clone()\n        images[..., 0] = self.value\n"
        "        return batch.with_images(images)\n"
    ),
    "conf/augmentation/erase/painted_column.yaml": (
        "# Paints the first column\n_target_: sota_exp.techniques.augmentation.erase.painted_column.PaintedColumn\nvalue: 0.0\n"
    ),
    "tests/techniques/augmentation/erase/test_painted_column.py": "def test_it():\n    assert True\n",
    "docs/techniques.md": "| `augmentation/erase` | `painted_column` | Paints the first column | `value: 0.0` | none |\n",
}


@contextlib.contextmanager
def touches(root: Path, left_out: str = "") -> Iterator[None]:
    """Within it, all touches of a technique but one are in the tree."""
    written = {root / name: text for name, text in TOUCHES.items() if name != left_out}
    before = {path: path.read_text() if path.exists() else None for path in written}
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((before[path] or "") + text)
    yield
    for path, former in before.items():
        path.unlink() if former is None else path.write_text(former)


def test_a_technique_of_four_touches_lacks_nothing(copy: tuple[Path, list[str]]) -> None:
    root, before = copy
    with touches(root):
        assert missing_touches(root) == before


@pytest.mark.parametrize("left_out", TOUCHES)
def test_each_touch_left_out_is_named(copy: tuple[Path, list[str]], left_out: str) -> None:
    root, before = copy
    with touches(root, left_out):
        new = [line for line in missing_touches(root) if line not in before]
    assert new and all(line.startswith(f"{left_out}: ") and "painted_column" in line for line in new)


def test_a_value_out_of_range_is_an_invalid_value() -> None:
    assert issubclass(InvalidValue, ValueError) and issubclass(TimmNetwork, Stage)
