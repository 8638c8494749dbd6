"""An example from beginning to end: embedded brokers, all roles as processes, the readings over MQTT, the SQLite file.

It is what `sotto demo` does with its own data. Everything that a role knows comes from its file.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from examples.plain import Expected, Key, expected
from examples.trial import Trial, read, topic_of, write_trial
from protocol.errors import NotReadyError
from protocol.topics import Topics
from runtime.retention import plan
from sotto.demo.child import FETCH_WAIT
from sotto.demo.children import Child, Children
from sotto.demo.place import listen_at
from sotto.demo.ports import free_port
from sotto.readings import read_messages
from sotto.replay import Publisher

START_SECONDS = 180.0
RESULT_SECONDS = 300.0
_TICK = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A number as the sink has written it."""

    steps: int
    resolution: Decimal
    verified: bool

    @property
    def value(self) -> Fraction:
        """Exactly."""
        return self.steps * Fraction(self.resolution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out, what must come out, and which jobs were suppressed: {(name, labels): reason}."""

    job: str
    found: Mapping[Key, Found]
    expected: Mapping[Key, Expected]
    suppressed: Mapping[tuple[str, str], str]
    directory: Path

    @property
    def right(self) -> bool:
        """Whether all numbers that must be there are, are right, and are the only ones."""
        return (
            not self.suppressed
            and self.found.keys() == self.expected.keys()
            and all(
                abs(one.value - self.expected[key].value) <= self.expected[key].off_by
                for key, one in self.found.items()
            )
        )


def run(job: str, directory: Path) -> Outcome:
    """Run the example of a job in a new directory. Raises SottoError when something cannot start or has died."""
    example = read(job)
    with Children(directory / "logs") as children:
        brokers = children.brokers(group_delay_ms=0)
        trial = write_trial(example, directory / "trial", mqtt=brokers.mqtt, kafka=brokers.kafka)
        for topic in plan(trial.task, Topics.of(trial.task), partitions=trial.roster.partitions):
            brokers.create_topics([topic.name], topic.partitions)
        roles = _start(trial, children)
        _wait_until_ready(roles, children)
        _publish(trial, brokers.mqtt)
        _wait_for_results(trial, children)
    found, suppressed = _results(trial.results)
    return Outcome(job=job, found=found, expected=expected(example), suppressed=suppressed, directory=directory)


def _start(trial: Trial, children: Children) -> list[Child]:
    started = []
    for role in trial.roles:
        http = f"127.0.0.1:{free_port()}"
        listen_at(role.path, http)
        environment = {} if role.kind == "gateway" else {FETCH_WAIT: "50"}
        started.append(children.role(role.name, (role.kind, str(role.path)), environment, http=http))
    return started


def _wait_until_ready(roles: Sequence[Child], children: Children) -> None:
    deadline = time.monotonic() + START_SECONDS
    waiting = list(roles)
    while waiting:
        children.check()
        waiting = [child for child in waiting if (child.page("readyz") or (0, ""))[0] != 200]
        if waiting and time.monotonic() > deadline:
            names = ", ".join(child.name for child in waiting)
            raise NotReadyError(f"not ready after {START_SECONDS:.0f} s: {names}", where=str(waiting[0].log.parent))
        time.sleep(_TICK)


def _publish(trial: Trial, mqtt: str) -> None:
    """Publish all readings, each to the topic of its organisation."""
    publisher = Publisher(mqtt)
    try:
        for message in read_messages(trial.csv, pattern=topic_of(trial.task.labels)):
            publisher.publish(message)
        while publisher.confirmed < publisher.sent:
            time.sleep(_TICK)
    finally:
        publisher.close()


def _wait_for_results(trial: Trial, children: Children) -> None:
    """Wait for the window. The sink writes it in one transaction, so all of it is there or nothing."""
    deadline = time.monotonic() + RESULT_SECONDS
    while not any(_results(trial.results)):
        children.check()
        if time.monotonic() > deadline:
            raise NotReadyError(f"no result after {RESULT_SECONDS:.0f} s", where=str(trial.directory.parent / "logs"))
        time.sleep(_TICK)


def _results(path: Path) -> tuple[dict[Key, Found], dict[tuple[str, str], str]]:
    """Read what the sink has written: the numbers, and what was suppressed. Empty while it has made no tables."""
    if not path.exists():
        return {}, {}
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
            numbers = db.execute("SELECT name, key, labels, steps_text, resolution, verified FROM joint").fetchall()
            hidden = db.execute("SELECT measure, labels, reason FROM outcomes WHERE outcome = 'suppressed'").fetchall()
    except sqlite3.OperationalError:
        return {}, {}
    return {
        Key(name, key, tuple(sorted(json.loads(labels).items()))): Found(
            steps=int(steps), resolution=Decimal(resolution), verified=bool(verified)
        )
        for name, key, labels, steps, resolution, verified in numbers
    }, {(name, labels): reason for name, labels, reason in hidden}
