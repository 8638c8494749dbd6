"""The world: Kafka as lists, everybody who works on it, and each step that an adversary can choose.

`act` performs one step and tells whether it was possible; so any part of a list of actions is a schedule, and a failing
one is made shorter by leaving actions out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ingest.gateway import Gateway
from protocol.control import ControlRecord, Outcome
from protocol.rounds import RoundsRecord
from streams.collector import Collector, Published
from streams.policy import agreement_of
from streams.root import Root
from tests.simulation.collecting import CollectorWorker
from tests.simulation.device import Device
from tests.simulation.factory import Ledger, leafs_of
from tests.simulation.histories import Player
from tests.simulation.oracle import Oracle
from tests.simulation.party import LeafWorker, RootWorker
from tests.simulation.setting import DEADLINE, GIVE_UP, LATENESS, MINUTE, Setting
from tests.simulation.steps import STEPS
from tests.trial import HOUR, START

Action = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is under test. A planted bug puts a broken one in place of one of them."""

    gateway: type[Gateway] = Gateway
    device: type[Device] = Device
    leaf: type[LeafWorker] = LeafWorker
    root: type[Root] = Root
    worker: type[RootWorker] = RootWorker
    collector: type[Collector] = Collector
    retention: bool = True
    """Whether the broker's retention keeps to the rules."""


PRODUCTION = Parts()


@dataclass(slots=True)
class Log:
    """One partition of one topic; `first` is the oldest offset that retention has left."""

    records: list[Any] = field(default_factory=list)
    first: int = 0

    def append(self, record: Any) -> None:
        self.records.append(record)


