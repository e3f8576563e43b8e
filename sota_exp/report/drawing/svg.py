"""A drawing as SVG: inline in a page, whose style sheet defines the inks, or as a file of its own."""

from html import escape

from sota_exp.report.drawing.drawing import INKS, Circle, Drawing, Mark, Polygon, Polyline, TextMark

FONT = "'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif"


def drawing_to_svg(drawing: Drawing, name: str = "") -> str:
    """The SVG element for a page; `name` is its class."""
    box = f"{format_number(drawing.width)} {format_number(drawing.height)}"
    size = f'width="{format_number(drawing.width)}" height="{format_number(drawing.height)}"'
    marks = "".join(map(format_mark, drawing.marks))
    label = escape(drawing.alt, quote=True)
    return f'<svg class="{name}" viewBox="0 0 {box}" {size} role="img" aria-label="{label}">{marks}</svg>'


def drawing_to_svg_file(drawing: Drawing) -> str:
    """The SVG file with its own inks and background, light or dark by the reader's preference."""
    drawn = drawing_to_svg(drawing).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    begin = drawn.index(">") + 1
    paper = '<rect width="100%" height="100%" class="f-paper"/>'
    return f"{drawn[:begin]}<style>{format_ink_css()}svg{{font-family:{FONT}}}</style>{paper}{drawn[begin:]}\n"


def format_ink_css() -> str:
    """Rules for every ink, as a stroke (`s-blue`) and as a fill (`f-blue`)."""
    light = ";".join(f"--{name}:{pair[0]}" for name, pair in INKS.items())
    dark = ";".join(f"--{name}:{pair[1]}" for name, pair in INKS.items())
    rules = "".join(f".s-{name}{{stroke:var(--{name})}}.f-{name}{{fill:var(--{name})}}" for name in INKS)
    halo = ".halo{paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}"
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}{halo}"


def format_mark(drawn: Mark) -> str:
    match drawn:
        case Polyline():
            return format_path(drawn)
        case Polygon():
            return format_area(drawn)
        case Circle():
            return format_dot(drawn)
        case TextMark():
            return format_label(drawn)


def format_path(drawn: Polyline) -> str:
    dash = f' stroke-dasharray="{drawn.dash}"' if drawn.dash else ""
    points = format_points(drawn.points)
    width = format_number(drawn.width)
    return f'<polyline class="s-{drawn.ink}" fill="none" stroke-width="{width}"{dash} points="{points}"/>'


def format_area(drawn: Polygon) -> str:
    opacity = f' opacity="{format_number(drawn.opacity, 3)}"' if drawn.opacity < 1 else ""
    points = format_points(drawn.points)
    return f'<polygon class="f-{drawn.ink}"{opacity} points="{points}">{format_tooltip(drawn.tip)}</polygon>'


def format_dot(drawn: Circle) -> str:
    inks = f"f-paper s-{drawn.ink}" if drawn.is_hollow else f"f-{drawn.ink}"
    width = ' stroke-width="1.8"' if drawn.is_hollow else ""
    place = f'cx="{format_number(drawn.x)}" cy="{format_number(drawn.y)}" r="{format_number(drawn.radius)}"'
    return f'<circle class="{inks}"{width} {place}>{format_tooltip(drawn.tip)}</circle>'


def format_label(drawn: TextMark) -> str:
    anchor = f' text-anchor="{drawn.anchor}"' if drawn.anchor != "start" else ""
    weight = ' font-weight="600"' if drawn.is_bold else ""
    halo = " halo" if drawn.halo else ""
    place = f'x="{format_number(drawn.x)}" y="{format_number(drawn.y)}" font-size="{format_number(drawn.size)}"'
    return f'<text class="f-{drawn.ink}{halo}" {place}{anchor}{weight}>{escape(drawn.text)}</text>'


def format_tooltip(text: str) -> str:
    """The tooltip."""
    return f"<title>{escape(text)}</title>" if text else ""


def format_points(points: tuple[tuple[float, float], ...]) -> str:
    return " ".join(f"{format_number(x)},{format_number(y)}" for x, y in points)


def format_number(value: float, decimals: int = 1) -> str:
    """Without trailing zeros; a tenth of a pixel is enough."""
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
