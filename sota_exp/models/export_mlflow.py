"""A run's model as MLflow keeps and serves it: a program of torch.export's, which runs no code from a pickle.

It takes RGB images, float [B, 3, H, W] in [0, 1], resized and cut as the metadata say; normalization is inside. Height and width
stay free wherever the network allows it: MLflow asks torch.export for that where the signature has −1.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from sota_exp.models import saved
from sota_exp.models.saved import SavedModel
from sota_exp.models.standalone import Deployed


def log_model(uri: str, experiment: str, run_id: str, directory: Path) -> None:
    """Log what `model.json` and `model.safetensors` hold to a run of that experiment (its id), as `model`."""
    model = saved.load(directory / "model.json", directory / "model.safetensors")
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment_id=experiment)
    # Not mlflow.pytorch.log_model: it needs mlflow.start_run, whose end overwrites status and time of the run.
    Model.log(
        artifact_path=None,
        name="model",
        flavor=mlflow.pytorch,
        run_id=run_id,
        pytorch_model=Deployed(model).eval(),
        **described(model),
    )


def save_model(model: SavedModel, path: Path) -> None:
    """Write a model as a folder that MLflow loads and serves."""
    mlflow.pytorch.save_model(Deployed(model).eval(), str(path), **described(model))


def described(model: SavedModel) -> dict[str, Any]:
    """What MLflow is told of a model: what goes in and comes out, its classes and its preprocessing."""
    size = model.view.size
    # Without names: MLflow's PyTorch flavor takes a bare array only.
    images = TensorSpec(np.dtype(np.float32), (-1, 3, -1, -1))
    logits = TensorSpec(np.dtype(np.float32), (-1, len(model.classes)))
    return {
        "signature": ModelSignature(inputs=Schema([images]), outputs=Schema([logits])),
        "input_example": np.full((2, 3, size, size), 0.5, np.float32),
        "serialization_format": "pt2",
        "pip_requirements": ["torch"],
        "metadata": {"classes": list(model.classes), "resize": model.view.resize, "size": size},
    }
