"""The order of classes: by name, by number, from a file or a list."""

import pytest

from sota_exp.data.class_order import natural_key, order_classes
from sota_exp.stages.stage import InvalidValue
from tests.data.test_image_folder import fill, source

NAMES = {"10", "2", "1", "b", "A"}


def test_words():
    assert order_classes(NAMES, "lexical") == ["1", "10", "2", "A", "b"]
    assert order_classes(NAMES, "natural") == ["1", "2", "10", "A", "b"]
    assert sorted(["c10", "C2", "c2", "c1b"], key=natural_key) == ["c1b", "C2", "c2", "c10"]


def test_a_natural_order_is_timms():
    natural = pytest.importorskip("timm.utils.misc").natural_key
    names = ["class10", "class9", "Class1", "x1y20", "x1y3", "007", "08"]
    assert sorted(names, key=natural_key) == sorted(sorted(names), key=natural)


def test_a_file_and_a_list(tmp_path):
    (tmp_path / "names.txt").write_text("2\n\n b \nA\n10\n1\nnone\n", encoding="utf-8-sig")
    assert order_classes(NAMES, str(tmp_path / "names.txt")) == ["2", "b", "A", "10", "1", "none"]
    assert order_classes({"1", "2"}, [2, 1]) == ["2", "1"]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["1", "2", "10", "b"], "it lacks the class 'A'"),
        (["1", "2", "10", "b", "A", "b"], "it has 'b' twice"),
        ("naturally", "naturally does not exist"),
    ],
)
def test_errors(order, message):
    with pytest.raises(InvalidValue, match=message) as caught:
        order_classes(NAMES, order)
    assert caught.value.name == "class_order"


@pytest.mark.parametrize("store_gigabytes", [50.0, 1e-9], ids=["stored", "streamed"])
def test_classes_and_labels_of_a_data_set(tmp_path, store_gigabytes):
    fill(tmp_path / "set", **{"1": 4, "2": 4, "10": 4})
    made = {
        order: source(tmp_path, class_order=order, store_gigabytes=store_gigabytes)()
        for order in ("lexical", "natural")
    }
    assert made["lexical"].classes == ("1", "10", "2") and made["natural"].classes == ("1", "2", "10")
    assert made["lexical"].digest != made["natural"].digest
    names = [[data.classes[label] for label in data.labels] for data in made.values()]
    assert names[0] == names[1] == ["1"] * 4 + ["10"] * 4 + ["2"] * 4
    data = source(tmp_path, class_order=["2", "1", "absent", "10"], store_gigabytes=store_gigabytes)()
    assert data.classes == ("2", "1", "absent", "10") and set(data.labels.tolist()) == {0, 1, 3}
