"""MLflow's own server behind a login, for tests: `AUTHORIZATION=… python -m tests.torture.login_server PORT FOLDER [PEM]`.

AUTHORIZATION is the header that a request must have; empty for none. PEM is a file with a key and a certificate: the
server then speaks TLS and asks its clients for this certificate. What was sent of the header is in FOLDER/headers.
"""

import os
import ssl
import sys
from pathlib import Path

from flask import Response, request
from werkzeug.serving import run_simple


def main(port: str, folder: str, pem: str | None = None) -> None:
    place, authorization = Path(folder), os.environ["AUTHORIZATION"]
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{place / 'server.db'}"
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
    os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = str(place / "artifacts")
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
    from mlflow.server import app

    def check() -> Response | None:
        given = request.headers.get("Authorization", "")
        with (place / "headers").open("a") as file:
            file.write(f"{given}\n")
        return None if authorization in ("", given) else Response("log in first", 401)

    app.before_request_funcs.setdefault(None, []).insert(0, check)
    context = None
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.load_verify_locations(pem)
        context.verify_mode = ssl.CERT_REQUIRED
    run_simple("127.0.0.1", int(port), app, threaded=True, ssl_context=context)


if __name__ == "__main__":
    main(*sys.argv[1:])
