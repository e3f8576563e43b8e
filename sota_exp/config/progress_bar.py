"""The bar of what takes long, on a terminal: images, percent, and in its field `left` the time that the rest takes."""

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn


def make_bar(console: Console) -> Progress:
    """A bar that goes when it ends; its tasks have a total of images and the field `left`."""
    counts = TextColumn("{task.completed:,.0f}/{task.total:,.0f} images  {task.percentage:.0f} %  {task.fields[left]}")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=None), counts)
    return Progress(*columns, console=console, transient=True)
