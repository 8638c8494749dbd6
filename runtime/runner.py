"""All lanes of a process: who works on what, commits, ticks, what is known of Kafka.

The generation goes up, and every lane with all its state goes, whenever partitions are assigned or revoked.
Neither `assigned` nor `revoked` waits for anything, so no record is handled between the two halves of a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from protocol.errors import NotReadyError
from runtime.fold import Flow, Log, LogError, Moment, Place, Record
from runtime.lane import Clock, Counts, Lane, lags

_log = structlog.get_logger("sotto.fold")

COMMIT_EVERY = 0.5
ENDS_EVERY = 0.8
CONNECTED = 2.0
"""Seconds for which an answer of Kafka counts as "connected"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStatus:
    """A flow at a moment, for pages and metrics."""

    name: str
    partitions: tuple[int, ...]
    lag: Mapping[str, int]
    caught_up: bool
    counts: Counts


class Runner:
    """`failed` is called once with what a worker raised; the process is then over."""

    def __init__(
        self,
        *,
        flows: Sequence[Flow],
        log: Log,
        clock: Clock,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.flows = tuple(flows)
        self.generation = 0
        self.rebalances = 0
        self._log = log
        self._clock = clock
        self._failed = failed
        self._lanes: dict[Place, Lane] = {}
        self._tasks: dict[asyncio.Task[None], Lane] = {}
        self._counts = {flow.name: Counts() for flow in flows}
        self._seen: dict[Place, int] = {}
        self._assigned = False
        self._idle_since = clock.monotonic()
        self._ends: dict[Place, int] = {}
        self._ends_at = 0
        self._answered = float("-inf")
        self._outages = 0
        self._handing_over = 0

    # -- the generation --------------------------------------------------------------------------------------

    def assigned(self, places: Collection[Place]) -> None:
        """All partitions that are this process's from now on, kept ones included."""
        self._drop()
        self.rebalances += 1
        self._assigned = True
        for flow in self.flows:
            numbers = [sorted(p.partition for p in places if p.topic == topic) for topic in flow.topics]
            if any(other != numbers[0] for other in numbers):
                self._failed(
                    NotReadyError(
                        f"the topics {', '.join(flow.topics)} are not assigned alike",
                        remedy="All of them need the same number of partitions: sotto topics says which differ.",
                    )
                )
                return
            for number in numbers[0]:
                self._open(flow, number)
        _log.info("partitions_assigned", generation=self.generation, partitions=sorted({p.partition for p in places}))

    def revoked(self) -> dict[Place, int]:
        """Nothing is this process's from now on. Returns what it was about to commit."""
        offsets = self._to_commit()
        self._drop()
        self._assigned = False
        self._idle_since = self._clock.monotonic()
        return offsets

    def _drop(self) -> None:
        self.generation += 1
        for task, lane in self._tasks.items():
            lane.close()
            task.cancel()
        self._tasks.clear()
        self._lanes.clear()
        self._ends.clear()
        self._answered = float("-inf")

    def _open(self, flow: Flow, number: int) -> None:
        lane = Lane(
            flow=flow,
            number=number,
            log=self._log,
            clock=self._clock,
            counts=self._counts[flow.name],
            seen=self._seen,
            moment=self._moment,
            held_up=lambda: self._handing_over > 0,
        )
        for place in lane.places:
            self._lanes[place] = lane
        task = asyncio.get_running_loop().create_task(lane.run(), name=f"{flow.name}-{number}")
        self._tasks[task] = lane
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    # -- the records -----------------------------------------------------------------------------------------

    async def feed(self, record: Record) -> None:
        """Hand a record to its lane; what belongs to nobody is left out."""
        lane = self._lanes.get(Place(record.topic, record.partition))
        if lane is not None:
            self._handing_over += 1
            try:
                await lane.put(record)
            finally:
                self._handing_over -= 1

    # -- commits ---------------------------------------------------------------------------------------------

    def _to_commit(self) -> dict[Place, int]:
        offsets: dict[Place, int] = {}
        for lane in self._tasks.values():
            offsets.update(lane.to_commit())
        return offsets

    async def commit(self) -> None:
        """Commit what is ready. What fails is tried again with the next one."""
        generation, offsets = self.generation, self._to_commit()
        if not offsets:
            return
        try:
            await self._log.commit(offsets)
        except LogError as error:
            _log.warning("not_committed", partitions=len(offsets), detail=str(error))
            return
        if generation == self.generation:
            for place, offset in offsets.items():
                self._lanes[place].committed[place.topic] = offset

    async def commit_for_ever(self) -> None:
        """The timer."""
        while True:
            await asyncio.sleep(COMMIT_EVERY)
            await self.commit()

    # -- what is known of Kafka ------------------------------------------------------------------------------

    async def look_for_ever(self) -> None:
        """Ask for end offsets again and again: they tell lag, and that Kafka is there."""
        while True:
            if self._assigned:
                await self._look()
            await asyncio.sleep(ENDS_EVERY)

    async def _look(self) -> None:
        generation, asked = self.generation, self._clock.wall()
        watched = sorted({topic for flow in self.flows for topic in flow.watch})
        try:
            ends = await self._log.ends(list(self._lanes), watched)
        except LogError as error:
            _log.warning("kafka_does_not_answer", wanted="end offsets", detail=str(error))
            return
        if generation == self.generation:
            self._ends = dict(ends)
            self._ends_at = asked
            now = self._clock.monotonic()
            if now - self._answered > CONNECTED:
                self._outages += 1
            self._answered = now

    @property
    def connected(self) -> bool:
        """Whether Kafka has answered lately."""
        return self._clock.monotonic() - self._answered <= CONNECTED

    @property
    def unassigned_for(self) -> float:
        """Seconds for which this process has been no part of the group; 0 while it is."""
        return 0.0 if self._assigned else self._clock.monotonic() - self._idle_since

    @property
    def ready(self) -> bool:
        """Whether partitions are assigned (none, where others have them all, will do) and were once read to the end."""
        return self._assigned and all(lane.was_caught_up for lane in self._tasks.values())

    def _moment(self, lane: Lane) -> Moment:
        # A lane that waited for a delivery all through an outage has to learn of it, although it is over by now.
        missed, lane.outages = lane.outages != self._outages, self._outages
        watched: dict[str, dict[int, int]] = {topic: {} for topic in lane.flow.watch}
        for place, end in self._ends.items():
            if place.topic in watched:
                watched[place.topic][place.partition] = end
        return Moment(
            now=self._clock.wall(),
            connected=self.connected and not missed,
            lag=lags(lane, self._ends),
            ends=watched,
            ends_at=self._ends_at,
        )

    def status(self) -> list[FlowStatus]:
        """One entry per flow."""
        rows = []
        for flow in self.flows:
            lanes = [lane for lane in self._tasks.values() if lane.flow is flow]
            lag: dict[str, int] = {}
            for lane in lanes:
                for topic, behind in lags(lane, self._ends).items():
                    lag[topic] = lag.get(topic, 0) + behind
            known = all(len(lags(lane, self._ends)) == len(flow.topics) for lane in lanes)
            rows.append(
                FlowStatus(
                    name=flow.name,
                    partitions=tuple(sorted(lane.number for lane in lanes)),
                    lag=lag,
                    caught_up=self.connected and known and not any(lag.values()),
                    counts=self._counts[flow.name],
                )
            )
        return rows

    async def close(self) -> None:
        """The last commit, and the end of all lanes."""
        offsets = self.revoked()
        if offsets:
            try:
                await self._log.commit(offsets)
            except LogError as error:
                _log.warning("not_committed", partitions=len(offsets), detail=str(error))
