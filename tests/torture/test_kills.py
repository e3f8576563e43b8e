"""A small share of the kills of `python -m tests.torture.kills`."""

import random

import pytest

from tests.test_contract import make_files
from tests.torture.kills import list_cases, share, torture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    make_files(made)
    return list_cases(made)


@pytest.mark.torture  # tests/training/test_distributed.py stops two processes at one step
def test_killed_in_two_processes_the_resumed_run_is_equal_to_the_bit(cases, tmp_path):
    two = next(case for case in cases if case.num_processes == 2)
    outcome = torture(two, tmp_path / "two", random.Random(3), 3)
    assert outcome.faults == [] and outcome.kills


@pytest.mark.torture  # tests/training/test_kill.py kills a training of the usual recipe
@pytest.mark.parametrize("name", ["regularization/average=swa"])
def test_killed_with_any_technique_the_resumed_run_is_equal_to_the_bit(cases, tmp_path, name):
    case = next(case for case in cases if case.name == name)
    outcome = torture(case, tmp_path / "one", random.Random(4), 2)
    assert outcome.faults == [] and outcome.kills


def test_all_kills_are_shared_out_over_techniques_and_processes(cases):
    shared = list(share(cases, 100, random.Random(0)))
    assert sum(number for _, number in shared) == 100
    assert sum(number for case, number in shared if case.num_processes == 2) == 20
    assert {case.name.partition("=")[0] for case, _ in shared} >= {
        "augmentation/mix",
        "optimizer",
        "regularization/average",
    }
