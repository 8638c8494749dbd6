"""The verdict on joint results: each number that was due is there and exact; what was said twice was the same.

Plain comparisons, without any code of Sotto.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from tests.faults.joint_plain import RESOLUTION, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A number in the database."""

    number: Number
    steps: int
    text: str
    value: float
    verified: bool


class Outcome(NamedTuple):
    """What the database says became of a job, or of an area of it."""

    window: int
    name: str
    area: str
    outcome: str
    reason: str


class Place(NamedTuple):
    """Where a record on `rounds` belongs. `number` is that of the round, -1 for keys."""

    window: int
    party: int
    digest: bytes
    kind: str
    number: int


class Record(NamedTuple):
    """A record on `rounds`, and when Kafka got it (milliseconds)."""

    place: Place
    value: bytes
    at: int


@dataclass(slots=True, kw_only=True)
class Said:
    """What the parties have said in rounds."""

    records: int = 0
    again: Counter[int] = field(default_factory=Counter)
    """By party: records of rounds that were there before."""
    keys_again: int = 0
    other: list[Place] = field(default_factory=list)
    """Said again in other bytes."""
    rounds: dict[int, int] = field(default_factory=dict)
    """By window: how many rounds."""
    bytes: Counter[int] = field(default_factory=Counter)
    """By window, of each place once."""
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By window: the times of its first and last record."""


def said(records: Iterable[Record]) -> Said:
    """Compare whatever was said more than once. Keys are sealed anew each time, so their bytes may differ."""
    found = Said()
    first: dict[Place, bytes] = {}
    for place, value, at in records:
        found.records += 1
        begun, ended = found.spans.get(place.window, (at, at))
        found.spans[place.window] = min(begun, at), max(ended, at)
        if place not in first:
            first[place] = value
            found.bytes[place.window] += len(value)
            found.rounds[place.window] = max(found.rounds.get(place.window, 0), place.number + 1)
        elif place.kind == "keys":
            found.keys_again += 1
        else:
            found.again[place.party] += 1
            if first[place] != value:
                found.other.append(place)
    # Two runs of one window under one party, of one round but over different sets, are no repeats: they may not be.
    sets: dict[int, set[bytes]] = defaultdict(set)
    for place in first:
        sets[place.window].add(place.digest)
    found.other += [place for place in first if len(sets[place.window]) > 1]
    return found


def numbers(due: Mapping[Number, Fraction], rows: Sequence[Row], outcomes: Sequence[Outcome]) -> list[str]:
    """Return what is wrong: each number has to be there, once and exact, and nothing else; each outcome a point."""
    wrong = []
    found = Counter(row.number for row in rows)
    for number in sorted(due.keys() - found.keys()):
        wrong.append(f"{_name(number)}: is missing")
    for number, times in sorted(found.items()):
        if number not in due:
            wrong.append(f"{_name(number)}: was not due")
        elif times > 1:
            wrong.append(f"{_name(number)}: is there {times} times")
    for row in rows:
        exact = due.get(row.number)
        if exact is None:
            continue
        if row.steps * RESOLUTION[row.number.name] != exact or row.text != str(row.steps) or row.value != float(exact):
            wrong.append(
                f"{_name(row.number)}: is {row.steps} steps, text {row.text}, value {row.value!r};"
                f" {exact / RESOLUTION[row.number.name]} steps and {float(exact)!r} are right"
            )
        if not row.verified:
            wrong.append(f"{_name(row.number)}: is not verified")
    for one in outcomes:
        if (one.outcome, one.reason) != ("point", "none"):
            wrong.append(f"window {one.window} {one.name} {one.area}: is {one.outcome}, {one.reason}")
    given = Counter((one.window, one.name, one.area) for one in outcomes)
    named = {(number.window, number.name) for number in due}
    wrong += [f"window {window} {name}: has no outcome" for window, name in sorted(named - {one[:2] for one in given})]
    return wrong


def _name(number: Number) -> str:
    return f"window {number.window} {number.name} {number.key} {number.area}".rstrip()
