"""The leaf on Kafka: shares in, contributions out, and now and then how far it has read (DESIGN 5.4, SPEC 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from protocol.contribution import ContributionBox, Progress
from protocol.errors import WireError
from protocol.roster import Cell, Roster
from protocol.task import Task
from runtime.fold import Map, Moment, Output, Record
from streams.leaf import Leaf, Sample
from streams.metrics import PartyMetrics

_log = structlog.get_logger("sotto.party")

MARK_EVERY = 1_000


class LeafMap(Map):
    """One partition of a party's shares.

    A mark says up to which offset the contributions of this partition are in Kafka. One goes to every partition of
    the contributions when the partition is taken over (then no root remembers the last one) and, at most once a
    second, when it has moved. A mark is written after what it speaks of, so whoever reads it has read that.
    """

    def __init__(
        self,
        *,
        leaf: Leaf,
        box: ContributionBox,
        topic: str,
        partition: int,
        partitions: int,
        metrics: PartyMetrics,
        glass: Glass | None,
    ) -> None:
        self._leaf = leaf
        self._box = box
        self._topic = topic
        self._partition = partition
        self._partitions = partitions
        self._metrics = metrics
        self._glass = glass
        self._marked = -1
        self._marked_at = 0

    def record(self, record: Record, now: int) -> Sequence[Output]:
        """One contribution for what can be believed; a counter for what cannot."""
        del now
        try:
            found = self._leaf.contribute(record.value, partition=record.partition)
        except WireError as error:
            self._metrics.rejected.labels("shares", error.reason).inc()
            _log.warning("record_rejected", topic="shares", reason=error.reason, partition=record.partition)
            return ()
        self._metrics.rows.inc(found.rows)
        if found.fault is not None:
            _log.error("gateway_at_fault", gateway=found.gateway, reason=found.fault)
        elif self._glass is not None and found.rows:
            self._glass.look(self._leaf, record.value)
        return [Output(found.topic, found.partition, found.key, found.value)]

    def tick(self, moment: Moment, delivered: Mapping[str, int]) -> Sequence[Output]:
        """Mark how far this partition is read."""
        offset = next(iter(delivered.values()))
        if offset == self._marked or (self._marked >= 0 and moment.now - self._marked_at < MARK_EVERY):
            return ()
        self._marked, self._marked_at = offset, moment.now
        value = self._box.seal(Progress(partition=self._partition, offset=offset), 0)
        return [Output(self._topic, number, None, value) for number in range(self._partitions)]


@dataclass(slots=True)
class Glass:
    """What a trial's party shows of itself: its share of one reading, of the newest window. Never made otherwise."""

    task: Task
    roster: Roster
    cells: frozenset[Cell]
    gateway: str | None
    sample: Sample | None = None

    @classmethod
    def of(cls, wanted: str, *, task: Task, roster: Roster) -> Glass:
        """Read "area=outer,measure=no2,gateway=north-1"; what is not named may be anything."""
        keys = dict(part.split("=", 1) for part in wanted.split(",") if "=" in part)
        cells = frozenset(
            cell
            for cell in roster.cells(task)
            if keys.get("measure") in (None, task.measure_names[cell.measure])
            and all(keys.get(key) in (None, value) for key, value in zip(task.labels, cell.labels, strict=True))
        )
        return cls(task=task, roster=roster, cells=cells, gateway=keys.get("gateway"))

    def look(self, leaf: Leaf, value: bytes) -> None:
        """Remember this party's components of the first row, if it is of a newer window than the last one."""
        seen = leaf.sample(value, cells=self.cells, gateway=self.gateway)
        if seen is not None and (self.sample is None or seen.window > self.sample.window):
            self.sample = seen

    def document(self) -> dict[str, object]:
        """What /status shows: numbers that say nothing without the other parties'."""
        if self.sample is None:
            return {}
        sample = self.sample
        return {
            "sample": {
                "window": sample.window,
                "label": dict(zip(self.task.labels, sample.cell.labels, strict=True)),
                "measure": self.task.measure_names[sample.cell.measure],
                "gateway": sample.gateway,
                "row": 0,
                "components": {str(number): str(value) for number, value in sample.components.items()},
            }
        }
