"""The world: Kafka as lists, everybody who works on it, and each step that an adversary can choose.

`act` performs one step and tells whether it was possible; so any part of a list of actions is a schedule, and a failing
one is made shorter by leaving actions out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ingest.gateway import Gateway
from protocol.control import ControlRecord, Outcome
from streams.collector import Collector, Published
from streams.policy import agreement_of
from streams.root import Root
from tests.simulation.collecting import CollectorWorker
from tests.simulation.device import Device
from tests.simulation.factory import Ledger, leafs_of
from tests.simulation.oracle import Oracle
from tests.simulation.party import LeafWorker, RootWorker
from tests.simulation.setting import DEADLINE, GIVE_UP, LATENESS, MINUTE, Setting
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


@cache
def _split(name: str) -> tuple[str, str]:
    """Return the method that knows a step, and how it calls it."""
    who, _, what = name.partition(": ")
    return f"_{who}", what


class World:
    """One schedule's world."""

    def __init__(self, setting: Setting, parts: Parts = PRODUCTION) -> None:
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
        self.committed: dict[tuple[str, int, int], int] = defaultdict(int)
        first = START
        self.folds = [agreement_of(trial.task, trial.roster, first=first) for _ in numbers]
        self.ledger = Ledger()
        self.leafs = leafs_of(setting)
        self.oracle = Oracle(self)
        self.offsets = [0] * len(self.party_names)
        self.devices = [parts.device(self, name) for name in setting.names]
        self.up = [number != kind.down for number in range(len(self.party_names))]
        self.leaf: list[list[list[LeafWorker | None]]] = [[[None, None] for _ in numbers] for _ in self.party_names]
        self.root: list[list[list[RootWorker | None]]] = [[[None, None] for _ in numbers] for _ in self.party_names]
        for party in range(len(self.party_names)):
            self._assign(party)
        self.collector: list[list[CollectorWorker | None]] = [[CollectorWorker(self, q), None] for q in numbers]

    # -- Kafka ------------------------------------------------------------------------------------------------

    def append(self, partition: int, record: ControlRecord | Published | None) -> None:
        """Put a record into control, or an aggregate into its topic."""
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

    def _assign(self, party: int) -> None:
        """A rebalance: all state of the party goes, and everything is read again from what is committed."""
        if self.up[party]:
            for number in range(self.kind.partitions):
                self.leaf[party][number][0] = self.parts.leaf(self, party, number)
                self.root[party][number][0] = self.parts.worker(self, party, number)

    # -- steps ------------------------------------------------------------------------------------------------

    def act(self, action: Action) -> bool:
        """Perform one step; False where it is not possible now."""
        who, what = _split(action[0])
        return bool(getattr(self, who)(what, *action[1:]))

    def _gateway(self, what: str, number: int, *rest: Any) -> bool:  # noqa: PLR0911, PLR0912 - a table of steps
        if number >= len(self.devices):
            return False
        device = self.devices[number]
        match what:
            case "publishes":
                return device.publish(*rest)
            case "receives":
                return device.deliver(*rest)
            case "stores":
                return device.store(hold=True)
            case "ticks":
                return device.store(flush=False)
            case "acknowledges":
                return device.acknowledge()
            case "hears from Kafka":
                return device.confirm()
            case "sensor speaks":
                return sum(device.push() for _ in range(rest[0])) > 0
            case "message takes long":
                return device.push(hold=True)
            case "late message arrives":
                return device.push_held()
            case "sensor repeats itself":
                return device.push_again()
            case "nonsense arrives":
                return device.push_nonsense()
            case "does all":
                return device.gateway is not None and device.run_on()
            case "loses Kafka":
                return device.reconnect()
            case "loses MQTT":
                return device.broker.reconnect()
            case "dies":
                return device.die()
            case "starts":
                return device.start()
            case "restarts":
                return device.restart()
            case "loses power":
                device.disk.lose_power()
                return device.restart()
            case "clock jumps":
                return device.jump(rest[0] * MINUTE)
            case "disk is copied":
                device.image = device.disk.copy()
                return True
            case "disk is lost" | "disk is restored" | "is cloned":
                return self._damage(what, device)
        raise ValueError(what)

    def _damage(self, what: str, device: Device) -> bool:
        if what == "disk is lost":
            self.damaged.add(device.name)
            return device.restart(type(device.disk)())
        if device.image is None:
            return False
        self.damaged.add(device.name)
        if what == "disk is restored":
            return device.restart(device.image.copy())
        if len(self.devices) > len(self.setting.names):
            return False
        self.devices.append(
            self.parts.device(self, device.name, disk=device.image.copy(), identity=f"{device.name}'s clone")
        )
        return True

    def _leaf(self, what: str, party: int, number: int, slot: int, times: int = 1) -> bool:  # noqa: PLR0911
        worker = self.leaf[party][number][slot]
        if worker is None:
            return False
        match what:
            case "reads":
                return worker.read(times)
            case "reads, unheard":
                return worker.read(times, unheard=True)
            case "reads, swapped":
                return worker.read(2, swapped=True)
            case "marks":
                return worker.mark()
            case "commits":
                return slot == 0 and worker.commit()
            case "restarts" | "moves":
                self.leaf[party][number][0] = self.parts.leaf(self, party, number)
                if what == "moves":
                    self.leaf[party][number][1] = worker
                return True
        raise ValueError(what)

    def _root(self, what: str, party: int, number: int, slot: int, *rest: Any) -> bool:  # noqa: PLR0911
        worker = self.root[party][number][slot]
        if worker is None:
            return False
        match what:
            case "reads contributions":
                return worker.read_contributions(*rest)
            case "reads control":
                return worker.read_control(*rest)
            case "sends":
                return worker.send(*rest)
            case "sends, unheard":
                return worker.send(unheard=True)
            case "ticks":
                return worker.tick(*rest)
            case "commits":
                return slot == 0 and worker.commit()
            case "restarts" | "moves":
                self.root[party][number][0] = self.parts.worker(self, party, number)
                if what == "moves":
                    self.root[party][number][1] = worker
                return True
        raise ValueError(what)

    def _party(self, what: str, party: int, *rest: Any) -> bool:
        match what:
            case "goes":
                gone, self.up[party] = self.up[party], False
                for slots in self.leaf[party] + self.root[party]:
                    slots[0] = None
                return gone
            case "comes":
                if self.up[party] or party == self.kind.down:
                    return False
                self.up[party] = True
                self._assign(party)
                return True
            case "rebalances":
                self._assign(party)
                return self.up[party]
            case "clock jumps":
                self.offsets[party] += rest[0] * MINUTE
                return True
            case "offsets are lost":
                for key in [key for key in self.committed if key[1] == party and key[0] != "collector"]:
                    del self.committed[key]
                self._assign(party)
                return True
        raise ValueError(what)

    def _collector(self, what: str, number: int, slot: int, *rest: Any) -> bool:
        worker = self.collector[number][slot]
        if worker is None:
            return False
        match what:
            case "reads":
                return worker.read(*rest)
            case "sends":
                return worker.send(*rest)
            case "sends, unheard":
                return worker.send(unheard=True)
            case "commits":
                return slot == 0 and worker.commit()
            case "restarts" | "moves":
                self.collector[number][0] = CollectorWorker(self, number)
                if what == "moves":
                    self.collector[number][1] = worker
                return True
        raise ValueError(what)

    def _kafka(self, what: str, number: int = 0) -> bool:
        match what:
            case "goes" | "comes":
                changed = self.kafka == (what == "goes")
                self.kafka = what == "comes"
                if changed and not self.kafka:
                    self._interrupt()
                return changed
            case "takes a record of nobody":
                self.append(number, None)
                return True
            case "expires control":
                log = self.control[number]
                before = self.committed["collector", 0, number] if self.parts.retention else len(log.records)
                moved, log.first = before > log.first, max(before, log.first)
                return moved
        raise ValueError(what)

    def _interrupt(self) -> None:
        """Every root is told of each interruption once at least, before time counts again."""
        for lanes in self.root:
            for slots in lanes:
                for worker in slots:
                    if worker is not None:
                        worker.interrupted = True

    def _time(self, what: str, minutes: int) -> bool:
        del what
        self.pass_time(minutes * MINUTE)
        return True

    def pass_time(self, by: int) -> None:
        """Let time pass for all. Who did not answer to MQTT has lost its connection."""
        if "clocks" in self.kind.faults:
            for lanes in self.root:
                for slots in lanes:
                    for worker in slots:
                        if worker is not None:
                            worker.stand_by(by)
        self.time += by
        if by > MINUTE:
            for device in self.devices:
                device.broker.reconnect()

    def _liar(self, what: str, number: int, *rest: Any) -> bool:
        return self.oracle.liar.act(what, self.setting.windows[number], *rest)

    # -- the fair end -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Everybody but the one that is down for good comes back, clocks are right, and time passes until all ends."""
        self.kafka = True
        for device in self.devices[len(self.setting.names) :]:
            device.die()
        del self.devices[len(self.setting.names) :]
        for party in range(len(self.party_names)):
            self.offsets[party] = 0
            for slots in self.leaf[party] + self.root[party]:
                slots[1] = None
            self._party("comes", party)
        for slots in self.collector:
            slots[1] = None
        self._finish_gateways()
        self.drain()
        if self.oracle.open_windows():
            for _ in range(5):
                self.tick_all()
                self.drain()
                self.pass_time(DEADLINE + MINUTE)
                self.tick_all()
                self.drain()
                if not self.oracle.open_windows():
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

    def _finish_gateways(self) -> None:
        last = self.setting.windows[-1] + HOUR + LATENESS + MINUTE
        for device in self.devices:
            device.jump(-device.offset)
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
        for device in self.devices:
            device.run_on()

    def _push_all(self) -> None:
        for device in self.devices:
            while device.push_held() or device.push():
                pass

    def tick_all(self) -> None:
        for lanes in self.root:
            for slots in lanes:
                if slots[0] is not None:
                    slots[0].tick()

    def drain(self) -> None:
        """Let everybody work until there is nothing to do."""
        moved = True
        while moved:
            moved = False
            for device in self.devices:
                moved |= device.run_on()
            for party in range(len(self.party_names)):
                for workers in self.leaf[party] + self.root[party]:
                    if workers[0] is not None:
                        moved |= workers[0].run_on()
            for slots in self.collector:
                if slots[0] is not None:
                    moved |= slots[0].run_on()
