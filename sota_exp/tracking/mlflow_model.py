"""The network of a run as an MLflow model, with free height and width."""

from pathlib import Path


def log_model(uri: str, run_id: str, directory: Path) -> None:
    """Log what `model.json` and `model.safetensors` hold as `mlflow.pytorch.load_model` reads it.

    Pickled, not exported: MLflow's default, a torch.export program, freezes height and width to those of its example.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from sota_exp import saved

    model = saved.load(directory / "model.json", directory / "model.safetensors")
    images = TensorSpec(np.dtype(np.float32), (-1, 3, -1, -1), "images")
    logits = TensorSpec(np.dtype(np.float32), (-1, len(model.classes)), "logits")
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run_id, log_system_metrics=False):
        mlflow.pytorch.log_model(
            model.network,
            name="model",
            signature=ModelSignature(inputs=Schema([images]), outputs=Schema([logits])),
            serialization_format="pickle",
            pip_requirements=["torch", "torchvision", "timm"],
            metadata={"classes": list(model.classes), "mean": model.normalization.mean, "std": model.normalization.std},
        )
