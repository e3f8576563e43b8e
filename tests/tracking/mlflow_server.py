"""MLflow's own server on a SQLite file, in one process: `mlflow_server.py DATABASE PORT`. `mlflow server` starts three."""

import os
import sys
from pathlib import Path

import mlflow.server
import uvicorn


def main(database: Path, port: int) -> None:
    os.environ |= {
        mlflow.server.BACKEND_STORE_URI_ENV_VAR: f"sqlite:///{database}",
        mlflow.server.SERVE_ARTIFACTS_ENV_VAR: "true",
        mlflow.server.ARTIFACTS_DESTINATION_ENV_VAR: str(database.parent / "mlartifacts"),
        mlflow.server.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
    }
    uvicorn.run("mlflow.server.fastapi_app:app", host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
