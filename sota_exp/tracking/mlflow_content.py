"""Parameters, metrics and tags of a run for MLflow, computed from the files of the run.

Equal files give equal content, including timestamps, so that sending twice changes nothing.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric

from sota_exp.config.hashing import compute_digest
from sota_exp.config.printable import make_printable
from sota_exp.config.values import flatten
from sota_exp.report.run.facts import format_command
from sota_exp.runs.contents import RunContent
from sota_exp.runs.mlflow_store import sanitize_key
from sota_exp.runs.result_json import is_evaluation

#: MLflow silently truncates longer parameter values (characters); the full configuration is an artifact.
LONGEST_PARAM = 6000

#: Files that are uploaded as artifacts, besides the figures.
RUN_ARTIFACTS = (
    "config.yaml",
    "start.json",
    "result.json",
    "metrics.jsonl",
    "model.safetensors",
    "model.json",
    "trained_on.npy",
    "predictions.npz",
    "predictions.csv",
    "mistakes.csv",
    "run.log",
)

#: Keys that `build_hyperparameter_metrics` logs under a short name.
NAMED_HYPERPARAMETERS = ("optimizer.lr", "optimizer.weight_decay", "schedule.length.epochs", "data.image_size")


def build_params(content: RunContent) -> dict[str, str]:
    """The option of every slot, and every value of the resolved configuration that is short enough, by dotted key."""
    found = {slot: option for slot, option in content.choices.items() if slot != "tracking"}
    values = flatten({group: tree for group, tree in content.config.items() if group != "tracking"})
    for key, value in values.items():
        if key.rpartition(".")[2] not in ("_target_", "_option_"):
            text = make_printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))
            found[f"{key}.value" if key in found else key] = text
    return {sanitize_key(key): text for key, text in found.items() if len(text) <= LONGEST_PARAM}


def build_points(content: RunContent, after: int = 0) -> list[Metric]:
    """All points of all metrics in order of time, without the first `after` epochs, which are already sent."""
    found = _build_metrics(build_hyperparameter_metrics(content), content.started_ms, 0)
    seconds = 0.0
    for index, epoch in enumerate(content.epochs):
        seconds += epoch["seconds"] + epoch["validate_seconds"]
        found += build_epoch_points(epoch, content.started_ms + round(seconds * 1000)) if index >= after else []
    values = build_final_metrics(content.result_for_display)
    last_epoch = content.epochs[-1]["epoch"] if content.epochs else 0
    return found + _build_metrics(values, content.started_ms + round(seconds * 1000), last_epoch)


def build_epoch_points(epoch: dict[str, Any], time: int) -> list[Metric]:
    """Points of one line of `metrics.jsonl`; costs become `time/…`. The step is the number of the epoch in the file."""
    values = {key: value for key, value in epoch.items() if "/" in key and value is not None}
    values |= {
        "time/epoch_seconds": epoch["seconds"],
        "time/validate_seconds": epoch["validate_seconds"],
        "time/images_per_second": epoch["images_per_second"],
    }
    return _build_metrics(values, time, epoch["epoch"])


def _build_metrics(values: Mapping[str, float], time: int, step: int) -> list[Metric]:
    """time: in milliseconds since 1970."""
    return [Metric(sanitize_key(key), float(value), time, step) for key, value in values.items()]


def build_hyperparameter_metrics(content: RunContent) -> dict[str, float]:
    """Hyperparameters logged as metrics `hp/…`, because MLflow's charts treat parameters as text and have linear axes.

    Always lr, weight decay, batch size, epochs and image size; besides them every number that an override sets.
    """
    config = content.config
    optimizer = config["optimizer"]
    found = {
        "hp/batch_size": config["batch_size"],
        "hp/epochs": config["schedule"]["length"].get("epochs"),
        "hp/image_size": config["data"].get("image_size"),
        "hp/log10_lr": _log10(optimizer.get("lr")),
        "hp/log10_wd": _log10(optimizer.get("weight_decay")),
    }
    for override in content.origin.get("overrides", []):
        key, _, text = str(override).lstrip("+").partition("=")
        if "." in key and key not in NAMED_HYPERPARAMETERS:
            found |= {f"hp/{key}": _parse_number(text)}
    return {key: float(value) for key, value in found.items() if value is not None}


def _log10(value: float | None) -> float | None:
    return math.log10(value) if value else None


def _parse_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def build_final_metrics(result: dict[str, Any]) -> dict[str, float]:
    """Final metrics of a result: `best/…` of the saved weights, `test/…`, and `cost/…`.

    `val/…` of the result becomes `best/val_…`, because `val/…` is the curve over epochs.
    """
    found: dict[str, Any] = {
        key if key.startswith(("test/", "best/")) else f"best/{key.replace('/', '_')}": value
        for key, value in result.get("metrics", {}).items()
    }
    if found:
        for key in ("images_per_second", "peak_memory_bytes", "parameters", "flops_per_image", "images_seen", "steps"):
            found[f"cost/{key}"] = result.get(key)
        found |= {f"cost/{part}_seconds": seconds for part, seconds in result.get("seconds", {}).items()}
    return {key: float(value) for key, value in found.items() if value is not None}


def build_tags(content: RunContent) -> dict[str, str]:
    """MLflow tags: code version, host, recipe, data, and the sweep or study that the run belongs to."""
    start, config = content.start, content.config
    commit = start.get("commit")
    evaluates = is_evaluation(content.result)
    found = {
        "mlflow.source.name": f"sota-exp {'evaluate' if evaluates else 'train'}",
        "command": None if evaluates else format_command(content)[:5000],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit and commit.removesuffix("-dirty"),
        "mlflow.user": start.get("user"),
        "git_commit": commit,
        "host": start.get("host"),
        "device": start.get("device"),
        "recipe": config["recipe"]["name"],
        "data": config["data"].get("name"),
        "sweep": Path(content.origin.get("parent") or "single runs").name,
        "kind": "evaluation" if evaluates else content.origin.get("kind", "run"),
        "arm": content.origin.get("arm"),
        "equals": name_equal_runs(content),
        "fingerprint": start.get("fingerprint"),
        "run_id": start["id"],
        "directory": str(content.directory),
        "reason": content.result.get("reason"),
    }
    return {key: make_printable(str(value), kept="\n\t") for key, value in found.items() if value}


def name_equal_runs(content: RunContent) -> str:
    """The same for runs that differ in nothing but their seed, whose mean says something: groups of MLflow's table."""
    parent, config = content.origin.get("parent"), content.config
    if parent and content.origin.get("arm"):
        return f"{content.origin['arm']} in {Path(parent).name}"  # MLflow cuts long names at their end
    rest = {name: tree for name, tree in config.items() if name not in ("seed", "tracking")}
    digest = compute_digest([is_evaluation(content.result), rest], length=6)
    return f"{config['recipe']['name']} on {config['data'].get('name')}, {digest}"
