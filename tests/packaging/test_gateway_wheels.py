"""The gateway runs on sensor hardware, where nobody wants a compiler: its packages must all come as wheels."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
# Raspberry Pi OS and Debian 12 have glibc 2.36, so they take all of these.
MANYLINUX = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


def _pip(*arguments: str, report: Path) -> dict[str, str]:
    """Ask pip what it would install from wheels alone, as name and version; it installs nothing."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--dry-run"]
    command += ["--only-binary=:all:", "--ignore-installed", "--report", str(report), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    packages = (item["metadata"] for item in json.loads(report.read_text())["install"])
    return {package["name"].lower(): package["version"] for package in packages}


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return all that the gateway pulls in, pinned. Resolved once: that is the slow part."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["gateway"]]
    report = tmp_path_factory.mktemp("wanted") / "report.json"
    return _pip("-c", str(REPOSITORY / "constraints.txt"), *requirements, report=report)


def test_the_gateway_does_without_faust(wanted: dict[str, str]) -> None:
    """Faust has no wheel for aarch64 and Python 3.11, and a Raspberry Pi has no memory to spare for it."""
    assert {"cryptography", "numpy", "paho-mqtt", "kafka-python"} <= set(wanted)
    assert not {"faust-streaming", "mode-streaming", "aiokafka", "influxdb-client"} & set(wanted)


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_gateway_installs_from_wheels_only(
    python: str, machine: str, wanted: dict[str, str], tmp_path: Path
) -> None:
    """Every pinned version has a wheel for every machine and Python that a gateway may have."""
    platforms = [f"--platform={name}_{machine}" for name in MANYLINUX]
    place = ["--target", str(tmp_path / "nowhere"), "--no-deps", "--python-version", python, *platforms]
    pinned = [f"{name}=={version}" for name, version in wanted.items()]
    assert _pip(*place, *pinned, report=tmp_path / "report.json") == wanted
