"""`sotto topics`: create Kafka's topics, or print the commands and the access rules for Kafka's operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from protocol.errors import ConfigError
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.kafka import admin, ensure_topics
from runtime.retention import create_command, plan
from runtime.sections import KafkaSection, host_and_port, is_loopback
from sotto.roles import kind_of, read_role, read_task
from sotto.terminal import answer, say


class Rule(NamedTuple):
    """What one login of Kafka may do. `kind` is "topic" or "group"; a group's name is the beginning of names."""

    principal: str
    operations: tuple[str, ...]
    kind: str
    name: str


class _Given(NamedTuple):
    task: Task
    roster: Roster | None
    topics: Topics
    kafka: KafkaSection | None


def topics(
    file: Annotated[Path, typer.Argument(help="task.toml, or the file of any role.", show_default=False)],
    *,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT; default: \\[kafka] of the role's file.")] = None,
    partitions: Annotated[int | None, typer.Option(min=1, max=1024, help="Default: as the roster says.")] = None,
    roster: Annotated[Path | None, typer.Option(help="Default: roster.toml beside the task.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands, change nothing.")] = False,
    replication: Annotated[int, typer.Option(min=1, max=9, help="For --dry-run: copies of each topic.")] = 3,
    acls: Annotated[bool, typer.Option("--acls", help="Print the access rules, change nothing.")] = False,
    only: Annotated[str | None, typer.Option(help="With --acls: the rules of one role, like north-1.")] = None,
) -> None:
    """Create the topics of a task in Kafka, with the retention that it needs; those that are there stay as they are."""
    given = _read(file, roster)
    number = partitions or (given.roster.partitions if given.roster else 3)
    plans = plan(given.task, given.topics, partitions=number)
    server = kafka or (given.kafka.bootstrap_servers[0] if given.kafka else "HOST:PORT")
    if acls:
        granted = list(rules(given.task, given.topics, given.roster))
        logins = list(dict.fromkeys(rule.principal for rule in granted))
        if only is not None and only not in logins:
            raise ConfigError(f"--only: there is no role {only}", remedy=f"There are: {', '.join(logins)}.")
        for rule in granted:
            if only in (None, rule.principal):
                answer(acl_command(rule, server=server))
        return
    if dry_run:
        for each in plans:
            answer(create_command(each, server=server, replication=replication))
        return
    section = given.kafka if kafka is None else _section(kafka, given.kafka)
    if section is None:
        remedy = "Add --kafka HOST:PORT, or give the file of a role instead of the task."
        raise ConfigError("where is Kafka?", remedy=remedy)
    with admin(section) as client:
        created, there = ensure_topics(client, plans)
    parties = len(given.topics.parties)
    rounds = "rounds, " if given.topics.joint else ""
    kinds = f"{parties} x shares, {parties} x contributions, control, {rounds}aggregates, roster"
    say(
        f"Created {len(created)} topics with prefix {given.topics.prefix}"
        f" ({kinds}: {len(plans)} wanted, {len(there)} were there)"
    )
    say("Not allowed to create topics? --dry-run prints the commands for Kafka's operator.   Access rules: --acls")


def rules(task: Task, names: Topics, roster: Roster | None) -> Iterator[Rule]:
    """Return what each role may do, and nothing more. The name of a login is the name of its role.

    A gateway that could read `shares`, or a party that could write another's, would still meet seals and signatures;
    the rules keep it from filling topics.
    """
    see = ("Describe", "DescribeConfigs")
    for gateway in roster.gateways if roster else ():
        for party in names.parties:
            yield Rule(gateway, ("Write", *see), "topic", names.shares(party))
        yield Rule(gateway, ("Read", *see), "topic", names.roster)
    for party in task.party_names:
        yield Rule(party, ("Read", *see), "topic", names.shares(party))
        yield Rule(party, ("Read", "Write", *see), "topic", names.contributions(party))
        yield Rule(party, ("Read", "Write", *see), "topic", names.control)
        if names.joint:
            yield Rule(party, ("Read", "Write", *see), "topic", names.rounds)
        yield Rule(party, ("Read", *see), "topic", names.roster)
        yield Rule(party, ("Read",), "group", f"{names.prefix}party.{party}")
    yield Rule("collector", ("Read", "Write", *see), "topic", names.control)
    yield Rule("collector", ("Read", "Write", *see), "topic", names.aggregates)
    yield Rule("collector", ("Read", *see), "topic", names.roster)
    yield Rule("collector", ("Read",), "group", f"{names.prefix}collector")
    yield Rule("sink", ("Read", *see), "topic", names.aggregates)
    yield Rule("sink", ("Read",), "group", f"{names.prefix}sink.")


def acl_command(rule: Rule, *, server: str) -> str:
    """Return the line of kafka-acls.sh that grants a rule."""
    operations = " ".join(f"--operation {operation}" for operation in rule.operations)
    pattern = " --resource-pattern-type prefixed" if rule.kind == "group" else ""
    return (
        f"kafka-acls.sh --bootstrap-server {server} --add --allow-principal User:{rule.principal}"
        f" {operations} --{rule.kind} {rule.name}{pattern}"
    )


def _read(file: Path, roster: Path | None) -> _Given:
    section = prefix = None
    if kind_of(file) == "task":
        task, roster = load(file, Task), roster or _beside(file)
    else:
        role = read_role(file)
        task, section, prefix = read_task(role), role.kafka, role.kafka.topic_prefix
        roster = roster or getattr(role.file, "roster", None) or _beside(role.file.task)
    return _Given(task, load(roster, Roster) if roster else None, Topics.of(task, prefix), section)


def _beside(task: Path) -> Path | None:
    path = task.parent / "roster.toml"
    return path if path.exists() else None


def _section(server: str, base: KafkaSection | None) -> KafkaSection:
    try:
        host, _ = host_and_port(server)
    except ValueError as error:
        raise ConfigError(f"--kafka: {error}") from None
    if base is not None:
        return base.model_copy(update={"bootstrap_servers": (server,)})
    if not is_loopback(host):
        raise ConfigError(
            "--kafka alone would go to another machine without encryption",
            remedy="Give the file of a role, whose [kafka] says how to log in: sotto topics party.toml",
        )
    return KafkaSection(bootstrap_servers=(server,), security_protocol="PLAINTEXT")
