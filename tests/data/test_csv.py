import logging

import numpy as np
import pytest
from PIL import Image

from sota_exp.config.build import build, prefix_invalid_values
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.stages.data import DataSource
from tests.data.options import read_data_option


def source(tmp_path, **changes):
    values = read_data_option("csv")
    named = {"cache": str(tmp_path / "cache"), "path": str(tmp_path / "set" / "table.csv")}
    return build(DataSource, values | named | changes, "data")


def opened(tmp_path, **changes):
    with prefix_invalid_values("data"):
        return source(tmp_path, **changes)()


def pixels(index):
    return np.random.default_rng(index).integers(256, size=(9, 8 + index % 3, 3), dtype=np.uint8)


@pytest.fixture
def images(tmp_path):
    """Forty images in set/images, numbered 0 to 39."""
    (tmp_path / "set" / "images").mkdir(parents=True)
    for index in range(40):
        Image.fromarray(pixels(index)).save(tmp_path / "set" / "images" / f"{index}.png")
    return tmp_path / "set" / "images"


def write(tmp_path, lines, header="path,label", encoding="utf-8"):
    (tmp_path / "set").mkdir(exist_ok=True)
    (tmp_path / "set" / "table.csv").write_text("\n".join([header, *lines]) + "\n", encoding=encoding)


ROWS = [f"images/{index}.png,{'cat' if index % 2 else 'dog'}" for index in range(40)]


def test_labels_that_other_readers_take_for_missing_values_or_numbers_are_classes(tmp_path, images):
    names = ["NA", "null", "None", "nan", "01", "1", "1.0", "1e3", "no", "true"]
    write(tmp_path, [f"images/{index}.png,{names[index % 10]}" for index in range(40)])
    assert opened(tmp_path).classes == tuple(sorted(names))
    assert opened(tmp_path, class_order=names).classes == tuple(names)
    with pytest.raises(ConfigError, match="lacks the class '1e3'; 1000.0, False stands where a name without quotes"):
        opened(tmp_path, class_order=[1000.0 if name == "1e3" else False if name == "no" else name for name in names])


