"""The output of `sota-exp explain`, formatted for a terminal."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from sota_exp.config.catalog import CatalogOption
from sota_exp.config.printable import make_printable
from sota_exp.config.rules.conditions import Rule
from sota_exp.config.values import join_first
from sota_exp.errors import DamagedFile
from sota_exp.preview.terminal_curve import format_curve_with_axes
from sota_exp.report.numbers import format_duration, format_sizes
from sota_exp.report.terminal import escape, make_facts
from sota_exp.runs.contents import is_being_trained
from sota_exp.runs.digests import read_object

if TYPE_CHECKING:
    from sota_exp.preview.memory_plan import MemoryPlan
    from sota_exp.preview.plan_numbers import TrainingPlan
    from sota_exp.preview.timing import CostEstimate, MeasuredCost

#: Networks of more parameters that start from random weights with fewer training images of a class may learn nothing:
#: a ResNet-18 stayed at chance level with 48 (docs/log.md, 2026-11-30).
FEW_PER_CLASS, MANY_PARAMETERS = 100, 1e6

#: Groups that do not change what is trained, and are not listed as techniques.
UNLISTED_GROUPS = ("data", "runtime", "tracking")


def format_section(title: str, body: RenderableType) -> RenderableType:
    """A title, and below it a body, indented by two."""
    return Group("", Text(title, style="bold"), Padding(body, (0, 0, 0, 2)))


def format_explain_heading(tree: dict[str, Any]) -> RenderableType:
    """Recipe, data, network, scale and seed in one line."""
    recipe, data, scale = (tree[group]["name"] for group in ("recipe", "data", "scale"))
    name = tree["model"]["arch"].get("name", "")
    return f"[bold]{recipe}[/] on [bold]{data}[/], {name}, scale {scale}, seed {tree['seed']}"


def build_techniques_table(chosen: list[CatalogOption], tree: dict[str, Any]) -> RenderableType:
    """Each option that does something, and below it its summary, its values in this configuration, and its paper."""
    listed = [option for option in chosen if option.group not in UNLISTED_GROUPS]
    lines: list[RenderableType] = []
    for option in listed:
        if not option.is_no_technique:
            summary = Text(option.summary.rstrip("."))
            if values := format_option_values(option, tree):
                summary.append(f" ({values})", style="dim")
            if option.short_citation:
                summary.append(f". {option.short_citation}", style="dim")
            lines += [Text(f"{option.group}={option.name}", "cyan"), Padding(summary, (0, 0, 0, 4))]
    plain = ", ".join(f"{option.group}={option.name}" for option in listed if option.is_no_technique)
    return Group(
        format_section("What is on", Group(*lines)),
        format_section("What is plain", Text(plain or "nothing", style="dim")),
    )


def format_option_values(option: CatalogOption, tree: dict[str, Any]) -> str:
    """`name=value, …` for the keys of an option in this configuration."""
    node: Any = tree
    for name in option.group.split("/"):
        node = node[name]
    values = {name: node[name] for name in option.defaults if node.get(name) is not None}
    return ", ".join(f"{name}={_format_value(value)}" for name, value in values.items())


def _format_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_format_value, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def build_rules_table(fired: list[Rule]) -> RenderableType:
    """Every rule that fires, errors first, with its reason and its fix."""
    if not fired:
        return format_section("Rules", Text("none fires", style="dim"))
    table = make_facts()
    for rule in sorted(fired, key=lambda rule: rule.level):
        style = "bold red" if rule.level == "error" else "yellow"
        body = Text(f"{rule.reason}. Instead: {rule.fix}")
        table.add_row(f"[{style}]{rule.level}[/]", body.append(f" ({rule.source})", style="dim"))
    return format_section("Rules that fire", table)


def describe_directory(directory: Path) -> RenderableType:
    """The directory of the run, and the state of a run that is already there."""
    path, state = directory / "checkpoint" / "state.pt", "nothing is there yet"
    try:
        result = read_object(directory / "result.json", "status")
    except DamagedFile as error:
        result = {"status": f"{error}; train would score it again"}
    if is_being_trained(directory):
        state = "a run is being trained there at this moment"
    elif result is not None:
        state = f"a run is there: {result['status'].replace('_', ' ')}"
    elif path.is_file():
        state = "an unfinished run is there: train would continue it"
    return format_section("Place", f"{escape(str(directory))}: {state}")


def format_plan(
    outline: "TrainingPlan", tree: dict[str, Any], device: str, memory: str, weights: str
) -> RenderableType:
    """Images, steps, network, memory on a GPU, and the learning rate over training. weights: the option of the slot."""
    facts = make_facts()
    for name, text in [*build_plan_rows(outline, tree), ("on a GPU", memory)]:
        facts.add_row(f"[cyan]{name}[/]", text)
    lines = format_curve_with_axes(outline.curve, 7, f"epoch {outline.num_epochs:,}")
    curve = Text("\n".join(["", "learning rate", *lines]), no_wrap=True)
    advice = describe_few_images(outline, weights)
    return format_section(f"The plan, on {device}", Group(facts, *([Text(advice, "yellow")] if advice else []), curve))


def describe_few_images(outline: "TrainingPlan", weights: str) -> str:
    """That the images are few for the network, and what suits them; empty where they are not. weights: their option."""
    num = outline.counts["train"] / outline.num_classes
    if weights != "scratch" or num >= FEW_PER_CLASS or outline.trained_parameters < MANY_PARAMETERS:
        return ""
    return (
        f"Warning: {num:.0f} training images of a class are few for {outline.parameters / 1e6:.1f} M parameters from "
        "random weights, which may learn nothing. Instead: recipe=few_images, with pretrained weights and folds; "
        "without those, model/arch=small model.arch.name=resnet_xs."
    )


def build_plan_rows(outline: "TrainingPlan", tree: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, text) for every number of the plan."""
    view, size = outline.views[0], tree["batch_size"]
    scored = f"{view.size} px, cut from images whose shorter side is {view.resize} px"
    micro = tree["schedule"]["accumulation"].get("micro_batch_size")
    in_parts = f" in {-(-size // micro)} micro-batches of {micro}" if micro else ""
    left_out = f"; each epoch leaves out {outline.left_out} that do not fill a batch" if outline.left_out else ""
    trained = f"{outline.parameters / 1e6:.2f} M parameters, {outline.trained_parameters / 1e6:.2f} M trained at first"
    length = f"{outline.num_epochs:,} epochs × {outline.steps_per_epoch:,} steps = {outline.total_steps:,} steps"
    absent = {part: join_first(names, 5) for part, names in outline.unscored.items() if names}
    unscored = "".join(f"; without {part} images: {names}" for part, names in absent.items())
    return [
        ("images", f"{format_sizes(outline.counts)}; {outline.num_classes:,} classes{make_printable(unscored)}"),
        ("trained at", f"{outline.train_size} px"),
        ("scored at", f"{scored}; views: {len(outline.views)}"),
        ("batch", f"{size} images per step{in_parts}, {outline.batch_images} of them distinct"),
        ("length", f"{length}, {outline.warmup_steps:,} of them warm-up"),
        ("seen", f"{outline.total_steps * size:,} images in all, {outline.distinct_images:,} distinct{left_out}"),
        ("network", f"{trained}; {outline.flops_per_image / 1e9:.3f} GFLOPs per image"),
        ("peak lr", f"{max(outline.curve):.4g}; weight decay {tree['optimizer'].get('weight_decay', 0):g}"),
    ]


