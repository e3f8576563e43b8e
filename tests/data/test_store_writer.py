import numpy as np
import pytest

from sota_exp.data.store_writer import TEST, TRAIN, VAL, Sample, StoreRecorder, write_store


def samples(seed=0, shapes=((8, 9), (5, 4), (8, 9), (11, 3))):
    rng = np.random.default_rng(seed)
    parts = [TRAIN, TRAIN, VAL, TEST]
    return [Sample(rng.integers(256, size=(*shapes[k], 3), dtype=np.uint8), k % 2, parts[k]) for k in range(4)]


def digest(these, classes=("a", "b")):
    tally = StoreRecorder(classes)
    for sample in these:
        tally.add(sample)
    return tally.digest()


def test_the_digest_of_an_image_is_that_of_its_shape_and_pixels_or_the_one_given():
    tally = StoreRecorder(["a"])
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    images = [image, image.copy(), np.ascontiguousarray(image.transpose(1, 0, 2)), image.reshape(5, 4, 3), image + 1]
    for each in images:
        tally.add(Sample(each, 0, TRAIN))
    tally.add(Sample(image, 0, TRAIN, digest=77))
    first, copy, *others, given = tally.index()["digests"].tolist()
    assert first == copy and given == 77
    assert len({first, *others}) == 4


def test_the_digest_depends_on_all_of_the_content():
    first, *rest = samples()
    turned = first._replace(image=np.ascontiguousarray(first.image.transpose(1, 0, 2)))
    reshaped = first._replace(image=first.image.reshape(9, 8, 3))
    changed = first.image.copy()
    changed[3, 3, 1] ^= 1
    digests = [
        digest(samples()),
        digest([turned, *rest]),
        digest([reshaped, *rest]),
        digest([first._replace(image=changed), *rest]),
        digest([first._replace(label=1), *rest]),
        digest([first._replace(split=TEST), *rest]),
        digest([*rest, first]),
        digest(samples(), classes=("a", "c")),
    ]
    assert len(set(digests)) == len(digests)
    assert digest(samples()) == digests[0]


def test_a_failed_build_leaves_no_files_and_keeps_the_old_store(tmp_path):
    write_store(tmp_path / "set", ["a", "b"], samples())
    before = (tmp_path / "set" / "pixels.u8").read_bytes()

    def failing():
        yield samples()[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_store(tmp_path / "set", ["a", "b"], failing())
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert (tmp_path / "set" / "pixels.u8").read_bytes() == before


def test_files_of_a_killed_build_are_removed(tmp_path):
    left = tmp_path / ".set.draft"
    left.mkdir()
    (left / "junk").write_text("half")
    write_store(tmp_path / "set", ["a", "b"], samples())
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert {path.name for path in (tmp_path / "set").iterdir()} == {"pixels.u8", "index.npz", "meta.json"}
