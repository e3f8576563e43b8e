"""What the pages say of published studies: every number is computed from the files of docs/results."""

import json
import re
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.held_out import build_design
from sota_exp.config.overrides import compose_configuration
from sota_exp.report.numbers import format_duration
from sota_exp.statistics.effects import compute_effects
from sota_exp.statistics.units import SHARE_FORMAT
from tests.options import ROOT
from tests.rows import each_row

PAGE = ROOT / "docs/results/index.md"

#: Splits of CIFAR-10's 5,000 files of a class, and of the flowers': first and last file, counted from 1.
SPLIT = {"train": (1, 500), "val": (1001, 1100), "test": (1101, 2000), "held out": (2001, 4000)}


def read(name: str) -> dict[str, Any]:
    """A file of docs/results."""
    return json.loads((ROOT / f"docs/results/{name}.json").read_text())


def find_section(title: str) -> str:
    """The text under a heading of the page, up to the next."""
    return re.split(r"^##+ ", PAGE.read_text().split(f"# {title}\n")[1], flags=re.M)[0]


def list_numbers(title: str) -> set[str]:
    """Those of a section's sentences; its commands and tables have tests of their own."""
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|^\|[^\n]*|CIFAR-10", " ", find_section(title), flags=re.S | re.M)
    return {number.rstrip(",") for number in re.findall(r"[+−]?\d[\d,]*(?:\.\d+)?", text)}


def hours(*names: str) -> str:
    """What the trainings of studies took."""
    arms = [arm for name in names for arm in read(name)["arms"]]
    return f"{sum(arm['cost']['seconds'] * len(arm['values']) for arm in arms) / 3600:.1f}"


def thousands(name: str) -> str:
    """Parameters of a study's network."""
    return f"{read(name)['arms'][0]['cost']['parameters'] / 1000:.0f}"


def word(command: str, key: str) -> str:
    """The value of a key in a command."""
    return re.findall(rf"(?:^| ){re.escape(key)}=(\S+)", command)[0]


def arm(name: str, of: str) -> dict[str, Any]:
    return next(each for each in read(of)["arms"] if each["name"] == name)


def find_mean(study: str, name: str) -> float:
    """Percent: the mean of an arm of a study of few images."""
    return 100 * float(np.mean(list(arm(name, f"few_images/{study}")["values"].values())))


def of_first_study() -> list[str]:
    study = read("first_study/study")
    runs = sum(len(each["values"]) for each in study["arms"])
    return [word(study["command"], "data.image_size"), thousands("first_study/study"), str(runs)]


def of_first_search() -> list[str]:
    """The test below has all of them."""
    return ["0.328", "41.38", "0.8", "0", "43.35", "−4.28", "−7.09", "−1.46", "8"]


def of_regularizers() -> list[str]:
    whole, two = read("regularizers/leave_one_out"), read("regularizers/two_stages")
    values = np.array(list(whole["arms"][0]["values"].values()))
    gain = arm("without_repeated_augmentation", "regularizers/leave_one_out")["difference"]
    runs = [sum(len(each["values"]) for each in study["arms"]) for study in (whole, two)]
    cells = 24  # of stage 1, one run each
    assert f"leave-one-out: {runs[0]} runs | two stages: {runs[1] + cells} runs" in PAGE.read_text()
    assert whole["num_test"] == 10 * (SPLIT["test"][1] - SPLIT["test"][0] + 1)
    return [
        f"{10 * SPLIT['train'][1]:,}",
        *(f"{number:,}" for part in ("train", "val", "test") for number in SPLIT[part] if number > 1),
        thousands("regularizers/leave_one_out"),
        word(whole["command"], "scale.epochs"),
        SHARE_FORMAT.value(values.mean()),
        SHARE_FORMAT.value(values.std(ddof=1)),
        SHARE_FORMAT.difference(gain).lstrip("+"),
        str(runs[0] - runs[1] - cells),
    ]


