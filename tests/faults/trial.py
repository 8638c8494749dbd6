"""The files of a campaign: a trial of `sotto init`, with short windows and readings that tell which one is lost.

One measure of whole numbers with 44 bits: the difference of two sums then names the reading, or the pair, that is
behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from protocol.identity import format_identity
from protocol.keys import KeyFile
from protocol.task import Task
from protocol.topics import Topics
from protocol.units import format_duration, iso
from runtime.files import load
from runtime.keyfiles import read_key
from sotto.demo.place import with_keys
from sotto.init import MEMBERS, RoleFile, quoted, roster_text, write, write_trial

TASK: Final = "faults"
MEASURE: Final = "load"
LABEL: Final = "area"
LARGEST: Final = 2**44 - 1
"""The largest reading; the smallest is 0."""
PARTITIONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the trial is to be like. Times are in milliseconds.

    `deadline` has to be longer than `lateness`: parties must not go on without a gateway that is only waiting for
    late readings.
    """

    scheme: Literal["replicated", "additive"] = "replicated"
    parties: int = 3
    workers: int = 1
    """Processes of each party."""
    window: int = 10_000
    lateness: int = 40_000
    deadline: int = 70_000
    partitions: int = PARTITIONS
    seals_by: Literal["wall", "event"] = "wall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a role reaches its servers; through a proxy of its own, so that each way can be broken by itself."""

    mqtt: str
    kafka: str
    influx: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What was written."""

    task: Task
    topics: Topics
    roles: tuple[RoleFile, ...]
    first: int
    """Start of the first window."""
    last: int
    """End of the last one."""


def write_files(directory: Path, wanted: Wanted, *, ways: Mapping[str, Addresses], first: int, windows: int) -> Files:
    """Write the trial. The task has `windows` windows from `first` on; `ways` has every role's addresses."""
    any_way = next(iter(ways.values()))
    trial = write_trial(
        directory,
        mqtt=any_way.mqtt,
        kafka=any_way.kafka,
        influx=any_way.influx,
        scheme=wanted.scheme,
        parties=wanted.parties,
        measurement=TASK,
    )
    keys = {path.stem: read_key(path) for path in (directory / "keys").glob("*.key")}
    last = first + windows * wanted.window
    write(trial.task, _task_text(wanted, keys, first=first, last=last))
    task = load(trial.task, Task)
    write(trial.roster, roster_text(task, keys, partitions=wanted.partitions))
    for role in trial.roles:
        way = ways[role.name]
        text = role.path.read_text()
        if role.kind == "gateway":
            text = _gateway_text(text, way, seals_by=wanted.seals_by)
        if role.kind == "sink":
            text = with_keys(text, "influxdb", {"url": quoted(way.influx)})
        write(role.path, with_keys(text, "kafka", {"bootstrap_servers": f"[{quoted(way.kafka)}]"}))
    return Files(task=task, topics=Topics.of(task, None), roles=trial.roles, first=first, last=last)


def topic_of(organisation: str, area: str, sensor: str) -> str:
    """Return the MQTT topic of a sensor."""
    return f"{organisation}/load/{area}/{sensor}"


def party_names(wanted: Wanted) -> tuple[str, ...]:
    """Return the names that `sotto init` gives to the parties."""
    three = ("city-it", "university", "waterworks")
    return three if wanted.parties == 3 else tuple(f"party-{number}" for number in range(1, wanted.parties + 1))


def gateway_names() -> tuple[str, ...]:
    """Return the names of the gateways: one of each organisation."""
    return tuple(member.gateway for member in MEMBERS)


def role_names(wanted: Wanted) -> tuple[str, ...]:
    """Return the names of all roles; workers of one party share one."""
    return (*gateway_names(), *party_names(wanted), "collector", "sink")


def party_tables(wanted: Wanted, keys: Mapping[str, KeyFile]) -> str:
    """Return the [party.*] tables of a task."""
    return "".join(
        f"[party.{name}]\n"
        f'operator = "Operator {name}"\n'
        f"identity = {quoted(format_identity(keys[name].public_identity))}\n\n"
        for name in party_names(wanted)
    )


def _task_text(wanted: Wanted, keys: Mapping[str, KeyFile], *, first: int, last: int) -> str:
    return f"""# task.toml: what a fault campaign agrees on
format      = 1
name        = {quoted(TASK)}
purpose     = "To be exact under faults"
valid_from  = {iso(first)}
valid_until = {iso(last)}
labels      = [{quoted(LABEL)}]

[window]
size     = {quoted(format_duration(wanted.window))}
lateness = {quoted(format_duration(wanted.lateness))}
deadline = {quoted(format_duration(wanted.deadline))}

[measures]
{MEASURE} = {{ unit = "W", range = [0, {LARGEST}], resolution = 1, statistics = ["sum"] }}

[scheme]
name = {quoted(wanted.scheme)}

[policy]
min_organisations = 3

[limits]
max_gateways = 16
max_rows     = 10000

{party_tables(wanted, keys)}[collector]
operator = "Whoever looks on"
identity = {quoted(format_identity(keys["collector"].public_identity))}
"""


def with_source(text: str, topic: Callable[[str], str], measures: Mapping[str, str]) -> str:
    """Return a gateway's file of `sotto init` with our kind of message, at the `topic` of its organisation.

    `measures`: name -> where its value stands in a reading, which is an object in the list `r`, with its time `t`.
    """
    head, _, rest = text.partition("[[source]]")
    kafka = rest[rest.index("[kafka]") :]
    organisation = next(member.organisation for member in MEMBERS if f'organisation = "{member.organisation}"' in head)
    paths = "\n".join(f"{name} = {quoted(path)}" for name, path in measures.items())
    return f"""{head}[[source]]
topic       = {quoted(topic(organisation))}
each        = "$.r[*]"
sensor      = "{{sensor}}"
time        = "$.t"
time_format = "ms"

[source.labels]
{LABEL} = "{{area}}"

[source.measures]
{paths}

{kafka}"""


def _gateway_text(text: str, way: Addresses, *, seals_by: str) -> str:
    """Our kind of message, sealing by the clock or by the readings."""
    own = with_source(text, lambda organisation: topic_of(organisation, "{area}", "{sensor}"), {MEASURE: "$.v"})
    clock = {"seals_by": quoted(seals_by), "require_sync": "false"}
    return with_keys(with_keys(own, "clock", clock), "mqtt", {"url": quoted(way.mqtt)})
