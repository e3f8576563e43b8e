"""What commands on many runs cost: 100, 300 and 1,000 runs of one study, and as many trials of one sweep.

The runs are copies of real ones with a seed, scores and predictions of their own, whose digests are signed as those of
trained runs are. `python -m benchmarks.many_runs` prints the table of docs/scale.md in ten minutes; `python -m
benchmarks.many_runs DIR 1000` only makes a study and a sweep of so many runs.
"""

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sota_exp.runs.digests import NAME, compute_digest
from sota_exp.runs.own_key import SIGNATURE, sign

#: Runs that are measured, those of a study rounded to its arms; and trials that the last row adds.
SIZES, NUM_ARMS, FURTHER = (100, 300, 1000), 13, 10

#: A training of a second, on 400 images, scored on 200 and 400; no server listens, so that `sync` has all to send.
TINY = (
    "data=fake",
    "data.image_size=16",
    "data.num_images=1000",
    "data.num_classes=10",
    "data.min_side=20",
    "data.max_side=28",
    "data.val_fraction=0.2",
    "data.test_fraction=0.4",
    "model.arch.name=resnet_xs",
    "model.arch.width_multiplier=0.25",
    "batch_size=64",
    "schedule.length.epochs=10",
    "runtime.threads=1",
    "tracking.figures=false",
    "tracking.uri=http://127.0.0.1:9",
)

#: Files that every copy shares with its source, as links.
LINKED = ("model.safetensors", "model.json", "trained_on.npy", "mistakes.npz", "mistakes.csv", "predictions.csv")


class Cost(NamedTuple):
    """Of a command: seconds of the processor, and by the clock."""

    processor: float
    clock: float


def copy_run(source: Path, target: Path, seed: int, texts: Mapping[str, str]) -> None:
    """A run in `target` like the one in `source`, with another seed, scores and predictions. texts: old → new, in all."""
    rng, known = np.random.default_rng(seed), json.loads((source / NAME).read_text())
    target.mkdir(parents=True)
    for name in (*LINKED, *(str(path.relative_to(source)) for path in (source / "checkpoint").iterdir())):
        if (source / name).exists():
            (target / name).parent.mkdir(exist_ok=True)
            os.link(source / name, target / name)
    (target / ".hydra").mkdir()
    result, arrays = draw_scores(source, rng)
    written = {"result.json": result | {"seed": seed}, "start.json": json.loads((source / "start.json").read_text())}
    written["tracking.json"] = json.loads((source / "tracking.json").read_text())
    mark = hashlib.sha256(f"{target}".encode()).hexdigest()
    for name in ("result.json", "start.json"):
        written[name]["fingerprint"] = mark[:16]
    written["start.json"]["id"] = mark[:32]
    for name, value in written.items():
        write_replaced(target / name, json.dumps(value, indent=2) + "\n", texts)
    for name in ("config.yaml", "metrics.jsonl", ".hydra/overrides.yaml", ".hydra/hydra.yaml"):
        write_replaced(target / name, (source / name).read_text(), texts)
    np.savez(target / "predictions.npz", **arrays)
    changed = ("result.json", "start.json", "config.yaml", "metrics.jsonl", "predictions.npz")
    table = {name: digests for name, digests in known.items() if name != SIGNATURE}
    table |= {name: [compute_digest(target / name)] for name in changed}
    (target / NAME).write_text(json.dumps(sign(dict(sorted(table.items()))), indent=1) + "\n")


def write_replaced(path: Path, text: str, texts: Mapping[str, str]) -> None:
    for old, new in texts.items():
        text = text.replace(old, new)
    path.write_text(text)


