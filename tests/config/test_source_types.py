"""What is read from the source of options is what their classes state, without importing them."""

import copy
import functools
import operator
import subprocess
import sys
from typing import get_type_hints

import pytest

from sota_exp.config.build import build, get_field_types, import_class, is_config_class
from sota_exp.config.source_types import ROOT, SourceClass, check_option, check_values, find_options, read_fields
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import get_legal_values
from tests.experiments import composed
from tests.options import options
from tests.rows import each_row

CLASSES = sorted({option.target for option in options()} | {".".join(ROOT)})

#: Values of which some are not legal for any field.
PROBES = ["resnet19", "runs:/x", -1, 0, 1, 2, 90, -0.5, 0.5, 0.9, 1.5, 1e9, True, None, [], [0], [-1.0], [2, 1], ["a"]]


@each_row("path", CLASSES)
def test_the_source_states_what_the_class_does(path):
    cls = import_class(path, "")
    module, _, name = path.rpartition(".")
    found = {
        name: kind for name, kind in read_fields(SourceClass(module, name)).items() if type(kind) is not SourceClass
    }
    schema = type("Schema", (), {"__annotations__": found})
    leaves = {name: kind for name, kind in get_field_types(cls).items() if not is_config_class(kind)}
    assert get_type_hints(schema) == leaves
    words = {name: legal.words for name, legal in get_legal_values(schema).items()}
    assert words == {name: legal.words for name, legal in get_legal_values(cls).items()}


@pytest.mark.parametrize("option", {option.target: option for option in options()}.values(), ids=str)
def test_what_build_refuses_is_told_without_pytorch(option):
    """Whatever a field of an option is set to, of those of one class the last one."""
    slot, cls = option.slot.replace("/", "."), import_class(option.target, "")
    module, _, class_name = option.target.rpartition(".")
    source = SourceClass(module, class_name)
    values = composed(str(option)).values
    node = functools.reduce(operator.getitem, slot.split("."), values)
    node |= {name: "x" for name, value in node.items() if value == "???"}
    for name, kind in get_field_types(cls).items():
        before = node[name]
        for node[name] in [] if is_config_class(kind) else PROBES:
            assert find_problem(check_option, slot, node, source) == find_problem(build, cls, node, slot), node[name]
        node[name] = before
    assert (slot, node, source) in list(find_options(values, "", SourceClass(*ROOT)))


@each_row("option", options())
def test_a_value_that_is_missing_is_told_without_pytorch(option):
    """As where a user's own option or recipe does not set it."""
    slot, cls = option.slot.replace("/", "."), import_class(option.target, "")
    values = copy.deepcopy(composed(str(option)).values)
    node = functools.reduce(operator.getitem, slot.split("."), values)
    node |= {name: "x" for name, value in node.items() if value == "???"}
    for name in [name for name, kind in get_field_types(cls).items() if not is_config_class(kind)]:
        before = node.pop(name)
        assert find_problem(check_values, values) == find_problem(build, cls, node, slot)
        node[name] = before


def find_problem(check, *arguments):
    """The message of the error that a check raises, or None."""
    try:
        check(*arguments)
    except ConfigError as error:
        return str(error)
    return None


@each_row("slot", sorted({option.slot for option in options()}))
def test_a_class_of_a_users_package_is_neither_imported_nor_checked_as_the_slots_base(slot):
    """Such as evaluation/metrics=cost of README."""
    values = copy.deepcopy(composed().values)
    *groups, name = slot.split("/")
    functools.reduce(operator.getitem, groups, values)[name] = {"_target_": "nowhere_at_all.Mine", "cat_as_dog": 10.0}
    check_values(values)


def test_checking_more_runs_keeps_nothing_more():
    """As thousands of runs of one process do."""
    kept = []
    for seed in range(2):
        check_values(composed(f"seed={seed}").values)
        kept.append(get_legal_values.cache_info().currsize)
    assert kept[0] == kept[1]


