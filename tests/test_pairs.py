"""Options on top of the whole recipe, and any ten together: whatever no rule forbids trains, ships and is scored."""

import math
import random
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sota_exp.config.configuration import Configuration
from sota_exp.config.rules import check_rules
from sota_exp.errors import ConfigError
from sota_exp.models.zoo import build_timm
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import Model, PublishedWeights
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.arch.timm import TimmNetwork
from sota_exp.techniques.model.arch.torchvision import TorchvisionNetwork
from sota_exp.techniques.regularization.distillation import logits
from sota_exp.training.listener import RunRequest
from sota_exp.training.loop import EpochRecord, fit, start_training
from sota_exp.training.run import run
from tests.experiments import TINY, composed, session_of
from tests.options import Option, options
from tests.training.test_run import Silent

#: Trainings of ten options each: 45 pairs in one, more than five hundred in all.
NUM_TRAININGS, NUM_TOGETHER = 14, 10

#: Options of a whole run.
NUM_IN_RUN = 12

#: Groups whose options are techniques: what is compared, not what it is compared on.
GROUPS = ("augmentation", "regularization", "schedule", "model", "optimizer", "loss", "supervision", "evaluation")

#: The variable of the environment that names a file of weights.
WEIGHTS = "SOTA_EXP_TEST_WEIGHTS"

#: What an option needs to run here: sizes of a tiny experiment, networks that have published weights.
NEEDS = {
    "model/arch=timm": ("model.arch.name=test_resnet",),
    "model/arch=torchvision": ("model.arch.name=shufflenet_v2_x0_5",),
    "model/weights=pretrained": ("model/arch=timm", "model.arch.name=test_resnet"),
    "model/weights=checkpoint": (
        "model/arch=small",
        "model.arch.name=resnet_xs",
        f"model.weights.path=${{oc.env:{WEIGHTS}}}",
    ),
    "regularization/distillation=logits": ("regularization.distillation.name=test_resnet",),
    "regularization/norm=ghost_batch": ("regularization.norm.ghost_batch_size=8",),
    "schedule/accumulation=micro_batches": ("schedule.accumulation.micro_batch_size=8",),
    "schedule/lr=one_cycle": ("schedule/warmup=none",),
    "supervision=label_propagation": ("supervision.labels_only=0.4",),
    "augmentation/train_size=fixres": ("augmentation/crop=random_resized",),
}

#: What a rule forbids on top of a recipe, with its reason: FixRes makes up for resized crops, which these take away.
REFUSED = {"small_images": [], "torchvision": ["augmentation/crop=none", "augmentation/crop=pad"]}

#: Not here: a norm that needs several accelerators, and a network that Python hands in.
LEFT_OUT = ("regularization/norm=sync_batch", "model/arch=python")


def techniques() -> list[Option]:
    found = [option for option in options() if option.slot.split("/")[0] in GROUPS]
    return [option for option in found if not option.is_neutral and str(option) not in LEFT_OUT]


def combinations_of_options() -> Iterator[list[Option]]:
    """Options of different slots that have what they need, without end, in an order that never changes."""
    rng, every = random.Random(0), techniques()
    while True:
        by_slot = {option.slot: option for option in rng.sample(every, len(every))}
        chosen = rng.sample(list(by_slot.values()), NUM_TOGETHER)
        if set(list_needs(chosen)) <= set(needs(chosen)):
            yield chosen


def list_needs(chosen: list[Option]) -> list[str]:
    in_order = sorted(chosen, key=lambda option: option.slot == "model/arch")
    return [text for option in in_order for text in NEEDS.get(str(option), ())]


def overrides_of(chosen: list[Option]) -> tuple[str, ...]:
    small = [text for text in TINY if not text.startswith("model.arch.")]
    needed = needs(chosen)
    arch = (
        ()
        if any("model/arch" in text for text in needed)
        else ("model.arch.name=resnet_xs", "model.arch.width_multiplier=0.25")
    )
    return (*small, *arch, "recipe=baseline", "optimizer.lr=0.01", *needed)