def test_labels_pixels_and_missing_splits(tmp_path, images):
    write(tmp_path, ROWS)
    data = opened(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [1, 0] * 20
    assert [len(part) for part in (data.train, data.val, data.test)] == [32, 4, 4]
    for index in range(40):
        assert np.array_equal(data.images.image(index).permute(1, 2, 0).numpy(), pixels(index))


def test_splits_in_the_table(tmp_path, images):
    parts = ["train"] * 30 + ["Val"] * 4 + ["validation"] * 2 + ["test"] * 4
    write(tmp_path, [f"{row},{part}" for row, part in zip(ROWS, parts, strict=True)], "path,label,split")
    data = opened(tmp_path)
    assert [part.tolist() for part in (data.train, data.val, data.test)] == [
        list(range(30)),
        list(range(30, 36)),
        list(range(36, 40)),
    ]


def test_the_column_of_the_splits_is_named(tmp_path, images):
    lines = [f"{row},{'test' if index < 6 else 'train'}" for index, row in enumerate(ROWS)]
    write(tmp_path, lines, "path,label,Set")
    assert opened(tmp_path, split_column="set").test.tolist() == list(range(6))
    assert len(opened(tmp_path, split_column=None).test) == 4
    with pytest.raises(ConfigError, match="split_column=fold is not legal: a column of .*: path, label, set; or null"):
        opened(tmp_path, split_column="fold")


@pytest.mark.parametrize("name", ["subset", "Split_Name", "cv-fold", "partition", "is_train", "usage", "train_val"])
def test_no_column_that_may_be_the_split_is_ignored(tmp_path, images, name):
    write(tmp_path, [f"{row},x" for row in ROWS], f"path,label,{name}")
    with pytest.raises(ConfigError, match="may be meant"):
        opened(tmp_path)


def test_other_columns_are_told(tmp_path, images, caplog):
    write(tmp_path, [f"{row},8,test,0" for row in ROWS], "path,label,width,split,fold")
    with caplog.at_level(logging.INFO), pytest.raises(ConfigError, match="training images"):
        opened(tmp_path)
    assert "columns that are not read: width, fold" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns_in_any_order_blank_lines_spaces_and_others(tmp_path, images, encoding):
    rows = [f'{index},"a, b or {index % 2}" , images/{index}.png ' for index in range(40)]
    write(tmp_path, [*rows[:20], "", ",,", *rows[20:]], "Id, Label ,PATH", encoding)
    assert opened(tmp_path).classes == ("a, b or 0", "a, b or 1")


def test_root_and_absolute_paths(tmp_path, images):
    write(tmp_path, [row.removeprefix("images/") for row in ROWS])
    with pytest.raises(ConfigError, match=r"0\.png is not a file"):
        opened(tmp_path)
    first = opened(tmp_path, root=str(images))
    write(tmp_path, [f"{tmp_path}/set/{row}" for row in ROWS])
    assert opened(tmp_path).digest == first.digest


def test_other_labels_or_splits_make_another_data_set(tmp_path, images):
    write(tmp_path, ROWS)
    first = opened(tmp_path)
    write(tmp_path, [*ROWS[:-1], "images/39.png,dog"])
    second = opened(tmp_path)
    write(tmp_path, [f"{row},{'train' if index else 'test'}" for index, row in enumerate(ROWS)], "path,label,split")
    assert len({first.digest, second.digest, opened(tmp_path).digest}) == 3


ERRORS = {
    "no columns": (
        ["a,b"],
        "image,class",
        "a first line with the columns path and label, optionally split; it has image, class",
    ),
    "no header": ([], "images/0.png,dog", "it has images/0.png, dog"),
    "empty": ([], "", "it has none"),
    "no rows": ([], "path,label", "at least two classes with training images; none was found"),
    "one class": (["images/0.png,cat", "images/1.png,cat"], "path,label", "only 'cat' was found"),
    "a cell too few": ([*ROWS[:3], "images/3.png"], "path,label", "2 cells per line as in the first one; line 5 has 1"),
    "an unquoted comma": (["images/0.png,cat, tabby"], "path,label", "line 2 has 3"),
    "empty label": (["images/0.png,"], "path,label", "line 2: the label is empty"),
    "empty path": ([" ,cat"], "path,label", "line 2: the path is empty"),
    "missing file": ([*ROWS[:2], "images/99.png,cat"], "path,label", r"line 4: .*images/99\.png is not a file"),
    "unknown part": (
        ["images/0.png,cat,tset"],
        "path,label,split",
        "line 2: split=tset is not one of train, training, trainings, trn, val,",
    ),
    "a column twice": ([f"{row},train,test" for row in ROWS], "path,label,split,Split", "not split twice"),
    "another name for the split": (
        [f"{row},test" for row in ROWS],
        "path,label,set",
        r"set \(test\) may be meant: data.split_column=set splits by it, data.split_column=null does not",
    ),
    "values that are splits": ([f"{row},dev" for row in ROWS], "path,label,role", "data.split_column=role splits"),
    "numbers of folds": (
        [f"{row},{index % 5}" for index, row in enumerate(ROWS)],
        "path,label,Fold",
        r"fold \(0, 1, 2 and 2 more\) may be meant: a column split with train, val or test in it splits by it",
    ),
    "yes or no": ([f"{row},0" for row in ROWS], "path,label,is_test", r"is_test \(0\) may be meant"),
    "twice": ([*ROWS[:3], "images/1.png,dog"], "path,label", r"line 5: images/1\.png is on line 3 too"),
    "many": (
        [f"{index},cat" for index in range(9)],
        "path,label",
        "line 2: .* line 3: .* line 4: .*; and 6 more lines",
    ),
    "test knows more": (
        ["images/0.png,a,train", "images/1.png,b,train", "images/2.png,c,test"],
        "path,label,split",
        "classes that occur in train, which has no 'c'",
    ),
    "too few": (
        ["images/0.png,a", "images/1.png,b"],
        "path,label",
        "enough images to train, validate and test; 2 were found",
    ),
}


@pytest.mark.parametrize(("lines", "header", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_path_and_line(tmp_path, images, lines, header, message):
    write(tmp_path, lines, header)
    with pytest.raises(ConfigError, match=rf"data\.path=.*table\.csv is not legal: .*{message}"):
        opened(tmp_path)


def test_a_missing_file_and_one_that_is_not_text(tmp_path, images):
    with pytest.raises(
        ConfigError, match=r"data\.path=.*table\.csv is not legal: /.*table\.csv does not exist; give a CSV"
    ):
        opened(tmp_path)
    (tmp_path / "set" / "table.csv").write_bytes(b"path,label\n\xff\xfe\x00,cat\n")
    with pytest.raises(ConfigError, match="CSV in UTF-8; after line"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match=r"data\.path: a value is missing"):
        source(tmp_path, path="???")


def test_an_unreadable_image_fails_the_run_by_name(tmp_path, images):
    write(tmp_path, ROWS)
    (images / "7.png").write_bytes(b"text")
    with pytest.raises(RunFailed, match=r"images/7\.png can't be read as an image"):
        opened(tmp_path)


def test_max_side(tmp_path, images):
    write(tmp_path, ROWS)
    assert opened(tmp_path, max_side=8).images.size(2) == (8, 8 * 10 // 9)
    with pytest.raises(ConfigError, match="max_side=7"):
        source(tmp_path, max_side=7)


@pytest.mark.parametrize("written", ["../other/0.png", "{}/other/0.png", "images/../../other/0.png", "/etc/passwd"])
def test_paths_leave_the_folder_only_if_root_allows_it(tmp_path, images, written):
    (tmp_path / "other").mkdir()
    Image.fromarray(pixels(0)).save(tmp_path / "other" / "0.png")
    write(tmp_path, [f"{written.format(tmp_path)},dog", *ROWS[1:]])
    with pytest.raises(ConfigError, match=r"line 2: .* is not below .*/set; data\.root=FOLDER, one above all images"):
        opened(tmp_path)
    if "etc" not in written:
        rows = [f"set/{row}" for row in ROWS[1:]]
        write(tmp_path, ["other/0.png,dog" if written[0] != "{" else f"{tmp_path}/other/0.png,dog", *rows])
        assert len(opened(tmp_path, root=str(tmp_path)).labels) == 40


def test_paths_that_come_back_and_links_are_inside(tmp_path, images):
    (tmp_path / "linked").mkdir()
    Image.fromarray(pixels(0)).save(tmp_path / "linked" / "0.png")
    (images / "0.png").unlink()
    (images / "0.png").symlink_to(tmp_path / "linked" / "0.png")
    write(tmp_path, [ROWS[0], "../set/images/1.png,cat", *ROWS[2:]])
    assert len(opened(tmp_path).labels) == 40


@pytest.mark.parametrize(
    ("row", "is_refused"), [("images/link.png,cat", False), ("images/link.png,dog", True), ("images/0.png,dog", True)]
)
def test_no_image_has_two_labels_through_a_link(tmp_path, images, row, is_refused):
    (images / "link.png").symlink_to("0.png")
    write(tmp_path, ["images/0.png,cat", *(line for line in ROWS if not line.startswith("images/0.png")), row])
    if is_refused:
        with pytest.raises(
            ConfigError, match=r"is (a link to the image )?on line 2|image on line 2, with another label"
        ):
            opened(tmp_path)
    else:
        assert len(opened(tmp_path).labels) == len(ROWS) + 1
