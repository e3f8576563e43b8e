"""Combinations that can't work, or don't mean what they seem: one table, shown by `sota-exp explain`.

A rule sees the chosen option of every slot and the resolved values. It imports nothing heavy: mistakes end before torch starts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sota_exp.config import require_filled
from sota_exp.errors import ConfigError

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An error ends the command with status 2; a warning is said once and the run goes on."""

    name: str
    level: Literal["error", "warning"]
    fires: Callable[[dict[str, str], Values], bool]
    reason: str
    mend: str
    source: str


def _is(slot: str, *options: str) -> Callable[[dict[str, str], Values], bool]:
    return lambda choices, values: choices.get(slot) in options


def _all(*conditions: Callable[[dict[str, str], Values], bool]) -> Callable[[dict[str, str], Values], bool]:
    return lambda choices, values: all(condition(choices, values) for condition in conditions)


def _not(condition: Callable[[dict[str, str], Values], bool]) -> Callable[[dict[str, str], Values], bool]:
    return lambda choices, values: not condition(choices, values)


def _value(path: str, holds: Callable[[Any], bool]) -> Callable[[dict[str, str], Values], bool]:
    """Whether the value at a dotted path is there and `holds`; a wrong type is left to the typed configuration."""

    def fires(choices: dict[str, str], values: Values) -> bool:
        node: Any = values
        for name in path.split("."):
            if not isinstance(node, dict) or name not in node:
                return False
            node = node[name]
        try:
            return bool(holds(node))
        except TypeError:
            return False

    return fires


def _micro_batch_is_whole(choices: dict[str, str], values: Values) -> bool:
    size = values["schedule"]["accumulation"].get("micro_batch_size")
    return isinstance(size, int) and isinstance(values["batch_size"], int) and size >= values["batch_size"]


_FLIPS = _not(_is("augmentation/flip", "none"))
_TURNS = _is("augmentation/policy", "trivialaugment", "autoaugment", "randaugment", "augmix")
_BATCH_NORM = _is("regularization/norm", "batch", "ghost_batch")
_FLIP_CHANGES = _value("data.label_preserving", lambda kept: "horizontal_flip" not in kept)
_NO_LABEL_KEPT = _value("data.label_preserving", lambda kept: len(kept) == 0)

