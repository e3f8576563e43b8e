"""The worst mistakes: wrong predictions only, the most confident first."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from sota_exp.stages.data import DataSet, Images, Preprocessing
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.training.worst_mistakes import NUM_MISTAKES, find_worst_mistakes, write_mistakes


class Plain(Images):
    """Images of one colour, whose red value is the index."""

    def __len__(self) -> int:
        return 60

    def size(self, index: int) -> tuple[int, int]:
        return 8, 8

    def image(self, index: int) -> Tensor:
        image = torch.zeros(3, 8, 8, dtype=torch.uint8).contiguous(memory_format=torch.contiguous_format)
        image[0] = index
        return image


def data_set() -> DataSet:
    indices = torch.arange(60)
    return DataSet(
        images=cast(Any, Plain()),
        labels=torch.zeros(60, dtype=torch.int64),
        train=indices[:20],
        val=indices[20:30],
        test=indices[30:],
        classes=("a", "b"),
        preprocessing=Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3),
        digest="",
        image_digests=indices,
    )


def test_only_wrong_ones_and_the_most_confident_first() -> None:
    logits = torch.tensor([[9.0, 0.0], [0.0, 1.0], [0.0, 5.0], [0.0, 3.0]])
    positions, confidences = find_worst_mistakes(logits, torch.zeros(4, dtype=torch.int64))
    assert positions.tolist() == [2, 3, 1]
    assert (confidences.diff() <= 0).all()


def test_not_more_than_a_sheet_holds() -> None:
    assert (
        len(find_worst_mistakes(torch.tensor([[0.0, 1.0]]).repeat(99, 1), torch.zeros(99, dtype=torch.int64))[0])
        == NUM_MISTAKES
    )


def test_images_are_those_of_the_mistakes(tmp_path: Path) -> None:
    logits = np.zeros((30, 2), dtype=np.float32)
    logits[:, 0] = 1
    logits[7, 1], logits[19, 1] = 3, 5
    arrays = {"test_logits": logits, "test_labels": np.zeros(30, dtype=np.int64)}
    write_mistakes(tmp_path, data_set(), EvaluationView(resize=8, size=8), "bilinear", arrays)
    with np.load(tmp_path / "mistakes.npz") as kept:
        assert kept["images"].shape == (2, 3, 8, 8) and kept["images"].dtype == np.uint8
        assert kept["images"][:, 0, 0, 0].tolist() == [30 + 19, 30 + 7]
        assert kept["true"].tolist() == [0, 0] and kept["predicted"].tolist() == [1, 1]


def test_a_perfect_network_leaves_an_empty_sheet(tmp_path: Path) -> None:
    arrays = {"test_logits": np.eye(2, dtype=np.float32)[[0] * 30], "test_labels": np.zeros(30, dtype=np.int64)}
    write_mistakes(tmp_path, data_set(), EvaluationView(resize=8, size=8), "bilinear", arrays)
    with np.load(tmp_path / "mistakes.npz") as kept:
        assert kept["images"].shape == (0, 3, 8, 8)
