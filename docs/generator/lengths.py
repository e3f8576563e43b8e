"""`docs/results/when_techniques_pay`: one screening study for each length of training, as a table and a figure.

`python docs/generator/lengths.py` draws the figure anew from the studies' files, named by their epochs.
"""

import functools
import json
from pathlib import Path
from typing import Any

import altair as alt

from sota_exp.report.drawing.chart import BLUE, FAINT, GREY, RED, Figure, build_data, write_png
from sota_exp.statistics.units import SHARE_FORMAT

FOLDER = Path(__file__).resolve().parents[1] / "results" / "when_techniques_pay"

#: Pixels of all panels, of the axis and the gap beside each, and of the height of one; panels in a row.
WIDTH, MARGIN, HEIGHT, COLUMNS = 920, 50, 130, 4

INKS = {"helps": BLUE, "hurts": RED}


@functools.cache
def read_studies() -> dict[int, dict[str, Any]]:
    """Epochs → the content of `study.json`, the shortest first."""
    paths = sorted(FOLDER.glob("*_epochs.json"), key=lambda path: int(path.stem.split("_")[0]))
    return {int(path.stem.split("_")[0]): json.loads(path.read_text()) for path in paths}


def list_effects(studies: dict[int, dict[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
    """Label of a technique → its effect at each length, the largest of the longest training first."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for epochs, study in studies.items():
        for effect in study["effects"]:
            found.setdefault(effect["label"], {})[epochs] = effect
    return dict(sorted(found.items(), key=lambda item: -item[1][max(studies)]["estimate"]))


def get_interval(effect: dict[str, Any]) -> tuple[float, float]:
    """In new training runs on new images."""
    low, high = effect["new_images"]["interval"]
    return low, high


def format_effect(effect: dict[str, Any]) -> str:
    """An effect in points with its interval, bold where the study shows it."""
    mark = "**" if effect["verdict"] in INKS else ""
    return f"{mark}{SHARE_FORMAT.difference(effect['estimate'])}{mark} ({SHARE_FORMAT.span(*get_interval(effect))})"


def build_table() -> str:
    """Effects in points with their intervals, a row for each technique and a column for each length."""
    studies = read_studies()
    head = f"| technique | {' | '.join(f'{epochs} epochs' for epochs in studies)} |\n|---|{'---|' * len(studies)}"
    rows = [
        f"| {label} | {' | '.join(map(format_effect, effects.values()))} |"
        for label, effects in list_effects(studies).items()
    ]
    return "\n".join([head, *rows])


def draw(width: float) -> alt.FacetChart:
    """A panel for each technique: its effect with its interval against the length. width: of them all, pixels."""
    studies = read_studies()
    effects = list_effects(studies)
    rows = [
        {
            "technique": label,
            "epochs": epochs,
            "effect": 100 * effect["estimate"],
            "low": 100 * get_interval(effect)[0],
            "high": 100 * get_interval(effect)[1],
            "ink": INKS.get(effect["verdict"], GREY),
        }
        for label, found in effects.items()
        for epochs, effect in found.items()
    ]
    epochs = list(studies)
    across = alt.X(
        "epochs:Q",
        scale=alt.Scale(type="log", domain=[epochs[0] / 1.4, epochs[-1] * 1.4], nice=False),
        axis=alt.Axis(values=epochs, title="epochs", grid=False),
    )
    upright = alt.Axis(title="points", tickCount=5)
    ink = alt.Color("ink:N", scale=None)
    base = alt.Chart()
    chart = alt.layer(
        base.mark_rule(color=GREY).encode(alt.Y(datum=0, type="quantitative")),
        base.mark_line(color=FAINT, strokeWidth=2).encode(across, alt.Y("effect:Q", axis=upright)),
        base.mark_rule(strokeWidth=2).encode(across, alt.Y("low:Q"), alt.Y2("high"), ink),
        base.mark_circle(size=28, opacity=1).encode(across, alt.Y("effect:Q", axis=upright), ink),
        data=build_data(rows),
    ).properties(width=width / COLUMNS - MARGIN, height=HEIGHT)
    return chart.facet(alt.Facet("technique:N", sort=list(effects), title=None), columns=COLUMNS).resolve_scale(
        y="independent"
    )


def main() -> None:
    """Draw `effects.png`, and print the table."""
    write_png(Figure(name="effects", alt="", draw=draw).to_svg(WIDTH), FOLDER / "effects.png")
    print(build_table())


if __name__ == "__main__":
    main()
