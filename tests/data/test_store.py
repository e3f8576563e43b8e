import json
import logging
import multiprocessing
import pickle
import time

import numpy as np
import pytest
import torch

from sota_exp.data.store import DamagedStore, open_or_build_store, open_store
from sota_exp.data.store_writer import TRAIN, Sample, StoreContents
from sota_exp.stages.data import Images

SHAPES = [(12, 7), (5, 30), (12, 7), (1, 1), (64, 48)]


def ragged(shapes=SHAPES):
    rng = np.random.default_rng(1)
    return [Sample(rng.integers(256, size=(*shape, 3), dtype=np.uint8), k % 2, TRAIN) for k, shape in enumerate(shapes)]


def make(tmp_path, shapes=SHAPES, key="set"):
    return open_or_build_store(str(tmp_path), key, lambda: StoreContents(["a", "b"], ragged(shapes)))


def test_round_trip(tmp_path):
    store = make(tmp_path)
    assert len(store) == len(SHAPES)
    for index, sample in enumerate(ragged()):
        assert store.size(index) == SHAPES[index]
        assert np.array_equal(store.image(index).permute(1, 2, 0).numpy(), sample.image)
        assert store.labels[index] == sample.label


def test_images_are_views_in_channels_last_strides(tmp_path):
    store = make(tmp_path)
    first, second = store.image(0), store.image(1)
    assert first.dtype == torch.uint8 and first.shape == (3, 12, 7)
    assert first.stride() == (1, 21, 3)
    assert first.unsqueeze(0).is_contiguous(memory_format=torch.channels_last)
    assert store.image(0).data_ptr() == first.data_ptr()
    assert second.data_ptr() - first.data_ptr() == 12 * 7 * 3


def test_sizes_and_boxes_are_those_of_each_image(tmp_path):
    store, indices = make(tmp_path), torch.tensor([1, 0, 1])
    boxes = torch.tensor([[0, 0, 3, 4], [2, 1, 10, 6], [1, 2, 1, 1]])
    assert store.sizes(indices).tolist() == [list(store.size(index)) for index in (1, 0, 1)]
    for ours, plain in zip(store.cut_boxes(indices, boxes), Images.cut_boxes(store, indices, boxes), strict=True):
        assert torch.equal(ours, plain) and ours.data_ptr() == plain.data_ptr()
        assert ours.is_contiguous(memory_format=torch.channels_last) == plain.is_contiguous(
            memory_format=torch.channels_last
        )
    with pytest.raises(AssertionError):
        store.cut_boxes(indices[:1], torch.tensor([[0, 0, 99, 1]]))


def test_one_object_per_process_and_through_pickle(tmp_path):
    store = make(tmp_path)
    assert make(tmp_path) is store
    text = pickle.dumps(store)
    assert len(text) < 500
    assert pickle.loads(text) is store


def test_built_once_and_then_opened(tmp_path):
    make(tmp_path)

    def never():
        raise AssertionError("built again")

    assert len(open_or_build_store(str(tmp_path), "set", never)) == len(SHAPES)


def truncate(path):
    pixels = path / "pixels.u8"
    pixels.write_bytes(pixels.read_bytes()[:-1])


def forget_an_image(path):
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps(meta | {"num_images": 4}))


def other_format(path):
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps(meta | {"format": 0}))


DAMAGES = {
    "truncated pixels": truncate,
    "no pixels": lambda path: (path / "pixels.u8").unlink(),
    "no index": lambda path: ((path / "index.npz").unlink(), forget_an_image(path)),
    "broken index": lambda path: ((path / "index.npz").write_bytes(b"PK"), forget_an_image(path)),
    "no meta": lambda path: (path / "meta.json").unlink(),
    "half a meta": lambda path: (path / "meta.json").write_text('{"format": 1, "num'),
    "meta without keys": lambda path: (path / "meta.json").write_text("{}"),
    "meta of another set": forget_an_image,
    "another format": other_format,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_rebuilt_with_one_warning(tmp_path, damage, caplog):
    whole = make(tmp_path)
    pixels, path = whole.image(4).clone(), whole.path
    damage(path)
    with pytest.raises(DamagedStore):
        open_store(path)
    with caplog.at_level(logging.WARNING):
        rebuilt = make(tmp_path)
    assert torch.equal(rebuilt.image(4), pixels)
    assert len(caplog.records) == 1 and "damaged" in caplog.text and str(path) in caplog.text


def build_slowly(cache, ready, answers):
    """Run in its own process: write a file per build, wait for the others, return what was opened."""

    def samples():
        (cache / f"built-{multiprocessing.current_process().pid}").touch()
        for sample in ragged():
            time.sleep(0.02)
            yield sample

    ready.wait()
    store = open_or_build_store(str(cache), "set", lambda: StoreContents(["a", "b"], samples()))
    answers.put((store.meta["digest"], store.image(4).numpy().tobytes()))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_four_processes_at_once_build_once(tmp_path):
    context = multiprocessing.get_context("fork")
    ready, answers = context.Barrier(4), context.Queue()
    processes = [context.Process(target=build_slowly, args=(tmp_path, ready, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    opened = {answers.get(timeout=30) for _ in processes}
    for process in processes:
        process.join()
    assert len(opened) == 1
    assert opened.pop()[1] == ragged()[4].image.transpose(2, 0, 1).tobytes()
    assert len(list(tmp_path.glob("built-*"))) == 1
