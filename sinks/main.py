"""`sotto sink FILE`: from topic `aggregates` to a database, until somebody says stop."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from protocol.errors import NotReadyError
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.fold import Flow
from runtime.logs import configure
from runtime.sections import HttpSection
from runtime.serving import Health, notify_systemd, serve
from runtime.topic_check import TopicCheck, topics_of
from runtime.worker import SystemClock, run_worker
from sinks.config import SinkFile
from sinks.influx import InfluxStore
from sinks.metrics import SinkMetrics
from sinks.points import series_name
from sinks.sqlite import SqliteStore
from sinks.writer import LONGEST_PAUSE, Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.lane import Clock
    from runtime.runner import Runner
    from sinks.store import Store

_log = structlog.get_logger("sotto.sink")


def run(path: Path, *, http: str | None = None, stop: threading.Event | None = None) -> None:
    """Run the sink of a configuration file until SIGTERM, SIGINT or `stop`. `http` overrides `[http] listen`.

    Raises ConfigError and NotReadyError; a database or a Kafka that is away is waited for.
    """
    config = load(path, SinkFile)
    task = load(config.task, Task)
    configure(config.log.level, config.log.format)
    pages = config.http if http is None else HttpSection(listen=http)
    clock = SystemClock()
    topics = Topics.of(task, config.kafka.topic_prefix)
    store = open_store(config, task, clock=clock.wall, entropy=os.urandom)
    registry = CollectorRegistry()
    metrics = SinkMetrics(registry, task)
    writer = Writer(task=task, store=store, metrics=metrics, clock=clock)
    pulse = _Pulse(task=task, writer=writer, store=store, metrics=metrics, topic=topics.aggregates, clock=clock)
    server = serve(pages.listen, registry, pulse.health)
    stop = stop or threading.Event()
    looking = threading.Thread(target=_look, args=(writer, store, stop), name="sotto-sink-look", daemon=True)
    group = group_of(topics, store)
    _log.info("started", sink=store.kind, where=store.where, task=task.name, topic=topics.aggregates, group=group)
    try:
        looking.start()
        notify_systemd("READY=1")
        run_worker(
            group=group,
            kafka=config.kafka,
            flows=[Flow(name="sink", topics=(topics.aggregates,), make=lambda _number, _starts: writer)],
            clock=clock,
            beat=pulse,
            check=TopicCheck(
                kafka=config.kafka,
                task=task,
                topics=topics,
                own=topics_of("sink", "sink", topics),
                roster=None,
                file=path,
            ),
            stop=stop,
        )
    finally:
        stop.set()
        notify_systemd("STOPPING=1")
        writer.close()
        if server is not None:
            server.close()
        _log.info("stopped", windows=writer.windows)


def open_store(config: SinkFile, task: Task, *, clock: Callable[[], int], entropy: Callable[[int], bytes]) -> Store:
    """Open what [influxdb] or [sqlite] names. Raises NotReadyError, and ConfigError for labels that do not fit."""
    if config.influxdb is not None:
        influx = config.influxdb
        return InfluxStore(
            url=influx.url,
            org=influx.org,
            bucket=influx.bucket,
            token=influx.token.reveal(),
            measurement=influx.measurement or series_name(task.name),
            labels=task.labels,
            clock=clock,
            joint=bool(task.joint),
            tls_ca=influx.tls_ca,
        )
    if config.sqlite is None:
        raise AssertionError("SinkFile has exactly one of the two")
    return SqliteStore(config.sqlite.path, labels=task.labels, clock=clock, entropy=entropy, joint=bool(task.joint))


def group_of(topics: Topics, store: Store) -> str:
    """Kafka's consumer group of a store: processes that write to the same store share the work."""
    return f"{topics.prefix}sink.{store.identity}"


class _Pulse:
    """Called five times a second by the loop: carries what the process knows to its health pages and metrics."""

    def __init__(
        self, *, task: Task, writer: Writer, store: Store, metrics: SinkMetrics, topic: str, clock: Clock
    ) -> None:
        self._task = task
        self._writer = writer
        self._store = store
        self._metrics = metrics
        self._topic = topic
        self._behind: int | None = None
        self._partitions: list[int] = []
        self._was_caught_up = False
        self.health = Health(clock=lambda: int(clock.monotonic() * 1_000), status=self._status)
        self.health.expect("kafka", "partitions", store.kind)

    def __call__(self, runner: Runner | None) -> None:
        connected = runner is not None and runner.connected
        assigned = runner is not None and runner.ready
        if runner is not None and assigned:
            (flow,) = runner.status()
            self._partitions = list(flow.partitions)
            self._behind = flow.lag.get(self._topic, 0) if flow.lag or not flow.partitions else None
            self._was_caught_up = self._was_caught_up or flow.caught_up
            if self._behind is not None:
                self._metrics.lag.set(self._behind)
        self._metrics.up.labels("kafka").set(connected)
        self.health.set_ready("kafka", connected, "no answer")
        self.health.set_ready("partitions", assigned and self._was_caught_up, "not read to the end yet")
        self.health.set_ready(self._store.kind, self._writer.up, "does not take results")
        self.health.beat()

    def _status(self) -> dict[str, object]:
        return {
            "role": "sink",
            "task": self._task.name,
            "task_id": self._task.id,
            "sink": self._store.kind,
            "where": self._store.where,
            "up": self._writer.up,
            "windows_written": self._writer.windows,
            "recent": list(self._writer.recent),
            "behind": self._behind,
            "partitions": self._partitions,
        }


def _look(writer: Writer, store: Store, stop: threading.Event) -> None:
    """Say at the start, not with the first window an hour later, whether the database takes results and keeps them."""
    while not stop.is_set():
        try:
            warning = writer.look()
        except NotReadyError as error:
            _log.error("not_ready", sink=store.kind, detail=str(error.what), where=error.where, remedy=error.remedy)
            stop.wait(LONGEST_PAUSE)
        else:
            if warning:
                _log.warning("results_will_be_dropped", detail=warning, remedy="Lengthen the retention of the bucket.")
            return
