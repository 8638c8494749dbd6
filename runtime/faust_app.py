"""Flows inside a Faust app. With `faust_settings` this is the one module that knows Faust.

Faust brings the group membership, the fetching and the producer. It never commits (`acks=False`, `noack()`):
what to commit and when is the runner's decision (reference/streams.md, reference/ecosystem.md).
"""

# ruff: noqa: ANN401 - what Faust hands over has no types

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop

uvloop.install()  # before Faust is imported: it makes its loops then

import faust  # noqa: E402
from aiokafka.errors import (  # noqa: E402
    KafkaError,
    MessageSizeTooLargeError,
    RecordTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition  # noqa: E402
from faust.assignor import PartitionAssignor  # noqa: E402

from runtime.fold import Flow, Log, LogError, Output, Place, Record, Start, Undeliverable  # noqa: E402
from runtime.kafka import tls_context  # noqa: E402
from runtime.lane import Clock  # noqa: E402
from runtime.lookout import ANSWER, Lookout  # noqa: E402
from runtime.retention import LARGEST_ROUND  # noqa: E402
from runtime.runner import Runner  # noqa: E402
from runtime.sections import KafkaSection  # noqa: E402
from runtime.unexpected import in_brief  # noqa: E402

_log = structlog.get_logger("sotto.fold")
_T = TypeVar("_T")

DELIVERY = 10.0
"""Seconds after which an unconfirmed record counts as not delivered and is sent again."""


def quiet_libraries() -> None:
    """Below INFO these print records, keys and passwords: shares in a log (invariant 5)."""
    for name in ("faust", "mode", "aiokafka", "kafka"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logging.WARNING, logger.level))


def _credentials(kafka: KafkaSection) -> faust.types.auth.CredentialsT | None:
    context = tls_context(kafka)
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password.reveal() if kafka.sasl_password else None,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context else None


class AllTopics(PartitionAssignor):
    """Distributes partitions of all topics or of none.

    A broker that has just started names no topics yet. Faust's leader then leaves out those that it does not see, and
    the whole group sits there without partitions until its next look at the topics, minutes later. An error ends this
    attempt to join; the process tries again with what the broker says then.
    """

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """Raises UnknownTopicOrPartitionError while a topic that somebody reads is not there."""
        wanted = {topic for member in member_metadata.values() for topic in member.subscription}
        if missing := sorted(topic for topic in wanted if not cluster.partitions_for_topic(topic)):
            raise UnknownTopicOrPartitionError(f"the broker does not know {', '.join(missing)} yet")
        return super().assign(cluster, member_metadata)


def faust_app(*, group: str, kafka: KafkaSection, folder: Path) -> faust.App:
    """An app that keeps nothing, serves nothing, creates nothing and commits nothing by itself."""
    session = kafka.session_timeout / 1000
    return faust.App(
        group,
        broker=[f"kafka://{server}" for server in kafka.bootstrap_servers],
        broker_credentials=_credentials(kafka),
        store="memory://",
        datadir=str(folder),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        PartitionAssignor=AllTopics,
        stream_wait_empty=False,  # it can wait for minutes; what is unfinished is simply read again
        stream_buffer_maxsize=64,  # of records that can have 100 kB; lanes have their own queues
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=session,
        broker_heartbeat_interval=max(0.2, session / 6),
        broker_request_timeout=max(10.0, session + 4),
        broker_rebalance_timeout=max(10.0, 2 * session),
        producer_acks=-1,
        producer_request_timeout=DELIVERY,
        producer_max_request_size=LARGEST_ROUND,  # each topic has its own limit; fetches take a longer first record too
    )


