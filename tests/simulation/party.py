"""A party at work: its leafs and roots, each with what `runtime.fold` promises it. Each method is one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.contribution import Progress
from protocol.control import GiveUp, Manifest
from protocol.share import SharePayload
from streams.log_clock import LogClock
from tests.simulation.factory import root_of
from tests.simulation.outbox import Writer
from tests.simulation.setting import DEADLINE
from tests.trial import HOUR

if TYPE_CHECKING:
    from streams.root import Root
    from tests.simulation.world import World


class LeafWorker:
    """One partition of a party's shares: a map. What is delivered out of order is committed in order."""

    def __init__(self, world: World, party: int, partition: int) -> None:
        self.world, self.party, self.partition = world, party, partition
        self._log = world.shares[party][partition]
        self.place = max(world.committed["leaf", party, partition], self._log.first)
        self._marked = -1

    def read(self, times: int = 1, *, unheard: bool = False, swapped: bool = False) -> bool:
        """Map records: delivered; delivered although nobody heard so; or two of them in the other order."""
        records = self._log.records
        end = min(len(records), self.place + (times if times > 0 else len(records)))
        if not self.world.kafka or self.place >= end:
            return False
        found = [self._map(records[place]) for place in range(self.place, end)]
        for one in reversed(found) if swapped else found:
            if one is not None:
                self._deliver(*one)
        if not unheard:
            self.place = end
        return True

    def read_swapped(self) -> bool:
        """Two records, delivered in the other order."""
        return self.read(2, swapped=True)

    def _map(self, value: bytes) -> tuple[int, Any] | None:
        return self.world.leafs.read(self.party, value, self.partition)

    def _deliver(self, window: int, contribution: Any) -> None:
        partition = self.world.setting.place[window]
        self.world.contributions[self.party][partition].append((window, contribution, self.world.time))

    def mark(self) -> bool:
        """Tell all roots how far this partition is read."""
        if self._marked >= self.place or not self.world.kafka:
            return False
        self._marked = self.place
        for log in self.world.contributions[self.party]:
            log.append((0, Progress(partition=self.partition, offset=self.place), self.world.time))
        return True

    def commit(self) -> bool:
        """Commit what is delivered."""
        key = ("leaf", self.party, self.partition)
        if not self.world.kafka or self.place <= self.world.committed[key]:
            return False
        self.world.committed[key] = self.place
        return True

    def run_on(self) -> bool:
        """Do all that can be done now."""
        if self.place >= len(self._log.records) and self._marked >= self.place:
            return False
        return self.read(-1) | self.mark() | self.commit()


