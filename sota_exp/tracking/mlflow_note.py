"""The note on a run's page: what it was, what came out, what it cost, how to do it again. Markdown, from the run's files."""

from typing import Any

from sota_exp.tracking.mlflow_content import Content

#: Options that change nothing, in whatever slot.
NEUTRAL = ("none", "native", "full", "fixed", "standard", "scratch", "step", "plain")

#: Groups whose option is named in the heading.
IN_HEADING = ("recipe", "data", "scale", "tracking", "runtime")


def note(content: Content) -> str:
    """Markdown that reads well beside the numbers."""
    parts = [heading(content)]
    result = content.told
    if result is None:
        parts.append("Training.")
    elif result["metrics"]:
        parts += [scores(result), classes(result), cost(result)]
    if result is not None and result["reason"]:
        parts.append(f"**{result['status'].replace('_', ' ').capitalize()}**: {result['reason']}.")
    parts += [techniques(content), f"```\n{again(content)}\n```"]
    return "\n\n".join(filter(None, parts))


def heading(content: Content) -> str:
    config, data = content.config, content.start.get("data") or {}
    counts = ", ".join(f"{num:,} {split}" for split, num in data.get("counts", {}).items())
    of = f" ({counts} images, {len(data['classes'])} classes)" if counts else ""
    return (
        f"**{config['recipe']['name']}** recipe on **{config['data'].get('name', 'data')}**{of}, "
        f"scale {config['scale']['name']}, seed {config['seed']}."
    )


def scores(result: dict[str, Any]) -> str:
    """A table of both splits, each accuracy with its standard error over images; test first: MLflow folds the rest away."""
    rows = [_row("split", "accuracy", "top-5", "loss", "calibration error", "images"), "|---|---|---|---|---|---|"]
    for split, num in sorted(result["evaluated_images"].items()):
        metrics = {
            key.removeprefix(f"{split}/"): value
            for key, value in result["metrics"].items()
            if key.startswith(f"{split}/")
        }
        accuracy = metrics["accuracy"]
        error = (accuracy * (1 - accuracy) / num) ** 0.5
        top5 = f"{metrics['top5_accuracy']:.2%}" if "top5_accuracy" in metrics else "–"
        shown = f"**{accuracy:.2%}** ± {error:.2%}"
        rows.append(_row(split, shown, top5, f"{metrics['loss']:.4f}", f"{metrics['ece']:.3f}", f"{num:,}"))
    best = f"Weights of epoch {result['metrics']['best/epoch'] + 1} were best on val."
    names = (
        "The val scores above are the metrics `best/val_…`; `val/…` are curves, whose last value is the last epoch's."
    )
    return "\n".join([*rows, "", f"{best} {names}"])


def _row(*cells: str) -> str:
    """Em spaces, because MLflow's page draws tables without room between the columns."""
    return "| " + " | ".join(f"{cell}\u2003" for cell in cells) + " |"


def classes(result: dict[str, Any]) -> str:
    ranked = sorted(result.get("per_class_accuracy", {}).items(), key=lambda item: item[1])
    if len(ranked) < 2:
        return ""
    num = min(3, len(ranked) // 2)
    hardest, easiest = (
        ", ".join(f"{name} {share:.0%}" for name, share in part) for part in (ranked[:num], ranked[: -num - 1 : -1])
    )
    return f"Hardest on test: {hardest}. Easiest: {easiest}."


def cost(result: dict[str, Any]) -> str:
    return (
        f"Cost: {result['seconds']['train']:,.0f} s of training at {result['images_per_second']:,.0f} images/s on "
        f"{result['device']}; {result['parameters'] / 1e6:.2f} M parameters, "
        f"{result['flops_per_image'] / 1e9:.3f} GFLOPs an image, {result['peak_memory_bytes'] / 2**20:,.0f} MiB at the peak."
    )


def techniques(content: Content) -> str:
    chosen = [
        f"`{slot}={option}`"
        for slot, option in sorted((content.start.get("choices") or {}).items())
        if option not in NEUTRAL
        and slot not in IN_HEADING
        and ("/" in slot or slot in ("optimizer", "loss", "supervision"))
    ]
    return f"Chosen: {', '.join(chosen)}." if chosen else ""


def again(content: Content) -> str:
    return " ".join(["sota-exp train", *(_quoted(str(item)) for item in content.origin.get("overrides", []))])


def _quoted(override: str) -> str:
    return f"'{override}'" if any(sign in override for sign in ' $(){}[]*&|;<>"') else override
