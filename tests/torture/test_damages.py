"""A share of the damages of `make torture`, and what it found."""

import contextlib

import pytest

from tests.torture import damages

#: Command, file and damage → words of what is said. Each was silent, or said something else.
FOUND = [
    ("compare", "result.json", "deleted", "result.json is damaged: it is missing"),
    ("compare", "start.json", "deleted", "start.json is damaged: it is missing"),
    ("compare", "predictions.npz", "deleted", "predictions.npz is missing"),
    ("compare", "config.yaml", "deleted", "config.yaml"),
    ("compare_folder", "config.yaml", "deleted", "config.yaml"),
    ("compare_folder", "metrics.jsonl", "deleted", "metrics.jsonl is damaged: it is missing"),
    ("diff", "result.json", "deleted", "result.json is damaged: it is missing"),
    ("diff", "config.yaml", "a folder", "config.yaml"),
    ("predict", "result.json", "deleted", "result.json is damaged: it is missing"),
    ("export", "result.json", "deleted", "result.json is damaged: it is missing"),
    ("explain", "result.json", "deleted", "result.json is damaged: it is missing"),
]


@pytest.fixture(scope="module")
def runs():
    """The runs that are damaged, without the study."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(damages, "ABLATE", ("techniques", "loss"))
        patch.setattr(
            damages, "COMMANDS", {name: damages.COMMANDS[name] for name in damages.COMMANDS if name != "report"}
        )
        damages.whole.cache_clear()
        stack.enter_context(damages.prepared())
        yield damages.whole()
    damages.whole.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("command, name, damage, words", FOUND)
def test_what_was_found_is_named(runs, command, name, damage, words):
    place, _ = runs
    _, _, said = damages.damaged(place, command, name, damage)
    assert words in " ".join(said.split())
    number = damages.list_cases(command).index((name, damage))
    assert damages.check(command, number) in ("named", "one line", "same")
