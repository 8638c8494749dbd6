"""Kafka that cannot be used says why: name, way, TLS, or login."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.errors import SaslAuthenticationFailedError

from protocol.errors import NotReadyError
from runtime.files import loads
from runtime.kafka import admin, client_settings, diagnose, tls_context
from runtime.sections import KafkaSection


def _section(server: str, *lines: str) -> KafkaSection:
    return loads("\n".join([f'bootstrap_servers = ["{server}"]', *lines]), KafkaSection, path=Path("gateway.toml"))


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes connections and ends them: something, but not what we speak."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def end_all() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=end_all, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_closed_port_is_told(closed: str) -> None:
    """And what to look at."""
    with (
        pytest.raises(NotReadyError, match=f"Kafka at {closed} is not reached: connection refused") as caught,
        admin(_section(closed, 'security_protocol = "PLAINTEXT"'), timeout=300),
    ):
        pass
    assert caught.value.exit_code == 3


def test_a_wrong_name_is_told() -> None:
    """`.invalid` never resolves (RFC 6761)."""
    error = diagnose(_section("kafka.invalid:9093"))
    assert error.what == "Kafka at kafka.invalid:9093: there is no such host name"


def test_a_port_without_tls_is_told(silent: str) -> None:
    """TLS against what does not speak it."""
    error = diagnose(_section(silent))
    assert "TLS fails" in error.what
    assert error.remedy is not None
    assert "Does this port speak SSL?" in error.remedy


def test_a_port_that_does_not_answer_is_told(silent: str) -> None:
    """Plaintext against a listener that wants something else."""
    error = diagnose(_section(silent, 'security_protocol = "PLAINTEXT"'))
    assert "does not answer" in error.what


def test_a_refused_login_is_error_6(silent: str, tmp_path: Path) -> None:
    """Who, where the password comes from and how long it is: never the password."""
    (tmp_path / "kafka").write_text("hunter2hunter2!!\n")
    section = _section(
        silent,
        'security_protocol = "SASL_PLAINTEXT"',
        'sasl_username = "north-1"',
        f'sasl_password = "file:{tmp_path}/kafka"',
    )
    error = diagnose(section, [SaslAuthenticationFailedError("hunter2")])
    assert error.what == f'Kafka at {silent} refuses the login of "north-1" (SCRAM-SHA-512)'
    assert error.where == "gateway.toml, line 4: sasl_password"
    assert error.remedy == f"The password comes from file:{tmp_path}/kafka (16 characters). Ask Kafka's operator."
    assert "hunter2" not in repr(section)


def test_settings_check_the_brokers_name() -> None:
    """TLS without a name check would accept anybody with a certificate."""
    section = _section("kafka-1.city.example:9093")
    context = tls_context(section)
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert client_settings(section, client_id="north-1")["security_protocol"] == "SSL"


def test_certificates_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """Missing, or no certificate at all."""
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("no.pem", "ca.pem"):
        with pytest.raises(NotReadyError, match="certificates for Kafka cannot be used"):
            tls_context(_section("kafka-1.city.example:9093", f'tls_ca = "{tmp_path / name}"'))


def test_an_embedded_brokers_version_is_passed_on() -> None:
    """librdkafka's cluster cannot be asked for it."""
    section = _section("127.0.0.1:1", 'security_protocol = "PLAINTEXT"', 'api_version = "2.3"')
    assert client_settings(section, client_id="x")["api_version"] == (2, 3)
