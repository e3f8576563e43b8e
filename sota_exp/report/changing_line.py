"""A line that says what is being done, on a terminal and in a notebook; nothing of it stays. Files get nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from sota_exp.config.signals import postponed_interrupt
from sota_exp.report.terminal import make_console

if TYPE_CHECKING:
    from rich.status import Status

#: Seconds between two changes that a notebook shows.
SHOW_EVERY = 0.2


class ChangingLine:
    """Shows the last text that it was given, until it is closed."""

    def __init__(self) -> None:
        self.console = make_console(is_progress=True)
        self._status: Status | None = None
        self._output: Any = None  # what IPython shows below the cell
        self._shown_at = -SHOW_EVERY

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        if self.console.quiet:
            return
        if self.console.is_jupyter:
            self._show_in_notebook(text)
        elif self.console.is_terminal:
            self._status = self._status or self.console.status(text)
            self._status.start()
            self._status.update(text)

    def draw(self, draw: Callable[[], str]) -> None:
        """Show what a function returns, in a notebook alone, if the last text has been shown for `SHOW_EVERY`."""
        is_shown = self.console.is_jupyter and not self.console.quiet
        if is_shown and time.monotonic() - self._shown_at >= SHOW_EVERY:
            self._show_in_notebook(draw())

    def _show_in_notebook(self, text: str) -> None:
        from IPython.display import display

        data, self._shown_at = {"text/plain": text}, time.monotonic()
        if self._output is None:
            self._output = display(data, raw=True, display_id=True)
        else:
            self._output.update(data, raw=True)

    def close(self) -> None:
        """Show nothing any more."""
        if self._status is not None:
            self._status.stop()
        if self._output is not None:
            self._show_in_notebook("")
        self._status = self._output = None


@contextmanager
def shown_in_notebook(text: str) -> Iterator[None]:
    """While entered, a notebook shows the text; on a terminal what is done there has a bar, or takes seconds."""
    with closing(ChangingLine()) as line:
        line.draw(lambda: text)
        yield


@contextmanager
def loading_pytorch() -> Iterator[None]:
    """While entered, modules that use PyTorch are imported; the first time that takes seconds."""
    with postponed_interrupt(), closing(ChangingLine()) as line:
        if "torch" not in sys.modules:
            line.show("loading PyTorch")
        yield
