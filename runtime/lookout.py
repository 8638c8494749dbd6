"""Asking Kafka where partitions begin and end, on a connection of its own.

Kafka answers what comes over one connection in order, and a fetch that waits for records holds up whatever is asked
behind it. Whether Kafka is there, and how far one is behind, must not be known late only because nothing comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from runtime.fold import LogError, Place
from runtime.kafka import tls_context
from runtime.sections import KafkaSection
from runtime.unexpected import in_brief

ANSWER = 2.0
"""Seconds that any request of ours to Kafka may take."""


def aiokafka_login(kafka: KafkaSection) -> dict[str, Any]:
    """How to reach and log in, as aiokafka takes it. Holds the password: never log it."""
    settings: dict[str, Any] = {
        "bootstrap_servers": list(kafka.bootstrap_servers),
        "security_protocol": kafka.security_protocol,
    }
    if (context := tls_context(kafka)) is not None:
        settings["ssl_context"] = context
    if kafka.sasl_username is not None and kafka.sasl_password is not None:
        settings["sasl_mechanism"] = kafka.sasl_mechanism
        settings["sasl_plain_username"] = kafka.sasl_username
        settings["sasl_plain_password"] = kafka.sasl_password.reveal()
    return settings


class Lookout:
    """A consumer that consumes nothing. Every question raises LogError when there is no answer in time."""

    def __init__(self, kafka: KafkaSection) -> None:
        self._kafka = kafka
        self._client: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def oldest(self, places: Iterable[Place]) -> dict[Place, int]:
        """The first offset that Kafka still has, of each partition."""
        return await self._ask("beginning_offsets", places, ())

    async def ends(self, places: Iterable[Place], topics: Collection[str] = ()) -> dict[Place, int]:
        """The offset of the next record, of each of these partitions and of all partitions of these topics."""
        return await self._ask("end_offsets", places, topics)

    async def close(self) -> None:
        """Let go of the connection; the next question opens another one."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(ANSWER):
                    await client.stop()

    async def _ask(self, question: str, places: Iterable[Place], topics: Collection[str]) -> dict[Place, int]:
        try:
            async with asyncio.timeout(ANSWER):
                client = await self._started()
                wanted = {TopicPartition(*place) for place in places}
                for topic in topics:
                    await client._client.add_topic(topic)
                    numbers = client.partitions_for_topic(topic) or ()
                    wanted |= {TopicPartition(topic, number) for number in numbers}
                found = await getattr(client, question)(list(wanted)) if wanted else {}
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            raise LogError(in_brief(error)) from error
        return {Place(partition.topic, partition.partition): offset for partition, offset in found.items()}

    async def _started(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._client is None:
                client = AIOKafkaConsumer(request_timeout_ms=5_000, **aiokafka_login(self._kafka))
                try:
                    await client.start()
                except BaseException:
                    with suppress(KafkaError, OSError):
                        await client.stop()
                    raise
                self._client = client
            return self._client
