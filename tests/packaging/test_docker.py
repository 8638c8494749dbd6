"""Docker's files cannot run where there is no Docker engine, so what can be said about them is checked here."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from sotto.init import write_trial
from tests.servers import install

REPOSITORY = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PINNED = re.compile(r":\d+\.\d+\.\d+")

spec = importlib.util.spec_from_file_location("healthcheck", REPOSITORY / "docker" / "healthcheck.py")
assert spec is not None
assert spec.loader is not None
healthcheck = importlib.util.module_from_spec(spec)
spec.loader.exec_module(healthcheck)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_pinned_hardened_and_checked(name: str) -> None:
    """No container may do more than it needs, and none is taken for ready because it was started."""
    service = SERVICES[name]
    assert PINNED.search(service["image"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "mem_limit" in service
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    ends_by_itself = service.get("restart") == "no"
    assert service["healthcheck"].get("disable", False) == ends_by_itself
    for other, needs in service.get("depends_on", {}).items():
        ends = SERVICES[other].get("restart") == "no"
        assert needs["condition"] == ("service_completed_successfully" if ends else "service_healthy")


def test_the_servers_are_those_that_the_tests_run_on() -> None:
    """Otherwise the tests would speak of other versions than the users have."""
    assert SERVICES["kafka"]["image"].endswith(f":{install.KAFKA}")
    assert SERVICES["influxdb"]["image"].endswith(f":{install.INFLUXDB}")
    assert f"<version>{install.KAFKA}</version>" in (install.HERE / "kafka" / "pom.xml").read_text()
    assert f"/v2 v{install.INFLUXDB}\n" in (install.HERE / "influxd" / "go.mod").read_text()


def test_every_role_of_the_trial_has_its_container(tmp_path: Path) -> None:
    """Compose starts what `sotto init` writes, all of it and nothing else; and the health check finds its port."""
    trial = write_trial(
        tmp_path / "trial", mqtt="mqtt://mosquitto:1883", kafka="kafka:9092", influx="http://influxdb:8086"
    )
    written = {}
    for role in trial.roles:
        written[f"/trial/{role.path.relative_to(trial.directory)}"] = role
    started = {}
    for name, service in SERVICES.items():
        words = " ".join(service.get("command", [])).split()
        if words and "healthcheck.py" in str(service["healthcheck"]):
            started[words[-1]] = name
            role = written[words[-1]]
            assert name == role.name
            assert role.kind in words
            words[-1] = str(role.path)
            listen = tomllib.loads(role.path.read_text())["http"]["listen"]
            assert healthcheck.address(["/sbin/docker-init", "--", *words]) == f"http://{listen}"
    assert started.keys() == written.keys()


@pytest.mark.parametrize("command", ["sotto topics /trial/collector.toml", "sotto replay a.csv", "sotto --help"])
def test_a_command_that_serves_nothing_is_healthy(command: str) -> None:
    """The check is part of the image, whatever is run in it."""
    assert healthcheck.address(command.split()) is None


def test_the_image_takes_all_packages_and_only_what_it_takes() -> None:
    """A package that is forgotten here would be missing in the image only."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    dockerfile = (REPOSITORY / "docker" / "Dockerfile").read_text()
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {package} {package}\n" in dockerfile
    sent = (REPOSITORY / "docker" / "Dockerfile.dockerignore").read_text()
    for line in re.findall(r"^COPY ([^-\n]+) \S+$", dockerfile, flags=re.MULTILINE):
        for name in line.split():
            assert f"!{name}\n" in sent
            assert (REPOSITORY / name).exists()
    assert SERVICES["north-1"]["image"] == f"sotto:{project['project']['version']}"
