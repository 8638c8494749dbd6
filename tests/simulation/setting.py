"""The kinds of schedules, and what does not change between two schedules of one kind: task, roster, readings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ingest.config import BatchSection, ClockSection, GatewayFile
from ingest.decode import Decoders, SourceDecoder
from mpc_ops.schemes import Scheme, scheme
from protocol.batch import Core
from protocol.roster import Cell
from protocol.topics import partition_of_segment, partition_of_window
from runtime.files import loads
from tests.trial import HOUR, START, Trial, make_trial

if TYPE_CHECKING:
    from tests.simulation.histories import History

MINUTE = 60_000
DAY = 24 * HOUR
LATENESS = 10 * MINUTE
DEADLINE = 15 * MINUTE
GIVE_UP = 4 * HOUR
MOST_REMEMBERED = 20_000
LIMIT = 4_000
"""Of the joint computation: some totals are above it."""

_FILE = """
format = 1
name = "north-1"
organisation = "north"
task = "task.toml"
roster = "roster.toml"
key = "file:north-1.key"
[mqtt]
url = "mqtt://127.0.0.1:1883"
[[source]]
topic = "t/{station}"
sensor = "{station}"
time = "$.t"
time_format = "ms"
[source.measures]
no2 = "$.v"
[[source]]
topic = "now/{station}"
sensor = "{station}"
[source.measures]
no2 = "$"
[kafka]
bootstrap_servers = ["127.0.0.1:9092"]
security_protocol = "PLAINTEXT"
"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One configuration. `faults` names what its adversary may do beyond delays, repetitions and crashes.

    `share`: its part of all schedules. `down`: a party that never comes; `liar`: one whose key an enemy has as well.
    `joint`: the task asks for a joint computation.
    `plays`: with whom the adversary plays. "agreement": gateways have histories, made beforehand by the same code
    (`tests.simulation.histories`); "edge": with gateways only, and the agreement runs once at the end.
    """

    name: str
    share: float
    scheme: str = "replicated"
    parties: int = 3
    gateways: int = 2
    windows: int = 1
    readings: int = 2
    partitions: int = 1
    seals_by: str = "event"
    timed: bool = True
    unverified: str = "release"
    down: int | None = None
    liar: int | None = None
    joint: bool = False
    plays: Literal["all", "agreement", "edge"] = "all"
    faults: frozenset[str] = frozenset()
    steps: int = 70


KINDS = {
    kind.name: kind
    for kind in (
        # the agreement, over histories of gateways
        Kind(name="tiny", share=44, readings=1, plays="agreement", steps=30),
        Kind(name="pair", share=34, scheme="additive", parties=2, readings=1, plays="agreement", steps=25),
        Kind(name="small", share=4, plays="agreement"),
        Kind(name="two-windows", share=3, windows=2, partitions=2, plays="agreement", steps=100),
        Kind(name="additive", share=1.5, scheme="additive", parties=2, windows=2, plays="agreement", steps=80),
        Kind(name="additive-down", share=1, scheme="additive", parties=2, down=1, plays="agreement", steps=60),
        Kind(name="one-down", share=1.5, windows=2, down=2, plays="agreement", steps=80),
        Kind(name="wait", share=1, unverified="wait", plays="agreement", steps=80),
        Kind(name="liar", share=3, windows=2, liar=1, plays="agreement", steps=90),
        Kind(name="joint", share=0.2, windows=2, joint=True, plays="agreement", steps=220),
        Kind(name="joint-wait", share=0.05, joint=True, unverified="wait", plays="agreement", steps=160),
        Kind(name="retention", share=1.2, windows=3, faults=frozenset({"retention"}), plays="agreement", steps=140),
        # gateways, and nobody else at work before the end
        Kind(name="edge", share=2, plays="edge", steps=60),
        # everybody at once
        Kind(name="whole", share=1.5),
        Kind(name="wall", share=1.5, windows=2, seals_by="wall", faults=frozenset({"clocks"}), steps=100),
        Kind(name="untimed", share=1, windows=2, seals_by="wall", timed=False, faults=frozenset({"clocks"}), steps=100),
        Kind(name="disks", share=1.2, windows=2, faults=frozenset({"disks"}), steps=100),
        Kind(
            name="disks-wall",
            share=0.5,
            windows=3,
            seals_by="wall",
            faults=frozenset({"disks", "clocks"}),
            steps=140,
        ),
        Kind(
            name="large",
            share=0.12,
            gateways=3,
            windows=4,
            readings=3,
            partitions=2,
            faults=frozenset({"clocks", "retention"}),
            steps=500,
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one sensor says once. `window`: the one that it belongs to, None where the gateway's clock says so."""

    number: int
    gateway: str
    window: int | None
    time: int
    value: int
    topic: str
    payload: bytes = field(repr=False)

    def __str__(self) -> str:
        where = "" if self.window is None else f" of window {(self.window - START) // HOUR}"
        return f"reading {self.number} at {self.gateway}{where}"


