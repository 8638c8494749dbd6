"""A role's look at its topics before its first record: is there what "once" rests on? (`runtime.retention` decides.)

Kafka being away never stops a role, so the look waits until Kafka answers. What is wrong with the topics does: waiting
does not mend it, and a window could be released twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import structlog

from protocol.errors import NotReadyError
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.kafka import admin, read_topics
from runtime.retention import FoundTopic, problems
from runtime.sections import KafkaSection

_log = structlog.get_logger("sotto.kafka")

_CONNECT_MS = 3_000
"""For a Kafka that has just answered somebody else in this process; after that it is tried again."""


class TopicsError(NotReadyError):
    """Topics that are there are not as the task needs them, or are not there although Kafka is."""


class Reader(Protocol):
    """What is asked of Kafka. Raises NotReadyError where it does not answer."""

    def __call__(self, kafka: KafkaSection, names: Sequence[str], /) -> dict[str, FoundTopic]:
        """Return those of the topics that are there."""
        ...


def topics_of(role: str, name: str, topics: Topics) -> tuple[str, ...]:
    """Return the topics that a role (gateway, party, ...) reads or writes: others it may not even see."""
    match role:
        case "gateway":
            return (*(topics.shares(party) for party in topics.parties), topics.roster)
        case "party":
            rounds = (topics.rounds,) if topics.joint else ()
            return (topics.shares(name), topics.contributions(name), topics.control, *rounds, topics.roster)
        case "collector":
            return (topics.control, topics.aggregates, topics.roster)
        case "sink":
            return (topics.aggregates,)
    raise ValueError(f"there is no role {role}")


def check_topics(
    task: Task,
    topics: Topics,
    found: dict[str, FoundTopic],
    *,
    own: Sequence[str],
    roster: Roster | None,
    server: str,
    file: Path,
) -> tuple[str, ...]:
    """Raise TopicsError (error 7 of operators.md) for what is wrong; return the topics whose settings are not readable.

    A sink has no roster: any number of partitions is right for it. `server` and the role's `file` are for the commands
    in the remedy.
    """
    partitions = max((each.partitions for each in found.values()), default=1) if roster is None else roster.partitions
    faults = problems(task, topics, found, partitions=partitions, server=server, file=file, only=own)
    if faults:
        more = "".join(f"\nAlso: {each.what}" for each in faults[1:])
        raise TopicsError(faults[0].what, where="[kafka]", remedy=faults[0].remedy + more)
    return tuple(each.name for each in found.values() if each.configs is None)


class TopicCheck:
    """Call it from a thread until it returns: it then has looked, once for this process."""

    def __init__(
        self,
        *,
        kafka: KafkaSection,
        task: Task,
        topics: Topics,
        own: Sequence[str],
        roster: Roster | None,
        file: Path,
        read: Reader | None = None,
    ) -> None:
        """`own` as `topics_of`; `roster` None for a sink; `file`: the role's. `read` stands in for Kafka under test."""
        self._kafka = kafka
        self._task = task
        self._topics = topics
        self._own = own
        self._roster = roster
        self._file = file
        self._read = read or _read
        self.done = False

    def __call__(self) -> None:
        """Raise TopicsError, or another NotReadyError where Kafka does not answer: then it is not done."""
        if self.done:
            return
        unread = check_topics(
            self._task,
            self._topics,
            self._read(self._kafka, self._own),
            own=self._own,
            roster=self._roster,
            server=self._kafka.bootstrap_servers[0],
            file=self._file,
        )
        self.done = True
        if unread:
            _log.warning(
                "retention_unknown",
                topics=list(unread),
                remedy="Their settings cannot be read (no right DescribeConfigs?). Ask Kafka's operator whether they"
                " are as `sotto topics --dry-run` prints them.",
            )


def _read(kafka: KafkaSection, names: Sequence[str]) -> dict[str, FoundTopic]:
    with admin(kafka, client_id="sotto-start", timeout=_CONNECT_MS) as client:
        return read_topics(client, names)
