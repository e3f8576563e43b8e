"""Lines of a stream, waited for with a time limit."""

import queue
import threading
from typing import IO


class Lines:
    """The lines of a stream, and "" for ever at its end. A thread waits for them: a stream that has buffered two lines at once
    looks empty to `select`, though one is still to be read.

    num: how many have come, read or not.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.num = 0
        self.queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with self.stream:
            for line in self.stream:
                self.num += 1
                self.queue.put(line)
        self.queue.put("")

    def next(self, seconds: float | None = None) -> str | None:
        """The next line; None where there is none within `seconds`."""
        try:
            line = self.queue.get(timeout=seconds)
        except queue.Empty:
            return None
        if not line:
            self.queue.put("")
        return line
