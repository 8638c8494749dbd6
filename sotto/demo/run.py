"""The demo from beginning to end: brokers, roles as real processes, the replay, the comparison."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from mpc_ops.schemes import Scheme, scheme
from protocol.errors import ConfigError, NotReadyError
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.kafka import admin, ensure_topics
from runtime.retention import plan
from runtime.sections import KafkaSection
from sotto.demo.child import FETCH_WAIT
from sotto.demo.children import Brokers, Child, Children
from sotto.demo.compare import Tally, compare
from sotto.demo.outcomes import Found, InfluxResults, Results, SqliteResults
from sotto.demo.place import Servers, Wanted, alone, checked, listen_at, prepare
from sotto.demo.plain import MEASURE_COLUMNS, Due, Plain, compute
from sotto.demo.ports import free_port
from sotto.demo.scene import AREA, GATEWAY, LABEL, MEASURE, Progress, Setting
from sotto.demo.screen import Screen
from sotto.init import Trial, writing
from sotto.readings import Message, read_messages
from sotto.replay import Pace, Publisher

TOKEN = "SOTTO_INFLUX_TOKEN"  # noqa: S105  the name of a variable
SHOW = "SOTTO_DEMO_SHOW_SHARES"
START_SECONDS = 180.0
STALL_SECONDS = 90.0
"""After the last reading, so long without a new result, and the demo ends with what is missing."""
EMBEDDED_FETCH_WAIT_MS = 50
SETTLE_SECONDS = 10.0
_TICK = 0.05
_FRAME = 0.5
_SAMPLE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. Where `mqtt` or `kafka` is not given, the embedded one is used."""

    directory: Path | None = None
    mqtt: str | None = None
    kafka: str | None = None
    influx: str | None = None
    influx_org: str = "sotto"
    influx_bucket: str = "sotto"
    wanted: Wanted = Wanted()  # noqa: RUF009  frozen
    workers: int = 1
    seconds: float = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended."""

    plain: Plain
    tally: Tally
    directory: Path
    results: str
    measurement: str | None
    seconds: float
    stopped: bool


def run(options: Options, screen: Screen) -> Outcome:
    """Run the demo. Raises SottoError when something cannot start or has died; all processes are ended in any case."""
    begun = time.monotonic()
    directory = checked(options.directory, options.wanted)
    token = os.environ.get(TOKEN)
    if options.influx is not None and not token:
        raise ConfigError(
            f"--influx needs the token in the environment variable {TOKEN}",
            remedy=f"export {TOKEN}=...   (InfluxDB 1.x: user:password). It needs read and write on the bucket.",
        )
    with ExitStack() as stack:
        stack.enter_context(alone(directory))
        # The brokers' addresses stand in the files of the trial, so their log is there before its files are.
        with writing(directory.parent):
            staging = Path(tempfile.mkdtemp(prefix=".sotto-demo-", dir=directory.parent))
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        children = stack.enter_context(Children(staging / "logs"))
        stack.enter_context(screen)
        screen.say("Starting brokers and roles ...")
        brokers = None
        if options.mqtt is None or options.kafka is None:
            brokers = children.brokers(group_delay_ms=0 if options.workers == 1 else 2_000)
        servers = _servers(options, brokers, secrets.token_hex(4))
        trial = prepare(directory, own=options.directory is None, servers=servers, wanted=options.wanted)
        children.move_logs(trial.directory / "logs")
        shutil.rmtree(staging, ignore_errors=True)
        demo = _Demo(
            options=options,
            servers=servers,
            trial=trial,
            children=children,
            screen=screen,
            begun=begun,
            token=token or "",
        )
        return demo.run(brokers)


class _Demo:
    """One run, after its files have been written."""

    def __init__(
        self,
        *,
        options: Options,
        servers: Servers,
        trial: Trial,
        children: Children,
        screen: Screen,
        begun: float,
        token: str,
    ) -> None:
        self._options = options
        self._servers = servers
        self._trial = trial
        self._children = children
        self._screen = screen
        self._begun = begun
        self._task = load(trial.task, Task)
        self._roster = load(trial.roster, Roster)
        self._scheme = scheme(self._task.scheme.name, len(self._task.party))
        self._plain = compute(trial.csv, self._task, self._roster)
        self._messages = read_messages(trial.csv, pattern=trial.topic)
        self._readings = _cumulative(self._messages)
        self._results = self._open_results(token)
        self._watch = _Watch(task=self._task, sharing=self._scheme)
        self._found: Mapping[Due, Found] = {}
        self._setting: Setting | None = None
        self._all_there: float | None = None

    def run(self, brokers: Brokers | None) -> Outcome:
        self._reach()
        self._create_topics(brokers)
        roles = self._start_roles()
        self._wait_ready(roles)
        stopped = self._replay([child for name, child in roles if name in self._task.party])
        return Outcome(
            plain=self._plain,
            tally=compare(self._plain, self._found),
            directory=self._trial.directory,
            results=self._results.where,
            measurement=self._servers.measurement,
            seconds=time.monotonic() - self._begun,
            stopped=stopped,
        )

    def _open_results(self, token: str) -> Results:
        if self._trial.results is not None:
            return SqliteResults(self._trial.results)
        assert self._servers.influx is not None and self._servers.measurement is not None  # noqa: PT018  as in _servers
        return InfluxResults(
            url=self._servers.influx,
            org=self._servers.influx_org,
            bucket=self._servers.influx_bucket,
            token=token,
            measurement=self._servers.measurement,
            labels=self._task.labels,
            span=(self._plain.windows[0], self._plain.windows[-1] + self._task.window.size),
        )

    def _reach(self) -> None:
        """Say at once that a given server does not answer or refuses the token, and not after waiting for the roles."""
        if self._options.mqtt is not None:
            Publisher(self._options.mqtt).close()
        self._results.read()

    def _create_topics(self, brokers: Brokers | None) -> None:
        topics = Topics.of(self._task, self._servers.topic_prefix)
        wanted = plan(self._task, topics, partitions=self._roster.partitions)
        if self._options.kafka is None:
            assert brokers is not None, "internal error: no brokers"
            for number in sorted({each.partitions for each in wanted}):
                brokers.create_topics([each.name for each in wanted if each.partitions == number], number)
            return
        section = KafkaSection(
            bootstrap_servers=(self._options.kafka,), security_protocol="PLAINTEXT", allow_plaintext=True
        )
        with admin(section, client_id="sotto-demo") as client:
            ensure_topics(client, wanted)

    def _start_roles(self) -> list[tuple[str, Child]]:
        started = []
        for role in self._trial.roles:
            # A party shows its share of one reading only when it is started with this, and only for this reading.
            environment = {SHOW: f"{LABEL}={AREA},measure={MEASURE},gateway={GATEWAY}"} if role.kind == "party" else {}
            if self._options.kafka is None and role.kind != "gateway":
                environment[FETCH_WAIT] = str(EMBEDDED_FETCH_WAIT_MS)
            for worker in range(self._options.workers if role.kind == "party" else 1):
                name = role.name if worker == 0 else f"{role.name}.{worker + 1}"
                http = f"127.0.0.1:{free_port()}"
                if worker == 0:
                    listen_at(role.path, http)
                child = self._children.role(name, (role.kind, str(role.path)), environment, http=http)
                started.append((role.name, child))
        return started

    def _wait_ready(self, roles: Sequence[tuple[str, Child]]) -> None:
        deadline = time.monotonic() + START_SECONDS
        waiting = [child for _, child in roles]
        while waiting:
            self._children.check()
            # One worker of a party may be left without partitions: it counts as ready once it answers at all.
            waiting = [child for child in waiting if not _is_ready(child)]
            if waiting and time.monotonic() > deadline:
                said = "\n".join(f"{child.name}: {_why(child)}" for child in waiting)
                raise NotReadyError(
                    f"{len(waiting)} of {len(roles)} processes are not ready after {START_SECONDS:.0f} s",
                    where=str(self._trial.directory / "logs"),
                    remedy=f"{said}\nTheir logs say what they wait for.",
                )
            if waiting:
                self._screen.say(f"Starting {len(roles)} processes: {len(roles) - len(waiting)} are ready ...")
                time.sleep(0.2)

    def _replay(self, parties: Sequence[Child]) -> bool:
        """Publish, watch, and wait for the results. Return whether somebody has pressed q."""
        publisher = Publisher(self._servers.mqtt)
        try:
            return self._loop(publisher, parties)
        finally:
            publisher.close()

    def _loop(self, publisher: Publisher, parties: Sequence[Child]) -> bool:
        begun = time.monotonic()
        span = (self._messages[-1].time - self._messages[0].time) / 1_000
        pace = Pace(self._messages, speed=max(span / self._options.seconds, 0.001), now=begun)
        timer = _Timer(begun)
        moved = begun
        while True:
            now = time.monotonic()
            while publisher.sent < pace.due(now) and publisher.publish(self._messages[publisher.sent]):
                moved = now
            key = self._screen.key()
            if key in ("q", "Q", "\x03"):
                return True
            if key == " ":
                pace.pause_or_resume(now)
            if timer.due("sample", _SAMPLE, now):
                self._watch.look(parties)
            if timer.due("results", self._results.seconds_between, now):
                before = len(self._found)
                self._found = self._results.read()
                moved = now if len(self._found) > before or pace.paused else moved
                self._children.check()
            if timer.due("frame", _FRAME, now):
                self._show(publisher, paused=pace.paused)
            if self._complete(now):
                self._show(publisher, paused=False)
                return False
            if publisher.sent == len(self._messages) and now - moved > STALL_SECONDS:
                return False
            time.sleep(_TICK)

    def _complete(self, now: float) -> bool:
        """Whether every due cell has its outcome.

        A database is read while it is written: an outcome may be visible a moment before its value. What is wrong
        counts as wrong only when it has stayed so.
        """
        tally = compare(self._plain, self._found)
        if tally.missing:
            return False
        self._all_there = now if self._all_there is None else self._all_there
        return tally.all_right or now - self._all_there > SETTLE_SECONDS

    def _show(self, publisher: Publisher, *, paused: bool) -> None:
        sent = max(publisher.confirmed, 1)
        seen = Progress(
            event_time=self._event_time(sent),
            elapsed=round(time.monotonic() - self._begun),
            paused=paused,
            readings=self._readings[min(sent, len(self._readings)) - 1],
            found=self._found,
            samples=self._watch.samples,
        )
        self._screen.show(self._view_setting(), seen)

    def _event_time(self, sent: int) -> int:
        # The sample's times carry no zone: for the pace they count as UTC, in truth they are the task's local time.
        return self._messages[min(sent, len(self._messages)) - 1].time - self._task.window.utc_offset

    def _view_setting(self) -> Setting:
        if self._setting is None:
            parties = len(self._task.party)
            sink = "InfluxDB" if self._servers.influx else "sink"
            self._setting = Setting(
                plain=self._plain,
                size=self._task.window.size,
                utc_offset=self._task.window.utc_offset,
                unit=self._task.measures[MEASURE].unit,
                areas=self._roster.labels[LABEL],
                parties=self._task.party_names,
                components=self._scheme.components,
                held=len(self._scheme.held_by(0)),
                minimum=self._task.policy.min_organisations,
                running=f"{len(self._roster.gateways)} gateways, {parties} parties, collector, {sink}, MQTT, Kafka   "
                f"in {_short(self._trial.directory)}",
                planned=round(time.monotonic() - self._begun + self._options.seconds + 6),
            )
        return self._setting


@dataclass(kw_only=True)
class _Watch:
    """What the parties' own pages show of one reading: for each window, the number at each party."""

    task: Task
    sharing: Scheme
    samples: dict[int, dict[str, int]] = field(default_factory=dict, repr=False)

    def look(self, parties: Iterable[Child]) -> None:
        for child in parties:
            status = child.status()
            sample = status.get("sample")
            name = status.get("name")
            if not isinstance(sample, dict) or name not in self.task.party_names:
                continue
            # Component i is held by party i in both schemes, so the parties together show all of them.
            own = sample["components"].get(str(self.task.party_names.index(name)))
            if own is not None:
                self.samples.setdefault(int(sample["window"]), {})[name] = int(own)


