"""The copies of a run that benchmarks are measured on are runs: whole, signed, and of one mind about their scores."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.many_runs import copy_run
from sota_exp.runs.digests import compute_digest, find_damaged, is_own
from sota_exp.runs.find import SavedRun
from tests.finished_runs import make


@pytest.fixture
def source(tmp_path: Path) -> Path:
    run = make(tmp_path / "0", seed=0)
    logits = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    with np.load(run / "predictions.npz") as stored:
        np.savez(run / "predictions.npz", **{**stored, "val_logits": logits, "test_logits": logits})
    (run / ".hydra").mkdir()
    for name in ("hydra", "overrides"):
        (run / ".hydra" / f"{name}.yaml").write_text("- seed=0\n")
    (run / "tracking.json").write_text('{"origin": {"name": "arm, seed 0"}}')
    table = {name: [compute_digest(run / name)] for name in ("model.json", "model.safetensors")}
    (run / "digests.json").write_text(json.dumps(table))
    return run


def test_a_copy_is_a_run_of_another_seed_with_scores_of_its_own(source: Path) -> None:
    texts = {"\nseed: 0\n": "\nseed: 7\n", "seed=0": "seed=7", "seed 0": "seed 7"}
    copy_run(source, source.with_name("7"), 7, texts)
    one, other = SavedRun.read(source), SavedRun.read(source.with_name("7"))
    assert find_damaged(other.directory) == [] and is_own(other.directory)
    assert (one.seed, other.seed, other.result["seed"]) == (0, 7, 7) and one.start["id"] != other.start["id"]
    assert other.config | {"seed": 0} == one.config
    assert (other.directory / ".hydra" / "overrides.yaml").read_text() == "- seed=7\n"
    predicted, labels = other.predictions()["test_logits"].argmax(axis=1), other.labels("test")
    correct = other.correct("test")
    assert correct is not None and np.array_equal(correct, predicted == labels)
    assert other.metrics["test/accuracy"] == correct.mean() != one.metrics["test/accuracy"]
