"""deploy/Dockerfile, read as `docker build` would: what it copies is there, and it installs what pyproject.toml says."""

import re
import tomllib

from tests.options import ROOT

TEXT = (ROOT / "deploy" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_instruction_is_known_and_what_is_copied_is_there() -> None:
    lines = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
    assert {line.split()[0] for line in lines} == {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "ENTRYPOINT"}
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"conf", "sota_exp", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]} == set(copied)


def test_it_installs_what_the_project_needs() -> None:
    named = re.findall(r'"((?:torch|torchvision)[><=][^"]+)"', TEXT)
    assert set(named) <= set(PROJECT["dependencies"]) and len(named) == 2
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', TEXT)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    (python,) = re.findall(r"FROM python:3\.(\d+)-slim", TEXT)
    assert int(python) >= int(PROJECT["requires-python"].removeprefix(">=3."))
    assert 'ENTRYPOINT ["sota-exp"]' in TEXT and "sota-exp" in PROJECT["scripts"]
