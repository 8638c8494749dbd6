"""The files of a trial whose task has every kind of job: measured loads, and what an organisation would not show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from protocol.identity import format_identity
from protocol.keys import KeyFile
from protocol.task import Task
from protocol.topics import Topics
from protocol.units import format_duration, iso
from runtime.files import load
from runtime.keyfiles import read_key
from sotto.demo.place import with_keys
from sotto.init import MEMBERS, quoted, roster_text, write, write_trial
from tests.faults.joint_plain import (
    BITS,
    COEFFICIENTS,
    LARGEST_BITS,
    LIMIT,
    MEAN_LIMIT,
    MOST_READINGS,
    netlist,
)
from tests.faults.trial import LABEL, TASK, Addresses, Files, Wanted, party_tables, with_source

WINDOW: Final = 10_000
"""Milliseconds of event time: windows of the past, which follow each other as fast as their readings come."""
LATENESS: Final = 1_000
NETLIST: Final = "adder.txt"
MEASURES: Final = {
    "load": '{ unit = "kW", range = [-200, 500], resolution = 0.1, statistics = ["sum"] }',
    "price": '{ unit = "EUR/(kW.h)", range = [-100, 400], resolution = 0.01, statistics = [] }',
    "volume": '{ unit = "kW.h", range = [0, 1000], resolution = 1, statistics = [] }',
    "a1": '{ unit = "1", range = [-20, 20], resolution = 0.5, statistics = [] }',
    "a2": '{ unit = "1", range = [-20, 20], resolution = 0.5, statistics = [] }',
    "a3": '{ unit = "1", range = [-20, 20], resolution = 0.5, statistics = [] }',
    "b": '{ unit = "1", range = [-100, 100], resolution = 0.1, statistics = [] }',
    "x": f'{{ unit = "1", range = [0, {LARGEST_BITS}], resolution = 1, statistics = [] }}',
    "y": f'{{ unit = "1", range = [0, {LARGEST_BITS}], resolution = 1, statistics = [] }}',
}


def write_joint(directory: Path, wanted: Wanted, *, ways: Mapping[str, Addresses], first: int, windows: int) -> Files:
    """Write the trial, as `tests.faults.trial.write_files` does its own."""
    any_way = next(iter(ways.values()))
    trial = write_trial(
        directory, mqtt=any_way.mqtt, kafka=any_way.kafka, influx=any_way.influx, parties=3, measurement=TASK
    )
    keys = {path.stem: read_key(path) for path in (directory / "keys").glob("*.key")}
    last = first + windows * wanted.window
    write(directory / NETLIST, netlist())
    write(trial.task, _task_text(wanted, keys, first=first, last=last))
    task = load(trial.task, Task)
    write(trial.roster, roster_text(task, keys, partitions=wanted.partitions))
    for role in trial.roles:
        way = ways[role.name]
        text = role.path.read_text()
        if role.kind == "gateway":
            text = _gateway_text(text, way)
        if role.kind == "sink":
            text = with_keys(text, "influxdb", {"url": quoted(way.influx)})
        write(role.path, with_keys(text, "kafka", {"bootstrap_servers": f"[{quoted(way.kafka)}]"}))
    return Files(task=task, topics=Topics.of(task, None), roles=trial.roles, first=first, last=last)


def topic_of(organisation: str, area: str) -> str:
    """Return the MQTT topic of an organisation's sensor in an area."""
    return f"{organisation}/{area}/{organisation}-{area}"


def _task_text(wanted: Wanted, keys: Mapping[str, KeyFile], *, first: int, last: int) -> str:
    measures = "\n".join(f"{name} = {text}" for name, text in MEASURES.items())
    coefficients = ", ".join(map(str, COEFFICIENTS))
    sha256 = hashlib.sha256(netlist().encode()).hexdigest()
    return f"""# task.toml: every kind of job
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
{measures}

[[joint]]
name    = "overload"
job     = "threshold"
measure = "load"
limit   = {LIMIT}
of      = "sum"

[[joint]]
name    = "strain"
job     = "threshold"
measure = "load"
limit   = {MEAN_LIMIT}
of      = "mean"

[[joint]]
name    = "worst"
job     = "rank"
measure = "load"
places  = ["max", "median", "min"]
reveal  = "labels"

[[joint]]
name    = "peaks"
job     = "rank"
measure = "load"
places  = ["max", "median", "min"]
reveal  = "values"

[[joint]]
name     = "cost"
job      = "product"
measures = ["price", "volume"]

[[joint]]
name         = "wear"
job          = "polynomial"
measure      = "load"
coefficients = [{coefficients}]
unit         = "1"

[[joint]]
name       = "mix"
job        = "linear_solve"
matrix     = ["a1", "a2", "a3"]
right      = "b"
resolution = 0.001
unit       = "1"

[[joint]]
name       = "fit"
job        = "least_squares"
matrix     = ["a1", "a2"]
right      = "b"
resolution = 0.001
unit       = "1"

[[joint]]
name   = "adder"
job    = "circuit"
file   = {quoted(NETLIST)}
sha256 = {quoted(sha256)}
inputs = [["x", {BITS}], ["y", {BITS}]]

[scheme]
name = "replicated"

[policy]
min_organisations = 3

[limits]
max_gateways = {len(MEMBERS)}
max_rows     = {MOST_READINGS}

{party_tables(wanted, keys)}[collector]
operator = "Whoever looks on"
identity = {quoted(format_identity(keys["collector"].public_identity))}
"""


def _gateway_text(text: str, way: Addresses) -> str:
    """Our kind of message, sealing by the readings."""
    paths = {measure: f"$.{measure}" for measure in MEASURES}
    own = with_source(text, lambda organisation: f"{organisation}/{{area}}/{{sensor}}", paths)
    return with_keys(own, "mqtt", {"url": quoted(way.mqtt)})
