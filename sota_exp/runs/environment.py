"""Variables of the environment that hold for a while, and which of torchrun's processes this one is."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout


def get_rank() -> int:
    """The number of this process among those that torchrun started; 0 without torchrun, or if it is alone."""
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1"  # launchers of other programs set the rank too
    return 0 if is_alone else int(os.environ.get("RANK", "0"))


@contextmanager
def only_the_first_speaks() -> Iterator[None]:
    """While entered, processes of torchrun but the first print and log errors alone."""
    if get_rank() == 0:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        logging.disable(before)


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """While entered, this process and those that it starts have the variables `values`; afterwards its own again."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
