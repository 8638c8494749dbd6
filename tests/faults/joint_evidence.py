"""What a run with joint computations leaves behind: numbers and outcomes in InfluxDB, and records on `rounds`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from protocol.roster import Roster
from protocol.rounds import Keys, Messages, decode
from protocol.units import iso
from runtime.files import load
from tests.faults import evidence
from tests.faults.joint_check import Outcome, Place, Record, Row
from tests.faults.joint_plain import Number
from tests.faults.trial import LABEL, TASK
from tests.faults.world import World


def finished(world: World) -> int:
    """Return how many windows have the last number of a least squares solution in the database."""
    told = f'r._measurement == "{TASK}_joint" and r.name == "fit" and r.key == "x_a2" and r._field == "steps"'
    return sum(1 for _ in evidence.ask(world, _query(world, told)))


def rows(world: World) -> tuple[Row, ...]:
    """Return every number of a joint result."""
    found: dict[tuple[Number, str], dict[str, Any]] = defaultdict(dict)
    for record in evidence.ask(world, _query(world, f'r._measurement == "{TASK}_joint"')):
        values = record.values
        number = Number(_start(values), values["name"], values["key"], values.get(LABEL) or "")
        found[number, values["unit"]][values["_field"]] = values["_value"]
    return tuple(
        Row(
            number=number,
            steps=fields["steps"],
            text=fields["steps_text"],
            value=fields["value"],
            verified=fields["verified"] == 1,
        )
        for (number, _), fields in sorted(found.items(), key=lambda one: one[0])
    )


def outcomes(world: World) -> tuple[Outcome, ...]:
    """Return every outcome, of cells too (`name` is a measure then)."""
    told = f'r._measurement == "{TASK}_outcome" and r._field == "gateways"'
    return tuple(
        sorted(
            Outcome(_start(one.values), one["measure"], one.values.get(LABEL) or "", one["outcome"], one["reason"])
            for one in evidence.ask(world, _query(world, told))
        )
    )


def sums(world: World) -> dict[tuple[int, str, str], tuple[int, int]]:
    """Return count and sum in steps of every point, by window, area and measure."""
    found: dict[tuple[int, str, str], dict[str, int]] = defaultdict(dict)
    for one in evidence.ask(world, _query(world, f'r._measurement == "{TASK}"')):
        found[_start(one.values), one[LABEL], one["measure"]][one["_field"]] = one["_value"]
    return {place: (fields["count"], fields["sum_steps"]) for place, fields in found.items()}


def rounds(world: World) -> Iterator[Record]:
    """Yield every record on `rounds`, in the order of the log. Raises WireError for one that is none of this task's."""
    task = world.files.task
    roster = load(world.directory / "trial" / "roster.toml", Roster)
    for one in evidence.records(world, world.files.topics.rounds):
        record = decode(one.value, task=task, roster=roster)
        if isinstance(record, Keys):
            place = Place(record.window, record.party, record.digest, "keys", -1)
        else:
            kind = "round" if isinstance(record, Messages) else "stop"
            place = Place(record.window, record.party, record.digest, kind, record.number)
        yield Record(place, one.value, one.timestamp)


def _start(values: dict[str, Any]) -> int:
    at: float = values["_time"].timestamp()
    return round(at * 1000)


def _query(world: World, told: str) -> str:
    return (
        f'from(bucket: "{world.influx.bucket}")'
        f" |> range(start: {iso(world.files.first)}, stop: {iso(world.files.last)})"
        f" |> filter(fn: (r) => {told})"
    )
