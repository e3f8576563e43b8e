"""Read lines of a stream with a timeout."""

import queue
import threading
from typing import IO


class PipeLines:
    """The lines of a stream; "" at its end, repeatedly. num: how many lines have arrived, read or not.

    A thread reads them, because `select` reports an empty stream while a second line waits in its buffer.
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
        """The next line; None if there is none within `seconds`."""
        try:
            line = self.queue.get(timeout=seconds)
        except queue.Empty:
            return None
        if not line:
            self.queue.put("")
        return line
