"""Paths of data: what is wrong with them, and where they lie for a reader in another directory."""

import json
import os

import pytest

from sota_exp.config.data_paths import check_data_paths, find_path_problem, make_paths_absolute, name_data
from sota_exp.errors import ConfigError
from tests.experiments import composed


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos.zip").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    monkeypatch.chdir(tmp_path)
    return tmp_path


PROBLEMS = {
    "photos": None,
    "missing": "missing does not exist",
    "phtos": "phtos does not exist (did you mean PLACE/photos?)",
    "photos/dogs/x": "photos/dogs/x does not exist: there is no PLACE/photos/dogs",
    "empty": "empty is an empty folder",
    "photos.zip": "photos.zip is a file, not a folder",
    "photos.zip/x": "photos.zip/x does not exist: PLACE/photos.zip is a file, not a folder",
    "dangling": "dangling is a link to PLACE/gone, which does not exist",
}


@pytest.mark.parametrize(("root", "problem"), PROBLEMS.items(), ids=PROBLEMS)
def test_what_is_wrong_with_a_root_and_how_to_fix_it(place, root, problem):
    values = {"data": {"_option_": "image_folder", "root": root}}
    if problem is None:
        check_data_paths(values)
        return
    with pytest.raises(ConfigError) as caught:
        check_data_paths(values)
    message = f"{place}/{problem}".replace("PLACE", str(place))
    assert str(caught.value).startswith(f"data.root={root} is not legal: {message}; give a folder with one")
    assert str(caught.value).endswith("data.root=…")


def test_a_table_is_a_file(place):
    assert find_path_problem(place / "photos", is_folder=False).endswith("photos is a folder, not a file")
    with pytest.raises(ConfigError, match=r"data.path=a.csv is not legal: .*/a.csv does not exist.*give a CSV file"):
        check_data_paths({"data": {"_option_": "csv", "root": None, "path": "a.csv"}})


FILES = {
    "data": {"_option_": "imagenet", "class_order": "FILE"},
    "model": {"weights": {"_option_": "checkpoint", "path": "FILE"}},
    "regularization": {"distillation": {"path": "FILE"}},
    "supervision": {"labelled_file": "FILE"},
}


@pytest.mark.parametrize("group", FILES)
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gone.txt", "gone.txt does not exist; give "),
        ("photos", "photos is a folder, not a file; give "),
        ("photos.zip", "photos.zip is an empty file; give "),
        ("photos.zip/x", "photos.zip is a file, not a folder; give "),
        ("dangling", "dangling is a link to "),
    ],
)
def test_a_file_of_weights_classes_or_labels(place, group, name, problem):
    values = json.loads(json.dumps({group: FILES[group]}).replace("FILE", name).replace("imagenet", "fake"))
    with pytest.raises(ConfigError) as caught:
        check_data_paths(values)
    key = str(caught.value).partition("=")[0]
    assert f"{key}={name} is not legal: {place}/{name}" in str(caught.value) and f"{place}/{problem}" in str(
        caught.value
    )
    if group != "data":
        check_data_paths(values, trains=False)  # The files of a training may be gone when its run is evaluated.
    (place / "names.txt").write_text("cat")
    for legal in ("names.txt", *(["natural"] if group == "data" else []), *(["runs:/5"] if group == "model" else [])):
        check_data_paths(json.loads(json.dumps(values).replace(name, legal)))


@pytest.mark.parametrize("path", ["a\nb", "x" * 5000, "y/" * 2000, "\x1b[31m"])
@pytest.mark.parametrize("values", [{"data": {"_option_": "image_folder", "root": "PATH"}}, FILES["data"]])
def test_a_path_that_would_be_no_line_becomes_one(place, path, values):
    given = json.loads(json.dumps({"data": values.get("data", values)}).replace("PATH", "FILE"))["data"]
    tree = {"data": {key: path if value == "FILE" else value for key, value in given.items()}}
    with pytest.raises(ConfigError) as caught:
        check_data_paths(tree)
    line = str(caught.value)
    assert line.isprintable() and len(line) < 1200


def test_a_file_in_the_home_folder_is_found(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    (place / "labels.txt").write_text("1")
    values = {"supervision": {"labelled_file": "~/labels.txt"}}
    make_paths_absolute(values)
    assert values["supervision"]["labelled_file"] == str(place / "labels.txt")


def test_a_folder_of_others(place, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode & os.R_OK == 0)  # root may read everything
    assert "is not readable" in find_path_problem(place / "photos", is_folder=True)


def test_paths_of_a_run_are_absolute(place):
    found = composed.__wrapped__("data=image_folder", "data.root=photos", "tracking=none")
    assert found.values["data"]["root"] == str(place / "photos")
    values = {"data": {"root": "~/x", "path": None}, "model": {"weights": {"path": "runs:/5"}}}
    make_paths_absolute(values)
    assert values == {
        "data": {"root": f"{os.environ['HOME']}/x", "path": None},
        "model": {"weights": {"path": "runs:/5"}},
    }
    (place / "net.pth").write_text("")
    values = {"model": {"weights": {"path": "net.pth"}}, "supervision": {"labelled_file": "photos"}}
    make_paths_absolute(values)
    assert values["model"]["weights"]["path"] == str(place / "net.pth")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"_option_": "image_folder", "name": "image_folder", "root": "/a/photos/"}, "photos"),
        ({"_option_": "image_folder", "name": "flowers", "root": "/a/photos"}, "flowers"),
        ({"_option_": "csv", "name": "csv", "root": "/a", "path": "/a/labels.csv"}, "labels.csv"),
        ({"_option_": "huggingface", "name": "huggingface", "dataset": "ylecun/mnist"}, "mnist"),
        ({"_option_": "parquet", "name": "parquet", "root": "hf://datasets/me/set"}, "set"),
        ({"_option_": "torchvision", "name": "cifar10", "root": "/a/downloads"}, "cifar10"),
        ({"_option_": "imagenet", "name": "imagenet", "root": "/a/ILSVRC"}, "imagenet"),
        ({"_option_": "image_folder", "name": "image_folder", "root": "/"}, "image_folder"),
        ({"_option_": "image_folder", "name": "image_folder", "root": "/a/x\x1b[31m"}, r"x\x1b[31m"),
        ({"name": "fake"}, "fake"),
    ],
    ids=str,
)
def test_titles_name_the_folder_where_the_source_has_no_name(data, name):
    assert name_data(data) == name
