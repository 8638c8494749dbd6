"""The gateway runs on sensor hardware, where nobody wants a compiler: its packages must all come as wheels."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
# Raspberry Pi OS and Debian 12 have glibc 2.36, so they take all of these.
MANYLINUX = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One file that pip would install."""

    name: str
    version: str
    anywhere: bool  # pure Python: the same file on every machine


def _pip(*arguments: str, report: Path) -> list[Wheel]:
    """Ask pip what it would install from wheels alone; it installs nothing."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--dry-run"]
    command += ["--only-binary=:all:", "--ignore-installed", "--report", str(report), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [
        Wheel(
            name=item["metadata"]["name"].lower(),
            version=item["metadata"]["version"],
            anywhere=item["download_info"]["url"].endswith("-none-any.whl"),
        )
        for item in json.loads(report.read_text())["install"]
    ]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> list[Wheel]:
    """Return all that the gateway pulls in, pinned. Resolved once: that is the slow part."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["gateway"]]
    report = tmp_path_factory.mktemp("wanted") / "report.json"
    return _pip("-c", str(REPOSITORY / "constraints.txt"), *requirements, report=report)


def test_the_gateway_does_without_faust(wanted: list[Wheel]) -> None:
    """Faust has no wheel for aarch64 and Python 3.11, and a Raspberry Pi has no memory to spare for it."""
    names = {wheel.name for wheel in wanted}
    assert {"cryptography", "numpy", "paho-mqtt", "kafka-python"} <= names
    assert not {"faust-streaming", "mode-streaming", "aiokafka", "influxdb-client"} & names


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_gateway_installs_from_wheels_only(python: str, machine: str, wanted: list[Wheel], tmp_path: Path) -> None:
    """Every pinned version that is compiled has a wheel for every machine and Python that a gateway may have."""
    platforms = [f"--platform={name}_{machine}" for name in MANYLINUX]
    place = ["--target", str(tmp_path / "nowhere"), "--no-deps", "--python-version", python, *platforms]
    pinned = {f"{wheel.name}=={wheel.version}" for wheel in wanted if not wheel.anywhere}
    found = _pip(*place, *sorted(pinned), report=tmp_path / "report.json")
    assert {f"{wheel.name}=={wheel.version}" for wheel in found} == pinned
