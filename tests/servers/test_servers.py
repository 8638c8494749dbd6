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

from sotto.demo.ports import free_port
from tests.servers import install, run, toxiproxy


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


def _echo(proxy: toxiproxy.Proxy) -> socket.socket:
    """Return a connection through the proxy to a server that has answered on it."""
    connection = socket.create_connection((run.HOST, proxy.port), timeout=60)
    connection.sendall(_CONNECT)
    assert connection.recv(4) == _CONNACK
    return connection


# MQTT 3.1.1: CONNECT with a clean session and no client id, what is answered, and a ping.
_CONNECT = bytes((0x10, 12, 0, 4)) + b"MQTT" + bytes((4, 2, 0, 60, 0, 0))
_CONNACK = bytes((0x20, 2, 0, 0))
_PINGREQ, _PINGRESP = bytes((0xC0, 0)), bytes((0xD0, 0))


def test_a_proxy_cuts_holds_and_heals(mosquitto: run.Mosquitto, tmp_path: Path) -> None:
    """A cut ends the connection, half-open keeps it and loses what is sent, and healed it is as before."""
    proxies = toxiproxy.Toxiproxy(tmp_path)
    proxy = proxies.add("mqtt", upstream=mosquitto.port)
    with proxies:
        connection = _echo(proxy)
        proxy.cut()
        assert connection.recv(1) == b""
        assert not _answers(proxy.port)
        proxy.heal()

        connection = _echo(proxy)
        proxy.half_open()
        connection.sendall(_PINGREQ)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(2)
        assert _answers(proxy.port)
        proxy.heal()

        proxy.latency(200)
        began = time.monotonic()
        _echo(proxy)
        assert time.monotonic() - began >= 0.4  # there and back
        proxy.slow_close(100)
        connection = _echo(proxy)
        connection.sendall(_PINGREQ)
        assert connection.recv(2) == _PINGRESP

        proxy.cut()
        proxies.kill()
        proxies.start()
        _echo(proxy)


@pytest.mark.usefixtures("real_servers")
def test_whoever_reaches_kafka_through_a_proxy_never_goes_around_it(tmp_path: Path) -> None:
    """Kafka tells each client where the brokers are; a role behind a cut must not be told a way around it."""
    from kafka import KafkaAdminClient  # noqa: PLC0415  (the fixtures work without it)
    from kafka.errors import KafkaError  # noqa: PLC0415

    port = free_port()
    server = run.Kafka(tmp_path / "kafka", advertised={"GATEWAYS": port})
    proxies = toxiproxy.Toxiproxy(tmp_path / "toxiproxy")
    proxy = proxies.add("gateways", port=port, upstream=server.inner["GATEWAYS"])
    with server, proxies:
        behind = KafkaAdminClient(bootstrap_servers=proxy.address, request_timeout_ms=10_000)
        assert [broker["port"] for broker in behind.describe_cluster()["brokers"]] == [port]
        proxy.cut()
        with pytest.raises(KafkaError):
            behind.list_topics()
        direct = KafkaAdminClient(bootstrap_servers=server.bootstrap)
        assert [broker["port"] for broker in direct.describe_cluster()["brokers"]] == [server.port]
        direct.close()
        proxy.heal()
        behind.close()
        KafkaAdminClient(bootstrap_servers=proxy.address).close()


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
    until = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("real_servers")
def test_a_second_installation_is_immediate() -> None:
    """`make servers` is a step of every CI run: when all is there it says so, and does and finds nothing else."""
    done = subprocess.run(
        [sys.executable, install.__file__], capture_output=True, text=True, check=True, env=os.environ | {"PATH": ""}
    )
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["ready:"] * 4


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
