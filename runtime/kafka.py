"""Kafka through kafka-python: settings, a connection that says why there is none, and the topics of a task.

kafka-python answers every failure to connect with the same sentence after a long time; a person needs to know whether
the name, the way, TLS or the login is wrong.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import AuthorizationError, KafkaError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError

from protocol.errors import NotReadyError
from runtime.retention import FoundTopic, TopicPlan
from runtime.sections import KafkaSection, host_and_port

_CONNECT_MS: Final = 8_000
_PROBE: Final = 3.0


def tls_context(section: KafkaSection) -> ssl.SSLContext | None:
    """Return the TLS settings, with the broker's name checked; None for plaintext. Raises NotReadyError."""
    if "PLAINTEXT" in section.security_protocol:
        return None
    try:
        context = ssl.create_default_context(cafile=str(section.tls_ca) if section.tls_ca else None)
        if section.tls_cert is not None and section.tls_key is not None:
            context.load_cert_chain(section.tls_cert, section.tls_key.path)
    except (OSError, ssl.SSLError) as error:
        raise NotReadyError(
            f"the certificates for Kafka cannot be used: {_short(error)}",
            where="[kafka] tls_ca, tls_cert, tls_key",
            remedy="tls_ca is the certificate of the authority (PEM); tls_cert and tls_key belong together (PEM).",
        ) from None
    return context


def client_settings(section: KafkaSection, *, client_id: str) -> dict[str, Any]:
    """Return the settings that every client of kafka-python takes. They hold the password: never log them."""
    settings: dict[str, Any] = {
        "bootstrap_servers": list(section.bootstrap_servers),
        "client_id": client_id,
        "security_protocol": section.security_protocol,
    }
    if (context := tls_context(section)) is not None:
        settings["ssl_context"] = context
    if section.sasl_username is not None and section.sasl_password is not None:
        settings["sasl_mechanism"] = section.sasl_mechanism
        settings["sasl_plain_username"] = section.sasl_username
        settings["sasl_plain_password"] = section.sasl_password.reveal()
    if section.api_version is not None:
        settings["api_version"] = section.api_version
    return settings


@contextlib.contextmanager
def admin(section: KafkaSection, *, client_id: str = "sotto", timeout: int = _CONNECT_MS) -> Iterator[KafkaAdminClient]:
    """Connect for administration. Raises NotReadyError that says what is wrong: name, way, TLS or login."""
    settings = client_settings(section, client_id=client_id)
    if (closed := _closed_way(section)) is not None:  # kafka-python would try for the whole timeout
        raise closed
    with _overhear() as heard:
        try:
            client = KafkaAdminClient(bootstrap_timeout_ms=timeout, **settings)
        except KafkaError as error:
            raise diagnose(section, [*heard, error]) from error
    try:
        yield client
    except KafkaError as error:
        remedy = "Has this login the rights that `sotto topics --acls` prints?"
        raise NotReadyError(f"Kafka refuses or breaks off ({type(error).__name__})", remedy=remedy) from error
    finally:
        client.close()


def diagnose(section: KafkaSection, errors: Sequence[BaseException] = ()) -> NotReadyError:
    """Return the error for a Kafka that cannot be used, from what was heard and from trying the way by ourselves."""
    servers = ", ".join(section.bootstrap_servers)
    if any(isinstance(error, SaslAuthenticationFailedError | UnsupportedSaslMechanismError) for error in errors):
        return _refused_login(section, servers)
    if (closed := _closed_way(section)) is not None:
        return closed
    if section.sasl_username is not None:
        return _refused_login(section, servers)
    return NotReadyError(
        f"Kafka at {servers} takes the connection but does not answer",
        where="[kafka] security_protocol",
        remedy=f"Does this port speak {section.security_protocol}? Ask Kafka's operator.",
    )


def read_topics(client: KafkaAdminClient, names: Sequence[str]) -> dict[str, FoundTopic]:
    """Return those of the topics that are there. Others are not asked for: some brokers create what is asked for."""
    there = sorted(set(client.list_topics()) & set(names))
    if not there:
        return {}
    partitions = {topic["name"]: len(topic["partitions"]) for topic in client.describe_topics(there)}
    configs = _read_configs(client, there)
    return {
        name: FoundTopic(name=name, partitions=partitions[name], configs=None if configs is None else configs.get(name))
        for name in there
    }


