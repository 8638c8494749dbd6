"""What Kafka's topics must be like for "once" to hold, and what is wrong with those that are there. Pure.

If `control` forgot what `shares` still holds, a window could be agreed and released a second time over another set of
contributions, and the difference of the two releases is somebody's readings. So: retention of control >=
contributions >= shares + give_up_after + 1 day; nothing is compacted; Kafka's clock stamps the records; no unclean
leader is elected.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.task import Task
from protocol.topics import Topics
from protocol.units import format_duration

DAY: Final = 86_400_000
SHARES_RETENTION: Final = 7 * DAY
LARGEST_ROUND: Final = 16 << 20
"""Bytes that a record on `rounds` may have. All jobs of a window speak in one record: a checked 16 x 16 linear system
makes one of 0.34 MB, of 0.49 MB with the largest numbers."""
_COMMAND: Final = "kafka-{tool}.sh --bootstrap-server {server}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlan:
    """One topic as it should be. `retention` is milliseconds, None for ever; `largest` a record's bytes, None for
    what Kafka is set to."""

    name: str
    partitions: int
    retention: int | None
    largest: int | None = None

    def configs(self, replication: int) -> dict[str, str]:
        """Return the topic's settings in Kafka's names."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": "-1" if self.retention is None else str(self.retention),
            "retention.bytes": "-1",
            "message.timestamp.type": "LogAppendTime",
            "unclean.leader.election.enable": "false",
            "min.insync.replicas": str(max(1, replication - 1)),
            **({} if self.largest is None else {"max.message.bytes": str(self.largest)}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTopic:
    """One topic as it is. `configs` is None where they cannot be read (no right to, or an embedded broker)."""

    name: str
    partitions: int
    configs: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a topic, and the command for Kafka's operator."""

    what: str
    remedy: str


def plan(task: Task, topics: Topics, *, partitions: int, shares: int = SHARES_RETENTION) -> tuple[TopicPlan, ...]:
    """Return all topics of a task. `partitions` is the roster's, `shares` how long shares are kept (milliseconds)."""
    kept = shares + task.window.give_up_after + DAY
    rounds = TopicPlan(name=topics.rounds, partitions=partitions, retention=kept, largest=LARGEST_ROUND)
    return (
        *(TopicPlan(name=topics.shares(party), partitions=partitions, retention=shares) for party in topics.parties),
        *(
            TopicPlan(name=topics.contributions(party), partitions=partitions, retention=kept)
            for party in topics.parties
        ),
        TopicPlan(name=topics.control, partitions=partitions, retention=kept),
        *((rounds,) if topics.joint else ()),
        TopicPlan(name=topics.aggregates, partitions=partitions, retention=kept),
        TopicPlan(name=topics.roster, partitions=1, retention=None),
    )


def problems(
    task: Task,
    topics: Topics,
    found: Mapping[str, FoundTopic],
    *,
    partitions: int,
    server: str,
    file: Path,
    only: Sequence[str] = (),
) -> list[Problem]:
    """Return what is wrong with the topics that are there, worst first.

    `only` limits the check to topics that a role reads or writes (it may not see others). `server` and `file`, the
    configuration of a role, are for the commands: a topic's name begins with what the file says.
    """
    wanted = [each for each in plan(task, topics, partitions=partitions) if not only or each.name in only]
    missing = [each.name for each in wanted if each.name not in found]
    faults = [_missing(missing, len(wanted), file)] if missing else []
    for each in wanted:
        if (there := found.get(each.name)) is not None:
            faults += _number(each, there)
            faults += _settings(each, there, server)
    return faults + _retention(task, topics, found, server)


def create_command(plan: TopicPlan, *, server: str, replication: int) -> str:
    """Return the line that makes a topic, for teams that may not make it themselves."""
    configs = " ".join(f"--config {key}={value}" for key, value in plan.configs(replication).items())
    command = _COMMAND.format(tool="topics", server=server)
    return (
        f"{command} --create --if-not-exists --topic {plan.name} --partitions {plan.partitions}"
        f" --replication-factor {replication} {configs}"
    )


def _alter_command(name: str, key: str, value: str, server: str) -> str:
    command = _COMMAND.format(tool="configs", server=server)
    change = f"--alter --entity-type topics --entity-name {name} --add-config {key}={value}"
    return f"Kafka's operator runs:\n{command} {change}"


def _missing(missing: Sequence[str], wanted: int, file: Path) -> Problem:
    names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return Problem(
        what=f"{len(missing)} of {wanted} topics are not there (or not visible for this login): {names}",
        remedy=f"Make them: sotto topics {shlex.quote(str(file))}   Not allowed to? --dry-run prints the commands.",
    )


def _number(wanted: TopicPlan, found: FoundTopic) -> list[Problem]:
    if found.partitions == wanted.partitions:
        return []
    return [
        Problem(
            what=f"topic {found.name} has {found.partitions} partitions, the roster says {wanted.partitions}",
            remedy="Who computes another partition misses records, so nothing starts. Before the first start:\n"
            "delete the topic and make it again (sotto topics); later the number changes with a roster only.",
        )
    ]


def _settings(wanted: TopicPlan, found: FoundTopic, server: str) -> list[Problem]:
    if found.configs is None:
        return []
    faults = []
    reasons = {
        "cleanup.policy": "Compaction would remove records on which the one order rests.",
        "message.timestamp.type": "Records must carry Kafka's own time, or retention follows the clocks of senders.",
        "unclean.leader.election.enable": "An unclean leader forgets records that others have acted upon.",
    }
    for key, reason in reasons.items():
        value = wanted.configs(1)[key]
        if found.configs.get(key, value) != value:
            what = f"topic {found.name} has {key}={found.configs[key]}, {value} is needed"
            faults.append(Problem(what=what, remedy=f"{reason} {_alter_command(found.name, key, value, server)}"))
    if wanted.largest is not None and int(found.configs.get("max.message.bytes", wanted.largest)) < wanted.largest:
        what = f"topic {found.name} takes records of {found.configs['max.message.bytes']} bytes at most"
        reason = "What parties say in one round of joint computation is one record, and can be longer."
        command = _alter_command(found.name, "max.message.bytes", str(wanted.largest), server)
        faults.append(Problem(what=what, remedy=f"{reason} {command}"))
    if found.configs.get("retention.bytes", "-1") != "-1":
        what = f"topic {found.name} forgets by size (retention.bytes={found.configs['retention.bytes']})"
        faults.append(Problem(what=what, remedy=_alter_command(found.name, "retention.bytes", "-1", server)))
    return faults


def _retention(task: Task, topics: Topics, found: Mapping[str, FoundTopic], server: str) -> list[Problem]:
    kept = {
        name: int(there.configs["retention.ms"])
        for name, there in found.items()
        if there.configs is not None and "retention.ms" in there.configs
    }
    give_up = task.window.give_up_after
    faults = []
    needs: list[tuple[int, str]] = []  # what control and rounds must keep, and why
    for party in topics.parties:
        own, shares = topics.contributions(party), kept.get(topics.shares(party))
        if shares is not None:
            reason = f"shares {_days(shares, short=True)} + give_up_after {format_duration(give_up)} + 1d"
            least = -1 if shares == -1 else shares + give_up + DAY
            if own in kept and _shorter(kept[own], least):
                faults.append(_too_short(own, kept[own], least, reason, server))
            needs.append((least, reason))
        if own in kept:
            needs.append((kept[own], f"as {own}"))
    most = max(needs, key=lambda need: math.inf if need[0] == -1 else need[0], default=None)
    if most is not None:
        logs = (topics.control, topics.rounds)
        faults += [_too_short(log, kept[log], *most, server) for log in logs if _shorter(kept.get(log, -1), most[0])]
    if kept.get(topics.roster, -1) != -1:
        what = f"topic {topics.roster} forgets after {format_duration(kept[topics.roster])}, it must never forget"
        faults.append(Problem(what=what, remedy=_alter_command(topics.roster, "retention.ms", "-1", server)))
    return faults


def _shorter(one: int, other: int) -> bool:
    """Compare two retentions; -1 is for ever."""
    return one != -1 and (other == -1 or one < other)


def _too_short(name: str, kept: int, needed: int, reason: str, server: str) -> Problem:
    wanted = "for ever is" if needed == -1 else f"{_days(needed)} are"
    return Problem(
        what=f"topic {name} keeps records for {_days(kept)}, {wanted} needed ({reason})",
        remedy="With a shorter memory a window could be released twice, so nothing starts. "
        + _alter_command(name, "retention.ms", str(needed), server),
    )


def _days(ms: int, *, short: bool = False) -> str:
    if ms == -1 or short:
        return "for ever" if ms == -1 else format_duration(ms)
    days, rest = divmod(ms, DAY)
    return format_duration(ms) if rest else f"{days} day{'' if days == 1 else 's'}"
