"""From an Altair chart to SVG and PNG, without browser or network; the inks and the theme of every picture.

A chart is drawn in the light inks. A style sheet replaces each of them by a CSS variable, so that one SVG fits light
and dark pages and print. Altair and vl-convert are imported where a picture is drawn.
Encodings are given as objects, `alt.Text("words:N")`: Altair takes 20 ms to find the class of a plain string.
"""

import copy
import functools
import io
import itertools
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.runs.atomic import write_recomputable, write_recomputable_text

if TYPE_CHECKING:
    from altair import Data, TopLevelMixin

#: Each ink on white and on black. Okabe and Ito (2008), lightened on black to a contrast of at least 4.5.
INKS = {
    "text": ("#1b1f24", "#e6e8ea"),
    "muted": ("#57606a", "#9aa4ae"),
    "faint": ("#d9dde1", "#343b43"),
    "paper": ("#ffffff", "#14171a"),
    "blue": ("#0072b2", "#56b4e9"),
    "orange": ("#946000", "#f0b03c"),
    "red": ("#c44f00", "#ff8f4f"),
    "green": ("#00795a", "#2fc49a"),
    "purple": ("#a64d80", "#e39ac4"),
    "grey": ("#6e7781", "#9aa4ae"),
}

TEXT, MUTED, FAINT, PAPER, BLUE, ORANGE, RED, GREEN, PURPLE, GREY = (light for light, _ in INKS.values())

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"

#: Width of a figure in pixels on a desktop and on a phone.
WIDE, NARROW = 920.0, 340.0

#: Pixels of a PNG per pixel of its chart.
PNG_SCALE = 2

#: A tag of an SVG, and its attributes that no reader needs.
TAG = re.compile(r'<(?:[^">]|"[^"]*")*>')
UNUSED = re.compile(
    r' (?:role|class|aria-\w+|pointer-events|xmlns|xmlns:xlink|version|font-family)="[^"]*"'
    r'| (?:opacity|stroke-width)="1"'
)

_LETTERS = {"labelColor": MUTED, "labelFontSize": 11, "titleColor": MUTED, "titleFontSize": 11.5}
_LETTERS |= {"titleFontWeight": "normal", "labelLimit": 260}

