"""K-fold cross-validation: every image is tested once per repeat, by a network that did not train on it.

Paper: Stone 1974, Cross-validatory choice and assessment of statistical predictions, J. Royal Stat. Soc. B 36(2);
stratified: Kohavi 1995, A study of cross-validation and bootstrap for accuracy estimation and model selection, IJCAI
Setting: 5 folds; Kohavi recommends 10, which trains twice as often on an eighth more images
"""

from dataclasses import dataclass
from typing import Annotated

from sota_exp.data.split.folds import IntArray, assign_folds
from sota_exp.data.split.parts import split_rest
from sota_exp.stages.data import DataSource, Split
from sota_exp.stages.stage import Count, Legal, Several, added_field

Fold = Annotated[
    int,
    Legal(lambda value, folds: value is None or 0 <= value < folds, "a number from 0, below data.split.folds={folds}"),
]
Repeat = Annotated[
    int, Legal(lambda value, fold: value == 0 or (value > 0 and fold is not None), "a number from 0; 0 for every fold")
]


@dataclass(frozen=True, kw_only=True)
class CrossValidation(Split):
    """The images of a fold are the test part; val is cut from the others, stratified; groups are never cut.

    folds: of a repeat. repeats: how often `train` goes through all folds, each time with other ones. repeat, fold:
    which of them this run trains, from 0. fold: None for each in turn; what trains nothing shows the first.
    near_duplicates: whether images that `data.near_duplicates` finds almost equal are a group.
    """

    folds: Several
    repeats: Count
    repeat: Repeat
    fold: Fold | None
    near_duplicates: bool = added_field(False)

    def __call__(self, given: IntArray, labels: IntArray, groups: IntArray, source: DataSource) -> IntArray:
        key, fold = f"{source.split_seed}/{self.repeat}", self.fold or 0
        is_test = assign_folds(labels, groups, self.folds, key) == fold
        return split_rest(is_test, labels, groups, source, f"{key}/{fold}")
