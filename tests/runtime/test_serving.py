"""The health pages."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from protocol.errors import ConfigError
from runtime.serving import Health, Server, notify_systemd, serve


class _Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def health(clock: _Clock) -> Health:
    return Health(clock=clock, status=lambda: {"task": "air"})


@pytest.fixture
def server(health: Health) -> Iterator[Server]:
    registry = CollectorRegistry()
    Counter("sotto_gateway_readings", "readings", registry=registry).inc(3)
    server = serve("127.0.0.1:0", registry, health)
    assert server is not None
    yield server
    server.close()


def _get(server: Server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_are_those_of_the_registry(server: Server) -> None:
    """Only what the role registered: nothing global."""
    code, text = _get(server, "/metrics")
    assert code == 200
    assert "sotto_gateway_readings_total 3.0" in text
    assert "python_info" not in text


def test_healthz_follows_the_beat(server: Server, health: Health, clock: _Clock) -> None:
    """Red before the first beat, green after one, red when the loop stands still."""
    assert _get(server, "/healthz")[0] == 503
    health.beat()
    assert _get(server, "/healthz")[0] == 200
    clock.now = 30_001
    assert _get(server, "/healthz")[0] == 503


def test_readyz_names_what_is_missing(server: Server, health: Health) -> None:
    """Red until everything that was expected is there, with the reason."""
    assert _get(server, "/readyz")[0] == 503
    health.expect("mqtt", "kafka")
    health.set_ready("mqtt", True)
    health.set_ready("kafka", False, "login refused")
    assert _get(server, "/readyz") == (503, "kafka: login refused\n")
    health.set_ready("kafka", True)
    assert _get(server, "/readyz") == (200, "ok\n")


def test_status_is_the_roles_own_document(server: Server) -> None:
    """JSON, with the two answers beside it."""
    code, text = _get(server, "/status")
    assert code == 200
    assert json.loads(text) == {"task": "air", "healthy": False, "unready": {"start": "not yet"}}


def test_an_unknown_page_says_which_there_are(server: Server) -> None:
    """404, and the pages."""
    assert _get(server, "/table")[0] == 404


def test_a_failing_status_is_an_answer_without_details(clock: _Clock) -> None:
    """The exception's text may hold anything; only its kind is shown."""

    def broken() -> dict[str, object]:
        raise ValueError("share 123")

    server = serve("127.0.0.1:0", CollectorRegistry(), Health(clock=clock, status=broken))
    assert server is not None
    try:
        assert _get(server, "/status") == (500, "ValueError\n")
    finally:
        server.close()


def test_empty_listen_switches_it_off(health: Health) -> None:
    """No server, no error."""
    assert serve("", CollectorRegistry(), health) is None


def test_a_port_in_use_is_a_clear_error(health: Health) -> None:
    """Not a stack trace: the port, the place, what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is in use"):
            serve(f"127.0.0.1:{port}", CollectorRegistry(), health)


def test_systemd_hears_the_beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, health: Health) -> None:
    """`WatchdogSec` is fed by the same beat; without systemd nothing happens."""
    notify_systemd("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        health.beat()
        assert systemd.recv(64) == b"WATCHDOG=1"
