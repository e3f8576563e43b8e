"""Limits what a server may answer to one request of MLflow, which reads every answer whole into memory.

Files are downloaded as streams, without a limit. Imports requests, which MLflow needs, only inside functions.
"""

import functools
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

#: Most bytes of an answer, of which the largest is the history of a metric, 0.1 kB per point; and most seconds until
#: its end: the time-out of MLflow is that between two bytes.
MOST_BYTES, MOST_SECONDS = 64 * 2**20, 120.0


@functools.cache
def limit_answers() -> None:
    """From now on, an answer in this process that is longer, or takes longer, is an error of its request."""
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    @functools.wraps(send)
    def send_limited(
        self: HTTPAdapter, request: "PreparedRequest", stream: bool = False, *given: Any, **options: Any
    ) -> "Response":
        response = send(self, request, stream, *given, **options)
        if not stream:
            read_limited(response)
        return response

    HTTPAdapter.send = send_limited  # type: ignore[method-assign]


def read_limited(response: "Response") -> None:
    """Read the body of an answer, bytes, into `response.content`.

    Raises:
        requests.ConnectionError: it is longer than `MOST_BYTES`, or takes longer than `MOST_SECONDS`.
    """
    from requests import ConnectionError as Failure
    from urllib3.exceptions import HTTPError

    began, parts, size = time.monotonic(), [], 0
    while True:
        try:
            part = response.raw.read1(2**16, decode_content=True)
        except HTTPError as error:
            raise Failure(str(error)) from error
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES or time.monotonic() - began > MOST_SECONDS:
            response.close()
            raise Failure(f"{response.url.partition('?')[0]} answers without an end ({size:,} bytes read)")
    response._content = b"".join(parts)
    response._content_consumed = True
