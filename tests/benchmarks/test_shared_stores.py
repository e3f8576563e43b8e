"""The shared stores: the script and the compose file start the same, and nothing is lost between a stop and a start."""

import importlib.util
import re
import subprocess
import sys
import tempfile
import tomllib
import warnings
from pathlib import Path

import psutil
import pytest
import requests
import sqlalchemy
import yaml

from benchmarks import shared_stores
from benchmarks.shared_stores import SCRIPT, call_script, choose_ports, start, stores, sum_up
from tests.options import ROOT
from tests.sweep.postgres import binaries

needs_postgres = pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed")


def test_script_and_compose_file_start_the_same_servers() -> None:
    script, found = SCRIPT.read_text(), yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    subprocess.run(["sh", "-n", SCRIPT], check=True)
    postgres, mlflow = found["services"]["postgres"], found["services"]["mlflow"]
    assert postgres["environment"]["POSTGRES_USER"] == "sota_exp" and "--username=sota_exp" in script
    databases = {postgres["environment"]["POSTGRES_DB"], found["configs"]["mlflow_database"]["content"].split()[2][:-1]}
    assert set(re.search(r"for name in (.*); do", script)[1].split()) == databases == {"optuna", "mlflow"}  # type: ignore[index]
    assert postgres["command"][-1] in script, "the same number of connections"
    assert {f"{number}:{number}" for number in (5432, 5000)} == {*postgres["ports"], *mlflow["ports"]}
    assert "POSTGRES_PORT:-5432" in script and "MLFLOW_PORT:-5000" in script
    flags = re.findall(r"--(?:workers \d+|artifacts-destination)", mlflow["command"])
    assert len(flags) == 2 and all(flag in script for flag in flags)
    assert all(name in script for name in mlflow["environment"])


def test_what_the_compose_file_asks_for_exists() -> None:
    """It was never started; each name in it is one of its documentation, or one that the installed MLflow knows."""
    found = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    postgres, mlflow = found["services"]["postgres"], found["services"]["mlflow"]
    image, major = postgres["image"].split(":")
    assert image == "postgres" and int(major) < 18, "from 18 on the image keeps its data in /var/lib/postgresql"
    assert postgres["volumes"] == ["postgres:/var/lib/postgresql/data"] and set(found["volumes"]) == {
        volume.partition(":")[0] for service in (postgres, mlflow) for volume in service["volumes"]
    }
    (config,) = postgres["configs"]
    assert config["source"] in found["configs"] and config["target"].startswith("/docker-entrypoint-initdb.d/")
    assert config["target"].endswith(".sql") and set(found["configs"][config["source"]]) == {"content"}
    assert mlflow["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "-h 127.0.0.1" in postgres["healthcheck"]["test"][1], "the socket answers before the databases are there"
    address = sqlalchemy.make_url(
        mlflow["environment"]["MLFLOW_BACKEND_STORE_URI"].replace("${POSTGRES_PASSWORD}", "x")
    )
    assert (address.username, address.host, address.database) == ("sota_exp", "postgres", "mlflow")
    assert address.get_dialect().driver == "psycopg", "what the image installs"
    (package,) = importlib.util.find_spec("mlflow").submodule_search_locations  # type: ignore[union-attr, misc]
    source = "".join((Path(package) / name).read_text() for name in ("environment_variables.py", "cli/__init__.py"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own code
        from mlflow.cli import server
    known = {name for option in server.params for name in option.opts}
    for command in (mlflow["command"], re.search(r"-m (mlflow server .*\n.*) >", SCRIPT.read_text())[1]):  # type: ignore[index]
        words = command.split()
        assert words[:2] == ["mlflow", "server"] and all(word in known for word in words if word.startswith("--"))
    assert all(name in source for name in mlflow["environment"])


def test_the_image_has_the_versions_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {*project["dependencies"], *project["optional-dependencies"]["postgres"]}
    build = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["mlflow"]["build"]
    asked = re.findall('"([^"]+)"', build["dockerfile_inline"])
    assert len(asked) == 3 and set(asked) <= known


def test_counts_of_runs_add_up() -> None:
    assert sum_up([{"points": 2, "files": 1}, {"points": 3, "files": 0}]) == {"points": 5, "files": 1}


#: Python for the script, but for MLflow's server, which takes ten seconds to start: one of files stands for it.
STAND_IN = f"""#!/bin/sh
[ "$2" = mlflow ] || exec {sys.executable} "$@"
exec {sys.executable} -m http.server --bind "$5" --directory "$(dirname "$0")" "$7"
"""


def write_stand_in(place: Path) -> Path:
    (place / "health").touch()
    (place / "python").write_text(STAND_IN)
    (place / "python").chmod(0o755)
    return place / "python"


@needs_postgres
@pytest.mark.parametrize("is_mlflow", [False, pytest.param(True, marks=pytest.mark.torture)], ids=["files", "MLflow"])
def test_the_script_starts_what_does_not_run_and_a_stop_loses_nothing(tmp_path: Path, is_mlflow: bool) -> None:
    folder, ports = tmp_path / "stores", choose_ports()
    ports |= {} if is_mlflow else {"PYTHON": str(write_stand_in(tmp_path))}
    kept = "api/2.0/mlflow/experiments/get-by-name?experiment_name=kept" if is_mlflow else "health"
    temporary = Path(tempfile.gettempdir())
    for above in (tmp_path, *tmp_path.parents):
        if above != temporary and above.is_relative_to(temporary):
            above.chmod(0o755)  # PostgreSQL's own user reads below them.
    with stores(folder, ports) as first:
        engine = sqlalchemy.create_engine(first.study)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE kept (number INTEGER)"))
        engine.dispose()
        requests.post(f"{first.mlflow}/api/2.0/mlflow/experiments/create", json={"name": "kept"}, timeout=30)
        assert start(folder, ports) == first, "a second call finds both"
        password = (folder / "password").read_text().strip()
        assert oct((folder / "password").stat().st_mode)[-3:] == "600" and password in first.study
        seen = [word for process in psutil.process_iter(["cmdline"]) for word in process.info["cmdline"] or ()]
        assert not any(password in word for word in seen)
        call_script(folder, ports, "stop")
        with pytest.raises(requests.ConnectionError):
            requests.get(first.mlflow, timeout=5)
        assert start(folder, ports) == first
        engine = sqlalchemy.create_engine(first.study)
        assert sqlalchemy.inspect(engine).get_table_names() == ["kept"]
        engine.dispose()
        assert requests.get(f"{first.mlflow}/{kept}", timeout=30).ok


@needs_postgres
@pytest.mark.torture
def test_a_killed_worker_and_restarted_servers_lose_nothing_and_double_nothing() -> None:
    found = shared_stores.show(num_trials=8)
    assert found["trials complete"] + found["trials pruned"] == found["runs in MLflow"] == 8
    assert found["trials taken over after the kill"] >= 1
