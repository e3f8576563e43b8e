"""The content of `sweep.json` and `trials.csv`. Test metrics do not appear: a search chooses by val."""

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sota_exp.config.formats import FILE_FORMAT

#: Names of Optuna's states in `sweep.json`.
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether the trial satisfies every constraint."""
    return all(value <= 0 for value in trial.constraints.values())


def trial_to_json(trial: FrozenTrial) -> dict[str, Any]:
    """One trial as plain values."""
    attrs = trial.user_attrs
    return {
        "number": trial.number,
        "state": STATES.get(trial.state, "waiting"),
        "values": list(trial.values) if trial.state == TrialState.COMPLETE and trial.values else [],
        "params": dict(trial.params),
        "knobs": attrs.get("knobs", {}),
        "is_default": bool(attrs.get("default")),
        "feasible": is_feasible(trial),
        "reason": attrs.get("reason"),
        "taken_up": attrs.get("taken_up", 0),
        "seconds": attrs.get("seconds"),
        "steps": attrs.get("steps"),
        "costs": attrs.get("costs", {}),
        "metrics": attrs.get("metrics", {}),
        "inference_size": attrs.get("inference_size"),
        "reports": {str(step): value for step, value in sorted(trial.intermediate_values.items())},
    }


def rank_trials(study: optuna.Study, entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Complete, feasible trials, best first; with several objectives the Pareto front, by the first.

    Of trials with the same values, which samplers draw again, only the first: a repeat is the same run.
    """
    ranked = [item for item in entries if item["state"] == "complete" and item["feasible"]]
    if len(study.directions) > 1:
        front = {trial.number for trial in study.best_trials}
        ranked = [item for item in ranked if item["number"] in front]
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1
    ranked = sorted(ranked, key=lambda item: (sign * item["values"][0], item["number"]))
    first = {
        str(sorted(item["params"].items())): item for item in sorted(ranked, key=itemgetter("number"), reverse=True)
    }
    return [item for item in ranked if item in first.values()]


def build_summary(study: optuna.Study, objectives: Sequence[str], directions: Sequence[str], of: int) -> dict[str, Any]:
    """The content of `sweep.json`, except what `end.py` adds. of: `n_trials`."""
    entries = [trial_to_json(trial) for trial in study.get_trials(deepcopy=False)]
    ranking = rank_trials(study, entries)
    return {
        "format": FILE_FORMAT,
        "name": study.study_name,
        "objective": list(objectives),
        "direction": list(directions),
        "n_trials": of,
        "search": study.user_attrs.get("declaration", {}),
        "trials": {name: sum(item["state"] == name for item in entries) for name in STATES.values()},
        "best": trial_to_summary(ranking[0], len(directions)) if ranking else None,
        "front": [trial_to_summary(item, len(directions)) for item in ranking] if len(directions) > 1 else [],
        "ranking": [{"number": item["number"], "knobs": item["knobs"], "values": item["values"]} for item in ranking],
        "failures": [
            {"number": item["number"], "reason": item["reason"]} for item in entries if item["state"] == "failed"
        ],
        "pruning": compute_pruning(entries),
        "seconds": sum(item["seconds"] or 0.0 for item in entries),
        "importances": importances(study),
        "entries": entries,
    }


def trial_to_summary(item: Mapping[str, Any], num: int) -> dict[str, Any]:
    """The short form of a trial in `sweep.json`; `value` is a list if there are several (`num`) objectives."""
    value = item["values"][0] if num == 1 else item["values"]
    return {"number": item["number"], "value": value, "params": item["knobs"] or item["params"]}


def compute_pruning(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Training steps of all trials as a fraction of the steps that they would take without pruning."""
    full = [item["steps"] for item in entries if item["state"] == "complete" and item["steps"]]
    steps = full + [item["steps"] for item in entries if item["state"] == "pruned" and item["steps"]]
    return {"share_of_full_steps": sum(steps) / (sum(full) / len(full) * len(steps)) if full else None}


def importances(study: optuna.Study) -> dict[str, dict[str, float]]:
    """{method: {parameter: share}} by PED-ANOVA and fANOVA on the first objective; {} with too few trials."""
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    shared = set.intersection(*(set(trial.params) for trial in ended)) if ended else set()
    varied = [name for name in sorted(shared) if len({str(trial.params[name]) for trial in ended}) > 1]
    if len(ended) < 4 or len(varied) < 2 or len({trial.values[0] for trial in ended if trial.values}) < 3:
        return {}
    # Optuna minimizes a custom target.
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1
    target = (lambda trial: sign * trial.values[0]) if len(study.directions) > 1 else None
    methods = {"PED-ANOVA": PedAnovaImportanceEvaluator(), "fANOVA": FanovaImportanceEvaluator(seed=0)}
    found = {}
    for name, method in methods.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*to achieve low", UserWarning)
            shares = get_param_importances(study, evaluator=method, params=varied, target=target)
        found[name] = {parameter: float(share) for parameter, share in shares.items()}
    return found


def format_trials_csv(summary: Mapping[str, Any]) -> str:
    """The text of `trials.csv`: one row per trial."""
    entries = summary["entries"]
    knobs = sorted({name for item in entries for name in {**item["params"], **item["knobs"]}})
    costs = sorted({name for item in entries for name in item["costs"]})
    metrics = sorted({name for item in entries for name in item["metrics"]} - set(summary["objective"]))
    own = ("inference_size", "feasible", "reason")
    columns = ["number", "state", *summary["objective"], *knobs, "seconds", "steps", *costs, *metrics, *own]
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for item in entries:
        measured = {name: item["metrics"].get(name) for name in metrics}
        values = dict(zip(summary["objective"], item["values"], strict=False))
        writer.writerow(item["params"] | item["knobs"] | item["costs"] | measured | values | item)
    return file.getvalue()
