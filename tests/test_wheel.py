"""The wheel in an environment without the repository: its conf/ is inside, its commands work."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.experiments import TINY
from tests.options import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """`bin/` of a new environment that has the wheel, and this environment's packages but not its editable install."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    site = Path(subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True).stdout.strip())  # fmt: skip
    # A path file adds the folder alone: the path files in it, the editable install's among them, are not read.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def call(installed, *arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONWARNINGS"] = "error::FutureWarning"
    return subprocess.run(
        [installed / "sota-exp", *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_every_option_is_inside(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {f"sota_exp/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert ours <= names
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "sota_exp").rglob("*.py")} <= names
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "sota_exp").rglob("*.jinja")} <= names
    assert not any(name.startswith("tests/") for name in names)


def test_it_is_the_wheel_that_runs(installed, tmp_path):
    script = "import sota_exp; print(sota_exp.__file__); print(sota_exp.CONF)"
    done = subprocess.run(
        [installed / "python", "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    package, conf = map(Path, done.stdout.split())
    assert installed.parent in package.parents
    assert conf == package.parent / "conf"


def test_help_and_the_configuration_outside_the_repository(installed, tmp_path):
    helped = call(installed, "--help", cwd=tmp_path)
    assert helped.returncode == 0 and "commands:" in helped.stdout
    shown = call(installed, "train", "--cfg", "job", "augmentation/mix=cutmix", cwd=tmp_path)
    assert shown.returncode == 0 and "sota_exp.techniques.augmentation.mix.cutmix.CutMix" in shown.stdout


def test_a_mistake_is_as_short_as_ever(installed, tmp_path):
    done = call(installed, "train", "augmentation/mix=cutmux", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("sota-exp: augmentation/mix=cutmux: no such option; legal: ")


def test_a_smoke_run_outside_the_repository(installed, tmp_path):
    done = call(installed, "train", *TINY, "scale=smoke", "hydra.run.dir=here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("INFO: ")] == []
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["commit"] is None