def of_lengths() -> list[str]:
    names = [f"when_techniques_pay/{epochs}_epochs" for epochs in (4, 12, 36)]
    studies = {epochs: read(name) for epochs, name in zip((4, 12, 36), names, strict=True)}
    effect = {(each["factor"], epochs): each for epochs, study in studies.items() for each in study["effects"]}
    runs = {epochs: sum(len(each["values"]) for each in study["arms"]) for epochs, study in studies.items()}
    hurting = [name for name, epochs in effect if epochs == 4 and effect[name, 4]["new_images"]["interval"][1] < 0]
    less = [name for name in hurting if effect[name, 36]["estimate"] > effect[name, 4]["estimate"]]
    assert (len(hurting), len(less)) == (7, 6)  # "of seven …, six cost less"
    for name in ("trivialaugment", "classic"):
        assert 0.2 < effect[name, 36]["estimate"] / effect[name, 4]["estimate"] < 0.3  # "three quarters"
    for name in ("weight_decay", "mixup", "ema"):
        assert [effect[name, epochs]["verdict"] == "helps" for epochs in (4, 12, 36)] == [False, True, True]
    tenths = [
        SHARE_FORMAT.difference(round(effect["weight_decay", epochs]["estimate"], 3))[:-1] for epochs in (4, 12, 36)
    ]
    mixed = [f"{100 * abs(effect[name, 36]['estimate']):.1f}" for name in ("cutmix", "mixup")]
    (held_out,) = {read(f"when_techniques_pay/{epochs}_held_out")["images"] for epochs in (4, 12, 36)}
    assert held_out == 10 * (SPLIT["held out"][1] - SPLIT["held out"][0] + 1)
    return [
        *map(str, studies),
        str(len(studies[4]["arms"])),
        *(str(number // 2) for number in runs.values()),
        str(sum(runs.values())),
        f"{studies[4]['num_test']:,}",
        f"{100 * studies[4]['level']:.0f}",
        *tenths,
        *mixed,
        f"{held_out:,}",
        *(f"{number:,}" for number in SPLIT["held out"]),
        thousands(names[0]),
        f"{10 * SPLIT['train'][1]:,}",
        hours(*names),
    ]


def of_tuning() -> list[str]:
    """The test of tuning below has the accuracies on test."""
    search, unseen, whole = (read(f"tuning/{name}") for name in ("sweep", "held_out", "whole_images"))
    complete = [each for each in search["entries"] if each["state"] == "complete"]
    assert len(complete) == 9 and len(search["entries"]) == 30
    (size,) = {each["inference_size"] for each in complete}
    before, after = complete[0]["metrics"]["val/accuracy"], search["best"]["value"]
    confirm = search["confirm"]
    trained = sum(each["seconds"] * len(each["val"]) for each in confirm["arms"])
    assert round((search["seconds"] + trained) / 3600) == 2  # "two hours of a core"
    arms = {each["name"]: each["test"] for each in confirm["arms"]}
    tested = {name: np.array([arms[name][str(seed)] for seed in confirm["seeds"]]) for name in ("default", "trial-22")}
    difference = (tested["trial-22"] - tested["default"]).mean()
    assert 0.3 < difference / (after - before) < 0.36  # "a third is left"
    unseen_difference = np.mean([unseen["trial-22"][seed] - unseen["default"][seed] for seed in unseen["default"]])
    seeds, points = re.findall(r"(\d+) seeds .* show the (\S+) points", confirm["next"][0])[0]
    whole_tests = {name: np.array(list(values.values())) for name, values in whole["test"].items()}
    moments = [SHARE_FORMAT.value(each) for own in whole_tests.values() for each in (own.mean(), own.std(ddof=1))]
    gains = [SHARE_FORMAT.difference((whole_tests[name] - tested[name]).mean()) for name in ("default", "trial-22")]
    between = [
        SHARE_FORMAT.difference(np.mean([own["trial-22"][seed] - own["default"][seed] for seed in own["default"]]))
        for own in whole.values()
    ]
    experiment = yaml.safe_load((ROOT / "conf/experiment/tune_small_images.yaml").read_text())
    cut = experiment["data"]["crop_ratio"]
    return [
        str(experiment["scale"]["epochs"]),
        f"{10 * SPLIT['train'][1]:,}",
        f"{10 * (SPLIT['test'][1] - SPLIT['test'][0] + 1):,}",
        SHARE_FORMAT.difference(difference),
        *SHARE_FORMAT.span(*confirm["test"]["new_images"]["interval"]).split(" to "),
        f"{100 * (after - before):.1f}",
        f"{100 * after:.1f}",
        f"{100 * before:.1f}",
        str(size),
        f"{float(points):.1f}",
        seeds,
        str(cut),
        str(100 * cut),
        *moments,
        *gains,
        *between,
        f"{10 * (SPLIT['held out'][1] - SPLIT['held out'][0] + 1):,}",
        SHARE_FORMAT.difference(unseen_difference),
    ]


def of_short_recipe() -> list[str]:
    """The test below has the accuracies on val; 35,000 photographs train, 5,000 are val."""
    search = read("short_recipe/sweep")
    best = {key: value for key, value in search["best"]["params"].items() if "padding_fraction" in key}
    pixels = f"{32 * best['augmentation.crop.padding_fraction']:.0f}"
    return ["35,000", "5,000", word(search["command"], "data.image_size"), "82.86", "0", "85.54", pixels, "3.3"]


def of_240() -> list[str]:
    study = read("few_images/240")
    experiment = yaml.safe_load((ROOT / "conf/experiment/few_flowers.yaml").read_text())
    lengthened = compose_configuration(["experiment=few_flowers", "model.weights.path=FILE", "data.root=DIR"]).values[
        "scale"
    ]["long_epochs"]
    values = np.array(list(study["arms"][0]["values"].values()))
    shown = [arm(name, "few_images/240")["difference"] for name in ("with_head_alone", "with_long_training")]
    cost = {each["name"]: each["cost"]["seconds"] for each in study["arms"]}
    assert cost["with_head_alone"] < cost["full"] / 2  # "in less than half of the time"
    return [
        str(study["num_test"]),
        str(study["num_test"] // 5),
        str(experiment["data"]["image_size"]),
        str(experiment["scale"]["epochs"]),
        f"{-100 * arm('without_transfer', 'few_images/240')['difference']:.1f}",
        f"{100 * study['plan']['new_images']['detectable']:.1f}",
        *map(SHARE_FORMAT.difference, shown),
        f"{100 * values.std(ddof=1):.1f}",
        str(lengthened),
        hours("few_images/240"),
    ]


def of_1000() -> list[str]:
    study, gain = read("few_images/1000"), find_mean("1000", "full") - find_mean("240", "full")
    fixres = compose_configuration(["augmentation/train_size=fixres"]).values["augmentation"]["train_size"]["ratio"]
    size = yaml.safe_load((ROOT / "conf/experiment/few_flowers.yaml").read_text())["data"]["image_size"]
    trained = study["num_test"] - study["num_test_per_run"]
    return [
        f"{study['num_test']:,}",
        str(study["num_test"] // 5),
        str(read("few_images/240")["num_test"]),
        word(study["command"], "scale.epochs"),
        f"{gain:.1f}",
        f"{0.9 * trained:.0f}",  # a tenth of the others is val
        str(4 * round(size / fixres / 4)),
        str(size),
        hours("few_images/1000"),
    ]


def of_labels() -> list[str]:
    study = read("few_images/label_propagation")
    share, whole = word(study["command"], "supervision.labelled_fraction"), find_mean("1000", "full")
    loss = whole - find_mean("label_propagation", "without_label_propagation")
    return [
        f"{study['num_test']:,}",
        f"{100 * float(share):.0f}",
        f"{loss:.0f}",
        f"{whole:.2f}",
        hours("few_images/label_propagation"),
    ]


def of_distillation() -> list[str]:
    study, teacher = read("few_images/distillation"), find_mean("240", "full")
    better = teacher - find_mean("distillation", "without_distillation")
    return [
        word(study["command"], "scale.epochs"),
        str(study["num_test"]),
        f"{teacher:.0f}",
        f"{better:.0f}",
        hours("few_images/distillation"),
    ]


#: Heading → what its sentences may say.
SECTIONS = {
    "The first study": of_first_study,
    "The first search": of_first_search,
    "Twelve regularizing techniques, all at once, in a short training": of_regularizers,
    "When does a technique begin to pay?": of_lengths,
    "Does tuning beat the recipe's own values?": of_tuning,
    "What can five minutes of one core learn?": of_short_recipe,
    "What matters with 240 photographs?": of_240,
    "And with 1,000?": of_1000,
    "170 labels of 720": of_labels,
    "A small network taught by the large one": of_distillation,
}


@each_row("title", SECTIONS)
def test_every_number_of_a_section_is_computed_from_its_files(title: str) -> None:
    assert list_numbers(title) == set(SECTIONS[title]())


def test_pages_quote_the_first_search_as_it_is() -> None:
    tree = json.loads((ROOT / "docs/results/first_search/sweep.json").read_text())
    text = (ROOT / "docs/results/index.md").read_text().split("## The first search")[1].split("\n## ")[0]
    text, trials = " ".join(text.split()), {each["number"]: each for each in tree["entries"]}
    own, best = trials[0], trials[tree["confirm"]["arms"][1]["number"]]
    rates, scores = (
        [f"{each['params']['optimizer.lr']:.3g}" for each in (own, best)],
        [each["metrics"]["val/accuracy"] for each in (own, best)],
    )
    own_score, score = map(SHARE_FORMAT.value, scores)
    assert (
        f"a learning rate of {rates[1]} did best, at {score} % on val; the recipe's own {rates[0]}, trial 0, had {own_score} %"
        in text
    )
    low, high = tree["confirm"]["test"]["new_images"]["interval"]
    default, winner = (np.array(list(arm["test"].values())) for arm in tree["confirm"]["arms"])
    difference = SHARE_FORMAT.difference((winner - default).mean())
    assert f"difference on test is {difference} points ({SHARE_FORMAT.span(low, high)})" in text
    assert tree["trials"]["complete"] == 7 and len(trials) == 12 and len(default) + len(winner) == 8
    seconds = tree["seconds"] + sum(arm["seconds"] * len(arm["test"]) for arm in tree["confirm"]["arms"])
    assert f"took {round(seconds / 60)} minutes of a core" in text


def test_pages_quote_the_first_study_as_it_is():
    tree = json.loads((ROOT / "docs/results/first_study/study.json").read_text())
    readme, results = (ROOT / "README.md").read_text(), (ROOT / "docs/results/index.md").read_text()
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
    folder, text = ROOT / "docs/results/tuning", (ROOT / "docs/results/index.md").read_text()
    search, unseen, whole = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("sweep", "held_out", "whole_images")
    )
    confirm, scores = search["confirm"], {}
    for name, row in (("default", "the recipe's own"), ("trial-22", "the best of thirty trials")):
        (arm,) = [arm for arm in confirm["arms"] if arm["name"] == name]
        scores[name] = np.array([arm["test"][str(seed)] for seed in confirm["seeds"]])
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {row} |")]
        own = dict(word.split("=") for word in arm["overrides"] if word.startswith("optimizer."))
        rate, decay = (
            float(own.get(f"optimizer.{key}", given)) for key, given in (("lr", 0.8), ("weight_decay", 5e-4))
        )
        mean, sd = SHARE_FORMAT.value(scores[name].mean()), SHARE_FORMAT.value(scores[name].std(ddof=1))
        assert line == f"| {row} | {rate:.3g} | {decay:.3g} | {mean} ± {sd} % |"
    assert confirm["winner"] == "trial-22" and confirm["verdict"] == "cannot be distinguished"
    difference = (scores["trial-22"] - scores["default"]).mean()
    low, high = confirm["test"]["new_images"]["interval"]
    assert f"{SHARE_FORMAT.difference(difference)} points ({SHARE_FORMAT.span(low, high)})" in text
    again = np.mean([unseen["trial-22"][seed] - unseen["default"][seed] for seed in unseen["default"]])
    assert low <= again <= high and f"differ by {SHARE_FORMAT.difference(again)} points, inside the interval" in text
    assert (search["trials"]["pruned"], search["trials"]["complete"]) == (21, 9)
    whole = {part: {arm: np.array(list(own.values())) for arm, own in arms.items()} for part, arms in whole.items()}
    means = [
        f"{SHARE_FORMAT.value(own.mean())} ± {SHARE_FORMAT.value(own.std(ddof=1))}" for own in whole["test"].values()
    ]
    gains = [SHARE_FORMAT.difference((whole["test"][arm] - scores[arm]).mean()) for arm in scores]
    assert f"reach {' and '.join(means)} %: {' and '.join(gains)} points for nothing" in text
    between = [SHARE_FORMAT.difference((own["trial-22"] - own["default"]).mean()) for own in whole.values()]
    assert f"the difference between them is {between[0]} (on unseen photographs {between[1]})" in text


def test_the_page_quotes_the_search_for_a_short_recipe_as_it_is() -> None:
    tree = json.loads((ROOT / "docs/results/short_recipe/sweep.json").read_text())
    text = " ".join((ROOT / "docs/results/index.md").read_text().split())
    trials = sorted(tree["entries"], key=lambda each: -each["metrics"]["val/accuracy"])
    (own,) = (each for each in trials if each["number"] == 0)
    before, after = (SHARE_FORMAT.value(each["metrics"]["val/accuracy"]) for each in (own, trials[0]))
    assert f"from {before} % on val, trial 0 with the values of `recipe=small_images`, to {after} %" in text
    assert len(trials) == 16 and f"It took {tree['seconds'] / 3600:.1f} hours of a core" in text
    assert {each["knobs"]["optimizer"] for each in trials[:8]} == {"muon"} and trials[8]["knobs"]["optimizer"] != "muon"
    words = [f"{key}={value}" for key, value in trials[0]["knobs"].items()]
    fast, found = (
        compose_configuration(each).values for each in (["recipe=cifar_fast"], ["recipe=small_images", *words])
    )
    assert all(fast[group] == found[group] for group in ("augmentation", "regularization"))
    scaled = found["optimizer"]["lr"] * fast["batch_size"] / 256  # the search's rate at the batch of the recipe
    assert fast["optimizer"]["lr"] == pytest.approx(scaled, rel=0.15)
    assert fast["optimizer"]["weight_decay"] == pytest.approx(found["optimizer"]["weight_decay"], rel=0.15)


@each_row("name", ["240", "1000", "label_propagation", "distillation"])
def test_the_tables_of_few_images_have_the_numbers_of_their_studies(name: str) -> None:
    tree = json.loads((ROOT / f"docs/results/few_images/{name}.json").read_text())
    text = (ROOT / "docs/results/index.md").read_text()
    for arm in tree["arms"]:
        values = np.array(list(arm["values"].values()))
        mean = f"{SHARE_FORMAT.value(values.mean())} ± {SHARE_FORMAT.value(values.std(ddof=1))} %"
        found = ["", "", "reference"]
        if arm["reference"]:
            base = np.array([tree["arms"][0]["values"][seed] for seed in arm["values"]])
            interval = arm["new_images"] and arm["new_images"]["interval"]
            span = SHARE_FORMAT.span(*interval, " … ") if interval else "–"
            found = [SHARE_FORMAT.difference((values - base).mean()), span, arm["verdict"]]
        label = arm["label"][0].lower() + arm["label"][1:]
        cells = " ".join(" | ".join(["", label, mean, *found, ""]).split())
        assert cells in " ".join(text.split()), cells
    assert (len(tree["seeds"]), tree["arms"][0]["label"]) == (10, "Everything")
    assert tree["num_test"] == (1000 if name in ("1000", "label_propagation") else 240)


def test_quotes_of_few_images_are_those_of_their_studies() -> None:
    notes, page = ((ROOT / "docs" / name).read_text() for name in ("techniques/notes.md", "how-to/few-images.md"))
    quoted = {
        "240": ("without_transfer", "with_cutmix", "with_mixup", "with_fixres"),
        "1000": ("without_transfer", "with_mixup", "with_fixres"),
        "label_propagation": ("without_label_propagation",),
        "distillation": ("without_distillation",),
    }
    for name, arms in quoted.items():
        tree = json.loads((ROOT / f"docs/results/few_images/{name}.json").read_text())
        for arm in (each for each in tree["arms"] if each["name"] in arms):
            points = SHARE_FORMAT.difference(arm["difference"])
            assert f"{points} ({SHARE_FORMAT.span(*arm['new_images']['interval'])}), {arm['verdict']}." in notes
            assert arm["verdict"] != "hurts" or points.lstrip("−") in page
        shown = {arm["name"] for arm in tree["arms"] if arm["verdict"] in ("helps", "hurts")}
        assert shown <= set(arms)
        assert name != "240" or len(tree["arms"][1:]) - len(shown) == 12


def test_the_table_of_regularizers_has_the_numbers_of_its_studies():
    studies = {}
    for name in ("leave_one_out", "two_stages"):
        tree = json.loads((ROOT / f"docs/results/regularizers/{name}.json").read_text())
        studies[name] = {arm["label"].removeprefix("Without "): arm for arm in tree["arms"] if arm["reference"]}
    text = (ROOT / "docs/results/index.md").read_text().split("| without | points |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert [row[0] for row in rows] == sorted(
        studies["leave_one_out"], key=lambda label: -studies["leave_one_out"][label]["difference"]
    )
    for label, points, interval, *words in rows:
        arm = studies["leave_one_out"][label]
        assert points == SHARE_FORMAT.difference(arm["difference"])
        assert interval == SHARE_FORMAT.span(*arm["new_images"]["interval"], " … ")
        found = [studies[name].get(label, {"verdict": "not followed"})["verdict"] for name in studies]
        assert words == [word.replace("cannot be distinguished", "open") for word in found]
        values = [studies[name][label]["values"] for name in studies if label in studies[name]]
        assert values.count(values[0]) == len(values)


def test_the_table_of_lengths_is_recomputed_from_its_trainings():
    """Effects from the accuracies of all trainings; what unseen images say, from the file of each length."""
    techniques = yaml.safe_load((ROOT / "conf/study/techniques/regularizers.yaml").read_text())
    text = (ROOT / "docs/results/index.md").read_text()
    lines = text.split("| technique | 4 epochs |")[1].split("\n\n")[0].splitlines()[2:]
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)}
    for column, epochs in enumerate((4, 12, 36)):
        folder = ROOT / "docs/results/when_techniques_pay"
        study, held_out = (json.loads((folder / f"{epochs}_{of}.json").read_text()) for of in ("epochs", "held_out"))
        names = [effect["factor"] for effect in study["effects"]]
        design = build_design(techniques, study["arms"], names)
        values = [[arm["values"][str(seed)] for seed in study["seeds"]] for arm in study["arms"]]
        found = compute_effects(names, design, values)
        assert len(rows) == len(found) == 12
        inside = 0
        for effect, entry, again in zip(found, study["effects"], held_out["effects"], strict=True):
            low, high = entry["new_images"]["interval"]
            assert effect.estimate == pytest.approx(entry["estimate"]) == pytest.approx(again["estimate"])
            mark = "**" * (entry["verdict"] in ("helps", "hurts"))
            shown = f"{mark}{SHARE_FORMAT.difference(effect.estimate)}{mark} ({SHARE_FORMAT.span(low, high)})"
            assert rows[entry["label"]][column] == shown
            inside += low <= again["held_out"] <= high
        assert f"{inside} of 12 at {epochs} epochs" in " ".join(text.split())
