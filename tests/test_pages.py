"""The pages of the documentation: README is short, links lead somewhere, commands compose, code that is shown builds."""

import contextlib
import io
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import sota_exp
from benchmarks.held_out import build_design
from sota_exp.cli.main import COMMANDS, run_command_line
from sota_exp.config.compose import get_overrides
from sota_exp.config.overrides import compose_configuration
from sota_exp.report.numbers import format_duration
from sota_exp.statistics.effects import compute_effects
from sota_exp.statistics.units import SHARE_FORMAT
from tests.composing import compositions_share_their_work
from tests.options import ROOT
from tests.rows import each_row

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

#: Pages whose examples a user would type; the diary and what was measured name places of other machines.
TYPED = [page for page in PAGES if page.name not in ("log.md", "decisions.md", "benchmarks.md", "CHANGELOG.md")]

#: Commands that take overrides, with those of their words that are none.
COMPOSING = {
    **dict.fromkeys(("train", "sweep", "ablate", "explain"), ()),
    "look": ("step=",),
    "evaluate": ("run=", "weights=", "evaluation.part="),
    "rerun": (),
}

#: A value that stands for several, and the first of them.
SEVERAL = re.compile(r"=(?:tag\(\w+,|interval\(|choice\()*([^,\[({]+),.*")

#: Flags of them that Hydra does not know.
FLAGS = ("--plan", "--no-measure", "--json", "--clean", "-m")


def test_readme_is_a_way_in() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


@each_row("page", PAGES)
def test_links_within_the_tree_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(#[^)]*)?\)", page.read_text())
    gone = [link for link, _ in links if "://" not in link and not (page.parent / link).exists()]
    assert not gone, gone
    for link, anchor in links:
        target = (page.parent / link).resolve() if link else page
        if anchor and target.suffix == ".md" and "://" not in link and "<!-- generated" not in target.read_text():
            assert anchor[1:] in list_anchors(target), f"{link}{anchor}"


@each_row("page", sorted((ROOT / "docs/results").rglob("*.html")))
def test_links_of_published_reports_lead_somewhere(page: Path) -> None:
    """Runs are not published."""
    text = re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r'(?:href|src)="([^"#][^"]*)"', text)
    assert [each for each in links if not each.startswith("data:") and not (page.parent / each).exists()] == []