class World:
    """One schedule's world."""

    def __init__(self, setting: Setting, parts: Parts = PRODUCTION, *, live: bool = False) -> None:
        """Make the world; `live`: with gateways at work, also where the kind has histories in their place."""
        kind, trial = setting.kind, setting.trial
        self.setting, self.parts, self.kind = setting, parts, kind
        self.party_names = trial.task.party_names
        self.time = START - MINUTE if kind.seals_by == "wall" else START + (kind.windows + 1) * HOUR
        self.kafka = True
        self.lies = False
        self.damaged: set[str] = set()
        """Gateways whose disk was lost, replaced or cloned: they may lose readings, never count one twice."""
        numbers = range(kind.partitions)
        self.shares = [[Log() for _ in numbers] for _ in self.party_names]
        self.contributions = [[Log() for _ in numbers] for _ in self.party_names]
        self.control = [Log() for _ in numbers]
        self.rounds = [Log() for _ in numbers]
        self.committed: dict[tuple[str, int, int], int] = defaultdict(int)
        first = START
        self.folds = [agreement_of(trial.task, trial.roster, first=first) for _ in numbers]
        self.ledger = Ledger()
        self.leafs = leafs_of(setting)
        self.oracle = Oracle(self)
        self.offsets = [0] * len(self.party_names)
        live = live or kind.plays != "agreement"
        self.devices = [parts.device(self, name) for name in setting.names] if live else []
        self.players = [] if live else [Player(self, name) for name in setting.names]
        self.up = [number != kind.down for number in range(len(self.party_names))]
        self.leaf: list[list[list[LeafWorker | None]]] = [[[None, None] for _ in numbers] for _ in self.party_names]
        self.root: list[list[list[RootWorker | None]]] = [[[None, None] for _ in numbers] for _ in self.party_names]
        for party in range(len(self.party_names)):
            self.assign(party)
        self.collector: list[list[CollectorWorker | None]] = [[CollectorWorker(self, q), None] for q in numbers]

    def alone(self) -> World:
        """Return another world with the same parts, and with gateways at work."""
        return World(self.setting, self.parts, live=True)

    # -- Kafka ------------------------------------------------------------------------------------------------

    def append(self, partition: int, record: ControlRecord | RoundsRecord | Published | None) -> None:
        """Put a record into control or rounds, or an aggregate into its topic."""
        if isinstance(record, RoundsRecord):
            self.rounds[partition].append((record, self.oracle.said(record), self.time))
            return
        if isinstance(record, Published):
            self.oracle.published(record)
            return
        log = self.control[partition]
        log.append((record, self.time))
        if record is None:
            return
        if isinstance(record, Outcome):
            self.oracle.outcome(record)
            return
        self.folds[partition].fold(record, offset=len(log.records) - 1, at=self.time)
        self.oracle.controlled(partition, record)

    # -- who works --------------------------------------------------------------------------------------------

    def act(self, action: Action) -> bool:
        """Perform one step; False where it is not possible now."""
        return STEPS[action[0]](self, *action[1:])

    def assign(self, party: int) -> bool:
        """A rebalance: all state of the party goes, and everything is read again from what is committed."""
        if self.up[party]:
            for number in range(self.kind.partitions):
                self.leaf[party][number][0] = self.parts.leaf(self, party, number)
                self.root[party][number][0] = self.parts.worker(self, party, number)
        return self.up[party]

    def leave(self, party: int) -> bool:
        """A party goes, with all its processes."""
        gone, self.up[party] = self.up[party], False
        for leafs, roots in zip(self.leaf[party], self.root[party], strict=True):
            leafs[0] = roots[0] = None
        return gone

    def come(self, party: int) -> bool:
        """A party comes back."""
        if self.up[party] or party == self.kind.down:
            return False
        self.up[party] = True
        return self.assign(party)

    def gateways(self) -> list[Device | Player]:
        """All gateways: at work, or following a history."""
        return [*self.devices, *self.players]

    def roots(self) -> Iterator[RootWorker]:
        """All roots that run, zombies too."""
        return (worker for lanes in self.root for slots in lanes for worker in slots if worker is not None)

    def pass_time(self, by: int) -> None:
        """Let time pass for all. Who did not answer to MQTT has lost its connection."""
        for worker in self.roots():
            worker.stand_by(by)
        self.time += by
        if by > MINUTE:
            for device in self.devices:
                device.broker.reconnect()

    # -- the fair end -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Everybody but the one that is down for good comes back, clocks are right, and time passes until all ends."""
        for party in range(len(self.party_names)):
            self.offsets[party] = 0
            for leafs, roots in zip(self.leaf[party], self.root[party], strict=True):
                leafs[1] = roots[1] = None
            self.come(party)
        for slots in self.collector:
            slots[1] = None
        self.finish_gateways()
        self.drain()
        if self._unfinished():
            for _ in range(5):
                self.tick_all()
                self.drain()
                self.pass_time(DEADLINE + MINUTE)
                self.tick_all()
                self.drain()
                if not self._unfinished():
                    break
            else:
                self.oracle.waits()
                for _ in range(2):
                    self.pass_time(GIVE_UP)
                    self.tick_all()
                    self.drain()
                    self.pass_time(DEADLINE + MINUTE)
                    self.tick_all()
                    self.drain()

    def _unfinished(self) -> bool:
        """Whether a due window has no outcome, or somebody works on one that the clock alone made due."""
        works = any(worker.root.status(worker.now)["windows"] for worker in self.roots())
        return works or bool(self.oracle.open_windows())

    def finish_gateways(self) -> None:
        """Clones die, clocks are right, and all that sensors have to say is shared and sealed."""
        self.kafka = True
        for device in self.devices[len(self.setting.names) :]:
            device.die()
        del self.devices[len(self.setting.names) :]
        last = self.setting.windows[-1] + HOUR + LATENESS + MINUTE
        for device in self.devices:
            device.jump(-device.offset // MINUTE)
        if self.kind.seals_by == "wall":
            for window in self.setting.windows:
                self.time = max(self.time, window + HOUR)
                self._push_all()
                for device in self.devices:
                    device.run_on()
            self.time = max(self.time, last)
        else:
            self._push_all()
            for device in self.devices:
                device.run_on()
            self.pass_time(HOUR)
        for gateway in self.gateways():
            while gateway.run_on():
                pass

    def _push_all(self) -> None:
        for device in self.devices:
            while device.push_held() or device.push():
                pass

    def tick_all(self) -> None:
        for worker in self.roots():
            worker.tick()

    def drain(self) -> None:
        """Let everybody work until there is nothing to do."""
        moved = True
        while moved:
            moved = False
            for gateway in self.gateways():
                moved |= gateway.run_on()
            for party in range(len(self.party_names)):
                for leafs, roots in zip(self.leaf[party], self.root[party], strict=True):
                    if leafs[0] is not None:
                        moved |= leafs[0].run_on()
                    if roots[0] is not None:
                        moved |= roots[0].run_on()
            for slots in self.collector:
                if slots[0] is not None:
                    moved |= slots[0].run_on()
