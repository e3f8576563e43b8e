"""A run's directory: the truth about the run. Whatever is shown elsewhere is fed from these files.

config.yaml           the resolved configuration          result.json    what came out, written last
metrics.jsonl         one object an epoch                 predictions.npz  logits and correctness, val and test
checkpoint/           enough to go on bit for bit         run.log        what was said
model.safetensors     the weights that ship               model.json     how to build and feed them
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from sota_exp.config.formats import FORMAT, format_of, read_config
from sota_exp.runs.atomic import write_atomically, write_json, write_text


def write_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Safetensors, contiguous and on the CPU; tied weights are written once each."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}, beside)
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    beside.replace(path)


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """The paths of one run, and how each is read and written."""

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

    def kept(self, which: str) -> Path:
        """The `best` or `last` epoch's weights."""
        return self.directory / "checkpoint" / f"{which}.safetensors"

    def write_config(self, tree: dict[str, Any]) -> None:
        text = yaml.safe_dump({"format": FORMAT, **tree}, sort_keys=False, allow_unicode=True)
        write_text(self.directory / "config.yaml", text)

    def config(self) -> dict[str, Any] | None:
        """The configuration, whatever version wrote it."""
        path = self.directory / "config.yaml"
        return read_config(path) if path.exists() else None

    @property
    def format(self) -> int:
        """Of what lies there; this version's own where nothing does."""
        found = _read(self.directory / "config.yaml", yaml.safe_load)
        return FORMAT if found is None else format_of(found, self.directory / "config.yaml")

    def write_result(self, result: dict[str, Any]) -> None:
        write_json(self.directory / "result.json", result)

    def write_model(self, description: dict[str, Any]) -> None:
        write_json(self.model, description)

    def result(self) -> dict[str, Any] | None:
        return _read(self.directory / "result.json", json.loads)

    def write_checkpoint(self, state: dict[str, Any], num_epochs: int) -> None:
        """num_epochs: how many lines of `metrics.jsonl` it covers; who shows the run reads that without torch."""
        write_atomically(self.directory / "checkpoint" / "state.pt", lambda file: torch.save(state, file))
        write_text(self.directory / "checkpoint" / "epochs", f"{num_epochs}\n")

    def checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, on the CPU; tensors and plain values only, so that no code is unpickled."""
        path = self.directory / "checkpoint" / "state.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def metrics(self) -> list[dict[str, Any]]:
        """Every epoch's object; a line that a crash cut short is dropped."""
        path = self.directory / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def write_metrics(self, epochs: list[dict[str, Any]]) -> None:
        write_text(self.directory / "metrics.jsonl", "".join(json.dumps(epoch) + "\n" for epoch in epochs))


def _read(path: Path, parse: Callable[[str], Any]) -> Any | None:
    return parse(path.read_text()) if path.exists() else None
