"""`sotto party FILE` and `sotto collector FILE`: from a configuration file to a worker that runs until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from protocol.errors import ConfigError
from protocol.keys import Card, KeyFile
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.fold import Flow
from runtime.keyfiles import read_cards, read_key
from runtime.lane import Clock
from runtime.logs import configure
from runtime.metrics import CommonMetrics
from runtime.runner import Runner
from runtime.sections import HttpSection, KafkaSection, LogSection
from runtime.serving import Health, notify_systemd, serve
from runtime.topic_check import TopicCheck, topics_of
from runtime.worker import SystemClock, run_worker
from streams.collect import CollectorRole
from streams.config import CollectorFile, PartyFile
from streams.joint.netlists import load_netlists
from streams.joint.plan import Plan, plans_of
from streams.metrics import WorkMetrics
from streams.party import PartyRole
from streams.work import Snapshot

_log = structlog.get_logger("sotto.role")

LOOK_EVERY = 3
"""Beats between two looks at the work, for the pages: a beat is a fifth of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """Task, roster, topics and the own key, found to belong together."""

    task: Task
    roster: Roster
    topics: Topics
    key: KeyFile
    cards: Mapping[str, Card]
    plans: tuple[Plan, ...]

    @classmethod
    def load(cls, config: PartyFile | CollectorFile, *, name: str, where: str) -> Agreed:
        """Read the files that a configuration names. Raises ConfigError where they contradict each other."""
        task = load(config.task, Task)
        roster = load(config.roster, Roster)
        roster.verify(task)
        key = read_key(config.key)
        role = "party" if isinstance(config, PartyFile) else "collector"
        if role == "party" and name not in task.party:
            raise ConfigError(
                f"{name} is no party of this task", where=where, remedy=f"Its parties: {', '.join(task.party_names)}."
            )
        operator = task.party[name] if role == "party" else task.collector
        if key.role != role or key.public_identity != operator.identity:
            raise ConfigError(
                f"this is not the key of {name} in {config.task.name}",
                where=f"{where}: key",
                remedy="The task names another identity: sotto keys show FILE prints the one of a key.",
            )
        if key.card().fingerprint != roster.sealing_keys.get(name):
            raise ConfigError(
                f"the sealing key of {name} is not the one in the roster",
                where=f"{where}: key",
                remedy="What is sealed to the roster's key could not be opened. Take the newer of the two.",
            )
        topics = Topics.of(task, config.kafka.topic_prefix)
        return cls(
            task=task,
            roster=roster,
            topics=topics,
            key=key,
            cards=read_cards(config.roster, roster, task),
            plans=plans_of(task, roster, load_netlists(task, config.task.parent)),
        )


def run_party(
    path: Path, *, http: str | None = None, show_share: str | None = None, stop: threading.Event | None = None
) -> None:
    """Run a party's worker until SIGTERM, SIGINT or `stop`.

    `http` overrides `[http] listen`. `show_share` ("area=outer,measure=no2,gateway=north-1") makes /status show this
    party's share of one reading: for trials on one machine, where there is nothing to protect.
    """
    config = load(path, PartyFile)
    _configure(config.log)
    agreed = Agreed.load(config, name=config.name, where=path.name)
    registry = CollectorRegistry()
    role = PartyRole(
        task=agreed.task,
        roster=agreed.roster,
        topics=agreed.topics,
        key=agreed.key,
        cards=agreed.cards,
        plans=agreed.plans,
        registry=registry,
        show_share=show_share,
    )
    _run(
        agreed,
        path=path,
        kafka=config.kafka,
        http=http if http is not None else config.http.listen,
        registry=registry,
        role="party",
        name=config.name,
        flows=role.flows(),
        shown=role.document,
        refresh=role.refresh,
        stop=stop,
    )


