"""The files in a run's directory, from which reports and MLflow are filled.

config.yaml          resolved configuration              result.json      result, written last
metrics.jsonl        one object per epoch, from 1        predictions.npz  logits, correctness and numbers of images
checkpoint/          states to resume bit for bit        run.log          log messages
model.safetensors    final weights                       model.json       architecture and preprocessing
predictions.csv      prediction of each image by name    mistakes.npz, .csv  the most confident mistakes
trained_on.npy       digests of the training images      digests.json     digests of these files
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from sota_exp.config.formats import FILE_FORMAT, get_format
from sota_exp.errors import DamagedFile, RunFailed, first_line
from sota_exp.runs.atomic import write_recomputable_text
from sota_exp.runs.digests import (
    check_digest,
    forget_former_content,
    is_there,
    move_checked,
    read_checked,
    read_digests,
    read_object,
    read_run_config,
    remove_checked,
    write_checked,
    write_checked_json,
    write_checked_text,
)
from sota_exp.runs.legal_values import find_missing_score
from sota_exp.runs.status import COMPLETE_STATUSES

#: Keys of a checkpoint.
CHECKPOINT_KEYS = {"format", "training_fingerprint", "state", "best", "epochs", "resumed"}

log = logging.getLogger(__name__)


def write_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a state dict, tensors of any shape [...], as safetensors; tied weights are written once per name."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    write_checked(path, lambda file: save_file(tensors, file.name))  # which builds no second copy in memory


def read_trained_on_beside(weights: Path) -> bytes | None:
    """The content of the `trained_on.npy` beside weights, or of their run; None where there is none.

    Raises:
        DamagedFile: it is not as the run wrote it.
        OSError: it is missing, though the run wrote one.
    """
    directory = weights.parent.parent if weights.parent.name == "checkpoint" else weights.parent
    path = RunFiles(directory=directory).trained_on
    return read_checked(path) if path.exists() or read_digests(path) else None


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """Paths of the files of one run, and functions that read and write them."""

    directory: Path

    @property
    def weights(self) -> Path:
        return self.directory / "model.safetensors"

    @property
    def model(self) -> Path:
        return self.directory / "model.json"

    @property
    def predictions(self) -> Path:
        return self.directory / "predictions.npz"

    @property
    def trained_on(self) -> Path:
        return self.directory / "trained_on.npy"

    def write_trained_on(self, digests: np.ndarray) -> None:
        """digests: int64 [N] of the images that the weights were trained on."""
        write_checked(self.trained_on, lambda file: np.save(file, np.unique(digests), allow_pickle=False))

    def get_epoch_weights(self, which: str) -> Path:
        """Path of the weights of the `best` or `last` epoch."""
        return self.directory / "checkpoint" / f"{which}.safetensors"

    def write_config(self, tree: dict[str, Any]) -> None:
        text = yaml.safe_dump({"format": FILE_FORMAT, **tree}, sort_keys=False, allow_unicode=True)
        write_checked_text(self.directory / "config.yaml", text)

    def write_hydra_files(self, texts: Mapping[str, str]) -> None:
        """texts: name → content, of the files in `.hydra/`, of which only overrides and search path are read."""
        folder = self.directory / ".hydra"
        for name, text in texts.items():
            folder.mkdir(exist_ok=True)
            write_recomputable_text(folder / name, text)

    def config(self) -> dict[str, Any] | None:
        """The configuration, of any format; None if there is none."""
        path = self.directory / "config.yaml"
        return read_run_config(path) if is_there(path) else None

    @property
    def format(self) -> int:
        """The format of the files in the directory; this version's format if there are none."""
        path = self.directory / "config.yaml"
        return get_format(yaml.safe_load(read_checked(path)), path) if path.exists() else FILE_FORMAT

    def write_result(self, result: dict[str, Any]) -> None:
        """Write `result.json`; a complete run needs no second checkpoint, which is several times its weights."""
        forget_former_content(self.directory / "metrics.jsonl")  # which lacks the last epoch
        write_checked_json(self.directory / "result.json", result)
        if result["status"] in COMPLETE_STATUSES:
            remove_checked(self.checkpoints[1])

    def write_model(self, description: dict[str, Any]) -> None:
        write_checked_json(self.model, description)

    def result(self) -> dict[str, Any] | None:
        """The content of `result.json`; None if there is none.

        Raises:
            ConfigError: a later version wrote it.
            DamagedFile: it is not as the run wrote it, or lacks a score of a complete run.
        """
        path = self.directory / "result.json"
        found = read_object(path, "status", "fingerprint")
        if found is not None and (missing := find_missing_score(found)):
            raise DamagedFile(path, f"it has no {missing}, which every {found['status']} run writes")
        return found

    def write_checkpoint(self, state: dict[str, Any], num_epochs: int) -> None:
        """Write a checkpoint, and keep the one before it.

        num_epochs: lines of `metrics.jsonl` that the checkpoint covers; tracking reads it without torch.
        """
        newest, former = self.checkpoints
        if newest.exists():
            move_checked(newest, former)
        write_checked(newest, lambda file: torch.save(state, file))
        write_checked_text(newest.with_name("epochs"), f"{num_epochs}\n")

    @property
    def checkpoints(self) -> tuple[Path, Path]:
        """Paths of the last checkpoint and of the one before it."""
        return self.directory / "checkpoint" / "state.pt", self.directory / "checkpoint" / "former.pt"

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The newest sound checkpoint, on the CPU; None without one. A damaged one is told in a warning.

        Only tensors and plain values are read: no code is unpickled.

        Raises:
            RunFailed: there are only damaged ones.
            DamagedFile: the table of digests is damaged.
        """
        existing = [path for path in self.checkpoints if path.exists()]
        for path in existing:
            try:
                return _load_checkpoint(path)
            except DamagedFile as error:
                if error.path != path:
                    raise
                log.warning("%s; the checkpoint before it is used", error)
        if existing:
            raise RunFailed(
                f"every checkpoint in {existing[0].parent} is damaged; remove this folder to train from the beginning"
            )
        return None

    def write_metrics(self, epochs: list[dict[str, Any]]) -> None:
        write_checked_text(
            self.directory / "metrics.jsonl", "".join(json.dumps(epoch, allow_nan=False) + "\n" for epoch in epochs)
        )


def _load_checkpoint(path: Path) -> dict[str, Any]:
    check_digest(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of pickle, zipfile and torch, of many types
        raise DamagedFile(path, f"PyTorch cannot read it: {first_line(error)}") from error
    if not isinstance(found, dict) or not found.keys() >= CHECKPOINT_KEYS:
        raise DamagedFile(path, "it is no checkpoint of a run")
    return found
