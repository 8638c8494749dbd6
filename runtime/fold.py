"""What runs over Kafka's partitions, and what it may rely on. Nothing here knows Faust or Kafka's clients.

A *flow* names topics and makes one worker per partition number: a `Fold` (holds state, rebuilt by reading
again), a `Map` (one record in, some out, nothing kept) or an `Effect` (one record in, something done
elsewhere). The topics of a flow have the same number of partitions, and one process has the same numbers of
all of them.

What every worker may rely on (DESIGN 4 and 5.4, reference/streams.md):

- It is made anew, empty, whenever partitions are assigned or revoked; the old one is gone before.
- It is given the records of each partition in order of offset, each once, from the committed offset on: what
  Faust delivers again is left out, what it leaves out is fetched again.
- What it returns is in Kafka (acks=all) before anything counts as committable. After a crash between the two,
  it is asked again and returns the same again: readers meet repetitions, never holes.

What it owes: never to raise. Bad input is its own business (a counter, invariant 7). A worker that raises ends
the process, because to go on would be to skip a record silently.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Output(NamedTuple):
    """One record to be written to Kafka."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record that was read. `timestamp` is Kafka's, in ms, the same for all readers."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a partition stands when a worker is made: the first offset that it will be given, and the end then."""

    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a worker may know of the world at a tick.

    `now` is the wall clock in ms. `connected`: Kafka answered within the last two seconds, and was not
    away since the last tick. `lag`: records of
    each own topic that are in Kafka and not yet taken, as of `ends_at`; a topic is absent while that is not
    known. `ends`: for each watched topic the end offset of each partition, asked for no earlier than `ends_at`
    (ms): what was written before `ends_at` lies below them.
    """

    now: int
    connected: bool
    lag: Mapping[str, int]
    ends: Mapping[str, Mapping[int, int]]
    ends_at: int

    @property
    def caught_up(self) -> bool:
        """Whether Kafka answers and every own topic is read to its end."""
        return self.connected and bool(self.lag) and not any(self.lag.values())


class Fold(ABC):
    """State over the records of one partition number."""

    @abstractmethod
    def record(self, record: Record, now: int) -> Sequence[Output]:
        """Take the next record.

        No further one comes before the outputs are in Kafka. They go out in their order, over all topics: none is sent
        before the one ahead of it is confirmed.
        """

    @abstractmethod
    def tick(self, moment: Moment) -> Sequence[Output]:
        """Called some five times a second; deliveries as for `record`."""

    @abstractmethod
    def committable(self) -> Mapping[str, int]:
        """Topic -> first offset that is still needed; never goes down. Absent: nothing to commit yet."""


class Map(ABC):
    """One record in, some out, nothing kept: its offset is committed once its outputs are delivered."""

    @abstractmethod
    def record(self, record: Record, now: int) -> Sequence[Output]:
        """The outputs of one record.

        Several records are under way at a time, and their outputs may arrive in another order; commits keep to theirs.
        """

    def tick(self, moment: Moment, delivered: Mapping[str, int]) -> Sequence[Output]:
        """Called some five times a second. `delivered`: topic -> offset below which all outputs are in Kafka."""
        del moment, delivered
        return ()


class Effect(ABC):
    """One record in, something done elsewhere; its offset is committed when `write` has returned."""

    @abstractmethod
    async def write(self, record: Record, now: int) -> None:
        """Do it, waiting and trying again as long as it takes. Cancelled when the partition goes elsewhere."""

    def tick(self, moment: Moment) -> None:
        """Called some five times a second while nothing is being written."""
        del moment


Make = Callable[[int, Mapping[str, Start]], Fold | Map | Effect]
"""(partition number, topic -> start) -> a worker with no state but what it is given here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What to run: `make` is called for each partition number that this process is assigned.

    `watch` names further topics whose end offsets the worker wants to know (`Moment.ends`).
    """

    name: str
    topics: tuple[str, ...]
    make: Make
    watch: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


class LogError(Exception):
    """Kafka could not do it now; to be tried again."""


class Undeliverable(Exception):  # noqa: N818 - the reason, not a kind of "error"
    """Kafka will never take this record (its size, for one); trying again would stop the stream for ever."""


class Log(ABC):
    """What the runner needs of Kafka. Every method raises `LogError` when Kafka does not answer in time."""

    @abstractmethod
    async def send(self, output: Output) -> None:
        """Return when the record is in Kafka, on all replicas that are in sync."""

    @abstractmethod
    async def starts(self, places: Sequence[Place]) -> Mapping[Place, Start]:
        """`first` is the committed offset, or the oldest one kept where that is later or nothing is committed."""

    @abstractmethod
    async def ends(self, places: Sequence[Place], topics: Sequence[str]) -> Mapping[Place, int]:
        """End offsets of these partitions, and of all partitions of these topics."""

    @abstractmethod
    async def seek(self, place: Place, offset: int) -> None:
        """Read on from `offset`."""

    @abstractmethod
    async def commit(self, offsets: Mapping[Place, int]) -> None:
        """Commit; only what is assigned to this process in the present generation."""
