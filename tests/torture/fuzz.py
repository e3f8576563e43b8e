"""Configurations at random: each becomes an experiment or one line, and what is trained has no NaN.

`python -m tests.torture.fuzz` takes the number of cases of each part. The number of a case is its seed, so that the command
which is printed beside a failure repeats it alone.
"""

import contextlib
import copy
import datetime
import functools
import io
import json
import math
import os
import random
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from sota_exp.cli import main as command_line
from sota_exp.config.configuration import Configuration
from sota_exp.config.fingerprint import compute_training_fingerprint
from sota_exp.config.rules import check_rules
from sota_exp.errors import ConfigError, RunFailed
from tests.composing import compositions_share_their_work
from tests.experiments import TINY, composed
from tests.options import Option, options
from tests.torture.cases import Fault, Part, run_parts

NUMBERS: tuple[float, ...] = (
    *(0, -0.0, 1, -1, 2, 3, 7, 8, 64, 0.5, 1.0, 0.1, 1e-8, 1e-45, 5e-324, 1e38, 1e39, 1e308, -1e308),
    *(math.inf, -math.inf, math.nan, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400),
    *(0.999999999, 1.0000001, 10**9, 255, 256, 1000000),
)
TEXTS = (
    *("", " ", "none", "null", "nan", "inf", "1e5", "0x10", "1_000", "true", "yes", "é", "‮abc", "\x00", "\ud800"),
    *("a\nb", "${seed}", "${oc.env:HOME}", "${", "???", "/", "../..", "~x", "x" * 300, "x" * 5000, "=", "'", '"', "{}"),
    *("🦓", "١٢", "1,2", "[1", "a: b", "resnet18", "cuda:99", "cpu", "http://", "sqlite:///", "file:x", "%s", "\\"),
)
OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], [0], [1, 2], [0.5] * 3, [[1]], [None], ["a", 1], {}, {"a": 1}, {"_option_": "none"}),
    *({"_target_": "os.system"}, [math.nan], [10**400], {1: 2}, datetime.date(2020, 1, 1), b"x", {"x"}, (1, 2)),
    [0] * 2000,
)


#: Slot and option → what it needs beside it to be legal.
NEEDED = {
    "augmentation/train_size=fixres": ["augmentation/crop=random_resized"],
    "data=csv": [f"data.path={__file__}"],
    "data=huggingface": ["data.dataset=cifar10"],
    "data=image_folder": [f"data.root={Path(__file__).parent}"],
    "data=imagenet": [f"data.root={Path(__file__).parent}"],
    "model/weights=checkpoint": [f"model.weights.path={__file__}"],
    "model/weights=pretrained": ["model/arch=timm"],
    "schedule/lr=one_cycle": ["schedule/warmup=none"],
}


@functools.cache
def list_bases() -> dict[str, Configuration]:
    """Slot=option → the default configuration with it; and the default one."""
    chosen = [f"{option.slot}={option.name}" for option in options()]
    return {"": composed(), **{word: composed(word, *NEEDED.get(word, [])) for word in chosen}}


def draw_base(draw: random.Random) -> Configuration:
    """A configuration of one option beside the default ones, or of several."""
    found = list_bases()
    base = found[draw.choice(list(found))]
    values, choices = copy.deepcopy(base.values), dict(base.choices)
    for word in draw.sample(list(found)[1:], draw.choice([0, 0, 1, 2, 4])):
        slot, _, choices[slot] = word.partition("=")
        *path, name = slot.split("/")
        node, other = values, found[word].values
        for part in path:
            node, other = node[part], other[part]
        node[name] = copy.deepcopy(other[name])
    return Configuration(choices=choices, values=values)