class RootWorker(Writer):
    """One partition number of contributions and control. What it returns is sent before it is asked again.

    `goals`: for each window, the ends of the party's shares when its deadline had passed by this party's clock, in
    calm: an independent and generous reckoning of what a manifest has to wait for.
    """

    def __init__(self, world: World, party: int, partition: int) -> None:
        self.world, self.party, self.partition = world, party, partition
        self._contributions = world.contributions[party][partition]
        self._control = world.control[partition]
        self.at_contributions = max(world.committed["contributions", party, partition], self._contributions.first)
        self.at_control = max(world.committed["control", party, partition], self._control.first)
        self._rounds = world.rounds[partition]
        self.at_rounds = world.committed["rounds", party, partition]
        self.began_at = (self.at_control, len(self._control.records))
        self.outbox: list[Any] = []
        self.goals: dict[int, tuple[int, ...]] = {}
        self._clock = LogClock() if "clocks" in world.kind.faults else None
        self._calm: int | None = None
        self.interrupted = False
        self.root = self._make()

    def _make(self) -> Root:
        return root_of(
            self.world.parts.root,
            self.world.setting,
            party=self.party,
            partition=self.partition,
            seal_share=self._seal,
            control_first=self.at_control,
            control_end=len(self._control.records),
            contributions_first=self.at_contributions,
            rounds_first=self.at_rounds,
            rounds_end=len(self._rounds.records),
        )

    @property
    def now(self) -> int:
        wall = self.world.time + self.world.offsets[self.party]
        return wall if self._clock is None else self._clock.now(wall)

    def stand_by(self, by: int) -> None:
        """Look at the clock while time passes, as every tick does: all that the clock learns of it is the last look."""
        if self._clock is not None:
            self._clock._last = self.world.time + self.world.offsets[self.party] + by

    def _hear(self, at: int) -> int:
        wall = self.world.time + self.world.offsets[self.party]
        if self._clock is None:
            return wall
        self._clock.read(at, wall)
        return self._clock.now(wall)

    def _seal(self, payload: SharePayload, window: int, digest: bytes) -> tuple[bytes, bytes]:
        del window, digest
        if self.world.lies and self.party == self.world.setting.kind.liar:
            payload.sums[0] += 1
        return bytes(16), payload.encode()

    def read_contributions(self, times: int = 1) -> bool:
        """Take contributions."""
        records, first = self._contributions.records, self.at_contributions
        if self.outbox or not self.world.kafka or first >= len(records):
            return False
        for offset in range(first, len(records) if times < 0 else min(first + times, len(records))):
            self.at_contributions = offset + 1
            window, record, at = records[offset]
            outputs = self.root.contribution(window, record, offset=offset, at=at, now=self._hear(at))
            if outputs:
                self._take(outputs)
                break
        return True

    def read_control(self, times: int = 1) -> bool:
        """Take records of control."""
        records, first = self._control.records, self.at_control
        if self.outbox or not self.world.kafka or first >= len(records):
            return False
        root = self.root
        for offset in range(first, len(records) if times < 0 else min(first + times, len(records))):
            self.at_control = offset + 1
            record, at = records[offset]
            self._take(root.control(record, offset=offset, at=at, now=self._hear(at)))
            if record is not None and root.live:
                ballot = root.agreement.windows.get(record.window)
                if ballot is not None and ballot.agreed is not None:
                    self.world.oracle.decided(self.party, self.partition, record.window, ballot.agreed)
            if self.outbox:
                break
        return True

    def read_rounds(self, times: int = 1) -> bool:
        """Take records of joint computation."""
        records, first = self._rounds.records, self.at_rounds
        if self.outbox or not self.world.kafka or first >= len(records):
            return False
        for offset in range(first, len(records) if times < 0 else min(first + times, len(records))):
            self.at_rounds = offset + 1
            record, raw, at = records[offset]
            self._take(self.root.rounds(record, raw, offset=offset, at=at, now=self._hear(at)))
            if self.outbox:
                break
        return True

    def tick(self, mode: int = 0) -> bool:
        """Let time pass: as things are (0), believing that all is read (1), or without an answer from Kafka (2)."""
        if self.outbox:
            return False
        connected = self.world.kafka and mode != 2 and not self.interrupted
        self.interrupted = False
        caught_up = mode == 1 or (
            self.at_control >= len(self._control.records)
            and self.at_contributions >= len(self._contributions.records)
            and self.at_rounds >= len(self._rounds.records)
        )
        now = self.now
        lanes = self.world.shares[self.party]
        if not connected:
            self._calm = None
            self._take(self.root.tick(now, connected=False, caught_up=False))
            return True
        self._calm = now if self._calm is None else min(self._calm, now)
        for window in self.world.setting.windows:
            if window not in self.goals and now >= max(window + HOUR, self._calm) + DEADLINE:
                self.goals[window] = tuple(len(lane.records) for lane in lanes)
        ends = {number: len(lane.records) for number, lane in enumerate(lanes)}
        self._take(self.root.tick(now, connected=True, caught_up=caught_up, ends=ends, ends_at=now))
        return True

    def _take(self, outputs: list[Any]) -> None:
        if outputs:
            for record in outputs:
                if isinstance(record, Manifest):
                    self.world.oracle.manifest(self, record)
                elif isinstance(record, GiveUp):
                    self.world.oracle.gives_up(self, record)
            self.outbox += outputs

    def commit(self) -> bool:
        """Commit what is needed no more."""
        if self.outbox or not self.world.kafka:
            return False
        moved = False
        for topic, offset in self.root.committable().items():
            before = self.world.committed[topic, self.party, self.partition]
            if offset > before:
                self.world.oracle.root_commits(self, topic, before, offset)
                self.world.committed[topic, self.party, self.partition] = offset
                moved = True
        return moved

    def run_on(self) -> bool:
        """Do all that can be done now."""
        contributions, control, rounds = self._contributions.records, self._control.records, self._rounds.records
        moved = False
        while (
            self.outbox
            or self.at_contributions < len(contributions)
            or self.at_control < len(control)
            or self.at_rounds < len(rounds)
        ):
            self.send(-1)
            self.read_contributions(-1)
            self.read_control(-1)
            self.read_rounds(-1)
            moved = True
        if moved:
            self.commit()
        return moved
