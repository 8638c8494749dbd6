"""Running flows until somebody says stop: no broker yet, a broker that goes, a signal, a worker that fails."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import structlog
from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError

from protocol.errors import NotReadyError
from runtime.faust_app import Worker, quiet_libraries
from runtime.fold import Flow
from runtime.lane import Clock
from runtime.lookout import aiokafka_login
from runtime.runner import Runner
from runtime.sections import KafkaSection
from runtime.topic_check import TopicsError
from runtime.unexpected import in_brief

_log = structlog.get_logger("sotto.fold")

STOP = 4.0
"""Seconds for Faust to stop. Then the process ends anyway: nothing is lost, all that counts is in Kafka."""
LEAVE = 3.0
"""Further seconds for the loop to end."""
BEAT = 0.2
LOOK = 0.02
PATIENCE = 45.0
"""Seconds without partitions after which Faust is started anew. Kafka gives them within two session timeouts."""
PAUSES = (0.5, 1.0, 2.0, 5.0)


class SystemClock:
    """This machine's clocks."""

    def wall(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds from anywhere."""
        return time.monotonic()


def run_worker(
    *,
    group: str,
    kafka: KafkaSection,
    flows: Sequence[Flow],
    clock: Clock,
    beat: Callable[[Runner | None], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
) -> None:
    """Block until SIGTERM, SIGINT or `stop`. `beat` is called five times a second with the runner at work.

    `group` is Kafka's consumer group: every process with the same one takes part of the partitions. Kafka being
    away is waited out. `check` is called in a thread when Kafka answers, before anything is read, until it returns.
    Raises what a fold raised, `TopicsError` of the check, and `NotReadyError` for topics that are uneven.
    """
    quiet_libraries()
    halted = _Until(stop)
    job = _Job(group=group, kafka=kafka, flows=flows, clock=clock, beat=beat, check=check, halted=halted)
    try:
        with asyncio.Runner() as runner:
            runner.run(job.run())
    finally:
        job.guard.cancel()
        if job.stuck:
            job.leave()


class _Until:
    """A stop that comes from a signal or from another thread."""

    def __init__(self, stop: threading.Event | None) -> None:
        self._stop = stop
        self._signalled = False

    def listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._signal)

    def _signal(self) -> None:
        self._signalled = True

    def __bool__(self) -> bool:
        return self._signalled or (self._stop is not None and self._stop.is_set())


class _Job:
    def __init__(
        self,
        *,
        group: str,
        kafka: KafkaSection,
        flows: Sequence[Flow],
        clock: Clock,
        beat: Callable[[Runner | None], None],
        check: Callable[[], None],
        halted: _Until,
    ) -> None:
        self.stuck = False
        self.failure: BaseException | None = None
        self._group = group
        self._kafka = kafka
        self._flows = flows
        self._clock = clock
        self._beat = beat
        self._check = check
        self._halted = halted
        self._checked = False
        # Tasks of Faust's that swallow their cancellation can hold up even the end of the loop.
        self.guard = threading.Timer(STOP + LEAVE, self.leave)
        self.guard.daemon = True

    def leave(self) -> None:
        """End the process at once: a thread or a task of Faust's does not end, and all that counts is in Kafka."""
        os._exit(0 if self.failure is None else getattr(self.failure, "exit_code", 1))

    async def run(self) -> None:
        self._halted.listen()
        pauses = 0
        while not self._halted and self.failure is None:
            if await self._kafka_is_there():
                began = self._clock.monotonic()
                await self._work()
                if self._clock.monotonic() - began > 60:
                    pauses = 0
            if not self._halted and self.failure is None:
                await self._rest(PAUSES[min(pauses, len(PAUSES) - 1)])
                pauses += 1
        if self.failure is not None:
            raise self.failure

    async def _work(self) -> None:
        worker = Worker(group=self._group, kafka=self._kafka, flows=self._flows, clock=self._clock, failed=self._failed)
        start = asyncio.get_running_loop().create_task(worker.start())
        try:
            while not self._halted and self.failure is None:
                self._beat(worker.runner)
                if start.done() and (error := start.exception()) is not None:
                    _log.warning("kafka_does_not_answer", wanted="start", detail=in_brief(error))
                    break
                if (crash := worker.crashed) is not None:
                    _log.error("restarts", detail=in_brief(crash))
                    break
                if worker.runner.unassigned_for > max(PATIENCE, 4 * self._kafka.session_timeout / 1000):
                    _log.error("restarts", detail="no part of the group for too long")
                    break
                await asyncio.sleep(BEAT)
        finally:
            await self._end(worker, start)

    async def _end(self, worker: Worker, start: asyncio.Task[None]) -> None:
        start.cancel()
        if self._halted or self.failure is not None:
            self.guard.start()
        try:
            async with asyncio.timeout(STOP):
                await worker.stop()
                await asyncio.gather(start, return_exceptions=True)
        except TimeoutError:
            _log.warning("stop_takes_too_long", seconds=STOP)
            self.stuck = True
        except Exception as error:  # noqa: BLE001 - we are leaving; Faust's reasons change nothing any more
            _log.warning("stop_failed", detail=in_brief(error))

    def _failed(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            _log.error("worker_failed", detail=in_brief(error), exc_info=error)

    async def _rest(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while not self._halted and self._clock.monotonic() < until:
            self._beat(None)
            await asyncio.sleep(BEAT)

    async def _kafka_is_there(self) -> bool:
        """Whether a broker answers and has the topics. Faust itself would end, or wait in silence."""
        client = AIOKafkaClient(request_timeout_ms=5_000, **aiokafka_login(self._kafka))
        names = sorted({topic for flow in self._flows for topic in (*flow.topics, *flow.watch, *flow.outputs)})
        try:
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()  # of all: to ask for one by name could create it
            counts = {name: len(cluster.partitions_for_topic(name) or ()) for name in names}
        except (KafkaError, OSError) as error:
            servers = ", ".join(self._kafka.bootstrap_servers)
            _log.warning("kafka_does_not_answer", servers=servers, detail=in_brief(error))
            return False
        finally:
            await client.close()
        if not await self._topics_are_right():
            return False
        missing = [name for name, count in counts.items() if not count]
        if missing:
            _log.warning("topics_missing", topics=missing, remedy="Create them: sotto topics task.toml")
            return False
        for flow in self._flows:
            if len({counts[topic] for topic in flow.topics}) > 1:
                self._failed(
                    NotReadyError(
                        "topics that are read together have different numbers of partitions: "
                        + ", ".join(f"{topic} {counts[topic]}" for topic in flow.topics),
                        remedy="Create them anew with the same number: sotto topics task.toml",
                    )
                )
                return False
        return True

    async def _topics_are_right(self) -> bool:
        """Whether the check has passed, once for this process. It blocks, so it goes to a thread; a stop leaves it."""
        if self._checked:
            return True
        answer: list[BaseException | None] = []

        def look() -> None:
            try:
                self._check()
            except BaseException as error:  # noqa: BLE001 - handed on to the loop
                answer.append(error)
            else:
                answer.append(None)

        threading.Thread(target=look, name="sotto-check", daemon=True).start()
        while not answer and not self._halted:
            self._beat(None)
            await asyncio.sleep(LOOK)
        if not answer:
            return False
        match answer[0]:
            case None:
                self._checked = True
            case NotReadyError() as error if not isinstance(error, TopicsError):
                _log.warning("kafka_does_not_answer", wanted="topics", detail=error.what)
            case error:
                self._failed(error)
        return self._checked