def draw_scores(source: Path, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The result and the predictions of a run with noise in its logits."""
    result = json.loads((source / "result.json").read_text())
    with np.load(source / "predictions.npz") as stored:
        arrays = dict(stored)
    for part in ("val", "test"):
        logits, labels = arrays[f"{part}_logits"], arrays[f"{part}_labels"]
        logits = (logits + rng.normal(scale=logits.std() / 2, size=logits.shape)).astype(np.float32)
        correct = logits.argmax(axis=1) == labels
        arrays |= {f"{part}_logits": logits, f"{part}_correct": np.packbits(correct)}
        result["metrics"][f"{part}/accuracy"] = float(correct.mean())
    return result, arrays


def command(words: Sequence[str], cwd: Path) -> Cost:
    """Run `sota-exp`; an error is raised."""
    began = time.monotonic()
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    with (cwd / "said").open("w") as said:
        words_of_python = [sys.executable, "-m", "sota_exp", *words]
        process = subprocess.Popen(words_of_python, cwd=cwd, env=here, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}: {(cwd / 'said').read_text()[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - began)


def ablate(place: Path, num_seeds: int) -> Cost:
    """The study of each technique alone, in `study`."""
    return command(["ablate", "study=add_one_in", f"study.seeds={num_seeds}", *TINY, "hydra.sweep.dir=study"], place)


def make_study(place: Path, num_seeds: int) -> None:
    """`study` of so many seeds: the runs of seed 0 are trained where they are not there, those of the others copied."""
    if not (place / "study").is_dir():
        ablate(place, 1)
    for source in sorted((place / "study" / "runs").glob("*/0")):
        for seed in range(1, num_seeds):
            if not (target := source.with_name(str(seed))).exists():
                texts = {"\nseed: 0\n": f"\nseed: {seed}\n", "seed=0": f"seed={seed}", "seed 0": f"seed {seed}"}
                copy_run(source, target, seed, texts)


def sweep(place: Path, num_trials: int) -> Cost:
    """A search of the learning rate, in `sweep`."""
    goal = ["search=learning_rate", "hydra.sweeper.confirm.top=0", f"hydra.sweeper.n_trials={num_trials}"]
    return command(["sweep", *goal, *TINY, "hydra.sweep.dir=sweep"], place)


def make_sweep(place: Path, num_trials: int) -> None:
    """`sweep` of so many trials: the first three are trained where they are not there, the others copied from the last."""
    folder = place / "sweep"
    if not folder.is_dir():
        sweep(place, 3)
    (rate,) = re.findall(r"optimizer\.lr=(\S+)", (folder / "2" / ".hydra" / "overrides.yaml").read_text())
    with closing(sqlite3.connect(folder / "study.db")) as database, database:
        for number in range(3, num_trials):
            if not (folder / str(number)).exists():
                new = 10 ** np.random.default_rng(number).uniform(-2.3, 0.69)  # as the search draws
                copy_run(folder / "2", folder / str(number), number, {rate: repr(new), "trial 2:": f"trial {number}:"})
                copy_trial(database, 2, number, {rate: repr(new)}, new)


def copy_trial(database: sqlite3.Connection, source: int, number: int, texts: Mapping[str, str], rate: float) -> None:
    """The rows of a trial in Optuna's storage, with another number, learning rate and value."""
    facts = "study_id, state, datetime_start, datetime_complete"
    old, new = (
        database.execute("SELECT trial_id FROM trials WHERE number = ?", (source,)).fetchone()[0],
        database.execute(
            f"INSERT INTO trials (number, {facts}) SELECT ?, {facts} FROM trials WHERE number = ?", (number, source)
        ).lastrowid,
    )
    for table in ("trial_params", "trial_values", "trial_intermediate_values", "trial_user_attributes"):
        names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")][1:]
        kept = ", ".join(name for name in names if name != "trial_id")
        database.execute(
            f"INSERT INTO {table} (trial_id, {kept}) SELECT ?, {kept} FROM {table} WHERE trial_id = ?", (new, old)
        )
    value = json.loads(
        (Path(database.execute("PRAGMA database_list").fetchone()[2]).parent / str(number) / "result.json").read_text()
    )
    database.execute("UPDATE trial_params SET param_value = ? WHERE trial_id = ?", (rate, new))
    database.execute("UPDATE trial_values SET value = ? WHERE trial_id = ?", (value["metrics"]["val/accuracy"], new))
    for before, after in texts.items():
        database.execute(
            "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?) WHERE trial_id = ?",
            (before, after, new),
        )


def measure(place: Path, num_runs: int) -> dict[str, Cost]:
    """What each command costs on a study and a sweep of about so many runs, which are made in `place`."""
    num_seeds, store = round(num_runs / NUM_ARMS), f"--uri=sqlite:///{place / f'{num_runs}.db'}"
    make_study(place, num_seeds)
    make_sweep(place, num_runs)
    costs = {
        "`ablate` repeated: `study.json`, table, report": ablate(place, num_seeds),
        "`report` of the study": command(["report", "study"], place),
        f"`compare` of {NUM_ARMS} arms": command(["compare", "study"], place),
        "`compare` of as many configurations": command(["compare", "sweep"], place),
        "`sync`, nothing sent yet": command(["sync", "study", store], place),
        "`sync` again": command(["sync", "study", store], place),
        "`sweep` repeated: `sweep.json`, table, figures": (ended := sweep(place, num_runs)),
        "`report` of the sweep": command(["report", "sweep"], place),
    }
    more = sweep(place, num_runs + FURTHER)
    each = Cost(*((after - before) / FURTHER for after, before in zip(more, ended, strict=True)))
    return costs | {"a further trial, with its training of a second": each}


def main() -> None:
    """Print the table: seconds of the processor at each size, and how many ms a further run adds."""
    with tempfile.TemporaryDirectory() as place:
        found = [measure(Path(place), num_runs) for num_runs in SIZES]
    print(f"| s of the processor | {' | '.join(f'{size:,} runs' for size in SIZES)} | ms a further run |")
    print(f"|---|{'---:|' * (len(SIZES) + 1)}")
    for name in found[0]:
        seconds = [costs[name].processor for costs in found]
        slope = 1000 * (seconds[-1] - seconds[0]) / (SIZES[-1] - SIZES[0])
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in seconds)} | {slope:.1f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        root = Path(sys.argv[1])
        root.mkdir(exist_ok=True)
        make_study(root, -(-int(sys.argv[2]) // NUM_ARMS))
        make_sweep(root, int(sys.argv[2]))
    else:
        main()