class _Timer:
    """Says which of several things is due again."""

    def __init__(self, now: float) -> None:
        self._next: dict[str, float] = {}
        self._begun = now

    def due(self, name: str, every: float, now: float) -> bool:
        if now < self._next.get(name, self._begun):
            return False
        self._next[name] = now + every
        return True


def _servers(options: Options, brokers: Brokers | None, nonce: str) -> Servers:
    mqtt_here, kafka_here = options.mqtt is None, options.kafka is None
    assert brokers is not None or not (mqtt_here or kafka_here), "internal error: no brokers"
    return Servers(
        mqtt=brokers.mqtt if brokers is not None and options.mqtt is None else options.mqtt or "",
        kafka=brokers.kafka if brokers is not None and options.kafka is None else options.kafka or "",
        mqtt_version="3.1.1" if mqtt_here else None,
        mqtt_root=None if mqtt_here else f"demo-{nonce}",
        kafka_api_version="2.3" if kafka_here else None,
        influx=options.influx,
        influx_org=options.influx_org,
        influx_bucket=options.influx_bucket,
        measurement=None if options.influx is None else f"beijing_air_{nonce}",
        topic_prefix=None if kafka_here else f"sotto.beijing-air-{nonce}.",
    )


def _is_ready(child: Child) -> bool:
    answer = child.page("readyz")
    return answer is not None and answer[0] == 200


def _why(child: Child) -> str:
    answer = child.page("readyz")
    return "no answer yet" if answer is None else answer[1].strip().replace("\n", ", ")


def _cumulative(messages: Sequence[Message]) -> list[int]:
    """How many readings the first message has, the first two have, ..."""
    total, counts = 0, []
    for message in messages:
        row = json.loads(message.payload)
        total += sum(isinstance(row[column], int | float) for column in MEASURE_COLUMNS.values())
        counts.append(total)
    return counts


def _short(path: Path) -> str:
    text = str(path)
    return text if text.startswith(("/", ".")) else f"./{text}"