def needs(chosen: list[Option]) -> tuple[str, ...]:
    """The options and what they need, each key once; the architecture's needs and the options themselves win."""
    needed = dict(text.split("=", 1) for text in list_needs(chosen))
    return tuple(f"{key}={value}" for key, value in (needed | {option.slot: option.name for option in chosen}).items())


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Published weights without a network connection: those of another seed, and a file with such weights."""
    torch.manual_seed(4)
    save_file(SmallNetwork(name="resnet_xs", width_multiplier=1.0)(4).state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.setenv(WEIGHTS, str(tmp_path / "weights.safetensors"))
    preprocessing = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def of_arch(self: Model, tag: str) -> PublishedWeights:
        torch.manual_seed(2)
        return PublishedWeights(state=self(4).state_dict(), preprocessing=preprocessing, content_hash="of another seed")

    def of_teacher(name: str, tag: str, img_size: int | None) -> PublishedWeights:
        torch.manual_seed(3)
        return PublishedWeights(
            state=build_timm(name, 4, None).state_dict(), preprocessing=preprocessing, content_hash="a teacher"
        )

    monkeypatch.setattr(TimmNetwork, "load_published", of_arch)
    monkeypatch.setattr(TorchvisionNetwork, "load_published", of_arch)
    monkeypatch.setattr(logits, "load_timm_weights", of_teacher)


def is_legal(made: Configuration) -> bool:
    try:
        check_rules(made)
    except ConfigError:
        return False
    return True


def trained(made: Configuration) -> list[Tensor]:
    """Four steps, into a second epoch, and one scoring of val: what has to be finite."""
    session, evaluator = session_of(made.experiment)
    state = start_training(session)
    seen: list[Tensor] = []
    for record in fit(session, state):
        if isinstance(record, EpochRecord):
            seen.append(torch.tensor(list(record.metrics.values())))
        elif record.step == 4:
            break
    seen += state.totals.values()
    return [*seen, evaluator.logits(state.model, "val", made.experiment.evaluation.resolution.views()[-1])]


def test_the_table_of_needs_names_options_that_are_there() -> None:
    assert {*NEEDS, *LEFT_OUT} <= {str(option) for option in options()}


def overrides_on(recipe: str, chosen: list[Option]) -> tuple[str, ...]:
    """The smoke scale of a recipe on a tiny set, with the options and what they need."""
    small = [
        text for text in TINY if not text.startswith(("model.arch.", "schedule.length.", "data.image_size", "data.m"))
    ]
    sized = ("data.image_size=24", "data.min_side=28", "data.max_side=32", "optimizer.lr=0.005")
    needed = needs(chosen)
    arch = (
        ()
        if any(text.startswith("model/arch") for text in needed)
        else ("model.arch.name=resnet_xs", "model.arch.width_multiplier=0.25")
    )
    searched = recipe == "torchvision" and not any(text.startswith("evaluation/resolution=") for text in needed)
    sizes = ("evaluation.resolution.relative_sizes=[1.0,1.25]",) if searched else ()
    return (*small, f"recipe={recipe}", "scale=smoke", "model=none", *sized, *arch, *sizes, *needed)


def shipped(made: Configuration, directory: Path) -> dict[str, float]:
    """The metrics of a whole run: trained, written, read and scored."""
    request = RunRequest(configuration=made, directory=directory)
    result = run(request, Silent())
    assert result["status"] in ("finished", "stopped_early")
    return dict(result["metrics"])


def in_groups(refused: list[str]) -> list[list[Option]]:
    """Every option once: twelve of different slots together; alone networks, what needs others and what is refused."""
    with_others = {name for name, words in NEEDS.items() if any("/" in word.partition("=")[0] for word in words)}
    alone = {*refused, *with_others, *(name for name in NEEDS if name.startswith("model/arch="))}
    found: list[list[Option]] = []
    for option in options():
        if option.slot.split("/")[0] not in GROUPS or str(option) in LEFT_OUT:
            continue
        free = (
            group
            for group in found
            if len(group) < NUM_IN_RUN and not any(other.slot == option.slot or str(other) in alone for other in group)
        )
        group = None if str(option) in alone else next(free, None)
        if group is None:
            found.append(group := [])
        group.append(option)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["torchvision", pytest.param("small_images", marks=pytest.mark.torture)])
def test_every_option_runs_on_top_of_the_whole_recipe(recipe: str, published: None, tmp_path: Path) -> None:
    failures, refused, groups = {}, [], in_groups(REFUSED[recipe])
    for number, group in enumerate(groups):
        name = " ".join(map(str, group))
        made = composed(*overrides_on(recipe, group))
        if not is_legal(made):
            if len(group) == 1:
                refused.append(name)
            else:
                groups += [[option] for option in group]
            continue
        try:
            metrics = shipped(made, tmp_path / str(number))
        except Exception as error:
            failures[name] = repr(error)
            continue
        if not all(math.isfinite(value) for value in metrics.values()):
            failures[name] = f"a value that is not finite: {metrics}"
    assert failures == {}
    assert sorted(refused) == REFUSED[recipe]


@pytest.mark.slow
def test_hundreds_of_random_legal_pairs_train(published: None) -> None:
    failures, trained_pairs, num_tried, num_refused = {}, set(), 0, 0
    for chosen in combinations_of_options():
        if num_tried == NUM_TRAININGS:
            break
        made = composed(*overrides_of(chosen))
        if not is_legal(made):
            num_refused += 1
            continue
        num_tried += 1
        name = " ".join(map(str, chosen))
        try:
            values = trained(made)
        except Exception as error:
            failures[name] = repr(error)
            continue
        trained_pairs |= {frozenset(pair) for pair in combinations(map(str, chosen), 2)}
        if not all(value.isfinite().all() for value in values):
            failures[name] = "a value that is not finite"
    assert failures == {}
    assert len(trained_pairs) > 500
    assert num_refused < 2 * NUM_TRAININGS