RULES = (
    Rule(
        name="warm-up as long as training",
        level="error",
        fires=_all(_not(_is("schedule/warmup", "none")), _value("schedule.warmup.fraction", lambda share: share >= 1)),
        reason="schedule.warmup.fraction is the share of training that is warm-up; at 1 or more nothing is left to train",
        mend="a fraction below 1, such as 0.05",
        source="Goyal et al. 2017, arXiv:1706.02677: 5 of 90 epochs",
    ),
    Rule(
        name="one-cycle with a warm-up",
        level="error",
        fires=_all(_is("schedule/lr", "one_cycle"), _not(_is("schedule/warmup", "none"))),
        reason="schedule/lr=one_cycle has its own warm-up; a second one before it is neither policy",
        mend="schedule/warmup=none",
        source="Smith & Topin 2017, arXiv:1708.07120",
    ),
    Rule(
        name="FixRes without resized crop",
        level="error",
        fires=_all(
            _is("augmentation/train_size", "fixres"),
            _not(_is("augmentation/crop", "random_resized")),
        ),
        reason="augmentation/train_size=fixres makes up for objects that random resized crops enlarge; no other crop does",
        mend="augmentation/crop=random_resized or augmentation/train_size=native",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="published weights of a small network",
        level="error",
        fires=_all(_is("model/arch", "small"), _is("model/weights", "pretrained")),
        reason="model/weights=pretrained: nobody published weights of model/arch=small",
        mend="model/arch=timm or torchvision, or model/weights=checkpoint",
        source="this project",
    ),
    Rule(
        name="group norm under published weights",
        level="error",
        fires=_all(_is("regularization/norm", "group", "none"), _is("model/weights", "pretrained")),
        reason="regularization/norm changes what the layers of published weights compute",
        mend="regularization/norm=batch",
        source="Wu & He 2018, arXiv:1803.08494",
    ),
    Rule(
        name="early stopping under an annealed schedule",
        level="warning",
        fires=_all(
            _is("schedule/early_stopping", "patience"),
            _is("schedule/lr", "cosine", "cosine_restarts", "one_cycle"),
        ),
        reason="a cosine that is cut short was never annealed: its weights are worse than a shorter cosine's",
        mend="schedule/lr=step or constant, or a shorter schedule.length.epochs",
        source="Loshchilov & Hutter 2016, arXiv:1608.03983",
    ),
    Rule(
        name="batch norm in micro-batches",
        level="warning",
        fires=_all(_is("schedule/accumulation", "micro_batches"), _BATCH_NORM),
        reason="with schedule/accumulation batch norm sees micro-batches, so the step differs from that of the whole batch",
        mend="regularization/norm=group, or know it",
        source="Ioffe & Szegedy 2015, arXiv:1502.03167",
    ),
    Rule(
        name="micro-batch as large as the batch",
        level="warning",
        fires=_all(_is("schedule/accumulation", "micro_batches"), _micro_batch_is_whole),
        reason="schedule.accumulation.micro_batch_size is not below batch_size, so nothing is accumulated",
        mend="a larger batch_size or a smaller micro_batch_size",
        source="this project",
    ),
    Rule(
        name="long EMA horizon",
        level="warning",
        fires=_all(_is("regularization/average", "ema"), _value("regularization.average.horizon", lambda h: h > 0.5)),
        reason="an average over more than half of training keeps its first weights in it",
        mend="regularization.average.horizon near 0.04",
        source="torchvision's rule gives 3.9 % of training on ImageNet, and 100 % on 50,000 images",
    ),
    Rule(
        name="SWA under an annealed schedule",
        level="warning",
        fires=_all(_is("regularization/average", "swa"), _is("schedule/lr", "cosine", "one_cycle")),
        reason="SWA averages points that a high learning rate keeps apart; under a cosine they lie together",
        mend="schedule/lr=constant or cosine_restarts",
        source="Izmailov et al. 2018, arXiv:1803.05407",
    ),
    Rule(
        name="linear scaling for an adaptive optimizer",
        level="warning",
        fires=_all(_is("schedule/lr_scaling", "linear"), _is("optimizer", "adam", "adamw", "lamb", "lion", "rmsprop")),
        reason="the learning rate of adaptive optimizers grows with the square root of the batch",
        mend="schedule/lr_scaling=square_root",
        source="Malladi et al. 2022, arXiv:2205.10287",
    ),
    Rule(
        name="flips that change labels",
        level="warning",
        fires=_all(_FLIPS, _FLIP_CHANGES),
        reason="data.label_preserving does not list horizontal_flip: mirrored images of this set may belong to another class",
        mend="augmentation/flip=none",
        source="the data set's own declaration",
    ),
    Rule(
        name="rotations that change labels",
        level="warning",
        fires=_all(_TURNS, _NO_LABEL_KEPT),
        reason="augmentation/policy turns images by up to 135°, and this set declares that turning may change a label",
        mend="augmentation/policy=none and augmentation/geometry=rotate_scale with a few degrees",
        source="the data set's own declaration",
    ),
    Rule(
        name="head-only tuning from scratch",
        level="warning",
        fires=_all(_is("model/tuning", "head_only"), _is("model/weights", "scratch")),
        reason="model/tuning=head_only trains a classifier on random features when the weights are not pretrained",
        mend="model/weights=pretrained or model/tuning=full",
        source="Kornblith et al. 2018, arXiv:1805.08974",
    ),
    Rule(
        name="smoothed binary targets",
        level="warning",
        fires=_all(_is("loss", "binary_cross_entropy"), _not(_is("regularization/smoothing", "none"))),
        reason="binary cross-entropy treats classes as independent; smoothing gives every absent class a positive target",
        mend="regularization/smoothing=none",
        source="Wightman et al. 2021, arXiv:2110.00476",
    ),
)


def fired(choices: dict[str, str], values: Values) -> list[Rule]:
    """The rules that apply to a configuration."""
    return [rule for rule in RULES if rule.fires(choices, values)]


def check(choices: dict[str, str], values: Values) -> list[str]:
    """Warnings in words.

    Raises:
        ConfigError: an option or a value is missing, or a rule of level error fires.
    """
    require_filled(choices, values)
    rules = fired(choices, values)
    for rule in rules:
        if rule.level == "error":
            raise ConfigError(f"{rule.reason}. Instead: {rule.mend} ({rule.source})")
    return [f"{rule.reason}. Instead: {rule.mend} ({rule.source})" for rule in rules]