def nodes_of(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all groups and values."""
    for name, value in tree.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from nodes_of(value, (*path, name))


def draw_value(draw: random.Random, old: Any) -> Any:
    """A value: near the old one, of another size, or of another kind."""
    kind = draw.random()
    if kind < 0.5 and isinstance(old, int | float) and not isinstance(old, bool) and abs(old) < 1e300:
        return draw.choice([old * 2, old / 3, -old, old + 1, old - 1, old * draw.random(), str(old), float(old)])
    if kind < 0.65:
        return draw.choice(NUMBERS)
    if kind < 0.8:
        return draw.choice(TEXTS)
    if kind < 0.85 and isinstance(old, list):
        return draw.choice([old[::-1], old * 2, old[:1], [draw_value(draw, item) for item in old]])
    return copy.deepcopy(draw.choice(OTHERS))


def draw_configuration(draw: random.Random) -> tuple[Configuration, list[str]]:
    """A configuration, of which one to three values, groups or keys are others, and these keys."""
    base = draw_base(draw)
    values, keys = base.values, []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        *path, name = draw.choice([place for place in nodes_of(values) if len(place) > 1 or draw.random() < 0.3])
        node = values
        for part in path:
            node = node[part]
        keys.append(".".join(map(str, [*path, name])))
        if draw.random() < 0.03:
            del node[name]
        elif draw.random() < 0.03:
            node[draw.choice(["strange", "", "a.b", "_target_", "_option_", "é"])] = draw_value(draw, None)
        else:
            node[name] = draw_value(draw, node[name])
    return base, keys


def check_typed(number: int) -> str:
    """Build one configuration without Hydra: "accepted", or "refused" in one line.

    Raises:
        Fault: neither.
    """
    configuration, keys = draw_configuration(random.Random(f"typed {number}"))
    try:
        check_rules(configuration)
        experiment = configuration.experiment
        compute_training_fingerprint(configuration.values, {})
    except ConfigError as error:
        require_line(str(error), str(keys))
        return "refused"
    except Exception as error:
        raise Fault(f"{keys}: {describe(error)}") from error
    require_finite(experiment, "")
    return "accepted"


def require_line(line: str, what: str) -> None:
    """Check that a message is one line of bearable length.

    Raises:
        Fault: it is not.
    """
    if "\n" in line or len(line.removeprefix("sota-exp: ")) > command_line.LONGEST_LINE:
        raise Fault(f"not one short line ({len(line)} characters): {line[:200]!r}: {what}")


def require_finite(value: object, key: str) -> None:
    """Check that no number in an object, a list or a JSON value is infinite or NaN.

    Raises:
        Fault: one is.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise Fault(f"{key}={value} is accepted")
    parts = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
    for name, part in (vars(value) if hasattr(value, "__dataclass_fields__") else parts).items():
        require_finite(part, f"{key}.{name}")


def describe(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:200]!r} at {Path(where.filename).name}:{where.lineno}"


def call(words: list[str]) -> tuple[int, str]:
    """Exit status and standard error of a command, run in this process.

    Raises:
        Fault: an exception leaves it, or the program calls it a fault of its own.
    """
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = command_line.run_command_line(words)
    except BaseException as error:
        raise Fault(f"{describe(error)}: {words}") from error
    if "a fault of sota-exp" in err.getvalue():
        raise Fault(f"{err.getvalue()[-400:]!r}: {words}")
    if code not in (0, 1, 2):
        raise Fault(f"exit status {code}: {words}")
    lines = [line for line in err.getvalue().splitlines() if line.startswith("sota-exp: ")]
    if code and len(lines) != 1:
        raise Fault(f"exit status {code}, and {len(lines)} lines: {err.getvalue()[-400:]!r}: {words}")
    for line in lines:
        require_line(line, str(words))
    return code, err.getvalue()


def draw_word(draw: random.Random) -> str:
    """An override: of an option, of a value, with a sign of Hydra's grammar, or with a letter that is another."""
    base = draw.choice(list(list_bases().values()))
    place = draw.choice([path for path in nodes_of(base.values) if not path[-1].startswith("_")])
    node: Any = base.values
    for part in place:
        node = node[part]
    word = f"{'.'.join(place)}={draw_value(draw, node)}"
    if draw.random() < 0.4:
        option = draw.choice(options())
        word = f"{option.slot}={draw.choice([option.name, option.name, option.name, draw_value(draw, None)])}"
    if draw.random() < 0.15:
        word = draw.choice(["+", "++", "~", "-", "'", "hydra.", "@"]) + word
    if draw.random() < 0.15:
        at = draw.randrange(len(word) + 1)
        word = word[:at] + draw.choice([*"=.,:/@$'{}[]()\\ \t\né\x00", ""]) + word[at + draw.randrange(2) :]
    return word


