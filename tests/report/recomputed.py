"""Every number in the tables of a study's report, recomputed from the run files with code of its own.

`python -m tests.report.recomputed DIRECTORY` checks any study and prints what disagrees. Only the reference of each arm
and the paths of its runs are read from `study.json`. Training FLOPs are not recomputed: they depend on the crop size.
"""

import itertools
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tests.report.pages import Page, Table

COMPLETE = ("finished", "stopped_early")
Values = dict[int, float]


@dataclass(kw_only=True)
class Check:
    """A study, its page, the number of compared numbers and the differences."""

    directory: Path
    tree: dict[str, Any]
    page: Page
    num: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def arms(self) -> list[dict[str, Any]]:
        return list(self.tree["arms"])

    def arm(self, name: str) -> dict[str, Any]:
        return next(arm for arm in self.arms if arm["name"] == name)

    def runs(self, arm: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """Results of the runs that finished, by seed."""
        found = {}
        for seed, place in arm["runs"].items():
            path = self.directory / place / "result.json"
            result = json.loads(path.read_text()) if path.is_file() else {"status": "missing"}
            if result["status"] in COMPLETE:
                found[int(seed)] = result | {"place": path.parent}
        return found

    def values(self, arm: dict[str, Any], read: Callable[[dict[str, Any]], float]) -> Values:
        return {seed: read(result) for seed, result in self.runs(arm).items()}

    def paired(self, arm: dict[str, Any], read: Callable[[dict[str, Any]], float]) -> Values:
        """Differences from the reference by seed."""
        own, other = self.values(arm, read), self.values(self.arm(arm["reference"]), read)
        return {seed: own[seed] - other[seed] for seed in own if seed in other}

    @property
    def has_anytime_looks(self) -> bool:
        """Whether intervals and p-values are those of looks at any time, which are not computed again here."""
        return (self.tree.get("looks") or {}).get("kind") == "anytime"

    def table(self, *heads: str) -> Table | None:
        for table in self.page.tables:
            if all(any(head in found for found in table.heads) for head in heads):
                return table
        return None

    def compare(self, what: str, shown: str, value: float | None, factor: float = 100, tolerance: float = 0.0) -> None:
        """Compare a number on the page with ours, to half of its last digit; – with None."""
        self.num += 1
        text = shown.strip().replace("−", "-").replace(",", "").rstrip("*")
        if value is None or text == "–":
            if not (value is None and text == "–"):
                self.wrong.append(f"{what}: {shown} on the page, {value} from files")
            return
        decimals = len(text.partition(".")[2])
        if abs(float(text) - factor * value) > 0.5 * 10**-decimals + 1e-6 + tolerance:
            self.wrong.append(f"{what}: {shown} on the page, {factor * value:.6f} from files")

    def compare_interval(
        self, what: str, shown: str, pair: tuple[float, float] | None, factor: float = 100, tolerance: float = 0.0
    ) -> None:
        ends = shown.split(" to ") if " to " in shown else [shown, shown]
        for name, end, value in zip(("low", "high"), ends, pair or (None, None), strict=True):
            self.compare(f"{what}, {name}", end, value, factor, tolerance)


def check(directory: Path) -> Check:
    """Compare all tables of the report in a directory."""
    tree = json.loads((directory / "study.json").read_text())
    found = Check(directory=directory, tree=tree, page=Page((directory / "report.html").read_text()))
    check_results(found)
    check_noises(found)
    check_costs(found)
    check_calibration(found)
    check_classes(found)
    return found


def student(differences: Sequence[float], level: float) -> tuple[float, float] | None:
    if len(differences) < 2:
        return None
    error = stats.sem(differences)
    reach = stats.t.ppf((1 + level) / 2, len(differences) - 1) * error
    mean = sum(differences) / len(differences)
    return mean - reach, mean + reach


def metric_of(found: Check) -> Callable[[dict[str, Any]], float]:
    return lambda result: float(result["metrics"][found.tree["metric"]])


def check_results(found: Check) -> None:
    """Means, spreads, differences, intervals, joint p-values and verdicts."""
    table = found.table("Pairs", "Mean")
    assert table is not None
    read, level = metric_of(found), found.tree["level"]
    compared = [arm for arm in found.arms if arm["reference"] is not None]
    differences = {arm["name"]: found.paired(arm, read) for arm in compared}
    p_values = joint(differences | interactions(found, read), found.tree["seeds"])
    beyond = on_new_images(found, compared)
    can_both_decide = 2 ** (1 - len(found.tree["seeds"])) <= (1 - level) / 2
    if found.tree["kind"] == "screening" and can_both_decide:
        p_values = {name: min(1.0, 2 * value) for name, value in p_values.items()}
    for row, arm in zip(table.rows, found.arms, strict=True):
        cells = dict(zip(table.heads, row, strict=True))
        mine, name = list(found.values(arm, read).values()), arm["name"]
        absent = dict.fromkeys(("± sd", "Difference", f"{100 * level:g} %", "p"), "–")
        by = absent | {head.split(",")[0].split(" interval")[0]: text for head, text in cells.items()}
        paired = list(differences.get(name, {}).values())
        num = len(paired) if arm["reference"] is not None else len(mine)
        found.compare(f"{name} pairs", by["Pairs"], num, factor=1)
        found.compare(f"{name} mean", by["Mean"], float(np.mean(mine)) if mine else None)
        found.compare(f"{name} sd", by["± sd"], statistics_sd(mine))
        if arm["reference"] is None:
            continue
        found.compare(f"{name} difference", by["Difference"], float(np.mean(paired)) if len(paired) > 1 else None)
        if found.has_anytime_looks:
            continue
        interval, p_value = student(paired, level), p_values.get(name)
        if name in beyond:
            interval, p_value = beyond[name][0], max(p_value or 0.0, beyond[name][1])
        found.compare_interval(f"{name} interval", by[f"{100 * level:g} %"], interval)
        check_p_value(found, name, by["p"], p_value)
        check_verdict(found, name, by["Verdict"], paired, p_value)


def on_new_images(found: Check, compared: list[dict[str, Any]]) -> dict[str, tuple[tuple[float, float], float]]:
    """Arm → its interval in new runs on new images, and its p-value by Holm's rule; {} where these are not shown.

    Only of accuracy on the same test images at every seed, and of studies without looks.
    """
    if found.tree.get("looks") or found.tree["metric"] != "test/accuracy":
        return {}
    shown = [arm for arm in compared if arm.get("new_images")]
    each = {arm["name"]: both_noises(gains(found, arm), found.tree["level"]) for arm in shown}
    made: dict[str, tuple[tuple[float, float], float]] = {}
    largest, left = 0.0, len(compared) + len(found.tree["interactions"]) * (found.tree["kind"] == "pairs")
    for name, (interval, p_value) in sorted(each.items(), key=lambda item: item[1][1]):
        largest, left = max(largest, min(1.0, left * p_value)), left - 1
        made[name] = (interval, largest)
    return made


def both_noises(gain: NDArray[np.float64], level: float) -> tuple[tuple[float, float], float]:
    """Interval and p-value of a mean in new runs on new images: gain [S, N], runs and images are crossed factors."""
    (num, size), of_run, of_image = gain.shape, gain.mean(axis=1), gain.mean(axis=0)
    middle = of_image.sum() / (size + 2)  # Bonett and Price
    parts = [of_run.var(ddof=1) / num, ((np.square(of_image).sum() + 2 / num) / (size + 2) - middle**2) / (size + 2)]
    rest = gain - of_run[:, None] - of_image + gain.mean()
    parts.append(np.square(rest).sum() / (num - 1) / (size - 1) / gain.size)
    total = max(parts[0] + parts[1] - parts[2], parts[0], parts[1])
    dfs = (num - 1, size - 1, (num - 1) * (size - 1))
    df = max(min(dfs), total**2 / sum(part**2 / each for part, each in zip(parts, dfs, strict=True)))
    errors = [(df, total**0.5), (num - 1, parts[0] ** 0.5)]
    reach = max(stats.t.ppf((1 + level) / 2, each) * error for each, error in errors)
    p_value = max(2 * stats.t.sf(abs(middle) / error, each) for each, error in errors)
    return (middle - reach, middle + reach), float(p_value)


def interactions(found: Check, read: Callable[[dict[str, Any]], float]) -> dict[str, Values]:
    """Both − first − second + neither by seed, of a study of pairs; they are tested together with the arms."""
    made = {}
    for each in found.tree["interactions"] if found.tree["kind"] == "pairs" else []:
        first, second = each["factors"]
        names = (f"{first}+{second}", first, second, "baseline")
        both, one, other, neither = (found.values(found.arm(name), read) for name in names)
        shared = [seed for seed in both if seed in one and seed in other and seed in neither]
        made[f"{first} × {second}"] = {seed: both[seed] - one[seed] - other[seed] + neither[seed] for seed in shared}
    return made


def statistics_sd(values: Sequence[float]) -> float | None:
    import statistics

    return statistics.stdev(values) if len(values) > 1 else None


def check_p_value(found: Check, name: str, shown: str, value: float | None) -> None:
    if shown.startswith("<"):
        found.num += 1
        if value is None or value >= 0.001:
            found.wrong.append(f"{name} p: {shown} on the page, {value} from files")
    else:
        found.compare(f"{name} p", shown, value, factor=1)


def check_verdict(found: Check, name: str, shown: str, paired: Sequence[float], p_value: float | None) -> None:
    """The verdict is helps or hurts exactly if the joint p-value allows it; not checked for studies with looks."""
    if found.tree.get("looks"):
        return
    found.num += 1
    word = re.sub(r"^[▲▼○✕] ", "", shown)
    decided = p_value is not None and p_value <= 1 - found.tree["level"] + 1e-12
    expected = ("helps" if np.mean(paired) > 0 else "hurts") if decided else None
    if (word in ("helps", "hurts")) != decided or (decided and word != expected):
        found.wrong.append(f"{name} verdict: {shown} on the page, p {p_value} from files")


def joint(differences: dict[str, Values], seeds: Sequence[int]) -> dict[str, float]:
    """Adjusted p-values: sign flips by seed for all arms at once, with the largest |t| (Westfall and Young)."""
    family = {name: values for name, values in differences.items() if len(values) > 1}
    if not family or len(seeds) > 14:
        return {}
    observed = {name: score(list(values.values()), family) for name, values in family.items()}
    hits = dict.fromkeys(family, 0)
    flips = list(itertools.product((1, -1), repeat=len(seeds)))
    for signs in flips:
        sign = dict(zip(seeds, signs, strict=True))
        turned = [[sign[seed] * value for seed, value in values.items()] for values in family.values()]
        largest = max(score(each, family) for each in turned)
        for name in family:
            hits[name] += largest >= observed[name] * (1 - 1e-9)
    return {name: num / len(flips) for name, num in hits.items()}


def score(values: Sequence[float], family: dict[str, Values]) -> float:
    """|t|; as a normal quantile if arms have different numbers of seeds."""
    num, mean = len(values), sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (num - 1)
    if variance <= 1e-12 * max(sum(value**2 for value in values), 1e-300) / (num - 1):
        return float("inf") if abs(mean) > 0 else 0.0
    t = abs(mean) * num**0.5 / variance**0.5
    if len({len(each) for each in family.values()}) == 1:
        return t
    return float(-stats.norm.ppf(max(stats.t.sf(t, num - 1), 1e-300)))


def correct(place: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(correctness [N], labels [N]) of the test images, as stored."""
    with np.load(place / "predictions.npz") as arrays:
        labels = arrays["test_labels"]
        return np.unpackbits(arrays["test_correct"], count=len(labels)).astype(float), labels


def gains(found: Check, arm: dict[str, Any]) -> NDArray[np.float64]:
    """[seeds, N]: 1 if only the arm is correct, −1 if only its reference is."""
    own, other = found.runs(arm), found.runs(found.arm(arm["reference"]))
    shared = [seed for seed in own if seed in other]
    return np.array([correct(own[seed]["place"])[0] - correct(other[seed]["place"])[0] for seed in shared])


def check_noises(found: Check) -> None:
    """Intervals over images must agree with our bootstrap up to its noise; won and lost exactly."""
    table = found.table("Over test images")
    if table is None:
        return
    level = found.tree["level"]
    compared = [arm for arm in found.arms if arm.get("examples")]
    for row, arm in zip(table.rows, compared, strict=True):
        cells, name = dict(zip(table.heads, row, strict=True)), arm["name"]
        gain = gains(found, arm)
        each = gain.mean(axis=0)
        found.compare(f"{name} difference over images", cells["Difference"], float(each.mean()))
        if not found.has_anytime_looks:
            interval = student(gain.mean(axis=1).tolist(), level)
            found.compare_interval(f"{name} over seeds", cells["Over seeds"], interval)
        draws = np.random.default_rng(1).integers(0, len(each), (2000, len(each)))
        low, high = np.quantile(each[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
        noise = 100 * 0.15 * float(each.std()) / len(each) ** 0.5 + 100 / len(each) / len(gain)
        found.compare_interval(f"{name} over images", cells["Over test images"], (low, high), tolerance=noise)
        found.compare(f"{name} won", cells["Won"], int((each > 1e-12).sum()), factor=1)
        found.compare(f"{name} lost", cells["Lost"], int((each < -1e-12).sum()), factor=1)


def check_costs(found: Check) -> None:
    table = found.table("Training", "Parameters")
    if table is None:
        return
    for row, arm in zip(table.rows, found.arms, strict=True):
        cells, name = dict(zip(table.heads, row, strict=True)), arm["name"]
        seconds = list(found.values(arm, lambda result: result["seconds"]["train"]).values())
        check_duration(found, f"{name} training", cells["Training"], float(np.mean(seconds)) if seconds else None)
        for head, key, unit in (("Per image", "flops_per_image", "FLOPs"), ("Parameters", "parameters", "")):
            if head in cells:
                values = list(found.values(arm, lambda result, key=key: result[key]).values())  # type: ignore[misc]
                check_quantity(found, f"{name} {key}", cells[head], float(np.mean(values)) if values else None, unit)
        if "Peak memory" in cells and seconds:
            peak = float(np.mean(list(found.values(arm, lambda result: result["peak_memory_bytes"]).values())))
            found.compare(f"{name} memory", cells["Peak memory"].removesuffix(" MiB"), peak, factor=2**-20)
        if arm["reference"] is not None and "Difference, s" in cells:
            check_extra_seconds(found, arm, cells)


def check_extra_seconds(found: Check, arm: dict[str, Any], cells: dict[str, str]) -> None:
    extra = list(found.paired(arm, lambda result: result["seconds"]["train"]).values())
    level = found.tree["level"]
    found.compare(f"{arm['name']} seconds", cells["Difference, s"], float(np.mean(extra)) if extra else None, factor=1)
    interval = student(extra, level)
    head = f"{100 * level:g} % interval, s"
    if head in cells:
        found.compare_interval(f"{arm['name']} seconds interval", cells[head], interval, factor=1)
    if "Points per hour" in cells:
        gain = list(found.paired(arm, metric_of(found)).values())
        is_sure = interval is not None and not interval[0] <= 0 <= interval[1]
        rate = 100 * float(np.mean(gain)) / (float(np.mean(extra)) / 3600) if is_sure and gain else math.inf
        is_told = abs(rate) <= 100 and arm["verdict"] in ("helps", "hurts", "helps here", "hurts here")
        found.compare(f"{arm['name']} points per hour", cells["Points per hour"], rate if is_told else None, factor=1)


def check_duration(found: Check, what: str, shown: str, value: float | None) -> None:
    """`1 h 2 min`, `3 min 4 s`, `5.6 s`, to the last displayed unit."""
    found.num += 1
    if value is None or shown == "–":
        if not (value is None and shown == "–"):
            found.wrong.append(f"{what}: {shown} on the page, {value} from files")
        return
    units = {"h": 3600.0, "min": 60.0, "s": 1.0}
    parts = re.findall(r"([\d.,]+) (h|min|s)", shown)
    total = sum(float(num.replace(",", "")) * units[unit] for num, unit in parts)
    smallest = 60.0 if value >= 3600 else 0.05 if value < 10 else 0.5
    if abs(total - value) > smallest + 1e-6:
        found.wrong.append(f"{what}: {shown} on the page, {value} s from files")


def check_quantity(found: Check, what: str, shown: str, value: float | None, unit: str) -> None:
    found.num += 1
    if shown == "–" and value is None:
        return
    powers = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "": 1.0}
    match = re.fullmatch(rf"([\d.]+) ?([kMGTP]?){unit}", shown)
    if match is None or value is None or abs(float(match[1]) * powers[match[2]] - value) > 0.006 * value:
        found.wrong.append(f"{what}: {shown} on the page, {value} from files")


def check_calibration(found: Check) -> None:
    table = found.table("Calibration error")
    if table is None:
        return

    def read(result: dict[str, Any]) -> float:
        return float(result["metrics"]["test/ece"])

    for shown, arm in zip(table.rows, found.arms, strict=True):
        row = [*shown, "–", "–"]
        name, eces = arm["name"], list(found.values(arm, read).values())
        found.compare(f"{name} calibration", row[1], float(np.mean(eces)) if eces else None)
        if arm["reference"] is not None:
            paired = list(found.paired(arm, read).values())
            found.compare(f"{name} calibration difference", row[2], float(np.mean(paired)) if paired else None)
            found.compare_interval(f"{name} calibration interval", row[3], student(paired, found.tree["level"]))


def check_classes(found: Check) -> None:
    """Changes by class and their stars, from the stored correctness."""
    names = list(found.tree["classes"])
    table = next((table for table in found.page.tables if table.heads[1:] and set(table.heads[1:]) <= set(names)), None)
    if table is None:
        return
    for row, arm in zip(table.rows, [arm for arm in found.arms if arm.get("classes")], strict=True):
        gain = gains(found, arm)
        _, labels = correct(next(iter(found.runs(arm).values()))["place"])
        for head, shown in zip(table.heads[1:], row[1:], strict=True):
            by_seed = gain[:, labels == names.index(head)].mean(axis=1).tolist()
            found.compare(f"{arm['name']} {head}", shown, float(np.mean(by_seed)))
            interval = student(by_seed, found.tree["level"])
            if interval is not None and shown.endswith("*") != (interval[0] > 0 or interval[1] < 0):
                found.wrong.append(f"{arm['name']} {head}: {shown} on the page, interval {interval} from files")


if __name__ == "__main__":
    done = check(Path(sys.argv[1]))
    print("\n".join([*done.wrong, f"{done.num} numbers recomputed, {len(done.wrong)} disagree"]))
    sys.exit(bool(done.wrong))
