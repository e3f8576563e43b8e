"""A drawing as data: shapes and text in pixels from the top left. `svg.py` and `png.py` write it.

Inks are names of colours. Each writer looks them up in `INKS`, so one drawing fits light and dark pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, kw_only=True)
class Polyline:
    """A line through points (x, y). `dash`: lengths of dashes and gaps, `6 3`."""

    points: tuple[tuple[float, float], ...]
    ink: str = "text"
    width: float = 1.5
    dash: str = ""


@dataclass(frozen=True, kw_only=True)
class Polygon:
    """A filled polygon. `tip`: text of the tooltip."""

    points: tuple[tuple[float, float], ...]
    ink: str
    opacity: float = 1.0
    tip: str = ""


@dataclass(frozen=True, kw_only=True)
class Circle:
    """A disc, or a ring if it is hollow."""

    x: float
    y: float
    radius: float
    ink: str
    is_hollow: bool = False
    tip: str = ""


@dataclass(frozen=True, kw_only=True)
class TextMark:
    """Text; (x, y) is the `start`, `middle` or `end` of its baseline. `halo`: an outline in the colour of the page."""

    x: float
    y: float
    text: str
    ink: str = "text"
    anchor: str = "start"
    size: float = 12
    is_bold: bool = False
    halo: bool = False


Mark = Polyline | Polygon | Circle | TextMark


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Marks from back to front; `alt` is the text for readers who cannot see them."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    alt: str


def make_line(
    x1: float, y1: float, x2: float, y2: float, ink: str = "text", width: float = 1.5, dash: str = ""
) -> Polyline:
    return Polyline(points=((x1, y1), (x2, y2)), ink=ink, width=width, dash=dash)


def make_rectangle(
    x: float, y: float, width: float, height: float, ink: str, opacity: float = 1.0, tip: str = ""
) -> Polygon:
    """A rectangle; a negative width or height extends to the left or up."""
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return Polygon(points=corners, ink=ink, opacity=opacity, tip=tip)


def estimate_text_width(text: str, size: float = 12) -> float:
    """An upper bound of the width in pixels, for the widest common sans-serif: no font is loaded to measure it."""
    narrow = sum(letter in "iljtfr.,:;'|!()[] " for letter in text)
    wide = sum(letter in "mwMW%@+−±×…" or letter.isupper() for letter in text)
    return size * (0.64 * (len(text) - narrow - wide) + 0.37 * narrow + 0.84 * wide)


def shorten_text(text: str, room: float, size: float = 12) -> str:
    """The text, cut with … if it is wider than `room` pixels."""
    if estimate_text_width(text, size) <= room:
        return text
    while text and estimate_text_width(f"{text}…", size) > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def arrange_panels(panels: Sequence[tuple[str, Drawing]], width: float, alt: str) -> Drawing:
    """Drawings with their titles side by side in one drawing, in as many rows as needed."""
    marks: list[Mark] = []
    x = y = below = 0.0
    for title, drawing in panels:
        if x and x + drawing.width > width:
            x, y = 0.0, below
        if title:
            marks.append(TextMark(x=x, y=y + 14, text=shorten_text(title, drawing.width), is_bold=True))
        down = y + (20 if title else 0)
        marks += [shift_mark(mark, x, down) for mark in drawing.marks]
        x, below = x + drawing.width + 18, max(below, down + drawing.height + 14)
    return Drawing(width=width, height=below, marks=tuple(marks), alt=alt)


def shift_mark(mark: Mark, x: float, y: float) -> Mark:
    """The mark shifted right by `x` and down by `y`."""
    match mark:
        case Polyline() | Polygon():
            return replace(mark, points=tuple((across + x, down + y) for across, down in mark.points))
        case Circle() | TextMark():
            return replace(mark, x=mark.x + x, y=mark.y + y)
