"""What the shares topics show of a time without Kafka: whether all came in order, and how fast the spools drained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.batch import BatchCore, decode_record
from tests.faults.evidence import records
from tests.faults.load import Reading
from tests.faults.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A record on a shares topic. `at` is Kafka's time; `sequence` is None for a seal, which has `batches`."""

    party: str
    partition: int
    gateway: str
    epoch: tuple[int, bytes]
    window: int
    at: int
    sequence: int | None
    batches: int = 0


def sent(world: World) -> tuple[Sent, ...]:
    """Return all records of all parties' shares topics, each partition in its order."""
    found = []
    for party in world.files.task.party_names:
        for record in records(world, world.files.topics.shares(party)):
            core = decode_record(record.value).core
            found.append(
                Sent(
                    party=party,
                    partition=record.partition,
                    gateway=core.place.gateway,
                    epoch=(core.place.epoch.counter, core.place.epoch.nonce),
                    window=core.place.window,
                    at=record.timestamp,
                    sequence=core.sequence if isinstance(core, BatchCore) else None,
                    batches=0 if isinstance(core, BatchCore) else sum(one.batches for one in core.segments),
                )
            )
    return tuple(found)


@dataclass(slots=True, kw_only=True)
class Order:
    """How the records came: `repeats` are records that came a second time, byte for byte or not."""

    batches: int = 0
    seals: int = 0
    repeats: int = 0
    faults: list[str]


def order(all_sent: Sequence[Sent]) -> Order:
    """Check every party, gateway, epoch and window: numbers rise by one from 0, and the seal comes last and agrees."""
    found = Order(faults=[])
    next_number: dict[tuple[str, str, tuple[int, bytes], int], int] = defaultdict(int)
    ended: dict[tuple[str, str, int], int] = {}
    counted: dict[tuple[str, str, int], int] = defaultdict(int)
    for one in all_sent:
        window = (one.party, one.gateway, one.window)
        name = f"{one.gateway} to {one.party}, window {one.window}"
        if one.sequence is None:
            if window in ended:
                found.repeats += 1
                continue
            ended[window] = one.batches
            found.seals += 1
            if counted[window] != one.batches:
                found.faults.append(f"{name}: its seal says {one.batches} batches, {counted[window]} came before it")
            continue
        segment = (one.party, one.gateway, one.epoch, one.window)
        if one.sequence < next_number[segment]:
            found.repeats += 1
        elif one.sequence > next_number[segment]:
            found.faults.append(f"{name}: batch {one.sequence} came where {next_number[segment]} was due")
        elif window in ended:
            found.faults.append(f"{name}: batch {one.sequence} came behind the seal")
        else:
            next_number[segment] += 1
            counted[window] += 1
            found.batches += 1
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One gateway's backlog: what was made without Kafka, and how fast it went when Kafka was there again.

    Rates are per second; `seconds` from the first record after the time without Kafka to the last of the backlog,
    `after` from Kafka's return to that one.
    """

    gateway: str
    records: int
    readings: int
    seconds: float
    after: float
    records_arriving: float
    readings_arriving: float

    @property
    def times(self) -> float:
        """How many times faster than they arrive readings were drained; the slower of readings and records."""
        arriving = ((self.records, self.records_arriving), (self.readings, self.readings_arriving))
        return min(number / self.seconds / rate for number, rate in arriving)


def drains(
    all_sent: Sequence[Sent], readings: Sequence[Reading], *, first: int, size: int, away: tuple[int, int]
) -> tuple[Drain, ...]:
    """Return the drain of each gateway. `first`: when load began; `away`: from when to when Kafka was not there.

    The backlog are the batches of windows that began before Kafka was back, except for the one that was open then;
    they are told apart by their windows, so nothing has to be sampled in time.
    """
    stopped, back = away
    until = first + (back - first) // size * size
    found = []
    for gateway in sorted({one.gateway for one in all_sent}):
        batches = [one for one in all_sent if one.gateway == gateway and one.sequence is not None]
        before = [one for one in batches if first <= one.at < stopped]
        backlog = [one for one in batches if one.at >= back and one.window < until]
        made = [one.time for one in readings if one.gateway == gateway]
        begun, ended = min(one.at for one in backlog), max(one.at for one in backlog)
        found.append(
            Drain(
                gateway=gateway,
                records=len(backlog),
                readings=sum(stopped <= time < until for time in made),
                seconds=max((ended - begun) / 1000, 0.001),
                after=(ended - back) / 1000,
                records_arriving=len(before) / (stopped - first) * 1000,
                readings_arriving=sum(first <= time < stopped for time in made) / (stopped - first) * 1000,
            )
        )
    return tuple(found)
