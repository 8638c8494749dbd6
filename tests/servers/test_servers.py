"""The real servers themselves: what the end-to-end tests take for granted about them."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.servers import install, run


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_all_answer_when_their_fixtures_yield(mosquitto: run.Mosquitto, kafka: run.Kafka, influx: run.Influx) -> None:
    """A test that asks for a server need not wait for it."""
    assert _answers(mosquitto.port)
    assert _answers(kafka.port)
    connection = http.client.HTTPConnection(influx.host, influx.port)
    connection.request("GET", "/api/v2/buckets?name=sotto", headers={"Authorization": f"Token {influx.token}"})
    answer = connection.getresponse()
    assert answer.status == http.HTTPStatus.OK
    assert b'"name": "sotto"' in answer.read()


@pytest.mark.usefixtures("real_servers")
def test_kafka_keeps_its_topics_over_a_restart_and_a_kill(tmp_path: Path) -> None:
    """Fault tests rely on the same ports and the same data afterwards, also when a thread did the restart."""
    from kafka import KafkaAdminClient  # noqa: PLC0415  (the fixtures work without it)
    from kafka.admin import NewTopic  # noqa: PLC0415

    with run.Kafka(tmp_path) as server:
        admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
        admin.create_topics([NewTopic("kept", num_partitions=3, replication_factor=1)])
        admin.close()
        thread = threading.Thread(target=server.restart)
        thread.start()
        thread.join()
        server.kill()
        assert not _answers(server.port)
        server.start()
        admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
        assert "kept" in admin.list_topics()
        admin.close()


@pytest.mark.usefixtures("real_servers")
def test_influxdb_is_set_up_once(tmp_path: Path) -> None:
    """Its token stays valid over a restart."""
    with run.Influx(tmp_path) as server:
        server.restart()
        connection = http.client.HTTPConnection(server.host, server.port)
        connection.request("GET", "/api/v2/orgs", headers={"Authorization": f"Token {server.token}"})
        assert connection.getresponse().status == http.HTTPStatus.OK


@pytest.mark.usefixtures("real_servers")
def test_no_server_outlives_whoever_started_it(tmp_path: Path) -> None:
    """Not even a parent that is killed leaves a server behind."""
    text = (
        "import sys, time; from pathlib import Path; from tests.servers import run\n"
        f"server = run.Mosquitto(Path({str(tmp_path)!r})); server.start()\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=install.REPOSITORY) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("real_servers")
def test_a_second_installation_is_immediate() -> None:
    """`make servers` is a step of every CI run, so it costs nothing when all is there."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, install.__file__], capture_output=True, text=True, check=True, env=os.environ | {"PATH": ""}
    )
    assert time.monotonic() - began < 2
    assert done.stdout.count("ready:") == 3


@pytest.mark.parametrize("ci", ["", "true"])
def test_without_the_servers_a_test_is_skipped_but_fails_in_ci(ci: str, tmp_path: Path) -> None:
    """A skipped test in CI would be one that never runs; either way the message says what to do."""
    environment = os.environ | {"SOTTO_SERVERS": str(tmp_path), "CI": ci}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"{__file__}::{test_influxdb_is_set_up_once.__name__}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=install.REPOSITORY)
    assert "run `make servers`" in done.stdout
    assert ("1 error" if ci else "1 skipped") in done.stdout