def run_collector(path: Path, *, http: str | None = None, stop: threading.Event | None = None) -> None:
    """Run the collector's worker until SIGTERM, SIGINT or `stop`. `http` overrides `[http] listen`."""
    config = load(path, CollectorFile)
    _configure(config.log)
    agreed = Agreed.load(config, name="collector", where=path.name)
    registry = CollectorRegistry()
    role = CollectorRole(
        task=agreed.task,
        roster=agreed.roster,
        topics=agreed.topics,
        key=agreed.key,
        registry=registry,
        plans=agreed.plans,
    )
    _run(
        agreed,
        path=path,
        kafka=config.kafka,
        http=http if http is not None else config.http.listen,
        registry=registry,
        role="collector",
        name="collector",
        flows=role.flows(),
        shown=role.document,
        refresh=role.refresh,
        stop=stop,
    )


def _configure(log: LogSection) -> None:
    configure(log.level, log.format)


def _run(
    agreed: Agreed,
    *,
    path: Path,
    kafka: KafkaSection,
    http: str,
    registry: CollectorRegistry,
    role: str,
    name: str,
    flows: Sequence[Flow],
    shown: Callable[[], Mapping[str, object]],
    refresh: Callable[[Snapshot, int], None],
    stop: threading.Event | None,
) -> None:
    clock = SystemClock()
    watch = _Watch(agreed, role=role, name=name, registry=registry, clock=clock, shown=shown, refresh=refresh)
    HttpSection(listen=http)
    server = serve(http, registry, watch.health)
    try:
        run_worker(
            group=f"{agreed.topics.prefix}{role}.{name}" if role == "party" else f"{agreed.topics.prefix}{role}",
            kafka=kafka,
            flows=flows,
            clock=clock,
            beat=watch.beat,
            check=TopicCheck(
                kafka=kafka,
                task=agreed.task,
                topics=agreed.topics,
                own=topics_of(role, name, agreed.topics),
                roster=agreed.roster,
                file=path,
            ),
            stop=stop,
        )
    finally:
        notify_systemd("STOPPING=1")
        if server is not None:
            server.close()
    _log.info("stopped", role=role, task=agreed.task.name)


class _Watch:
    """Called by the loop five times a second: it tells the pages, and says `started` once everything is read."""

    def __init__(
        self,
        agreed: Agreed,
        *,
        role: str,
        name: str,
        registry: CollectorRegistry,
        clock: Clock,
        shown: Callable[[], Mapping[str, object]],
        refresh: Callable[[Snapshot, int], None],
    ) -> None:
        self.health = Health(clock=lambda: round(clock.monotonic() * 1000), status=self._document)
        self.health.expect("kafka", "partitions")
        self._agreed = agreed
        self._role = role
        self._name = name
        self._shown = shown
        self._refresh = refresh
        self._snapshot = Snapshot()
        self._page: dict[str, object] = {}
        self._said = False
        self._beats = 0
        self._clock = clock
        self._common = CommonMetrics(registry, role=role, task=agreed.task, roster=agreed.roster)
        WorkMetrics(registry, role=role, work=lambda: self._snapshot)

    def beat(self, runner: Runner | None) -> None:
        self.health.beat()
        self._beats += 1
        if self._beats % LOOK_EVERY != 1:
            return
        self._snapshot = snapshot = Snapshot.of(runner, prefix=self._agreed.topics.prefix)
        self._refresh(snapshot, self._clock.wall())
        self._page = {
            "role": self._role,
            "name": self._name,
            "task": self._agreed.task.name,
            "task_id": self._agreed.task.id,
            "roster": self._agreed.roster.version,
            "of_partitions": self._agreed.roster.partitions,
            **snapshot.document(),
            **self._shown(),
        }
        self._common.up.labels("kafka").set(snapshot.connected)
        self.health.set_ready("kafka", snapshot.connected, "not reached")
        self.health.set_ready("partitions", snapshot.ready, "not assigned, or not read to the end yet")
        if not self._said and snapshot.connected and (snapshot.lag or snapshot.ready):
            self._said = True
            notify_systemd("READY=1")
            partitions = {number for flow in snapshot.flows for number in flow.partitions}
            _log.info(
                "started",
                **{self._role: self._name},
                task=self._agreed.task.name,
                roster=self._agreed.roster.version,
                partitions=len(partitions),
                behind=sum(snapshot.lag.values()),
            )

    def _document(self) -> Mapping[str, object]:
        return self._page
