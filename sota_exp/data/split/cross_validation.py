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
from sota_exp.stages.stage import Count, Legal, Several, require

Index = Annotated[int, Legal(lambda value: value >= 0, "a number from 0")]


@dataclass(frozen=True, kw_only=True)
class CrossValidation(Split):
    """The images of a fold are the test part; val is cut from the others, stratified; groups are never cut.

    folds: of a repeat. repeats: how often `train` goes through all folds, each time with other ones. repeat, fold:
    which of them this run trains, from 0. fold: None for each in turn; what trains nothing shows the first.
    """

    folds: Several
    repeats: Count
    repeat: Index
    fold: Index | None

    def __post_init__(self) -> None:
        super().__post_init__()
        legal = f"a number from 0 to {self.folds - 1}, or null for each fold in turn"
        require(self.fold is None or self.fold < self.folds, "fold", self.fold, legal)
        require(self.repeat == 0 or self.fold is not None, "repeat", self.repeat, "0, unless a fold is given")

    def __call__(self, given: IntArray, labels: IntArray, groups: IntArray, source: DataSource) -> IntArray:
        key, fold = f"{source.split_seed}/{self.repeat}", self.fold or 0
        is_test = assign_folds(labels, groups, self.folds, key) == fold
        return split_rest(is_test, labels, groups, source, f"{key}/{fold}")
