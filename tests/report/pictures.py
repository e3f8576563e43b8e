"""Reads an SVG: its texts with their places, its marks, tooltips, inks and alternative text."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from rich.cells import cell_len

SHIFT = re.compile(r"translate\(([-\d.]+),([-\d.]+)\)")


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text and its box in pixels, as narrow as its letters can be; `is_turned`: not horizontal."""

    text: str
    ink: str
    left: float
    right: float
    top: float
    bottom: float
    is_turned: bool

    def overlaps(self, other: "Text") -> bool:
        return min(self.right, other.right) > max(self.left, other.left) and min(self.bottom, other.bottom) > max(
            self.top, other.top
        )


class Picture:
    """Parses an SVG of a figure."""

    def __init__(self, svg: str) -> None:
        root = ElementTree.fromstring(svg)
        self.alt, self.role, self.width = root.get("aria-label"), root.get("role"), float(root.get("width") or 0)
        self.height = float(root.get("height") or 0)
        self.texts: list[Text] = []
        self.marks: list[ElementTree.Element] = []
        self.read(root, 0.0, 0.0)
        self.tips = [tip.text for tip in root.iter("title")]
        self.inks = {
            value
            for each in root.iter()
            for name in ("fill", "stroke")
            if (value := each.get(name)) not in (None, "none")
        }

    def read(self, element: ElementTree.Element, x: float, y: float) -> None:
        if found := SHIFT.match(element.get("transform") or ""):
            x, y = x + float(found[1]), y + float(found[2])
        if element.tag == "text":
            lines = element.findall("tspan") or [element]
            for line in lines:
                y += float(line.get("dy") or 0)
                self.texts.append(measure(element, "".join(line.itertext()), x, y))
        elif element.tag != "g":
            self.marks.append(element)
        for inner in element:
            self.read(inner, x, y)

    @property
    def words(self) -> list[str]:
        return [text.text for text in self.texts]

    def count(self, **attributes: str) -> int:
        """The marks with these attributes; `_` stands for `-`."""
        wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
        return sum(all(mark.get(name) == value for name, value in wanted.items()) for mark in self.marks)

    def find_overlaps(self) -> list[tuple[str, str]]:
        flat = [text for text in self.texts if not text.is_turned and text.text.strip()]
        return [(a.text, b.text) for index, a in enumerate(flat) for b in flat[:index] if a.overlaps(b)]

    def find_cut(self) -> list[str]:
        """Horizontal texts that leave the picture."""
        return [
            each.text
            for each in self.texts
            if not each.is_turned
            and not (each.left >= 0 and each.right <= self.width and each.top >= 0 and each.bottom <= self.height)
        ]


def measure(element: ElementTree.Element, text: str, x: float, y: float) -> Text:
    size = float((element.get("font-size") or "12px").removesuffix("px"))
    wide = 0.42 * size * cell_len(text)
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[element.get("text-anchor") or "start"] * wide
    is_turned = "rotate" in (element.get("transform") or "")
    return Text(
        text=text,
        ink=element.get("fill") or "",
        left=left,
        right=left + wide,
        top=y - 0.7 * size,
        bottom=y + 0.1 * size,
        is_turned=is_turned,
    )
