"""The sections that every role's configuration file has: [kafka], [http], [log]."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from protocol.units import Duration
from runtime.faults import fault
from runtime.secret import RelativePath, SecretFile, SecretText

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(?P<port>\d{1,5})")
_PREFIX = re.compile(r"[a-zA-Z0-9._-]{1,150}")


class Section(BaseModel):
    """A table of a configuration file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def host_and_port(text: str) -> tuple[str, int]:
    """Take "host:port" apart ("[::1]:9092" too). Raises ValueError."""
    found = _HOST_PORT.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        msg = 'an address is written "host:port", like "kafka-1.city.example:9093"'
        raise ValueError(msg)
    return found["host"].strip("[]"), int(found["port"])


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _version(text: object) -> tuple[int, ...]:
    if not isinstance(text, str) or not re.fullmatch(r"\d+(?:\.\d+){1,2}", text):
        msg = 'a version of Kafka is written like "2.3"; it is for embedded brokers only'
        raise ValueError(msg)
    return tuple(int(part) for part in text.split("."))


class KafkaSection(Section):
    """[kafka]: Kafka's own names, with _ in place of `.`; how to reach the brokers and log in."""

    bootstrap_servers: tuple[str, ...] = Field(
        min_length=1, description="the brokers to ask first", examples=['["kafka-1.city.example:9093"]']
    )
    security_protocol: Literal["SSL", "SASL_SSL", "PLAINTEXT", "SASL_PLAINTEXT"] = "SSL"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretText | None = None
    tls_ca: RelativePath | None = None
    tls_cert: RelativePath | None = None
    tls_key: SecretFile | None = None
    allow_plaintext: bool = False
    session_timeout: Duration = 6_000
    topic_prefix: str | None = None
    api_version: Annotated[tuple[int, ...], BeforeValidator(_version)] | None = None
    """For embedded brokers only: what the broker speaks, such as "2.3", where it cannot be asked."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        hosts = []
        for server in self.bootstrap_servers:
            try:
                hosts.append(host_and_port(server)[0])
            except ValueError as error:
                raise fault("bootstrap_servers", f"is not right: {error}") from None
        self._check_login()
        if "PLAINTEXT" in self.security_protocol and not self.allow_plaintext and not all(map(is_loopback, hosts)):
            # Shares are sealed, but without TLS anybody on the way may send under our name, or keep records from us.
            raise fault(
                "security_protocol",
                f'= "{self.security_protocol}" sends without encryption to another machine',
                'Write security_protocol = "SSL" or "SASL_SSL"; in a network with nobody else, allow_plaintext = true.',
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            present, absent = ("tls_cert", "tls_key") if self.tls_key is None else ("tls_key", "tls_cert")
            raise fault(present, f"needs {absent} beside it", f'Add {absent} = "..." or remove {present}.')
        if self.topic_prefix is not None and not _PREFIX.fullmatch(self.topic_prefix):
            raise fault(
                "topic_prefix",
                "is made of letters, digits, dots, _ and -",
                'Example: topic_prefix = "sotto.beijing-air."',
            )
        return self

    def _check_login(self) -> None:
        sasl = self.security_protocol.startswith("SASL")
        if sasl and (self.sasl_username is None or self.sasl_password is None):
            absent = "sasl_username" if self.sasl_username is None else "sasl_password"
            example = '"north-1"' if absent == "sasl_username" else '"file:kafka.password"'
            raise fault(
                "security_protocol", f'= "{self.security_protocol}" needs {absent}', f"Add {absent} = {example}"
            )
        for key in ("sasl_username", "sasl_password"):
            if getattr(self, key) is not None and not sasl:
                raise fault(
                    key,
                    f'is not used with security_protocol = "{self.security_protocol}"',
                    f'Write security_protocol = "SASL_{self.security_protocol}", or remove {key}.',
                )


class HttpSection(Section):
    """[http]: where /metrics, /healthz, /readyz and /status are served; "" switches it off."""

    listen: str = "127.0.0.1:9780"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.listen:
            try:
                host_and_port(self.listen)
            except ValueError as error:
                raise fault(
                    "listen", f"is not right: {error}", 'Example: listen = "127.0.0.1:9781"; "" switches it off.'
                ) from None
        return self


class GatewayHttp(HttpSection):
    """[http] of a gateway."""

    listen: str = "127.0.0.1:9781"


class PartyHttp(HttpSection):
    """[http] of a party."""

    listen: str = "127.0.0.1:9782"


class CollectorHttp(HttpSection):
    """[http] of the collector."""

    listen: str = "127.0.0.1:9783"


class SinkHttp(HttpSection):
    """[http] of the sink."""

    listen: str = "127.0.0.1:9784"


class LogSection(Section):
    """[log]: no level shows a reading, a share or a key."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
    topics: Literal["pattern", "full"] = "pattern"
    """Gateway only: "full" logs real MQTT topics, which may name a person."""