class FaustLog(Log):
    """Kafka through the clients of a running Faust app.

    The consumer lives in a thread of its own. Its coroutines are run there directly: Faust's queue of calls to that
    thread has two workers, and a fetch can hold both of them for a second.
    """

    def __init__(self, app: faust.App, lookout: Lookout) -> None:
        self._app = app
        self._lookout = lookout

    async def send(self, output: Output) -> None:
        producer: Any = self._app.producer
        try:
            sent = await producer.send(output.topic, output.key, output.value, output.partition, None, None)
            await sent
        except (MessageSizeTooLargeError, RecordTooLargeError) as error:
            raise Undeliverable(type(error).__name__) from error
        except (KafkaError, faust.exceptions.FaustError, RuntimeError) as error:
            if isinstance(error.__cause__, MessageSizeTooLargeError):
                raise Undeliverable(type(error.__cause__).__name__) from error
            raise LogError(type(error.__cause__ or error).__name__) from error

    async def starts(self, places: Sequence[Place]) -> Mapping[Place, Start]:
        partitions = [TopicPartition(*place) for place in places]
        committed = await self._there(self._consumer()._coordinator.fetch_committed_offsets(partitions))
        oldest, ends = await asyncio.gather(self._lookout.oldest(places), self._lookout.ends(places))
        starts = {}
        for place, partition in zip(places, partitions, strict=True):
            at = committed[partition].offset if partition in committed else -1
            if at > ends[place]:
                _log.error("topic_was_replaced", topic=place.topic, partition=place.partition, committed=at)
                at = -1
            starts[place] = Start(first=max(at, oldest[place]), end=ends[place])
        return starts

    async def ends(self, places: Sequence[Place], topics: Sequence[str]) -> Mapping[Place, int]:
        return await self._lookout.ends(places, topics)

    async def seek(self, place: Place, offset: int) -> None:
        try:
            async with asyncio.timeout(ANSWER):
                await self._app.consumer.seek_wait({faust.types.TP(*place): offset})
        except (KafkaError, TimeoutError, AssertionError, faust.exceptions.FaustError) as error:
            raise LogError(in_brief(error)) from error

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        wanted = {TopicPartition(*place): OffsetAndMetadata(offset, "") for place, offset in offsets.items()}
        await self._there(self._consumer().commit(wanted))

    def lost_membership(self) -> BaseException | None:
        """What ended the consumer's part in the group: a refused right, an answer that it does not understand.

        aiokafka raises it to whoever fetches through its front door, and Faust does not: without this look the process
        would sit there without partitions for ever.
        """
        try:
            self._consumer()._coordinator.check_errors()
        except KafkaError as error:
            reason: BaseException = error
            return reason
        except (LogError, AttributeError):
            pass  # not started yet
        return None

    def _consumer(self) -> Any:
        thread = self._thread()
        if thread is None or thread._consumer is None:
            raise LogError("the consumer is not there yet")
        return thread._consumer

    def _thread(self) -> Any:
        consumer: Any = self._app.consumer
        return consumer._thread

    async def _there(self, call: Awaitable[_T]) -> _T:
        """Run a coroutine of the consumer where the consumer lives, with a time limit."""
        loop: asyncio.AbstractEventLoop = self._thread().thread_loop
        try:
            async with asyncio.timeout(ANSWER):
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_await(call), loop))
        except (KafkaError, TimeoutError, RuntimeError, ValueError) as error:
            raise LogError(in_brief(error)) from error


async def _await(call: Awaitable[_T]) -> _T:
    return await call


class Worker:
    """A Faust app and the runner in it, once: after `stop` or a crash a new one is made."""

    def __init__(
        self,
        *,
        group: str,
        kafka: KafkaSection,
        flows: Sequence[Flow],
        clock: Clock,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sotto-")  # Faust makes empty folders there
        self.app = faust_app(group=group, kafka=kafka, folder=Path(self._folder.name))
        self._lookout = Lookout(kafka)
        self.log = FaustLog(self.app, self._lookout)
        self.runner = Runner(flows=flows, log=self.log, clock=clock, failed=failed)
        self._tasks: list[asyncio.Task[None]] = []
        self._connect(sorted({topic for flow in flows for topic in flow.topics}))

    def _connect(self, topics: Sequence[str]) -> None:
        app, runner = self.app, self.runner
        channel = app.topic(*topics, key_serializer="raw", value_serializer="raw", acks=False)

        async def feed(stream: Any) -> None:
            async for event in stream.noack().events():
                message = event.message
                await runner.feed(
                    Record(
                        topic=message.topic,
                        partition=message.partition,
                        offset=message.offset,
                        key=message.key,
                        value=message.value or b"",
                        timestamp=round((message.timestamp or 0) * 1000),
                    )
                )

        app.agent(channel, name="feed", concurrency=1)(feed)

        async def assigned(*args: Any, **_: Any) -> None:
            assigned: Collection[Any] = args[-1]
            runner.assigned([Place(each.topic, each.partition) for each in assigned if each.topic in topics])

        async def revoked(*_: Any, **__: Any) -> None:
            await runner.close()  # all of them, always: Faust's protocol is the eager one

        self._handlers = (assigned, revoked)  # signals hold their receivers weakly
        app.on_partitions_assigned.connect(assigned)
        app.on_partitions_revoked.connect(revoked)

    async def start(self) -> None:
        """Return when the app runs. Raises what Faust raises when Kafka cannot be reached."""
        for work in (self.runner.commit_for_ever(), self.runner.look_for_ever()):
            self._tasks.append(asyncio.get_running_loop().create_task(work))
        await self.app.start()

    @property
    def crashed(self) -> BaseException | None:
        """What Faust crashed with, or why this process is no member of the group any more."""
        if self.app.crashed or self.app.should_stop:
            return self.app.crash_reason or RuntimeError("Faust stopped")
        return self.log.lost_membership()

    async def stop(self) -> None:
        """Commit, leave the group, end."""
        await self.runner.close()
        for task in self._tasks:
            task.cancel()
        await self._lookout.close()
        try:
            await self.app.stop()
        finally:
            self._folder.cleanup()
