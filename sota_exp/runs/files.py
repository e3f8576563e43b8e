"""The files in a run's directory, from which reports and MLflow are filled.

config.yaml          resolved configuration              result.json      result, written last
metrics.jsonl        one object per epoch, from 1        predictions.npz  logits and correctness, val and test
checkpoint/          state to resume bit for bit         run.log          log messages
model.safetensors    final weights                       model.json       architecture and preprocessing
predictions.csv      prediction of each image by name    mistakes.npz, .csv  the most confident mistakes
trained_on.npy       digests of the training images
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from sota_exp.config.formats import FILE_FORMAT, get_format, read_config
from sota_exp.runs.atomic import read_json, read_json_lines, write_atomically, write_json, write_text


def write_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a state dict, tensors of any shape [...], as safetensors; tied weights are written once per name."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    write_atomically(path, lambda file: save_file(tensors, file.name))  # which builds no second copy in memory


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
        write_atomically(self.trained_on, lambda file: np.save(file, np.unique(digests), allow_pickle=False))

    def get_epoch_weights(self, which: str) -> Path:
        """Path of the weights of the `best` or `last` epoch."""
        return self.directory / "checkpoint" / f"{which}.safetensors"

    def write_config(self, tree: dict[str, Any]) -> None:
        text = yaml.safe_dump({"format": FILE_FORMAT, **tree}, sort_keys=False, allow_unicode=True)
        write_text(self.directory / "config.yaml", text)

    def config(self) -> dict[str, Any] | None:
        """The configuration, of any format; None if there is none."""
        path = self.directory / "config.yaml"
        return read_config(path) if path.exists() else None

    @property
    def format(self) -> int:
        """The format of the files in the directory; this version's format if there are none."""
        path = self.directory / "config.yaml"
        return get_format(yaml.safe_load(path.read_text()), path) if path.exists() else FILE_FORMAT

    def write_result(self, result: dict[str, Any]) -> None:
        write_json(self.directory / "result.json", result)

    def write_model(self, description: dict[str, Any]) -> None:
        write_json(self.model, description)

    def result(self) -> dict[str, Any] | None:
        """The content of `result.json`; None if there is none.

        Raises:
            ConfigError: a later version wrote it.
        """
        path = self.directory / "result.json"
        found: dict[str, Any] | None = read_json(path)
        if found is not None:
            get_format(found, path)
        return found

    def write_checkpoint(self, state: dict[str, Any], num_epochs: int) -> None:
        """num_epochs: lines of `metrics.jsonl` that the checkpoint covers; tracking reads it without torch."""
        write_atomically(self.directory / "checkpoint" / "state.pt", lambda file: torch.save(state, file))
        write_text(self.directory / "checkpoint" / "epochs", f"{num_epochs}\n")

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, on the CPU; None without one. Only tensors and plain values: no code is unpickled."""
        path = self.directory / "checkpoint" / "state.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def metrics(self) -> list[dict[str, Any]]:
        """One object per epoch; an incomplete last line after a crash is dropped."""
        return read_json_lines(self.directory / "metrics.jsonl")

    def write_metrics(self, epochs: list[dict[str, Any]]) -> None:
        write_text(self.directory / "metrics.jsonl", "".join(json.dumps(epoch) + "\n" for epoch in epochs))
