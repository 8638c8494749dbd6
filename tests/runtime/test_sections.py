"""[kafka] and [http]: what is refused, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ConfigError
from runtime.files import loads
from runtime.sections import CollectorHttp, GatewayHttp, HttpSection, KafkaSection, PartyHttp, SinkHttp

HERE = Path("gateway.toml")
SERVERS = 'bootstrap_servers = ["kafka-1.city.example:9093"]\n'


def test_tls_is_the_default() -> None:
    """Nobody has to ask for encryption."""
    assert loads(SERVERS, KafkaSection, path=HERE).security_protocol == "SSL"


@pytest.mark.parametrize("server", ["localhost:9092", "127.0.0.1:9092", "127.8.8.8:1", "[::1]:9092"])
def test_plaintext_to_this_machine_is_allowed(server: str) -> None:
    """Nobody is on the way."""
    loads(f'bootstrap_servers = ["{server}"]\nsecurity_protocol = "PLAINTEXT"', KafkaSection, path=HERE)


@pytest.mark.parametrize(
    "server", ["10.0.0.5:9092", "kafka:9092", "localhost.evil.example:9092", "127.0.0.1.nip.io:9092"]
)
def test_plaintext_to_another_machine_is_refused(server: str) -> None:
    """Also one whose name begins like this machine's; one other server among local ones suffices."""
    text = f'bootstrap_servers = ["127.0.0.1:1", "{server}"]\nsecurity_protocol = "PLAINTEXT"\n'
    with pytest.raises(ConfigError, match="without encryption") as caught:
        loads(text, KafkaSection, path=HERE)
    assert caught.value.where == "gateway.toml, line 2"
    loads(text + "allow_plaintext = true", KafkaSection, path=HERE)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('security_protocol = "SASL_SSL"', "needs sasl_username"),
        ('security_protocol = "SASL_SSL"\nsasl_username = "n"', "needs sasl_password"),
        ('sasl_username = "n"', "sasl_username is not used with"),
        ('sasl_password = "file:p"', "sasl_password is not used with"),
        ('tls_cert = "c.pem"', "tls_cert needs tls_key"),
        ('tls_key = "file:k.pem"', "tls_key needs tls_cert"),
        ('topic_prefix = "a b"', "topic_prefix is made of"),
        ('topic_prefix = ""', "topic_prefix is made of"),
        ('security_protocol = "TLS"', "not one of the possible values"),
        ("session_timeout = 6", "a duration is written like"),
        ('api_version = "new"', "a version of Kafka is written like"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_its_line(lines: str, what: str) -> None:
    """At start, not when the first record is sent."""
    with pytest.raises(ConfigError, match=what):
        loads(SERVERS + lines, KafkaSection, path=HERE)


@pytest.mark.parametrize("server", ["kafka", "kafka:", "kafka:99999", "https://kafka:1", "a b:1", ":9092", ""])
def test_an_address_has_host_and_port(server: str) -> None:
    """A missing port is not guessed."""
    with pytest.raises(ConfigError, match="host:port"):
        loads(f'bootstrap_servers = ["{server}"]', KafkaSection, path=HERE)
    if server:
        with pytest.raises(ConfigError, match="host:port"):
            loads(f'listen = "{server}"', HttpSection, path=HERE)


def test_each_role_has_its_own_port_on_loopback() -> None:
    """Four roles on one machine do not meet; none can be reached from another machine by default."""
    listens = [section().listen for section in (GatewayHttp, PartyHttp, CollectorHttp, SinkHttp)]
    assert len(set(listens)) == 4
    assert all(listen.startswith("127.0.0.1:") for listen in listens)