def list_anchors(page: Path) -> list[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def list_commands(page: Path) -> list[tuple[list[str], str]]:
    """The words after `sota-exp` of every command in the console blocks of a page, and the error that is shown below."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for line, told in re.findall(r"^\$ (.*)\n?(sota-exp: .*)?", block, re.MULTILINE):
            words = shlex.split(line, comments=True)
            called = [at for at, word in enumerate(words) if word in ("sota-exp", "sota_exp")]
            found += [(words[called[0] + 1 :], told)] if called else []
    return found


@pytest.fixture
def own_package(tmp_path, monkeypatch):
    """The folder of a user with the files that the pages show, by the comments in their first lines."""
    for page in (ROOT / "docs").rglob("*.md"):
        for name, text in re.findall(
            r"```(?:python|yaml)\n# ((?:my_package|mine)/\S+)\n(.*?)```", page.read_text(), re.DOTALL
        ):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    experiment = re.search(
        r"```yaml\n(# @package _global_\n.*?)```", (ROOT / "docs/how-to/experiment-files.md").read_text(), re.DOTALL
    )
    (tmp_path / "mine/experiment").mkdir()
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/1.png").touch()
    (tmp_path / "mine/experiment/my_photos.yaml").write_text(experiment[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "page", [page for page in TYPED if list_commands(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_of_a_page_compose(page: Path, own_package, monkeypatch) -> None:
    """Those that compose a configuration do; the others have the words of their help."""
    monkeypatch.setattr(sys, "argv", ["sota-exp"])
    with compositions_share_their_work():
        faults = {shlex.join(words): (find_fault(words), told) for words, told in list_commands(page)}
    assert {line: fault for line, (fault, told) in faults.items() if fault != told} == {}


def find_fault(words: list[str]) -> str:
    """What is wrong with a command line; "" where nothing is."""
    command, *arguments = words
    if command not in COMMANDS:
        return "" if command.startswith("-") else "no such command"
    if command not in COMPOSING:
        told = call(command, "--help")
        return "".join(f"{word} is not in its help" for word in arguments if word.startswith("-") and word not in told)
    kept = [word for word in arguments if word not in FLAGS and not word.startswith(COMPOSING[command] or "\n")]
    if command == "rerun":
        kept = kept[1:]
    if "-m" in arguments or command == "sweep":
        kept = [SEVERAL.sub(r"=\1", word) for word in kept]
    if any(word.startswith("weights=") for word in arguments):
        kept = ["model/weights=checkpoint", "model.weights.path=FILE", *kept]
    name = command if command in ("sweep", "ablate") else "train"
    told = call(name, *kept, "--cfg", "job", is_error=True)
    return "" if "plug-in is not installed" in told else told.strip()


def call(*words: str, is_error: bool = False) -> str:
    """What a command prints; with `is_error` what it says of a mistake."""
    out, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told), contextlib.suppress(SystemExit):
        status = run_command_line(list(words))
        return (told.getvalue() if status else "") if is_error else out.getvalue()
    return "" if is_error else out.getvalue()


OWN = {
    "own-augmentation.md": "augmentation/policy=random_grey",
    "own-model.md": "model/arch=tiny",
    "own-optimizer.md": "optimizer=nadam",
    "own-data.md": "data=stripes",
    "own-metric.md": "evaluation/metrics=cost",
    "experiment-files.md": "experiment=my_photos",
}


@pytest.mark.parametrize(("page", "word"), OWN.items(), ids=OWN)
def test_what_a_page_shows_of_your_own_builds(page: str, word: str, own_package) -> None:
    assert (ROOT / "docs/how-to" / page).is_file()
    assert sota_exp.compose("--config-dir=mine", word).experiment
    assert get_overrides([word]) == [word]


def test_the_data_set_that_a_page_shows_opens(own_package, monkeypatch) -> None:
    monkeypatch.setenv("SOTA_EXP_CACHE", str(own_package / "cache"))
    found = sota_exp.compose("--config-dir=mine", "data=stripes", "data.num_images=40").experiment.data()
    assert found.count_images() == {"train": 24, "val": 8, "test": 8} and found.classes == ("down", "across")


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


@each_row("recipe", ["cifar_fast"])
def test_the_table_of_short_recipes_is_recomputed_from_its_trainings(recipe: str) -> None:
    lines = (ROOT / f"docs/results/short_recipe/{recipe}.jsonl").read_text().splitlines()
    races, text = [json.loads(line) for line in lines], (ROOT / "docs/results/index.md").read_text()
    seconds = [each["seconds"] for each in races if each["loop"] == "ours"]
    cells = [f"`{recipe}`", f"{min(seconds):.0f} … {max(seconds):.0f}"]
    for loop in ("ours", "torchvision", "timm"):
        own = [each for each in races if each["loop"] == loop]
        accuracies = np.array([each["accuracy"] for each in own])
        epochs = np.mean([each["epochs"] for each in own]) if loop != "ours" else find_epochs(recipe)
        mean, sd = SHARE_FORMAT.value(accuracies.mean()), SHARE_FORMAT.value(accuracies.std(ddof=1))
        cells.append(f"{mean} ± {sd} %, {epochs:.2g} epochs")
        assert [each["seed"] for each in own] == [0, 1, 2]
    assert f"| {' | '.join(cells)} |" in text


def find_epochs(recipe: str) -> int:
    """Of the recipe's own training."""
    return yaml.safe_load((ROOT / f"conf/recipe/{recipe}.yaml").read_text())["recipe"]["epochs"]


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


def test_the_pages_on_few_images_compare_their_studies_rightly() -> None:
    text, means = " ".join((ROOT / "docs/results/index.md").read_text().split()), {}
    for name in ("240", "1000", "label_propagation", "distillation"):
        arms = json.loads((ROOT / f"docs/results/few_images/{name}.json").read_text())["arms"]
        means |= {(name, arm["name"]): 100 * float(np.mean(list(arm["values"].values()))) for arm in arms}
    whole = means["1000", "full"]
    assert f"Four times the photographs give {whole - means['240', 'full']:.1f} points" in text
    labels = whole - means["label_propagation", "without_label_propagation"]
    assert f"A quarter of the labels costs {labels:.0f} points of the {whole:.2f} %" in text
    better = means["240", "full"] - means["distillation", "without_distillation"]
    assert f"A teacher that is {better:.0f} points better than the student alone" in text


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
