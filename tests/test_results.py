"""What the pages say of published studies: every number is computed from the files of docs/results."""

import functools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from benchmarks import photographs
from benchmarks.held_out import build_design, predict_new_trainings, read_values
from benchmarks.photographs import PARTS, link
from sota_exp.config.overrides import compose_configuration
from sota_exp.report.numbers import format_duration
from sota_exp.statistics.effects import compute_effects
from sota_exp.statistics.two_sources import adjust_p_values
from sota_exp.statistics.units import SHARE_FORMAT
from tests.options import ROOT
from tests.rows import each_row

PAGE = ROOT / "docs/results/index.md"

#: Of each class of CIFAR-10's 5,000 files: the first and the last file of a part, counted from 1.
SPLIT = {part: spans[0] for part, spans in (PARTS["ten"] | {"held out": PARTS["ten_unseen"]["test"]}).items()}

#: Arms of the search's confirmation → their rows on the page.
TUNED = {"default": "the recipe's own", "trial-22": "the best of thirty trials"}


def count(part: str) -> int:
    """Photographs of a part of the split."""
    return 10 * photographs.count(*(("ten_unseen", "test") if part == "held out" else ("ten", part)))


def read(name: str) -> dict[str, Any]:
    """A file of docs/results."""
    return json.loads((ROOT / f"docs/results/{name}.json").read_text())


def read_page() -> str:
    """In one line."""
    return " ".join(PAGE.read_text().split())


def find_section(title: str) -> str:
    """The text under a heading of the page, up to the next."""
    return re.split(r"^##+ ", PAGE.read_text().split(f"# {title}\n")[1], flags=re.M)[0]


def list_numbers(title: str) -> list[str]:
    """Those of a section's sentences, in their order; its commands and tables have tests of their own."""
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|^\|[^\n]*|CIFAR-10", " ", find_section(title), flags=re.S | re.M)
    return [number.rstrip(",") for number in re.findall(r"[+−]?\d[\d,]*(?:\.\d+)?", text)]


def hours(*names: str) -> str:
    """What the trainings of studies took."""
    return f"{sum(map(seconds_of, names)) / 3600:.1f}"


def seconds_of(name: str) -> float:
    return sum(arm["cost"]["seconds"] * len(arm["values"]) for arm in read(name)["arms"])


def thousands(name: str) -> str:
    """Parameters of a study's network."""
    return f"{read(name)['arms'][0]['cost']['parameters'] / 1000:.0f}"


def word(command: str, key: str) -> str:
    """The value of a key in a command."""
    return re.findall(rf"(?:^| ){re.escape(key)}=(\S+)", command)[0]


def arm(name: str, of: str) -> dict[str, Any]:
    return next(each for each in read(of)["arms"] if each["name"] == name)


def values_of(arm: dict[str, Any]) -> np.ndarray:
    return np.array(list(arm["values"].values()))


def moments(values: np.ndarray) -> list[str]:
    """Mean and standard deviation, as they stand beside ±."""
    return [SHARE_FORMAT.value(values.mean()), SHARE_FORMAT.value(values.std(ddof=1))]


def find_mean(study: str, name: str) -> float:
    """Percent: the mean of an arm of a study of few images."""
    return 100 * float(values_of(arm(name, f"few_images/{study}")).mean())


def compose_few_flowers() -> dict[str, Any]:
    return compose_configuration(["experiment=few_flowers", "model.weights.path=FILE", "data.root=DIR"]).values


def score_tuning() -> dict[str, dict[str, np.ndarray]]:
    """Images → the recipe's own values and the best trial's → accuracies on the seeds that both have."""
    confirm, whole = read("tuning/sweep")["confirm"], read("tuning/whole_images")
    tested = {each["name"]: each["test"] for each in confirm["arms"]}
    places = {"test": tested, "unseen": read("tuning/held_out")} | {f"whole {part}": own for part, own in whole.items()}
    return {
        place: {name: np.array([arms[name][str(seed)] for seed in confirm["seeds"]]) for name in TUNED}
        for place, arms in places.items()
    }


def differ(arms: dict[str, np.ndarray]) -> float:
    """The best trial less the recipe's own values."""
    default, trial = (arms[name] for name in TUNED)
    return float((trial - default).mean())


def of_first_study() -> list[str]:
    study = read("first_study/study")
    runs = sum(len(each["values"]) for each in study["arms"])
    return [word(study["command"], "data.image_size"), thousands("first_study/study"), str(runs)]


def of_first_search() -> list[str]:
    search = read("first_search/sweep")
    trials, confirm = {each["number"]: each for each in search["entries"]}, search["confirm"]
    own, best = trials[0], trials[confirm["arms"][1]["number"]]
    default, winner = (np.array(list(arm["test"].values())) for arm in confirm["arms"])
    assert search["trials"]["complete"] == 7 and len(trials) == 12 and len(default) + len(winner) == 8
    seconds = search["seconds"] + sum(arm["seconds"] * len(arm["test"]) for arm in confirm["arms"])
    return [
        f"{best['params']['optimizer.lr']:.3g}",
        SHARE_FORMAT.value(best["metrics"]["val/accuracy"]),
        f"{own['params']['optimizer.lr']:.3g}",
        "0",
        SHARE_FORMAT.value(own["metrics"]["val/accuracy"]),
        SHARE_FORMAT.difference((winner - default).mean()),
        *map(SHARE_FORMAT.difference, confirm["test"]["new_images"]["interval"]),
        str(round(seconds / 60)),
    ]