def ensure_topics(client: KafkaAdminClient, plans: Sequence[TopicPlan]) -> tuple[list[str], list[str]]:
    """Create the topics that are missing; return the names (created, there before). Raises NotReadyError."""
    there = set(client.list_topics())
    missing = [each for each in plans if each.name not in there]
    if missing:
        replication = replicas(client)
        wanted = {
            each.name: {
                "num_partitions": each.partitions,
                "replication_factor": replication,
                "configs": each.configs(replication),
            }
            for each in missing
        }
        try:
            client.create_topics(wanted, wait_for_metadata=True)
        except AuthorizationError as error:
            remedy = "--dry-run prints the commands for Kafka's operator."
            raise NotReadyError("Kafka does not allow this login to create topics", remedy=remedy) from error
        except KafkaError as error:
            remedy = "--dry-run prints the commands for Kafka's operator."
            raise NotReadyError(f"Kafka has not created the topics ({type(error).__name__})", remedy=remedy) from error
    return [each.name for each in missing], [each.name for each in plans if each.name in there]


def replicas(client: KafkaAdminClient) -> int:
    """Return the replication that a topic can have here: three, or as many brokers as there are."""
    return min(3, len(client.describe_cluster()["brokers"]))


def _read_configs(client: KafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]] | None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    with _overhear():
        try:
            answer = client.describe_configs(resources, config_filter="all").get("topic", {})
        except (KafkaError, OSError):  # no right to, or an embedded broker that drops the connection
            return None
    return {
        name: {key: entry["value"] for key, entry in configs.items()} for name, configs in answer.items() if configs
    }


def _closed_way(section: KafkaSection) -> NotReadyError | None:
    """Try the way to each broker; None when one of them can be reached."""
    first: tuple[str, str] | None = None
    for server in section.bootstrap_servers:
        failure = _try(section, *host_and_port(server))
        if failure is None:
            return None
        first = first or failure
    what, remedy = first or ("there is no broker to ask", "Name one.")
    return NotReadyError(what, where="[kafka] bootstrap_servers", remedy=remedy)


def _refused_login(section: KafkaSection, servers: str) -> NotReadyError:
    secret = section.sasl_password
    length = f" ({len(secret.reveal())} characters)" if secret is not None else ""
    return NotReadyError(
        f'Kafka at {servers} refuses the login of "{section.sasl_username}" ({section.sasl_mechanism})',
        where=secret.where if secret is not None and secret.where else "[kafka] sasl_password",
        remedy=f"The password comes from {secret}{length}. Ask Kafka's operator.",
    )


def _try(section: KafkaSection, host: str, port: int) -> tuple[str, str] | None:
    """Go the way to one broker by ourselves: name, TCP, TLS. Return (what, remedy), or None where it is open."""
    place = f"Kafka at {host}:{port}"
    try:
        connection = socket.create_connection((host, port), timeout=_PROBE)
    except socket.gaierror:
        return f"{place}: there is no such host name", "Is bootstrap_servers right, and is this machine's DNS working?"
    except OSError as error:
        remedy = "Is it running, is the port right, does a firewall stand between?"
        return f"{place} is not reached: {_short(error)}", remedy
    with connection:
        context = tls_context(section)
        if context is None:
            return None
        try:
            context.wrap_socket(connection, server_hostname=host).close()
        except ssl.SSLCertVerificationError as error:
            return f"{place}: its certificate is not accepted: {error.verify_message.lower()}", (
                "tls_ca is the authority that signed it; the name in bootstrap_servers is one of the certificate's."
            )
        except OSError as error:
            return f"{place}: TLS fails: {_short(error)}", (
                f"Does this port speak {section.security_protocol}? Ask Kafka's operator."
            )
    return None


def _short(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failure").replace("_", " ").lower()
    return (error.strerror or type(error).__name__).lower()


@contextlib.contextmanager
def _overhear() -> Iterator[list[BaseException]]:
    """Collect the exceptions that kafka-python only logs while it connects, and keep its noise from the terminal."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            arguments = record.args if isinstance(record.args, tuple) else ()
            heard.extend(argument for argument in arguments if isinstance(argument, BaseException))

    heard: list[BaseException] = []
    logger, listener = logging.getLogger("kafka"), Listener(logging.WARNING)
    before = logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield heard
    finally:
        logger.removeHandler(listener)
        logger.propagate = before
