"""A run's model in MLflow's format: a torch.export program, so that loading it runs no code from a pickle.

It takes RGB images, float [B, 3, H, W] in [0, 1], resized and cropped as its metadata state; normalization is inside.
Height and width stay free where the network allows: MLflow makes dimensions dynamic where the signature has −1.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from sota_exp.config.credentials import reveal_credentials
from sota_exp.models import saved
from sota_exp.models.saved import SavedModel
from sota_exp.models.standalone import StandaloneModel


def log_model(uri: str, experiment: str, run_id: str, directory: Path) -> None:
    """Log the model of `model.json` and `model.safetensors` in `directory` to a run, as `model`.

    uri: of the MLflow tracking store. experiment: its id.
    """
    model = saved.load_saved_model(directory / "model.json", directory / "model.safetensors")
    mlflow.set_tracking_uri(reveal_credentials(uri))
    mlflow.set_experiment(experiment_id=experiment)
    # Not mlflow.pytorch.log_model: it needs mlflow.start_run, which overwrites status and end time of the run on exit.
    Model.log(
        artifact_path=None,
        name="model",
        flavor=mlflow.pytorch,
        run_id=run_id,
        pytorch_model=StandaloneModel(model).eval(),
        **mlflow_arguments(model),
    )


def mlflow_arguments(model: SavedModel) -> dict[str, Any]:
    """Signature, input example, requirements and metadata (classes, preprocessing) of a model for MLflow."""
    size = model.view.size
    # Tensors without names: MLflow's PyTorch flavor accepts a plain array only.
    images = TensorSpec(np.dtype(np.float32), (-1, 3, -1, -1))
    logits = TensorSpec(np.dtype(np.float32), (-1, len(model.classes)))
    return {
        "signature": ModelSignature(inputs=Schema([images]), outputs=Schema([logits])),
        "input_example": np.full((2, 3, size, size), 0.5, np.float32),
        "serialization_format": "pt2",
        "pip_requirements": ["torch"],
        "metadata": {"classes": list(model.classes), "resize": model.view.resize, "size": size},
    }
