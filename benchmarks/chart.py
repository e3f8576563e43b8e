"""The latest results as a page with a picture: docs/benchmarks.md and docs/benchmarks.png."""

import platform
from datetime import date
from pathlib import Path

import timm
import torch
import torchvision

from sota_exp.preview.look.matplotlib_canvas import BLUE, GREY, ORANGE, make_figure, save_figure, style_axes

DOCS = Path(__file__).resolve().parents[1] / "docs"

HEADING = """# Benchmarks

`make bench` writes this page. A ratio says how many times as good ours is as the peer, both in turn (A B B A), so that other work on the
machine weighs on both: the ratio of their medians, and of whole trainings the median of the rounds' ratios, with the figures of that round. Where the unit says "at most", the peer is what is allowed or what was there before, and the ratio the share of it.

{date}; {machine}; Python {python}, PyTorch {torch}, torchvision {torchvision}, timm {timm}; {note}

![ratios and their goals](benchmarks.png)

| what | network | side, px | precision | ours | peer | unit | ratio | goal | met |
|---|---|---|---|---|---|---|---|---|---|
"""

FOOT = """
Whole trainings ("full recipe") run in processes of their own, as their users start them, on all cores, by the clock; what the peers do is
in [benchmarks/loops.py](../benchmarks/loops.py): torchvision's reference script (PIL transforms an image at a time, its EMA every 32
steps), timm's loader, Mixup and ModelEmaV3, each with as many worker processes as serve it best here, and the bare step: forward, backward
and fused SGD, channels last, on one batch that is ready, with the network's own convolutions and ("products") with those that ours trains
with, which leave out what multiplies the zeros of a border around a single pixel. The goal of 0.95 is for the network's own; the other shows
what data, augmentation and averaging cost. Ours reads the same files. What `runtime=auto` takes to measure and to compile
counts against a training of ten minutes, but not against the bare step, which is steady. The pictures are made by the benchmark. Peers train
in single precision, as their scripts do by default on a CPU. Augmentation alone runs on one thread, by the processor's time.

"""


def at_most(row: dict[str, object]) -> bool:
    """Whether the goal is an upper limit."""
    return "at most" in str(row["unit"])


def met(row: dict[str, object]) -> str:
    ratio, goal = row["ratio"], row["goal"]
    assert isinstance(ratio, float | int)
    if not isinstance(goal, float | int):
        return ""
    return "yes" if (ratio <= goal if at_most(row) else ratio >= goal) else "**no**"


def processor() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def draw(rows: list[dict[str, object]]) -> None:
    drawing = make_figure(10, 0.34 * len(rows) + 1.2)
    axes = drawing.subplots()
    places = range(len(rows), 0, -1)
    ratios = [float(str(row["ratio"])) for row in rows]
    colors = [{"yes": BLUE, "**no**": ORANGE}.get(met(row), GREY) for row in rows]
    axes.barh(places, ratios, color=colors, height=0.6)
    for place, row, ratio in zip(places, rows, ratios, strict=True):
        goal = ratio if row["goal"] is None else float(str(row["goal"]))
        axes.text(max(ratio, goal), place, f"  {ratio:g} ×", va="center", fontsize=8)
        if row["goal"] is not None:
            axes.plot([goal, goal], [place - 0.4, place + 0.4], color="black", linewidth=1.5)
    kinds = [row["model"] or row["image_size"] for row in rows]
    names = [f"{row['name']} ({kind})" if kind else str(row["name"]) for row, kind in zip(rows, kinds, strict=True)]
    axes.set_yticks(places, names)
    axes.axvline(1, color=GREY, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, *ratios) / 1.5, max(ratios) * 1.5)
    ticks = [
        tick
        for tick in (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
        if min(ratios) / 1.5 <= tick <= max(ratios) * 1.5
    ]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    style_axes(
        axes,
        "black: the goal; orange: missed",
        "times as good as the peer, or the share of what is allowed (logarithmic)",
        "",
    )
    save_figure(drawing, DOCS / "benchmarks.png")


def write(rows: list[dict[str, object]], note: str) -> None:
    """The page and its picture."""
    draw(rows)
    text = HEADING.format(
        date=date.today().isoformat(),
        machine=processor(),
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        timm=timm.__version__,
        note=note,
    )
    keys = ("name", "model", "image_size", "precision", "ours", "peer", "unit", "ratio", "goal")
    for row in rows:
        cells = ["" if row[key] is None else str(row[key]) for key in keys]
        text += f"| {' | '.join([*cells, met(row)])} |\n"
    details = [f"- {row['name']} ({row['model']}): {row['note']}.\n" for row in rows if "note" in row]
    by_hand = Path(__file__).with_name("large_data.md").read_text()
    (DOCS / "benchmarks.md").write_text(text + FOOT + "".join(details) + by_hand)