#: Commands that neither serve pages nor write into a tree of sources.
COMMANDS = ("train", "evaluate", "predict", "export", "compare", "diff", "rerun", "translate", "techniques", "report")


def check_composed(number: int) -> str:
    """One command line whose training is left out: "accepted", or "refused" in one line.

    Raises:
        Fault: neither.
    """
    draw = random.Random(f"composed {number}")
    command = draw.choice(["train"] * 12 + [*COMMANDS])
    words = [draw_word(draw) for _ in range(draw.choice([1, 1, 2, 3, 5]))]
    if command != "train" and draw.random() < 0.7:
        words = [
            draw.choice(["run=", "weights=", "--format=", "--output=", "--top=", "--", ""]) + draw.choice(TEXTS),
            *words,
        ]
    stop = RunFailed("it would train")
    with (
        in_a_folder(),
        mock.patch("sota_exp.training.run.run", side_effect=stop),
        mock.patch("sota_exp.training.autotune.choose_runtime", side_effect=stop),
        mock.patch("sota_exp.training.evaluate_saved.evaluate_saved", side_effect=stop),
    ):
        code, text = call([command, *words])
    return "accepted" if code == 0 or "it would train" in text else "refused"


@contextlib.contextmanager
def in_a_folder() -> Iterator[Path]:
    """A working directory that is removed afterwards."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        yield Path(place)


def check_trained(number: int) -> str:
    """Train at smoke scale: "finished" with finite numbers, "failed" in one line while it trained, or "refused".

    Raises:
        Fault: none of these.
    """
    draw = random.Random(f"trained {number}")
    words = [f"{each.slot}={each.name}" for each in draw.sample([each for each in options() if is_offline(each)], 4)]
    words.append(f"recipe={draw.choice(['baseline', 'torchvision', 'small_images'])}")
    with contextlib.suppress(ConfigError):
        values = composed(*TINY, *words).values
        groups = ("optimizer", "schedule", "regularization", "augmentation", "loss", "supervision", "evaluation")
        places = [path for path in nodes_of(values) if path[0] in groups and not path[-1].startswith("_")]
        for path in draw.sample(places, min(draw.choice([1, 2, 4]), len(places))):
            node: Any = values
            for part in path:
                node = node[part]
            if isinstance(node, int | float) and not isinstance(node, bool):
                words.append(f"{'.'.join(path)}={draw_legal(draw, node)}")
    with in_a_folder() as place:
        code, _ = call(["train", *TINY, *words, "hydra.run.dir=run", "scale=smoke"])
        for path in (*place.glob("run/*.json"), *place.glob("run/*.jsonl")):
            for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
                require_finite(json.loads(line), f"{words}: {path.name}")
        if code == 0 and not (place / "run" / "result.json").is_file():
            raise Fault(f"{words}: exit status 0 without a result")
        return {0: "finished", 1: "failed"}.get(code, "refused")


def is_offline(option: Option) -> bool:
    """Whether a tiny run can have the option: it needs no download, and leaves data and network tiny."""
    return not option.slot.startswith(
        ("data", "tracking", "model/arch", "model/weights", "regularization/distillation")
    )


def draw_legal(draw: random.Random, old: float) -> float:
    """A number near the old one, or one that a range of legal values may end at."""
    if isinstance(old, int):
        return draw.choice([1, 2, old + 1, 3, 10])
    return draw.choice([0.0, 1.0, 0.999999, 1e-12, 1e6, 1e30, old * 10, old * 1000, old / 10, 0.5])


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """What all cases of a process share."""
    with compositions_share_their_work(), tempfile.TemporaryDirectory() as cache:
        settings = {"OMP_NUM_THREADS": "1", "SOTA_EXP_CACHE": cache, "HYDRA_FULL_ERROR": "1"}
        with mock.patch.dict(os.environ, settings):
            yield


PARTS = {
    "typed": Part(check_typed, "configurations through the typed door", 100_000),
    "composed": Part(check_composed, "command lines, not trained", 2_000),
    "trained": Part(check_trained, "trainings of tiny networks", 100),
}


def main(arguments: list[str] | None = None) -> int:
    return run_parts("fuzz", PARTS, prepared, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
