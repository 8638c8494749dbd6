"""The plan of a campaign: which fault comes when, on whom, for how long. A pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "kill role",
    "restart role",
    "pause role",
    "cut",
    "latency",
    "half-open",
    "restart mosquitto",
    "restart Kafka",
    "kill Kafka",
    "restart InfluxDB",
    "kill InfluxDB",
]
"""There is no "kill mosquitto": it acknowledges before it has written to its disk, so a power failure there loses
readings that no gateway has seen. That is mosquitto's word to the sensor, not Sotto's (docs/guarantees.md)."""

KAFKA: Final = "kafka"
MOSQUITTO: Final = "mosquitto"
INFLUX: Final = "influxdb"
SESSION: Final = 6_000
"""Kafka's session timeout in the roles' files, in milliseconds."""

_SERVERS: Final[dict[Kind, str]] = {
    "restart mosquitto": MOSQUITTO,
    "restart Kafka": KAFKA,
    "kill Kafka": KAFKA,
    "restart InfluxDB": INFLUX,
    "kill InfluxDB": INFLUX,
}
_ON_ROLES: Final[frozenset[Kind]] = frozenset({"kill role", "restart role", "pause role"})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Fault:
    """One fault of a role, a way or a server. Milliseconds; `at` counts from the beginning of the load."""

    at: int
    kind: Kind
    target: str
    lasts: int


@dataclass(frozen=True, slots=True)
class _Manner:
    """How often a kind of fault comes in a minute, how long it lasts (ms), and how long its target is spared after."""

    per_minute: float
    lasts: tuple[int, int]
    spared: int


_MANNERS: Final[dict[Kind, _Manner]] = {
    "kill role": _Manner(0, (200, 3_000), 2_000),
    "restart role": _Manner(1.5, (200, 2_000), 4_000),
    "pause role": _Manner(1.5, (SESSION + 500, SESSION + 4_000), 3_000),
    "cut": _Manner(2, (1_000, 8_000), 3_000),
    "latency": _Manner(2, (3_000, 10_000), 1_000),
    "half-open": _Manner(2, (3_000, 10_000), 3_000),
    "restart mosquitto": _Manner(0.7, (200, 3_000), 10_000),
    "restart Kafka": _Manner(0.4, (200, 4_000), 30_000),
    "kill Kafka": _Manner(0.4, (200, 4_000), 30_000),
    "restart InfluxDB": _Manner(0.5, (200, 5_000), 5_000),
    "kill InfluxDB": _Manner(0.5, (200, 5_000), 5_000),
}
_LONG_KILL: Final = 0.15
"""Such a part of the killed stay away for longer than the session timeout: Kafka notices before they are back."""


def plan(*, seed: int, minutes: float, kills: int, roles: Sequence[str], ways: Sequence[str]) -> tuple[Fault, ...]:
    """Return the faults in the order of time: exactly `kills` SIGKILLs of roles, and at least one of every other kind.

    No target has two faults at once. `ways` may be empty: then there are no faults of the network.
    """
    chance = random.Random(f"faults/{seed}")
    span = round(minutes * 60_000)
    busy: dict[str, list[tuple[int, int]]] = {}
    found: list[Fault] = []
    # The rarest first: they need the longest gaps.
    for kind in sorted(_MANNERS, key=lambda kind: (_MANNERS[kind].per_minute or 100, kind)):
        targets = _targets(kind, roles, ways, chance)
        if targets is None:
            continue
        manner = _MANNERS[kind]
        number = kills if kind == "kill role" else max(1, round(manner.per_minute * minutes))
        for place in range(number):
            lasts = chance.randint(*manner.lasts)
            if kind == "kill role" and chance.random() < _LONG_KILL:
                lasts += SESSION
            # One in each slice of the time: a campaign has no quiet half.
            at = round((place + chance.random()) * span / number)
            found.append(_placed(kind, at, lasts, targets, busy, tries=len(roles) + len(ways)))
    return tuple(sorted(found))


def _targets(kind: Kind, roles: Sequence[str], ways: Sequence[str], chance: random.Random) -> Iterator[str] | None:
    """Go round all that this kind can hit, in a random order, so that everybody is hit about as often."""
    if kind in _SERVERS:
        return cycle([_SERVERS[kind]])
    among = sorted(roles if kind in _ON_ROLES else ways)
    chance.shuffle(among)
    return cycle(among) if among else None


def _placed(
    kind: Kind, at: int, lasts: int, targets: Iterator[str], busy: dict[str, list[tuple[int, int]]], *, tries: int
) -> Fault:
    """Give the fault to the next target that is free then, or to the last one tried as soon as that is free."""
    end = lasts + _MANNERS[kind].spared
    for _ in range(tries):
        target = next(targets)
        taken = busy.setdefault(target, [])
        if all(at + end <= begun or ended <= at for begun, ended in taken):
            break
    else:
        for begun, ended in sorted(taken):
            if at + end > begun and ended > at:
                at = ended
    taken.append((at, at + end))
    return Fault(at=at, kind=kind, target=target, lasts=lasts)