def of_regularizers() -> list[str]:
    whole, two = read("regularizers/leave_one_out"), read("regularizers/two_stages")
    gain = {each["name"].removeprefix("without_"): -each["difference"] for each in whole["arms"] if each["reference"]}
    runs = [sum(len(each["values"]) for each in study["arms"]) for study in (whole, two)]
    cells = int(re.findall(r"one run in each of (\d+) cells", two["screening"]["words"])[0])
    assert f"leave-one-out: {runs[0]} runs | two stages: {runs[1] + cells} runs" in PAGE.read_text()
    assert whole["num_test"] == count("test")
    return [
        f"{count('train'):,}",
        *(f"{number:,}" for part in ("train", "val", "test") for number in SPLIT[part] if number > 1),
        thousands("regularizers/leave_one_out"),
        word(whole["command"], "scale.epochs"),
        *moments(values_of(whole["arms"][0])),
        *(SHARE_FORMAT.difference(gain[name]).strip("+−") for name in ("repeated_augmentation", "cutmix", "mixup")),
        str(runs[0] - runs[1] - cells),
        hours("regularizers/leave_one_out"),
        hours("regularizers/two_stages"),
        str(cells),
    ]


def of_lengths() -> list[str]:
    names = [f"when_techniques_pay/{epochs}_epochs" for epochs in LENGTHS]
    studies = {epochs: read(name) for epochs, name in zip(LENGTHS, names, strict=True)}
    effect = {(each["factor"], epochs): each for epochs, study in studies.items() for each in study["effects"]}
    runs = {epochs: sum(len(each["values"]) for each in study["arms"]) for epochs, study in studies.items()}
    four, twelve, last = map(str, studies)
    changes = compute_changes(effect)
    shown = {name: change for name, (change, is_shown, _) in changes.items() if is_shown}
    assert list(shown) == ["repeated_augmentation", "weight_decay", "classic", "trivialaugment", "stochastic_depth"]
    dropout, half = changes["dropout"][0], changes["dropout"][2]
    helping = {name: [effect[name, epochs]["verdict"] == "helps" for epochs in LENGTHS] for name, _ in effect}
    assert {name for name, at in helping.items() if any(at)} == {"weight_decay", "mixup", "ema"}
    assert all(helping[name] == [False, True, True] for name in ("weight_decay", "mixup", "ema"))
    hurting = {name: [effect[name, epochs]["verdict"] == "hurts" for epochs in LENGTHS] for name, _ in effect}
    assert {name for name, at in hurting.items() if at[0] and not at[2]} == {"stochastic_depth", "trivialaugment"}
    never = {name for name in helping if not any(helping[name] + hurting[name])}
    assert never == {"label_smoothing", "random_erasing", "ghost_batch"}
    (held_out,) = {read(f"when_techniques_pay/{epochs}_held_out")["images"] for epochs in LENGTHS}
    assert held_out == count("held out")
    explained, effects, inside, ways = count_held_out()
    part = {(name, other, epochs): split_effect(name, other, epochs) for name, other, epochs in PARTED}
    mixup, ema, decay = ([part[key] for key in PARTED if key[0] == name] for name in ("mixup", "ema", "weight_decay"))
    level = f"{100 * studies[4]['level']:.0f}"
    return [
        *(str(len(studies[4]["arms"])), last),
        *(str(number // 2) for number in (runs[4], runs[4], runs[36], runs[36])),
        *(f"{studies[4]['num_test']:,}", level, four, last),
        *(four, last),
        *map(SHARE_FORMAT.difference, shown.values()),
        *(SHARE_FORMAT.difference(dropout), f"{100 * half:.2f}"),
        *(twelve, last, four, last),
        *(mixup[0][1], twelve, mixup[1][1], last, mixup[0][0], mixup[1][0]),
        *(ema[0][0], decay[0][0], twelve, ema[0][1], decay[0][1], last),
        *(ema[1][0], decay[1][0], ema[1][1], decay[1][1]),
        *(SHARE_FORMAT.difference(effect["dropout", 4]["estimate"]).strip("−"), four),
        SHARE_FORMAT.difference(effect["dropout", 36]["estimate"]).strip("−"),
        last,
        *(SHARE_FORMAT.difference(effect[name, 36]["estimate"]).strip("+−") for name in ("cutmix", "mixup")),
        *(each.strip("−") for each in part["cutmix", "mixup", 36]),
        str(sum(runs.values())),
        f"{held_out:,}",
        *(f"{number:,}" for number in SPLIT["held out"]),
        *(str(effects), level, str(explained), str(effects), str(effects)),
        *(str(ways), str(inside), f"{100 * inside / ways:.0f}", level, str(effects), str(ways)),
        thousands(names[0]),
        f"{count('train'):,}",
        hours(*names),
        *(four, twelve, last) * 3,
    ]


#: Epochs of the studies of lengths.
LENGTHS = (4, 12, 36)

#: Technique, another, epochs: the effect of the first where the other is off, and where it is on.
PARTED = [
    ("mixup", "cutmix", 12),
    ("mixup", "cutmix", 36),
    ("ema", "repeated_augmentation", 12),
    ("ema", "repeated_augmentation", 36),
    ("weight_decay", "repeated_augmentation", 12),
    ("weight_decay", "repeated_augmentation", 36),
    ("cutmix", "mixup", 36),
]


def compute_changes(effect: dict[tuple[str, int], dict[str, Any]]) -> dict[str, tuple[float, bool, float]]:
    """Technique → its change from 4 to 36 epochs, whether that is shown among twelve (Holm), half of its 95 % interval."""
    found = {}
    for name in {name for name, _ in effect}:
        spans = [effect[name, epochs]["new_images"]["interval"] for epochs in (4, 36)]
        half = float(np.hypot(*((high - low) / 2 for low, high in spans)))
        change = effect[name, 36]["estimate"] - effect[name, 4]["estimate"]
        found[name] = (change, half, 2 * float(stats.norm.sf(1.96 * abs(change) / half)))
    adjusted = dict(zip(found, adjust_p_values([p_value for _, _, p_value in found.values()]), strict=True))
    order = sorted(found, key=lambda name: -found[name][0])
    return {name: (found[name][0], adjusted[name] <= 0.05, found[name][1]) for name in order}


def read_length(epochs: int) -> tuple[dict[str, Any], dict[str, Any], list[str], np.ndarray]:
    """A study, what unseen images say of it, its techniques and its design."""
    techniques = yaml.safe_load((ROOT / "conf/study/techniques/regularizers.yaml").read_text())
    study, held_out = (read(f"when_techniques_pay/{epochs}_{of}") for of in ("epochs", "held_out"))
    names = [effect["factor"] for effect in study["effects"]]
    return study, held_out, names, build_design(techniques, study["arms"], names)


def split_effect(name: str, other: str, epochs: int) -> list[str]:
    """Points: the effect of a technique where another is off, and where it is on."""
    study, _, names, design = read_length(epochs)
    means, own, beside = read_values(study).mean(1), design[:, names.index(name)], design[:, names.index(other)]
    return [
        SHARE_FORMAT.difference(means[(beside == side) & (own > 0)].mean() - means[(beside == side) & (own < 0)].mean())
        for side in (-1, 1)
    ]


@functools.cache
def count_held_out() -> tuple[int, int, int, int]:
    """Effects that the draw of images explains, of how many; prediction intervals of other trainings that hold, of how many."""
    explained, effects, inside, ways = 0, 0, 0, 0
    for epochs in LENGTHS:
        study, held_out, _, design = read_length(epochs)
        errors = [each["image_error"] for each in held_out["effects"]]
        away = [abs(each["held_out"] - each["estimate"]) for each in held_out["effects"]]
        explained += sum(one <= 1.96 * error for one, error in zip(away, errors, strict=True))
        effects += len(errors)
        found = predict_new_trainings(design, read_values(study), read_values(held_out), errors)
        inside, ways = inside + found[0], ways + found[1]
    return explained, effects, inside, ways


def of_tuning() -> list[str]:
    search, scores = read("tuning/sweep"), score_tuning()
    complete, confirm = [each for each in search["entries"] if each["state"] == "complete"], search["confirm"]
    assert len(complete) == 9 and len(search["entries"]) == 30
    (size,) = {each["inference_size"] for each in complete}
    before, after = complete[0]["metrics"]["val/accuracy"], search["best"]["value"]
    trained = sum(each["seconds"] * len(each["val"]) for each in confirm["arms"])
    assert round((search["seconds"] + trained) / 3600) == 2  # "two hours of a core"
    assert 0.3 < differ(scores["test"]) / (after - before) < 0.36  # "a third is left"
    seeds, points = re.findall(r"(\d+) seeds .* show the (\S+) points", confirm["next"][0])[0]
    experiment = yaml.safe_load((ROOT / "conf/experiment/tune_small_images.yaml").read_text())
    cut = experiment["data"]["crop_ratio"]
    lengths = {epochs: read_values(read(f"when_techniques_pay/{epochs}_epochs")).mean() for epochs in LENGTHS}
    four, twelve, last = map(str, lengths)
    first, middle, most = (f"{100 * mean:.1f}" for mean in lengths.values())
    shown = {place: SHARE_FORMAT.difference(differ(arms)) for place, arms in scores.items()}
    between = [shown[place] for place in scores if place.startswith("whole ")]
    assert str(experiment["scale"]["epochs"]) == last
    return [
        *(last, f"{count('train'):,}", most, first, four, middle, twelve, f"{count('test'):,}"),
        *(shown["test"], *map(SHARE_FORMAT.difference, confirm["test"]["new_images"]["interval"])),
        *(f"{100 * value:.1f}" for value in (after - before, after, before)),
        str(size),
        *(f"{float(points):.1f}", seeds, str(100 * cut)),
        *(each for own in scores["whole test"].values() for each in moments(own)),
        *(SHARE_FORMAT.difference((scores["whole test"][name] - scores["test"][name]).mean()) for name in TUNED),
        *between,
        str(cut),
        f"{count('held out'):,}",
        shown["unseen"],
    ]


def of_short_recipe() -> list[str]:
    search = read("short_recipe/sweep")
    (own,) = (each["metrics"]["val/accuracy"] for each in search["entries"] if each["number"] == 0)
    size = word(search["command"], "data.image_size")
    assert search["trials"]["pruned"] == 1  # "one of which was stopped early"
    parts = [f"{10 * photographs.count('search', part):,}" for part in ("train", "val")]
    return [
        *(parts[0], size, parts[1]),
        *(SHARE_FORMAT.value(own), "0", SHARE_FORMAT.value(search["best"]["value"])),
        f"{int(size) * search['best']['params']['augmentation.crop.padding_fraction']:.0f}",
        f"{search['seconds'] / 3600:.1f}",
    ]


def read_race(recipe: str) -> dict[str, list[dict[str, Any]]]:
    """Loop → its trainings, by their seeds."""
    lines = (ROOT / f"docs/results/short_recipe/{recipe}.jsonl").read_text().splitlines()
    races = sorted((json.loads(line) for line in lines), key=lambda each: each["seed"])
    return {loop: [each for each in races if each["loop"] == loop] for loop in ("ours", "torchvision", "timm")}


def accuracies(races: list[dict[str, Any]]) -> np.ndarray:
    return np.array([each["accuracy"] for each in races])


def find_epochs(recipe: str) -> int:
    """Of the recipe's own training."""
    return int(compose_configuration([f"recipe={recipe}", "scale=full"]).values["recipe"]["epochs"])


def of_races() -> list[str]:
    fast, strong = read_race("cifar_fast"), read_race("cifar_strong")
    test = f"{10 * photographs.count('race', 'test'):,}"
    ahead, spans = [], []
    for loop in ("torchvision", "timm"):
        ours, theirs = accuracies(fast["ours"]), accuracies(fast[loop])
        span = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
        ahead.append(SHARE_FORMAT.difference(ours.mean() - theirs.mean()).strip("+"))
        spans.append([SHARE_FORMAT.difference(each) for each in (span.low, span.high)])
    epochs = [f"{np.mean([each['epochs'] for each in fast[loop]]):.1f}" for loop in ("torchvision", "timm")]
    more = [f"{strong[loop][0]['epochs']:.1f}" for loop in ("torchvision", "timm")]
    mean, _ = moments(accuracies(strong["ours"]))
    single = [SHARE_FORMAT.value(strong[loop][0]["accuracy"]) for loop in ("torchvision", "timm")]
    taken = [[each["seconds"] for loop in ("torchvision", "timm") for each in race[loop]] for race in (fast, strong)]
    return [
        *(test, test, *(f"{limit(own):,.0f}" for own in taken for limit in (min, max))),
        *(ahead[0], "95", *spans[0], ahead[1], *spans[1]),
        *(str(find_epochs("cifar_fast")), *epochs),
        *(str(find_epochs("cifar_strong")), *more, mean, *single),
    ]


def of_changes() -> list[str]:
    name = "short_recipe/ladder"
    points = {each: SHARE_FORMAT.difference(arm(each, name)["difference"]) for each in CHANGES}
    assert {each["verdict"] for each in read(name)["arms"][1:]} == {"too few seeds"} and len(read(name)["seeds"]) == 3
    above = [each for each in CHANGES if arm(each, name)["new_images"]["interval"][0] > 0]
    assert above == ["muon", "reflected_borders"]  # "both intervals lie above zero"
    muon, labels, flips, borders = points.values()
    return [muon.strip("+"), borders.strip("+"), labels, flips, hours(name)]


#: Steps of the short recipe's ladder.
CHANGES = ("muon", "hard_labels", "alternating_flips", "reflected_borders")


def count_collapsed(name: str) -> str:
    """Runs without pretrained weights at chance level, in the study's own warning."""
    warning = read(name)["warning"]
    assert "Without pretrained weights" in warning
    return re.findall(r"(\d+) runs? of other arms collapsed", warning)[0]


def count_unseen() -> list[str]:
    """What the networks of the study of 240 photographs say of 1,000 others."""
    study, unseen = read("few_images/240"), read("few_images/240_held_out")
    inside = [row["interval"][0] <= row["held_out"] <= row["interval"][1] for row in unseen["effects"]]
    (out,) = (row for row, is_inside in zip(unseen["effects"], inside, strict=True) if not is_inside)
    assert out["factor"] == "without_head_first"
    assert sum(row["held_out"] * row["estimate"] < 0 for row in unseen["effects"]) == 5  # "five of the fourteen"
    (head,) = (row["held_out"] for row in unseen["effects"] if row["factor"] == "with_head_alone")
    accuracy, before = (100 * values_of(tree["arms"][0]).mean() for tree in (unseen, study))
    assert unseen["images"] == 5 * photographs.count("f240_unseen", "test")
    return [
        *(str(read_values(unseen).size), f"{unseen['images']:,}", str(sum(inside)), str(len(inside))),
        *map(SHARE_FORMAT.difference, (out["held_out"], out["estimate"], *out["interval"], head)),
        *(f"{accuracy:.2f}", f"{before - accuracy:.1f}", str(study["num_test"])),
    ]


def of_240() -> list[str]:
    study, used = read("few_images/240"), compose_few_flowers()
    arms = {each["name"]: each for each in study["arms"]}
    assert arms["with_head_alone"]["cost"]["seconds"] < arms["full"]["cost"]["seconds"] / 2  # "less than half"
    open_arms = [each for each in study["arms"] if each["verdict"] == "cannot be distinguished"]
    assert len(open_arms) == 12  # "the twelve others"
    missed = re.findall(r"effects of up to ([\d.]+) points", (ROOT / "docs/results/few_images/240.html").read_text())[0]
    low, high = (arms[name]["new_images"]["interval"] for name in ("with_head_alone", "with_long_training"))
    return [
        *(str(study["num_test"]), str(study["num_test"] // 5), str(used["data"]["image_size"])),
        str(used["scale"]["epochs"]),
        f"{-100 * arms['without_transfer']['difference']:.1f}",
        *(count_collapsed("few_images/240"), str(len(study["seeds"]))),
        SHARE_FORMAT.difference(arms["with_cutmix"]["difference"]).strip("−"),
        missed,
        SHARE_FORMAT.difference(low[0]).strip("−"),
        str(used["scale"]["long_epochs"]),
        SHARE_FORMAT.difference(high[1]).strip("+"),
        f"{100 * values_of(study['arms'][0]).std(ddof=1):.1f}",
        *count_unseen(),
        hours("few_images/240"),
    ]


def of_1000() -> list[str]:
    study, gain = read("few_images/1000"), f"{find_mean('1000', 'full') - find_mean('240', 'full'):.1f}"
    unseen = 100 * values_of(read("few_images/240_held_out")["arms"][0]).mean()
    assert f"Four times the photographs and twice the steps give {gain} points" in read_page()
    fixres = compose_configuration(["augmentation/train_size=fixres"]).values["augmentation"]["train_size"]["ratio"]
    size = compose_few_flowers()["data"]["image_size"]
    return [
        *(f"{study['num_test']:,}", str(study["num_test"] // 5), word(study["command"], "scale.epochs")),
        *(str(read("few_images/240")["num_test"]), gain, str(read("few_images/240")["num_test"])),
        f"{find_mean('1000', 'full') - unseen:.1f}",
        SHARE_FORMAT.difference(arm("without_transfer", "few_images/1000")["difference"]).strip("−"),
        *(count_collapsed("few_images/1000"), str(len(study["seeds"]))),
        *(str(4 * round(size / fixres / 4)), str(size)),
        hours("few_images/1000"),
    ]


def of_labels() -> list[str]:
    study, whole = read("few_images/label_propagation"), find_mean("1000", "full")
    share = float(word(study["command"], "supervision.labelled_fraction"))
    loss = f"{whole - find_mean('label_propagation', 'without_label_propagation'):.0f}"
    assert f"A quarter of the labels costs {loss} points of the {whole:.2f} %" in read_page()
    return [f"{study['num_test']:,}", f"{100 * share:.0f}", loss, f"{whole:.2f}", hours("few_images/label_propagation")]


def of_distillation() -> list[str]:
    study, teacher = read("few_images/distillation"), find_mean("240", "full")
    better = f"{teacher - find_mean('distillation', 'without_distillation'):.0f}"
    assert f"No gain from a teacher that is {better} points better than the student alone is shown" in read_page()
    epochs = word(study["command"], "scale.epochs")
    return [epochs, str(study["num_test"]), f"{teacher:.0f}", better, hours("few_images/distillation")]


def of_short_ladder() -> list[str]:
    name = "short_ladder/study"
    study, recipe = read(name), compose_configuration(["recipe=torchvision", "scale=full"]).values["recipe"]
    used = compose_configuration(["experiment=short_ladder", "data.root=DIR"]).values["scale"]
    steps = [arm for arm in study["arms"] if arm["reference"]]
    shown = {arm["name"]: arm["verdict"] for arm in steps if arm["verdict"] != "cannot be distinguished"}
    assert shown == {"long_training": "helps", "fixres": "hurts", "repeated_augmentation": "hurts"}
    assert (len(steps), len(study["seeds"])) == (12, 8)  # "of twelve steps", "nine cannot", "eight seeds"
    first, last = (100 * values_of(study["arms"][place]).mean() for place in (0, -1))
    return [
        f"{used['train_images']:,}",
        thousands(name),
        str(used["epochs"]),
        str(used["long_epochs"]),
        "50,000",
        *(
            SHARE_FORMAT.difference(arm(each, name)["difference"]).strip("+−")
            for each in ("long_training", "repeated_augmentation", "fixres")
        ),
        f"{first - last:.1f}",
        str(recipe["long_epochs"]),
        str(sum(len(arm["values"]) for arm in study["arms"])),
        f"{seconds_of(name) / 60:.0f}",
    ]


#: Heading → what its sentences may say.
SECTIONS = {
    "The first study": of_first_study,
    "The first search": of_first_search,
    "Twelve regularizing techniques, all at once, in a short training": of_regularizers,
    "When does a technique begin to pay?": of_lengths,
    "Does tuning beat the recipe's own values?": of_tuning,
    "What can five minutes of one core learn? And thirty?": of_short_recipe,
    "Beside the loops of torchvision and timm, in the same minutes": of_races,
    "Which of the changes help?": of_changes,
    "What matters with 240 photographs?": of_240,
    "And with 1,000?": of_1000,
    "170 labels of 720": of_labels,
    "A small network taught by the large one": of_distillation,
    "A ladder where it does not fit": of_short_ladder,
}


@each_row("title", SECTIONS)
def test_every_number_of_a_section_is_computed_from_its_files(title: str) -> None:
    assert list_numbers(title) == SECTIONS[title]()


def test_pages_quote_the_first_search_as_it_is() -> None:
    text = " ".join(find_section("The first search").split())
    rate, score, own_rate, trial, own_score, difference, low, high, minutes = of_first_search()
    assert (
        f"a learning rate of {rate} did best, at {score} % on val; the recipe's own {own_rate}, trial {trial}, had {own_score} %"
        in text
    )
    assert f"difference on test is {difference} points ({low} to {high})" in text
    assert f"took {minutes} minutes of a core" in text


def test_pages_quote_the_first_study_as_it_is():
    tree, readme, results = read("first_study/study"), (ROOT / "README.md").read_text(), PAGE.read_text()
    for arm in tree["arms"]:
        (line,) = [line for line in readme.splitlines() if line.startswith(f"{arm['label']} ") and " ± " in line]
        mean = f"{SHARE_FORMAT.value(arm['mean'])} ± {SHARE_FORMAT.value(arm['sd'])}"
        assert mean in line and f" {format_duration(arm['cost']['seconds'])} " in line and f"| {mean} % |" in results
        if arm["reference"]:
            found = [
                SHARE_FORMAT.difference(arm["difference"]),
                SHARE_FORMAT.span(*arm["new_images"]["interval"], " … "),
            ]
            assert all(words in line for words in found) and line.endswith(arm["verdict"])
            assert " | ".join([*found, arm["verdict"]]) in results
    assert tree["next"]["lines"][0] in readme


def test_what_the_page_says_of_tuning_is_recomputed_from_its_runs():
    """Means, spreads and the difference of paired seeds; on unseen images the difference lies in the interval."""
    search, scores, text = read("tuning/sweep"), score_tuning(), PAGE.read_text()
    confirm = search["confirm"]
    for name, row in TUNED.items():
        (arm,) = [arm for arm in confirm["arms"] if arm["name"] == name]
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {row} |")]
        own = dict(word.split("=") for word in arm["overrides"] if word.startswith("optimizer."))
        rate, decay = (
            float(own.get(f"optimizer.{key}", given)) for key, given in (("lr", 0.8), ("weight_decay", 5e-4))
        )
        assert line == f"| {row} | {rate:.3g} | {decay:.3g} | {' ± '.join(moments(scores['test'][name]))} % |"
    assert confirm["winner"] == "trial-22" and confirm["verdict"] == "cannot be distinguished"
    low, high = confirm["test"]["new_images"]["interval"]
    differences = {place: SHARE_FORMAT.difference(differ(arms)) for place, arms in scores.items()}
    assert f"{differences['test']} points ({SHARE_FORMAT.span(low, high)})" in text
    notes = (ROOT / "docs/techniques/notes.md").read_text()
    assert f"[{differences['test']} ({SHARE_FORMAT.span(low, high)})]" in notes
    assert low <= differ(scores["unseen"]) <= high
    assert f"differ by {differences['unseen']} points, inside the interval" in text
    assert (search["trials"]["pruned"], search["trials"]["complete"]) == (21, 9)
    whole = scores["whole test"]
    means = [" ± ".join(moments(own)) for own in whole.values()]
    gains = [SHARE_FORMAT.difference((whole[arm] - scores["test"][arm]).mean()) for arm in TUNED]
    assert f"reach {' and '.join(means)} %: {' and '.join(gains)} points for nothing" in text
    between = [differences[place] for place in scores if place.startswith("whole ")]
    assert f"the difference between them is {between[0]} (on unseen photographs {between[1]})" in text


def test_the_page_quotes_the_search_for_a_short_recipe_as_it_is() -> None:
    tree, text = read("short_recipe/sweep"), read_page()
    trials = sorted(tree["entries"], key=lambda each: -each["metrics"]["val/accuracy"])
    *_, before, trial, after, _, taken = of_short_recipe()
    assert f"from {before} % on val, trial {trial} with the values of `recipe=small_images`, to {after} %" in text
    assert len(trials) == 16 and f"It took {taken} hours of a core" in text
    assert {each["knobs"]["optimizer"] for each in trials[:8]} == {"muon"} and trials[8]["knobs"]["optimizer"] != "muon"
    words = [f"{key}={value}" for key, value in trials[0]["knobs"].items()]
    used = [each for each in tree["command"].split()[2:] if not each.startswith(("search=", "hydra.", "tracking="))]
    start = compose_configuration(["experiment=short_recipe", "data.root=DIR"]).values
    assert compose_configuration(used).values | {"tracking": {}} == start | {"tracking": {}}
    fast, found = (
        compose_configuration(each).values for each in (["recipe=cifar_fast"], ["recipe=small_images", *words])
    )
    assert all(fast[group] == found[group] for group in ("augmentation", "regularization"))
    scaled = found["optimizer"]["lr"] * fast["batch_size"] / 256  # the search's rate at the batch of the recipe
    assert fast["optimizer"]["lr"] == pytest.approx(scaled, rel=0.15)
    assert fast["optimizer"]["weight_decay"] == pytest.approx(found["optimizer"]["weight_decay"], rel=0.15)


@each_row(
    "name",
    ["short_recipe/ladder", *(f"few_images/{each}" for each in ("240", "1000", "label_propagation", "distillation"))],
)
def test_tables_of_arms_have_the_numbers_of_their_studies(name: str) -> None:
    tree, text = read(name), read_page()
    values = dict(zip((each["name"] for each in tree["arms"]), read_values(tree), strict=True))
    for each in tree["arms"]:
        own, found = values[each["name"]], ["", "", "reference"]
        if each["reference"]:
            interval = each["new_images"] and each["new_images"]["interval"]
            span = SHARE_FORMAT.span(*interval, " … ") if interval else "–"
            found = [SHARE_FORMAT.difference((own - values[each["reference"]]).mean()), span, each["verdict"]]
        label = each["label"][0].lower() + each["label"][1:]
        cells = " ".join(" | ".join(["", label, f"{' ± '.join(moments(own))} %", *found, ""]).split())
        assert cells in text, cells


@each_row("name", ["240", "1000", "label_propagation", "distillation"])
def test_studies_of_few_images_test_every_photograph_in_ten_runs(name: str) -> None:
    tree = read(f"few_images/{name}")
    assert (len(tree["seeds"]), tree["arms"][0]["label"]) == (10, "Everything")
    assert tree["num_test"] == (1000 if name in ("1000", "label_propagation") else 240)


def test_quotes_of_few_images_are_those_of_their_studies() -> None:
    """What is shown stands in the how-to."""
    page = (ROOT / "docs/how-to/few-images.md").read_text()
    quoted = {"240": 2, "1000": 2, "label_propagation": 1, "distillation": 0}
    for name, num_shown in quoted.items():
        tree = read(f"few_images/{name}")
        shown = [arm for arm in tree["arms"] if arm["verdict"] in ("helps", "hurts", "helps here", "hurts here")]
        assert len(shown) == num_shown
        for arm in (each for each in shown if each["verdict"] == "hurts"):
            assert SHARE_FORMAT.difference(arm["difference"]).lstrip("−") in page
    assert len(read("few_images/240")["arms"][1:]) - quoted["240"] == 12


def test_the_table_of_regularizers_has_the_numbers_of_its_studies():
    """Its rows say what a technique adds; the arms of the studies leave it out."""
    studies = {}
    for name in ("leave_one_out", "two_stages"):
        tree = read(f"regularizers/{name}")
        studies[name] = {each["label"].removeprefix("Without "): each for each in tree["arms"] if each["reference"]}
    text = PAGE.read_text().split("| technique | points | 95 %")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    whole = studies["leave_one_out"]
    assert [row[0] for row in rows] == sorted(whole, key=lambda label: whole[label]["difference"])
    turned = {"helps": "hurts", "hurts": "helps", "cannot be distinguished": "open"}
    for label, points, interval, *words in rows:
        low, high = whole[label]["new_images"]["interval"]
        assert points == SHARE_FORMAT.difference(-whole[label]["difference"])
        assert interval == SHARE_FORMAT.span(-high, -low, " … ")
        found = [studies[name].get(label, {"verdict": "not followed"})["verdict"] for name in studies]
        assert words == [turned.get(verdict, verdict) for verdict in found]
        values = [studies[name][label]["values"] for name in studies if label in studies[name]]
        assert values.count(values[0]) == len(values)


def test_the_table_of_lengths_is_recomputed_from_its_trainings():
    """Effects from the accuracies of all trainings; what unseen images say, from the file of each length."""
    lines = PAGE.read_text().split("| technique | 4 epochs |")[1].split("\n\n")[0].splitlines()[2:]
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)}
    for column, epochs in enumerate(LENGTHS):
        study, held_out, names, design = read_length(epochs)
        found = compute_effects(names, design, read_values(study))
        assert len(rows) == len(found) == 12
        inside = 0
        for effect, entry, again in zip(found, study["effects"], held_out["effects"], strict=True):
            low, high = entry["new_images"]["interval"]
            assert effect.estimate == pytest.approx(entry["estimate"]) == pytest.approx(again["estimate"])
            mark = "**" * (entry["verdict"] in ("helps", "hurts"))
            shown = f"{mark}{SHARE_FORMAT.difference(effect.estimate)}{mark} ({SHARE_FORMAT.span(low, high)})"
            assert rows[entry["label"]][column] == shown
            inside += low <= again["held_out"] <= high
        assert inside == 12  # "all 36 effects there lie inside the intervals"


#: Words of commands that change no result.
INERT = ("hydra.sweep.dir=", "hydra.run.dir=", "hydra.launcher", "hydra/launcher", "tracking=", "data.root=")


def read_command(command: str) -> set[str]:
    """Its words, but for where files lie and how runs are started."""
    return {each for each in shlex.split(command) if not each.startswith((*INERT, "model.weights.path="))}


def test_commands_of_the_page_are_those_of_the_files() -> None:
    """But for the search for a short recipe, whose experiment file came later; the test of its values composes both."""
    trees = {path: json.loads(path.read_text()) for path in (ROOT / "docs/results").glob("*/*.json")}
    made = [read_command(tree["command"]) for tree in trees.values() if isinstance(tree, dict) and "command" in tree]
    later = {"sota-exp", "sweep", "search=short_recipe", "experiment=short_recipe"}
    shown = [read_command(line) for line in re.findall(r"^\$ (sota-exp .*)$", PAGE.read_text(), flags=re.M)]
    assert [command for command in shown if command not in [*made, later]] == []
    assert [command for command in made if command not in shown and "search=short_recipe" not in command] == []


def test_the_readme_quotes_the_study_of_lengths_as_it_is() -> None:
    text = (ROOT / "README.md").read_text().split("## What it found")[1].split("\n## ")[0]
    numbers = [
        each.rstrip(",") for each in re.findall(r"\d[\d,]*", re.sub(r"\]\([^)]*\)|!\[[^]]*\]|CIFAR-10", "", text))
    ]
    _, _, inside, ways = count_held_out()
    runs = sum(read_values(read(f"when_techniques_pay/{epochs}_epochs")).size for epochs in LENGTHS)
    parts = [f"{count(part):,}" for part in ("train", "held out")]
    assert numbers == [*map(str, LENGTHS), parts[0], str(runs), "4", "36", "12", parts[1], str(inside), str(ways)]


COUNTS = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve"]


def test_counts_in_words_are_those_of_the_files() -> None:
    text = read_page()
    verdicts = [each["verdict"] for each in read("short_ladder/study")["arms"] if each["reference"]]
    helps, hurts, unclear = (COUNTS[verdicts.count(each)] for each in ("helps", "hurts", "cannot be distinguished"))
    assert f"{helps} of {COUNTS[len(verdicts)].lower()} steps helps" in text
    assert f"{hurts.lower()} hurt, *repeated" in text and f"; {unclear.lower()} cannot be distinguished" in text
    shown = {
        name: {arm["name"] for arm in read(f"regularizers/{name}")["arms"] if arm["verdict"] in ("helps", "hurts")}
        for name in ("leave_one_out", "two_stages")
    }
    more = COUNTS[len(shown["two_stages"] - shown["leave_one_out"])].lower()
    assert f"Two stages (`study=auto`) decided {more} more" in text
    assert shown["leave_one_out"] - shown["two_stages"] == {"without_mixup"}  # "and missed mixup"
    search = read("tuning/sweep")["trials"]
    assert (search["pruned"], search["complete"]) == (21, 9)
    assert "Twenty-one of thirty trials were pruned" in text and "the nine whole trials looked for another size" in text
    verdict = {each["name"]: each["verdict"] for each in read("few_images/1000")["arms"]}
    assert verdict["with_fixres"] == "hurts" and "is decided now, and hurts" in text


def test_folders_of_photographs_are_cut_by_the_order_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "small", {"train": [(1, 2), (5, 5)], "test": [(3, 4)]})
    for name in ("cat/e", "cat/a", "cat/c", "cat/b", "cat/d", "dog/5", "dog/1", "dog/2", "dog/3", "dog/4"):
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).write_text(name)
    link(tmp_path / "all", "small", tmp_path / "cut")
    found = {str(path.relative_to(tmp_path / "cut")): path.read_text() for path in (tmp_path / "cut").glob("*/*/*")}
    kept = ["train/cat/a", "train/cat/b", "train/cat/e", "test/cat/c", "test/cat/d"]
    kept += ["train/dog/1", "train/dog/2", "train/dog/5", "test/dog/3", "test/dog/4"]
    assert found == {place: place.partition("/")[2] for place in kept}
    with pytest.raises(SystemExit, match="has 5 files; race takes those up to the"):
        link(tmp_path / "all", "race", tmp_path / "more")


@each_row("recipe", ["cifar_fast", "cifar_strong"])
def test_the_table_of_races_is_recomputed_from_its_trainings(recipe: str) -> None:
    """Three seeds of ours; of the peers three in the five minutes, and one in the thirty."""
    races = read_race(recipe)
    seconds = [each["seconds"] for each in races["ours"]]
    cells = [f"`{recipe}`", f"{min(seconds):,.0f} … {max(seconds):,.0f}"]
    for loop, own in races.items():
        several = recipe == "cifar_fast" or loop == "ours"
        assert [each["seed"] for each in own] == ([0, 1, 2] if several else [0])
        values = accuracies(own)
        shown = f"{' ± '.join(moments(values))} %" if several else f"{SHARE_FORMAT.value(values[0])} %, one training"
        epochs = find_epochs(recipe) if loop == "ours" else f"{np.mean([each['epochs'] for each in own]):.1f}"
        cells.append(f"{shown}, {epochs} epochs")
    assert f"| {' | '.join(cells)} |" in PAGE.read_text()
    head = (ROOT / f"conf/recipe/{recipe}.yaml").read_text()
    assert f"# Cost: {min(seconds):,.0f} to {max(seconds):,.0f} s of one core" in head
    assert f"# Expected: {' ± '.join(moments(accuracies(races['ours'])))} % on 10,000 photographs" in head
