"""What a notebook shows of a result: HTML in which every value is escaped, and pictures."""

import base64
import contextlib
import importlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape


def import_tqdm_quietly() -> None:
    """Import the bars of other libraries, which warn once in a notebook without ipywidgets; nothing here shows them."""
    if "IPython" in sys.modules:
        with warnings.catch_warnings(), contextlib.suppress(ImportError):
            warnings.filterwarnings("ignore", message="IProgress not found")
            importlib.import_module("tqdm.auto")


import_tqdm_quietly()


class Figure:
    """A picture in a file; a notebook shows it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<Figure {self.path}>"

    def _repr_html_(self) -> str:
        content = base64.b64encode(self.path.read_bytes()).decode()
        alt = self.path.stem.replace("_", " ")
        picture = Markup('<img src="data:image/png;base64,{}" alt="{}" style="max-width:100%;background:white">')
        return picture.format(content, alt)


class Figures:
    """Pictures of a folder by name: `figures.learning_curves`, `figures['learning_curves']`, `dir(figures)`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __dir__(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.png"))

    def __getattr__(self, name: str) -> Figure:
        if name.startswith("_") or name not in dir(self):
            there = ", ".join(dir(self)) or "none"
            raise AttributeError(f"no figure {name} in {self._folder}; there are: {there}")
        return Figure(self._folder / f"{name}.png")

    def __getitem__(self, name: str) -> Figure:
        return self.__getattr__(name)

    def __repr__(self) -> str:
        return f"<Figures {', '.join(dir(self))}>"

    def _repr_html_(self) -> str:
        return Markup().join(Markup("<h4>{}</h4>").format(name) + self.show(name) for name in dir(self))

    def show(self, *names: str) -> Markup:
        """The first of these pictures that is there, as HTML; "" where none is."""
        found = [name for name in names if name in dir(self)]
        return Markup(self[found[0]]._repr_html_()) if found else Markup()


def format_facts(facts: Sequence[str]) -> Markup:
    """Facts in a line of small type."""
    return Markup('<div style="opacity:0.75">{}</div>').format(" · ".join(facts))


def format_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table; the first cell of a row is its heading."""
    head = Markup().join(Markup("<th>{}</th>").format(name) for name in headings)
    body = [
        Markup("<tr><th>{}</th>{}</tr>").format(first, Markup().join(Markup("<td>{}</td>").format(c) for c in rest))
        for first, *rest in rows
    ]
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, Markup().join(body))


def join_parts(title: str, *parts: str) -> str:
    """A title above its parts; what is no Markup is shown letter by letter."""
    return str(Markup("<div><strong>{}</strong>{}</div>").format(title, Markup().join(map(escape, parts))))
