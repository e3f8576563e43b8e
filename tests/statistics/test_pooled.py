import numpy as np
import pytest

from sota_exp.statistics.paired import bonett_price_interval
from sota_exp.statistics.pooled import pool_correctness


def test_folds_of_whole_repeats_are_the_matrix_of_repeats():
    rng = np.random.default_rng(0)
    matrices = [(rng.random((3, 50)) < chance).astype(float) for chance in (0.6, 0.7)]
    pooled = []
    for matrix in matrices:
        order = np.random.default_rng(1)
        images = [part for _ in range(3) for part in np.array_split(order.permutation(50), 5)]
        pooled.append(pool_correctness([matrix[index // 5, part] for index, part in enumerate(images)], images))
    assert pooled[0].shape == (3, 50)
    assert [each.mean(axis=0).tolist() for each in pooled] == [pytest.approx(each.mean(axis=0)) for each in matrices]
    one, other = bonett_price_interval(*pooled), bonett_price_interval(*matrices)
    assert [one.low, one.mean, one.high] == pytest.approx([other.low, other.mean, other.high])


def test_an_image_that_was_scored_twice_counts_once():
    pooled = pool_correctness([[1, 0], [1, 1]], [[4, 2], [4, 9]])
    assert pooled.tolist() == [[0.0, 1.0, 1.0]]
    with pytest.raises(ValueError, match="3 answers for 2 images"):
        pool_correctness([[1, 0, 1]], [[4, 2]])
    with pytest.raises(ValueError, match="0 answers for 0 images"):
        pool_correctness([[]], [[]])
