"""What all tests share: the real servers as fixtures, each started once when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import run

CI = os.environ.get("CI") == "true"

# How long an example takes, or to find one, says how busy the machine is; what hangs is ended by pytest-timeout.
# CI tries the same examples each time, so what it says is about the change; whoever works tries others.
settings.register_profile("sotto", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=CI)
settings.load_profile("sotto")


@pytest.fixture(scope="session")
def real_servers() -> None:
    """Skip where the servers are not installed; fail in CI, where a skipped test would be a test that nobody runs."""
    try:
        run.installed()
    except run.NotInstalledError as error:
        if CI:
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def mosquitto(real_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[run.Mosquitto]:
    """Yield a running mosquitto: `.url`, `.host`, `.port`."""
    with run.Mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka(real_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[run.Kafka]:
    """Yield a running Kafka: `.bootstrap`. Topics are created by whoever needs them, under names of their own."""
    with run.Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def influx(real_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[run.Influx]:
    """Yield a running InfluxDB: `.url`, `.token`, `.org`, `.bucket`."""
    with run.Influx(tmp_path_factory.mktemp("influxdb")) as server:
        yield server
