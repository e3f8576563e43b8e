"""Resolution search: an unbiased gain, a default that is kept unless another view is better, and a figure."""

import pytest
import torch

from sota_exp.report.run.page import build_view_table
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.evaluation.resolution.search import (
    ResolutionSearch,
    build_grid,
    choose_by_cross_fitting,
    compute_gain_and_error,
    cross_fit,
    split_in_halves,
)


def search(**fields: object) -> ResolutionSearch:
    given = {"size": 48, "crop_ratio": 0.875, "relative_sizes": [0.875, 1.0, 1.25], "sizes": None, "crop_ratios": None}
    return ResolutionSearch(**{**given, **fields})  # type: ignore[arg-type]


def noisy(num_views: int, num: int, accuracies: list[float], seed: int) -> torch.Tensor:
    """Correctness [V, N] with highly correlated views, like those of one network."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.rand(num, generator=generator)
    own = torch.rand(num_views, num, generator=generator)
    use_own = torch.rand(num_views, num, generator=generator) < 0.1
    return torch.where(use_own, own, shared) < torch.tensor(accuracies)[:, None]


def test_the_default_comes_first_and_no_view_twice() -> None:
    views = search().views()
    assert views[0] == EvaluationView(resize=55, size=48)
    assert [view.size for view in views] == [48, 42, 60]
    assert len(set(views)) == len(views)
    many = search(sizes=[48, 64], crop_ratios=[0.875, 1.0]).views()
    assert many == [
        EvaluationView(resize=55, size=48),
        EvaluationView(resize=48, size=48),
        EvaluationView(resize=73, size=64),
        EvaluationView(resize=64, size=64),
    ]


def test_torchvisions_grid() -> None:
    """Resize 224…256 in steps of 8 before a crop of 224."""
    ratios = [224 / resize for resize in range(224, 257, 8)]
    views = search(size=224, crop_ratio=224 / 256, sizes=[224], crop_ratios=ratios).views()
    assert sorted(view.resize for view in views) == list(range(224, 257, 8))
    assert views[0].resize == 256


@pytest.mark.parametrize(
    ("field", "value"),
    [("crop_ratios", [1.1]), ("crop_ratio", 1.2), ("sizes", [4]), ("relative_sizes", [0.1]), ("relative_sizes", [1.0])],
)
def test_a_crop_larger_than_the_image_and_other_mistakes_are_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidValue, match=field):
        search(**{field: value})


def test_a_view_whose_crop_is_larger_than_its_resize_cannot_be_made() -> None:
    with pytest.raises(InvalidValue, match="at most the 40"):
        EvaluationView(resize=40, size=48)


def test_halves_are_stratified_and_always_the_same() -> None:
    labels = torch.tensor([0] * 31 + [1] * 8 + [2] * 2).repeat_interleave(3)
    second = split_in_halves(labels)
    assert abs(int(second.sum()) * 2 - len(labels)) <= 1
    per_class = [(int(second[labels == c].sum()), int((labels == c).sum())) for c in range(3)]
    assert all(abs(2 * taken - count) <= 1 for taken, count in per_class)
    assert torch.equal(second, split_in_halves(labels))


def test_cross_fitting_by_hand() -> None:
    """View 1 is best on the first half, view 2 on the second: each is scored on the other half."""
    second = torch.tensor([False, False, True, True])
    correct = torch.tensor([[0, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 1]], dtype=torch.bool)
    chosen, right = cross_fit(correct, second)
    assert chosen == [1, 2]
    assert right.tolist() == [False, True, False, False]
    gain, error = compute_gain_and_error(right, correct[0])
    assert gain == 0.0
    assert error == pytest.approx(torch.tensor([0, 1.0, 0, -1]).std().item() / 2)
    report = choose_by_cross_fitting(correct, second).report
    assert report["gain"] == 0.0
    assert report["optimism_gap"] == pytest.approx(0.75)


def test_a_clearly_better_view_is_chosen() -> None:
    correct = noisy(3, 2000, [0.7, 0.71, 0.8], seed=0)
    choice = choose_by_cross_fitting(correct, split_in_halves(torch.arange(2000) % 5))
    assert choice.index == 2
    assert choice.report["best_on_halves"] == [2, 2]
    assert choice.report["gain"] == pytest.approx(0.1, abs=0.03)


def test_equal_views_keep_the_default() -> None:
    correct = torch.rand(1, 100).lt(0.5).repeat(4, 1)
    choice = choose_by_cross_fitting(correct, split_in_halves(torch.arange(100) % 5))
    assert choice.index == 0
    assert choice.report["gain"] == choice.report["optimism_gap"] == 0.0


def test_false_gains_are_rare_and_the_optimism_gap_is_positive() -> None:
    """Twelve views of equal accuracy: the gain is positive on the half that chose, but not when cross-fitted."""
    labels = torch.arange(400) % 4
    choices = [choose_by_cross_fitting(noisy(12, 400, [0.7] * 12, seed), split_in_halves(labels)) for seed in range(60)]
    gains = torch.tensor([choice.report["gain"] for choice in choices])
    gaps = torch.tensor([choice.report["optimism_gap"] for choice in choices])
    assert gains.mean().abs() < 3 * gains.std() / 60**0.5
    assert gaps.mean() > 0.01
    assert sum(choice.index != 0 for choice in choices) < 20


def test_the_table_of_a_page_has_every_view_and_marks_two() -> None:
    views = build_grid(EvaluationView(resize=55, size=48), [40, 48, 56], [0.875, 1.0])
    curve = [
        {
            "resize": v.resize,
            "size": v.size,
            "crop_ratio": v.size / v.resize,
            "val_accuracy": 0.5 + v.size / 1000,
            "gflops_per_image": v.size**2 / 1e5,
            "milliseconds_per_image": 1.0,
        }
        for v in views
    ]
    chosen, default = ({"resize": view.resize, "size": view.size} for view in (views[0], views[-1]))
    rows = build_view_table({"chosen": chosen, "default": default, "curve": curve}).rows
    assert [row[:2] for row in rows] == [[str(view.size), str(view.resize)] for view in views]
    assert [row[-1] for row in rows] == ["chosen", *[""] * (len(views) - 2), "default"]
