import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.evaluation.metrics.top_k import TopKAccuracy, compute_top_k

LOGITS = torch.randn(200, 12, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(12, (200,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("k", [1, 2, 3, 11])
def test_it_is_that_of_scikit_learn(k):
    expected = top_k_accuracy_score(LABELS.numpy(), LOGITS.numpy(), k=k, labels=range(12))
    assert compute_top_k(LOGITS, LABELS, k) == pytest.approx(expected)


def test_only_k_below_the_number_of_classes_are_measured():
    assert set(TopKAccuracy(k=[2, 11, 12, 50])(LOGITS, LABELS)) == {"top2_accuracy", "top11_accuracy"}


@pytest.mark.parametrize("k", [[], [0], [3, -1]])
def test_illegal_counts_are_named(k):
    with pytest.raises(InvalidValue, match="k="):
        TopKAccuracy(k=k)