def format_memory(memory: "MemoryPlan | None", gpu_memory: int | None) -> str:
    """The peak of a step on a GPU and its parts; gpu_memory: bytes of the GPU that is there, if one is."""
    if memory is None:
        return "memory unknown: the network reads values, which only a real step has"
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "average": memory.average,
        "images": memory.images,
        f"activations of {memory.num_images:,} images": memory.activations,
    }
    said = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in parts.items() if size)
    fits = ""
    if gpu_memory is not None:
        fits = f"; {gpu_memory / 2**20:,.0f} are there, enough for about {memory.count_fitting(gpu_memory):,} images"
    return f"about {memory.peak / 2**20:,.0f} MiB at the peak of a step ({said}){fits}"


def format_training_cost(measured: "MeasuredCost", estimate: "CostEstimate", device: str) -> RenderableType:
    """Time and memory, and how they were measured."""
    facts = make_facts()
    parts = f"training {format_duration(estimate.train)}, validation {format_duration(estimate.validate)}"
    parts += f", final evaluation {format_duration(estimate.evaluate)}"
    facts.add_row("[cyan]time[/]", f"about [bold]{format_duration(estimate.total)}[/]: {parts}")
    facts.add_row("[cyan]memory[/]", f"{measured.peak_memory_bytes / 2**20:,.0f} MiB at the peak of these steps")
    step = f"{measured.num_steps} steps on {device}: {1e3 * measured.seconds_per_step:,.0f} ms per step"
    facts.add_row("[cyan]measured[/]", f"{step}, the first {measured.first_step_seconds:.1f} s")
    return format_section("The cost", facts)