def test_groups_are_found_by_their_class():
    assert read_fields(SourceClass(*ROOT))["runtime"] == SourceClass("sota_exp.config.experiment", "RuntimeSettings")


WRONG = {
    "optimizer.lr=-1": "optimizer.lr=-1.0 is not legal: a number above 0",
    "optimizer.lr=abc": "optimizer.lr=abc: expected a number",
    "batch_size=0": "batch_size=0 is not legal: images, at least 1",
    "seed=-1": "seed=-1 is not legal: an integer from 0",
    "runtime.precision=fp8": "runtime.precision=fp8 is not legal: one of fp32, tf32, bf16, fp16",
    "runtime.threads=0": "runtime.threads=0 is not legal: a count of at least 1, or null",
    "scale.eval_images=1": "scale.eval_images=1 is not legal: a count of at least 2, or null",
    "evaluation.select=first": "evaluation.select=first is not legal: one of best, last",
    "evaluation.batch_size=x": "evaluation.batch_size=x: expected an integer",
    "data.image_size=4": "data.image_size=4 is not legal: pixels, at least 8",
    "model.arch.width_multiplier=wide": "model.arch.width_multiplier=wide: expected a number",
    "regularization.smoothing.label_smoothing=2": "regularization.smoothing.label_smoothing=2.0 is not legal",
    "++optimizer.momentun=0.9": "optimizer.momentun: no such key; legal: lr, weight_decay, momentum",
    "model/arch=timm model.arch.name=resnet19": "model.arch.name=resnet19 is not legal: a network of timm; near: resnet",
    "model/arch=torchvision model.arch.name=resnet_xs": "model.arch.name=resnet_xs is not legal: a classification network "
    "of torchvision; near: resnet50, resnet34, resnet18; model/arch=small has it: choose that too",
    "model.arch.name=resnet18": "model.arch.name=resnet18 is not legal: one of resnet_xs, resnet_s, resnet_m, resnet_l, pooled_s, pooled_m; "
    "model/arch=timm|torchvision has it: choose that too",
    "model/arch=torchvision model.arch.name=x": "model.arch.name=x is not legal: a classification network of torchvisi",
    "augmentation/policy=randaugment augmentation.policy.magnitude=90": "augmentation.policy.magnitude=90 is not legal:"
    " a bin in [0, num_magnitude_bins=31)",
    "regularization/average=ema regularization.average.decay=0.9": "regularization.average.horizon=0.039 is not legal:"
    " a fraction of training in (0, 1], or null with a decay; exactly one of the two, here decay=0.9",
    "data=fake data.num_images=5": "data.num_images=5 is not legal: at least three per class, of num_classes=10",
    "tracking=mlflow tracking.uri=ftp://x": "tracking.uri=ftp://x is not legal: an MLflow tracking URI",
    "schedule/lr=step schedule.lr.milestones=[2]": "schedule.lr.milestones=[2.0] is not legal: ascending fractions",
}


@each_row("override, message", WRONG.items())
def test_wrong_values_are_told(override, message):
    with pytest.raises(ConfigError) as caught:
        check_values(composed(*override.split()).values)
    assert str(caught.value).startswith(message)


EARLY = [
    *("optimizer.lr=-1", "seed=x", "data=image_folder data.root=nope", "seed=-1"),
    *("model/weights=checkpoint model.weights.path=nope.pt", "data=huggingface data.dataset="),
    *("model/arch=timm model.arch.name=resnet19", "augmentation/policy=randaugment augmentation.policy.magnitude=90"),
]


def test_they_are_told_before_pytorch_is_imported(tmp_path):
    """All in one process, in which PyTorch cannot be imported."""
    program = (
        "import sys; sys.modules['torch'] = None; from sota_exp.cli.main import run_command_line; "
        f"print([run_command_line(['train', *override.split()]) for override in {EARLY}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == f"{[2] * len(EARLY)}\n"
    for override, line in zip(EARLY, done.stderr.splitlines(), strict=True):
        assert line.startswith(f"sota-exp: {override.split()[-1].partition('=')[0]}=")
