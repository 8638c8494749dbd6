"""The collector at work. Each method is one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.factory import collector_of
from tests.simulation.outbox import Writer

if TYPE_CHECKING:
    from streams.collector import Collector
    from tests.simulation.world import World


class CollectorWorker(Writer):
    """One partition of the control log."""

    def __init__(self, world: World, partition: int) -> None:
        self.world, self.partition = world, partition
        self._log = world.control[partition]
        self.place = max(world.committed["collector", 0, partition], self._log.first)
        self.outbox: list[Any] = []
        self.collector: Collector = collector_of(
            world.parts.collector, world.setting, partition=partition, first=self.place, end=len(self._log.records)
        )

    def read(self, times: int = 1) -> bool:
        """Take records of control; where there is none, begin."""
        records = self._log.records
        if self.outbox or not self.world.kafka:
            return False
        if self.place >= len(records):
            if self.collector.live:
                return False
            self.outbox += self.collector.begin()
            return bool(self.outbox)
        while times and not self.outbox and self.place < len(records):
            times -= 1
            offset = self.place
            self.place = offset + 1
            record, at = records[offset]
            self.outbox += self.collector.control(record, offset=offset, at=at)
        return True

    def commit(self) -> bool:
        """Commit what is needed no more."""
        offset = self.collector.committable()
        before = self.world.committed["collector", 0, self.partition]
        if self.outbox or not self.world.kafka or offset is None or offset <= before:
            return False
        self.world.oracle.collector_commits(self.partition, before, offset)
        self.world.committed["collector", 0, self.partition] = offset
        return True

    def run_on(self) -> bool:
        """Do all that can be done now."""
        moved = False
        while self.outbox or self.place < len(self._log.records) or not self.collector.live:
            if not self.send(-1) | self.read(-1):
                break
            moved = True
        if moved:
            self.commit()
        return moved