@dataclass(kw_only=True)
class Setting:
    """A kind, made. The two memos hold what pure functions returned, for all schedules of a process."""

    kind: Kind
    trial: Trial
    scheme: Scheme
    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    windows: tuple[int, ...]
    readings: dict[str, tuple[Reading, ...]]
    decoders: Decoders
    file: GatewayFile
    batch: BatchSection
    lane: dict[tuple[str, int], int]
    """(gateway, window) -> partition of its shares."""
    place: dict[int, int]
    """Window -> partition of contributions and control."""
    sealed: dict[object, object] = field(default_factory=dict, repr=False)
    cores: dict[bytes, Core] = field(default_factory=dict, repr=False)
    opened: dict[object, object] = field(default_factory=dict, repr=False)
    menus: dict[object, object] = field(default_factory=dict, repr=False)
    histories: dict[object, dict[str, History]] = field(default_factory=dict, repr=False)

    def forget(self) -> None:
        """Drop what is remembered when it has become too much; between two schedules only."""
        if len(self.sealed) > MOST_REMEMBERED:
            self.sealed.clear()
            self.cores.clear()
            self.opened.clear()
            self.histories.clear()

    def number(self, window: int) -> int:
        """How people call a window."""
        return (window - START) // HOUR


@cache
def setting_of(name: str) -> Setting:
    """Make the setting of a kind; the same one for each schedule."""
    kind = KINDS[name]
    trial = _trial(kind)
    task, roster = trial.task, trial.roster
    names = tuple(roster.gateways)
    windows = tuple(START + number * HOUR for number in range(kind.windows))
    file = loads(_FILE, GatewayFile, path=Path("gateway.toml")).model_copy(
        update={"clock": ClockSection.model_validate({"seals_by": kind.seals_by, "require_sync": False})}
    )
    return Setting(
        kind=kind,
        trial=trial,
        scheme=scheme(task.scheme.name, kind.parties),
        names=names,
        cells=roster.cells(task),
        windows=windows,
        readings={name: _readings(kind, number, name, windows) for number, name in enumerate(names)},
        decoders=Decoders([SourceDecoder(source, task, roster) for source in file.source]),
        file=file,
        batch=BatchSection(max_rows=100),
        lane={
            (name, window): partition_of_segment(task.hash, name, window, kind.partitions)
            for name in names
            for window in windows
        },
        place={window: partition_of_window(task.hash, window, kind.partitions) for window in windows},
    )


def _trial(kind: Kind) -> Trial:
    """The first task whose windows, and whose gateways' shares, are spread over all partitions."""
    for number in count():
        trial = _made(kind, f"a test, the {number}.")
        task, names = trial.task, trial.roster.gateways
        windows = range(START, task.valid_until, HOUR)
        places = {partition_of_window(task.hash, window, kind.partitions) for window in windows}
        lanes = {partition_of_segment(task.hash, name, start, kind.partitions) for name in names for start in windows}
        if len(places) == len(lanes) == kind.partitions:
            return trial
    raise AssertionError


def _made(kind: Kind, purpose: str) -> Trial:
    """A policy that lets every set out: the sets are what is tested."""
    made = make_trial(
        kind.scheme,
        kind.parties,
        3,
        purpose=purpose,
        labels=[],
        measures={"no2": {"unit": "ug/m3", "range": [0, 2**49], "resolution": 1}},
        limits={"max_gateways": 8, "max_rows": 64},
        window={
            "size": "1h",
            "utc_offset": "+08:00",
            "lateness": "10m",
            "deadline": "15m",
            "give_up_after": "4h",
        },
        policy={"min_organisations": 3, "max_absent": Decimal(1), "unverified": kind.unverified},
        joint=[{"name": "above", "job": "threshold", "measure": "no2", "limit": LIMIT}] if kind.joint else [],
    )
    lenient = made.task.policy.model_copy(update={"min_organisations": 1, "min_gateways": 1, "min_readings": 1})
    task = made.task.model_copy(update={"policy": lenient, "valid_until": START + kind.windows * HOUR})
    few = dict(list(made.roster.organisation.items())[: kind.gateways])
    roster = made.roster.model_copy(update={"partitions": kind.partitions, "organisation": few})
    roster.__dict__.pop("gateways", None)  # cached before the copy
    return Trial(task=task, roster=roster, keys=made.keys, cards=made.cards)


def _readings(kind: Kind, gateway: int, name: str, windows: tuple[int, ...]) -> tuple[Reading, ...]:
    """In order of time. Powers of four: a total shows what was counted, and up to three times."""
    found = []
    for step, window in enumerate(windows):
        for number in range(kind.readings):
            within = gateway * kind.readings + number
            place = within if kind.timed else within + step * kind.readings * kind.gateways
            time = window + (2 * number + 1) * HOUR // (2 * kind.readings) + gateway * 1_000
            value = 4**place
            found.append(
                Reading(
                    number=step * kind.readings + number,
                    gateway=name,
                    window=window if kind.timed else None,
                    time=time,
                    value=value,
                    topic="t/one" if kind.timed else "now/one",
                    payload=(json.dumps({"t": time, "v": value}) if kind.timed else str(value)).encode(),
                )
            )
    return tuple(found)
