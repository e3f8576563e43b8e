import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import RandomErasing as Reference

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.erase.random_erasing import RandomErasing, sample_erase_boxes
from sota_exp.techniques.augmentation.erase.rectangle import erase

SCALE, RATIO = [0.02, 0.33], [0.3, 3.3]


def draws(step=0):
    return RandomStreams(seed=4).random_numbers("augmentation/erase", step)


def make_batch(num, size):
    images = torch.randn(num, 3, size, size, generator=torch.Generator().manual_seed(0))
    return Batch(
        images=images.to(memory_format=torch.channels_last),
        targets=torch.ones(num, 1),
        weights=torch.ones(num),
        sources=torch.arange(num),
    )


@pytest.mark.parametrize("size, scale", [(32, SCALE), (64, SCALE), (16, [0.3, 1.0])])
def test_boxes_are_distributed_as_torchvisions(size, scale):
    top, left, bottom, right = sample_erase_boxes(4000, size, scale, RATIO, draws()).double().unbind(1)
    ours = {"i": top, "j": left, "h": bottom - top, "w": right - left}
    torch.manual_seed(0)
    reference, image = Reference(p=1.0, scale=scale, ratio=RATIO), torch.empty(3, size, size)
    drawn = [reference.make_params([image]) for _ in range(1500)]
    drawn = [box for box in drawn if box["v"] is not None]
    drawn_ours = ours["h"] > 0
    for key, values in ours.items():
        assert stats.ks_2samp(values[drawn_ours], [box[key] for box in drawn]).pvalue > 0.005, key
    assert stats.ks_2samp((ours["h"] * ours["w"])[drawn_ours], [box["h"] * box["w"] for box in drawn]).pvalue > 0.005


@pytest.mark.parametrize("ratio", [RATIO, [0.5, 2.0], [1.0, 3.0]])
def test_height_over_width_is_log_uniform_and_area_uniform(ratio):
    """Kolmogorov–Smirnov tests, in ranges where every draw fits, on an image so large that rounding is negligible."""
    size, scale = 4096, [0.02, 0.25]
    top, left, bottom, right = sample_erase_boxes(4000, size, scale, ratio, draws()).double().unbind(1)
    height, width = bottom - top, right - left
    least, most = np.log(ratio)
    assert stats.kstest((height / width).log(), "uniform", (least, most - least)).pvalue > 0.01
    assert stats.kstest(height * width / size**2, "uniform", (scale[0], scale[1] - scale[0])).pvalue > 0.01
    assert abs(stats.spearmanr(height / width, height * width).statistic) < 0.05


def test_nothing_is_erased_where_no_box_is_smaller_than_the_image():
    boxes = sample_erase_boxes(50, 32, [1.0, 1.0], [1.0, 1.0], draws())
    assert (boxes[:, :2] == boxes[:, 2:]).all()
    batch = make_batch(50, 32)
    assert torch.equal(erase(batch, boxes).images, batch.images)


def test_erasing_zeroes_the_box_and_nothing_else():
    images = make_batch(2, 8).images
    erased = erase(make_batch(2, 8), torch.tensor([[1, 2, 4, 8], [0, 0, 0, 0]])).images
    assert erased[0, :, 1:4, 2:8].abs().max() == 0 and torch.equal(erased[1], images[1])
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[1:4, 2:8] = True
    assert torch.equal(erased[0][:, ~inside], images[0][:, ~inside])


@pytest.mark.parametrize("p", [0.1, 0.7])
def test_fraction_of_erased_images(p):
    batch = make_batch(3000, 8)
    erased = RandomErasing(p=p, scale=[0.1, 0.33], ratio=RATIO, fill="mean")(batch, 0.0, draws()).images
    changed = (erased != batch.images).flatten(1).any(1).sum().item()
    assert stats.binomtest(changed, 3000, p).pvalue > 0.01


def test_never_is_the_batch_itself():
    batch = make_batch(16, 8)
    assert torch.equal(
        RandomErasing(p=0.0, scale=SCALE, ratio=RATIO, fill="mean")(batch, 0.0, draws()).images, batch.images
    )


@pytest.mark.parametrize("num, size, dtype", [(1, 8, torch.float32), (4, 224, torch.bfloat16)])
def test_output_is_repeatable_and_keeps_type_and_strides(num, size, dtype):
    batch = make_batch(num, size)
    batch = batch.with_images(batch.images.to(dtype))
    first, again = (
        RandomErasing(p=1.0, scale=SCALE, ratio=RATIO, fill="mean")(batch, 0.0, draws()).images for _ in range(2)
    )
    assert torch.equal(first, again) and first.dtype == dtype and not torch.equal(first, batch.images)
    assert first.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "p, scale, ratio, name",
    [
        (2.0, SCALE, RATIO, "p"),
        (0.1, [0.5, 0.1], RATIO, "scale"),
        (0.1, SCALE, [0, 1], "ratio"),
        (0.1, SCALE, [1.0, 1.0, 1.0], "ratio"),
    ],
)
def test_illegal_fields_are_refused(p, scale, ratio, name):
    with pytest.raises(InvalidValue, match=f"^{name}="):
        RandomErasing(p=p, scale=scale, ratio=ratio, fill="mean")


@pytest.mark.parametrize("fill", ["rand", "pixel"])
def test_a_box_is_filled_with_one_colour_or_noise_as_timms(fill):
    batch = make_batch(300, 16)
    transform = RandomErasing(p=1.0, scale=[0.1, 0.33], ratio=RATIO, fill=fill)
    erased = transform(batch, 0.0, draws()).images
    boxes = sample_erase_boxes(300, 16, [0.1, 0.33], RATIO, _after_the_coin(300))
    values = []
    for before, after, (top, left, bottom, right) in zip(batch.images, erased, boxes.tolist(), strict=True):
        outside = torch.ones(16, 16, dtype=torch.bool)
        outside[top:bottom, left:right] = False
        assert torch.equal(before[:, outside], after[:, outside])
        inside = after[:, top:bottom, left:right].flatten(1)
        assert fill == "pixel" or (inside == inside[:, :1]).all()
        values.append(inside.flatten() if fill == "pixel" else inside[:, 0])
    filled = torch.cat(values)
    assert abs(filled.mean()) < 0.1 and abs(filled.std() - 1) < 0.1
    assert torch.equal(transform(batch, 0.0, draws()).images, erased)


def _after_the_coin(num):
    rng = draws()
    rng.uniform(num, 1)
    return rng
