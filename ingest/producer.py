"""Make producers of kafka-python: idempotent, lazily, and so that they really end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from ingest.publisher import Producer
from runtime.kafka import client_settings, diagnose
from runtime.sections import KafkaSection


class _Producer(KafkaProducer):  # type: ignore[misc]  # kafka-python has no types
    """A producer whose `close` ends its thread.

    kafka-python's own `close` (3.0.12) raises where records cannot be flushed in time, before it stops the thread:
    each outage would leave one behind, which goes on sending old records beside its successor.
    """

    def flush(self, timeout: float | None = None) -> None:
        """Wait for what was sent, without an error where that takes too long: futures tell."""
        try:
            super().flush(timeout)
        except KafkaTimeoutError:
            return


def connector(section: KafkaSection, client_id: str) -> Callable[[], Producer]:
    """Return what makes a producer: lazily, since its constructor blocks and raises while no broker answers."""

    def connect() -> Producer:
        settings: dict[str, Any] = client_settings(section, client_id=client_id)
        try:
            producer: Producer = _Producer(
                enable_idempotence=True,  # said, so that a setting that contradicts it raises
                acks="all",
                linger_ms=2,
                batch_size=1 << 18,  # for a spool that drains: a request holds many records of a partition
                max_block_ms=10_000,
                reconnect_backoff_max_ms=1_000,  # its own 30 s would be added to each outage of Kafka
                delivery_timeout_ms=60_000,
                allow_auto_create_topics=False,
                **settings,
            )
        except KafkaError as error:
            raise diagnose(section, [error]) from error
        return producer

    return connect