#: Vega-Lite's configuration: no frame, a light grid, the title of a vertical axis above it, no words for every mark.
THEME = {
    "font": FONT,
    "background": PAPER,
    "padding": 12,
    "view": {"stroke": None},
    "mark": {"aria": False},
    "axis": _LETTERS | {"domain": False, "ticks": False, "gridColor": FAINT, "labelPadding": 6, "titlePadding": 8},
    "axisY": {"titleAngle": 0, "titleAlign": "left", "titleBaseline": "bottom", "titleX": -34, "titleY": -10},
    "legend": _LETTERS | {"labelColor": TEXT, "title": None, "symbolStrokeWidth": 2, "symbolSize": 160},
    "header": {"labelColor": TEXT, "labelFontSize": 12, "labelFontWeight": 600, "labelAnchor": "start", "title": None},
    "title": {"color": TEXT, "fontSize": 13, "fontWeight": 600, "anchor": "start", "frame": "group", "offset": 12}
    | {"subtitleColor": MUTED, "subtitleFontSize": 11.5, "subtitlePadding": 4},
    "text": {"color": TEXT, "fontSize": 12},
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart at any width in pixels; `name` is that of its files, `alt` the text for readers who cannot see it."""

    name: str
    alt: str
    draw: "Callable[[float], TopLevelMixin]"

    @functools.cached_property
    def tree(self) -> dict[str, Any]:
        """The specification for a desktop."""
        return self.to_tree(WIDE)

    @functools.cached_property
    def note(self) -> str:
        """Explains marks that only some charts of its kind have, for the end of the caption."""
        text = json.dumps(self.tree)
        return " ".join(words for shape, words in NOTES.items() if f'"shape": "{shape}' in text)

    @functools.cached_property
    def wide(self) -> str:
        """The SVG for a desktop."""
        return tree_to_svg(self.tree, self.alt, "wide")

    def to_svg(self, width: float, name: str = "") -> str:
        return tree_to_svg(self.to_tree(width), self.alt, name)

    def to_tree(self, width: float) -> dict[str, Any]:
        """The specification in Vega-Lite, with the theme."""
        from altair.utils import schemapi

        # Comparing the parts with the schema of Vega-Lite takes half of the time: the tests do that.
        with schemapi.debug_mode(False):
            tree: dict[str, Any] = self.draw(width).to_dict(validate=False)
        return tree | {"config": THEME}


def build_data(rows: Iterable[Mapping[str, Any]]) -> "Data":
    """The data of a chart. A tuple: Altair copies each row of a list for every layer, and again for the whole."""
    from altair import Data

    return Data(values=tuple(rows))


def tree_to_svg(tree: dict[str, Any], alt: str, name: str) -> str:
    """The SVG element of a page; `alt`: the text for readers who cannot see it; `name`: its class."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(tree)
    # The description of a mark becomes its tooltip.
    svg = re.sub(r'<path aria-label="([^"]*)"([^>]*)/>', r"<path\2><title>\1</title></path>", svg)
    svg = TAG.sub(shorten_tag, svg)
    svg = re.sub(r'<path d="[^"]*"( display="none")?/>', "", svg)
    # Vega numbers clips and gradients; in a page, their names may stand once.
    names = dict.fromkeys(re.findall(r' id="(\w+)"', svg))
    renamed = {old: f"{name}-{zlib.crc32(alt.encode()):x}-{at}" for at, old in enumerate(names)}
    svg = re.sub(r'(?<= id=")\w+|(?<=url\(#)\w+', lambda found: renamed[found[0]], svg)
    label = escape(alt, quote=True)
    return svg.replace("<svg ", f'<svg class="{name}" role="img" aria-label="{label}" font-family="{FONT}" ', 1)


def format_live_specification(tree: dict[str, Any], note: str = "") -> str:
    """The specification for the script of a page, as JSON without <: values on hover, axes of numbers that zoom.

    note: that of the figure. A chart that zooms would cut the triangles at its edge.
    """
    tree = copy.deepcopy(tree)
    add_interaction(tree, itertools.count(), zooms=NOTES["triangle-"] not in note)
    return json.dumps(tree | {"background": None}, ensure_ascii=False).replace("<", "\\u003c")


def add_interaction(tree: dict[str, Any], numbers: Iterator[int], zooms: bool) -> None:
    """Descriptions of marks become tooltips; with two axes of numbers, both move with the mouse and zoom with shift."""
    for part in tree.get("concat", ()):
        add_interaction(part, numbers, zooms=False)  # plots beside each other keep one range
    if "spec" in tree:
        add_interaction(tree["spec"], numbers, zooms)
    for unit in [tree, *tree.get("layer", ())]:
        encoding = unit.get("encoding", {})
        if "description" in encoding:
            encoding["tooltip"] = encoding["description"]
    marks = tree.get("layer", [tree] if "mark" in tree else [])
    plain = [unit for unit in marks if is_zoomable(unit)]
    # Zooming cuts marks at the edge of the plot: large ones, whose size is a quantity, would lose a half.
    is_cut = any(unit.get("encoding", {}).get("size", {}).get("scale") for unit in marks)
    if zooms and plain and not is_cut:
        zoom = {"type": "interval", "zoom": "wheel![event.shiftKey]"}
        plain[0]["params"] = [{"name": f"zoom_{next(numbers)}", "bind": "scales", "select": zoom}]


def is_zoomable(unit: dict[str, Any]) -> bool:
    axes = [unit.get("encoding", {}).get(name, {}) for name in ("x", "y")]
    return all(axis.get("type") == "quantitative" and axis.get("axis", True) is not None for axis in axes)


@functools.cache
def build_script() -> str:
    """Vega, Vega-Lite and Vega-Embed for a page that needs no network, kept in the user's cache: it takes seconds."""
    import vl_convert

    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sota_exp"
    path = folder / f"vega-{version('vl-convert-python')}.js"
    try:
        return path.read_text()
    except (OSError, ValueError):
        text: str = vl_convert.javascript_bundle(None)  # type: ignore[arg-type]
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_recomputable_text(path, text)
    return text


def shorten_tag(tag: re.Match[str]) -> str:
    """A tag of an SVG without what says nothing, with two decimals; strokes of texts (in paper) are behind them."""
    kept = re.sub(UNUSED, "", tag[0]).replace("xlink:href", "href").replace("<text", '<text paint-order="stroke"')
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", kept)


def write_svg(svg: str, path: Path) -> None:
    """Write an SVG that is light or dark by the reader's preference."""
    write_recomputable_text(path, add_namespace(svg).replace(">", f"><style>{format_ink_css()}</style>", 1) + "\n")


def write_png(svg: str, path: Path) -> None:
    """Write an SVG as PNG on white, where SVG is not supported."""
    import vl_convert
    from PIL import Image

    # vl-convert's own PNG files are three times as large.
    image = Image.open(io.BytesIO(vl_convert.svg_to_png(add_namespace(svg), scale=PNG_SCALE))).convert("RGB")
    write_recomputable(path, lambda file: image.save(file, format="png"))


def add_namespace(svg: str) -> str:
    """The SVG for a file of its own."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def format_ink_css() -> str:
    """A CSS variable per ink, light or dark; light inks of drawings become these variables."""
    light = ";".join(f"--{name}:{pair[0]}" for name, pair in INKS.items())
    dark = ";".join(f"--{name}:{pair[1]}" for name, pair in INKS.items())
    rules = "".join(
        f'svg [{what}="{pair[0]}"]{{{what}:var(--{name})}}'
        for name, pair in INKS.items()
        for what in ("fill", "stroke")
    )
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}"


def compute_range(values: Iterable[float], margin: float = 0.06, least: float = 1e-9) -> tuple[float, float]:
    """The range of the finite values with a margin on both sides, at least `least` wide; (0, 1) without values."""
    found = [value for value in values if math.isfinite(value)]
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    reach = max((high - low) * (1 + 2 * margin), least) / 2
    middle = (low + high) / 2
    return middle - reach, middle + reach


#: Labels of an axis of numbers.
NUMBER_LABELS = "format(datum.value, ',')"

#: What shapes say that only some charts have, by their beginning: points and ends of intervals beyond the scale.
NOTES = {
    "triangle-": "A triangle at the edge: a value beyond the scale.",
    "M0,-1L": "An arrow head: the interval continues outside the plot.",
}


def place_in_range(value: float, low: float, high: float) -> tuple[float, str]:
    """Where a value is drawn, and the shape of its mark: beyond the range, a triangle at its edge."""
    return min(max(value, low), high), "triangle-down" if value < low else "triangle-up" if value > high else "circle"
