"""Repeated holdout: a new stratified split for each seed, so that the choice of test images is part of the noise.

Paper: Nadeau & Bengio 2003, Inference for the generalization error, Machine Learning 52
Setting: `data.test_fraction` and `data.val_fraction` of all images; the seed of the run says which
"""

from dataclasses import dataclass
from typing import Annotated

from sota_exp.data.split.folds import IntArray
from sota_exp.data.split.parts import is_part, split_rest
from sota_exp.stages.data import DataSource, Split
from sota_exp.stages.stage import Legal, added_field, require


@dataclass(frozen=True, kw_only=True)
class Repeated(Split):
    """Test and val are cut from all images, stratified; groups are never cut.

    repeat: which split, from 0. near_duplicates: whether images that `data.near_duplicates` finds almost equal are a
    group.
    """

    repeat: Annotated[int, Legal(lambda value: value >= 0, "a number from 0")]
    near_duplicates: bool = added_field(False)

    def __call__(self, given: IntArray, labels: IntArray, groups: IntArray, source: DataSource) -> IntArray:
        legal = "a fraction here: a repeated split cuts its test part from all images"
        require(source.test_fraction is not None, "test_fraction", "null", legal)
        assert source.test_fraction is not None
        key = f"{source.split_seed}/repeated/{self.repeat}"
        is_test = is_part(labels, groups, source.test_fraction, key)
        return split_rest(is_test, labels, groups, source, key)
