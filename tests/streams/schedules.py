"""A world for roots and collector: Kafka as lists, gateways, leafs, and an adversary who chooses what happens next.

The classes under test are the production ones. Every delivery of one record is a step of its own, a crash can come
between any two, a send can be in Kafka although nobody learned of it, an old worker (zombie) goes on reading and
sending without committing, and clocks run as the adversary likes. Each reading is a power of two of its own, so a sum
shows which readings are in it, and how often. In the spirit of `reference/agreement_model.py`.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from mpc_ops.schemes import scheme
from protocol.batch import Epoch, Segment, cores_hash
from protocol.body import CellTable
from protocol.contribution import BatchSums, Progress, SealSeen
from protocol.control import AggregateShare, Outcome
from protocol.roster import Cell
from streams.agreement import Agreement, Rules
from streams.collector import Collector, Published
from streams.policy import agreement_of
from streams.root import Root
from tests.trial import HOUR, START, Trial, make_trial

BATCHES = 1


def small_trial(name: str, windows: int, *, gateways: int = 2, unverified: str = "release") -> Trial:
    """A task of few windows on one partition, with a policy that lets every set out: the sets are what is tested."""
    made = make_trial(
        name,
        3,
        3,
        labels=[],
        measures={"no2": {"unit": "ug/m3", "range": [0, 2**20], "resolution": 1}},
        policy={"min_organisations": 3, "max_absent": Decimal(1), "unverified": unverified},
    )
    lenient = made.task.policy.model_copy(update={"min_organisations": 1, "min_gateways": 1, "min_readings": 1})
    task = made.task.model_copy(update={"policy": lenient, "valid_until": START + windows * HOUR})
    few = dict(list(made.roster.organisation.items())[:gateways])
    roster = made.roster.model_copy(update={"partitions": 1, "organisation": few})
    roster.__dict__.pop("gateways", None)  # cached before the copy
    return Trial(task=task, roster=roster, keys=made.keys, cards=made.cards)


class Violation(AssertionError):  # noqa: N818 - what it is
    """What must never happen has happened."""


@dataclass
class Gateway:
    """Writes batches and seals into its spool, in order, and sends them to each party."""

    sim: Sim
    name: str
    epoch: int = 1
    spool: list[Any] = field(default_factory=list)
    window: int = START
    batch: int = 0
    cores: bytes = b""
    lost: bool = False

    def __post_init__(self) -> None:
        self.acked = [0] * self.sim.parties
        self.sent = [0] * self.sim.parties

    def produce(self) -> bool:
        if self.window >= self.sim.trial.task.valid_until:
            return False
        epoch = Epoch(counter=self.epoch, nonce=bytes(16))
        if self.batch < BATCHES:
            content = self.sim.content(self.name, self.epoch, self.window, self.batch)
            self.cores += content.core
            self.spool.append((self.window, content))
            self.batch += 1
            return True
        segment = Segment(epoch=epoch, batches=BATCHES, cores=cores_hash(self.cores))
        identity = hashlib.sha256(f"{self.name}/{self.epoch}/{self.window}".encode()).digest()
        self.sim.sealed[identity] = (self.name, self.epoch)
        seal = SealSeen(
            gateway=self.name,
            contribution=identity,
            segments=(segment,),
            sealed_at=self.window + HOUR,
            late=0,
            cold=False,
        )
        self.spool.append((self.window, seal))
        self.window, self.batch, self.cores = self.window + HOUR, 0, b""
        return True

    def send(self, party: int) -> bool:
        if self.sent[party] >= len(self.spool):
            return False
        self.sim.shares[party].append(self.spool[self.sent[party]])
        self.sent[party] += 1
        return True

    def acknowledge(self, party: int) -> bool:
        moved = self.acked[party] < self.sent[party]
        self.acked[party] = self.sent[party]
        return moved

    def crash(self) -> bool:
        self.sent = list(self.acked)
        return True

    def lose_disk(self) -> bool:
        """The spool is gone, and a careless gateway begins again with the window that it was in."""
        if self.lost or not self.spool:
            return False
        self.lost = True
        self.epoch += 1
        self.window, self.batch, self.cores = self.spool[-1][0], 0, b""
        self.spool = []
        self.acked = [0] * self.sim.parties
        self.sent = [0] * self.sim.parties
        return True


@dataclass(frozen=True)
class Content:
    """One batch: one reading, its components, and the hash of its core."""

    gateway: str
    epoch: int
    sequence: int
    value: int
    core: bytes
    components: tuple[int, ...]

    def held(self, components: tuple[int, ...]) -> BatchSums:
        return BatchSums(
            gateway=self.gateway,
            epoch=Epoch(counter=self.epoch, nonce=bytes(16)),
            sequence=self.sequence,
            core_hash=self.core,
            table=CellTable(cells=(Cell((), 0),), rows=np.array([1], dtype=np.int64)),
            sums=np.array([[self.components[number]] for number in components], dtype=np.uint64),
        )


class Leaf:
    """One record of shares in, one contribution out; and how far it has read."""

    def __init__(self, sim: Sim, party: int) -> None:
        self.sim, self.party = sim, party
        self.place = sim.committed[f"shares{party}"]
        self.marker = -1

    def read(self, *, lost: bool = False) -> bool:
        log = self.sim.shares[self.party]
        if self.place >= len(log):
            return False
        window, found = log[self.place]
        record = found.held(self.sim.scheme.held_by(self.party)) if isinstance(found, Content) else found
        self.sim.contributions[self.party].append((window, record))
        if not lost:
            self.place += 1
        return True

    def mark(self) -> bool:
        if self.marker >= self.place:
            return False
        self.marker = self.place
        self.sim.contributions[self.party].append((START, Progress(partition=0, offset=self.place)))
        return True

    def commit(self) -> bool:
        moved = self.sim.committed[f"shares{self.party}"] < self.place
        self.sim.committed[f"shares{self.party}"] = self.place
        return moved


class RootWorker:
    """A root with what runtime.fold gives it: records in order, outputs delivered before it goes on."""

    def __init__(self, sim: Sim, party: int) -> None:
        self.sim, self.party = sim, party
        self.at_contributions = sim.committed[f"contributions{party}"]
        self.at_control = sim.committed[f"control{party}"]
        self.outbox: list[Any] = []
        self.root: Root = sim.root_class(
            task=sim.trial.task,
            roster=sim.trial.roster,
            party=party,
            partition=0,
            seal_share=lambda payload, window, digest: (bytes(16), payload.encode()),
            control_first=self.at_control,
            control_end=len(sim.control),
            contributions_first=self.at_contributions,
        )

    def take(self, outputs: list[Any]) -> bool:
        self.outbox.extend(outputs)
        if self.root.live:
            for window, ballot in self.root.agreement.windows.items():
                if ballot.agreed is not None:
                    self.sim.decisions[window].add(ballot.agreed.digest)
        return True

    def read_contribution(self) -> bool:
        log = self.sim.contributions[self.party]
        if self.outbox or self.at_contributions >= len(log):
            return False
        offset = self.at_contributions
        self.at_contributions += 1
        window, record = log[offset]
        return self.take(self.root.contribution(window, record, offset=offset, at=0, now=self.sim.clock[self.party]))

    def read_control(self) -> bool:
        if self.outbox or self.at_control >= len(self.sim.control):
            return False
        offset = self.at_control
        self.at_control += 1
        record = self.sim.control[offset]
        return self.take(self.root.control(record, offset=offset, at=offset, now=self.sim.clock[self.party]))

    def send(self, *, lost: bool = False) -> bool:
        if not self.outbox:
            return False
        self.sim.append(self.outbox[0])
        if not lost:
            self.outbox.pop(0)
        return True

    def pass_time(self, by: int, *, connected: bool = True) -> bool:
        """The adversary may say that all is read when it is not: the deadline decides nothing by itself."""
        if self.outbox:
            return False
        self.sim.clock[self.party] += by
        now = self.sim.clock[self.party]
        ends = {0: len(self.sim.shares[self.party])}
        return self.take(self.root.tick(now, connected=connected, caught_up=connected, ends=ends, ends_at=now))

    def commit(self) -> bool:
        if self.outbox:
            return False
        moved = False
        for topic, offset in self.root.committable().items():
            name = f"{topic}{self.party}"
            if offset < self.sim.committed[name] and not self.sim.zombied:
                raise Violation(f"{name}: committable went down from {self.sim.committed[name]} to {offset}")
            if offset > self.sim.committed[name]:
                self.sim.committed[name] = offset
                moved = True
        return moved


class CollectorWorker:
    """A collector, likewise."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.place = sim.committed["collector"]
        self.outbox: list[Any] = []
        self.collector: Collector = sim.collector_class(
            task=sim.trial.task,
            roster=sim.trial.roster,
            partition=0,
            open_share=lambda share: share.sealed,
            publish=lambda aggregate: repr(aggregate).encode(),
            first=self.place,
            end=len(sim.control),
        )

    def read(self) -> bool:
        if self.outbox:
            return False
        if self.place >= len(self.sim.control):
            self.outbox.extend(self.collector.begin())
            return False
        offset = self.place
        self.place += 1
        self.outbox.extend(self.collector.control(self.sim.control[offset], offset=offset, at=offset))
        return True

    def send(self, *, lost: bool = False) -> bool:
        if not self.outbox:
            return False
        self.sim.append(self.outbox[0])
        if not lost:
            self.outbox.pop(0)
        return True

    def commit(self) -> bool:
        offset = self.collector.committable()
        if self.outbox or offset is None or offset <= self.sim.committed["collector"]:
            return False
        self.sim.committed["collector"] = offset
        return True


class Sim:
    """The world. `act` performs one step of the adversary; `finish` lets everything run on, fairly."""

    def __init__(
        self,
        trial: Trial,
        *,
        root_class: type[Root] = Root,
        collector_class: type[Collector] = Collector,
        down: int | None = None,
    ) -> None:
        self.trial = trial
        self.root_class, self.collector_class = root_class, collector_class
        self.parties = len(trial.task.party)
        self.scheme = scheme(trial.task.scheme.name, self.parties)
        self.rules = Rules.of(trial.task)
        self.down = down
        self.shares: list[list[Any]] = [[] for _ in range(self.parties)]
        self.contributions: list[list[Any]] = [[] for _ in range(self.parties)]
        self.control: list[Any] = []
        self.committed: dict[str, int] = defaultdict(int)
        self.clock = [START + HOUR // 2] * self.parties
        self.sealed: dict[bytes, tuple[str, int]] = {}
        self.contents: dict[tuple[str, int, int, int], Content] = {}
        self.decisions: dict[int, set[bytes]] = defaultdict(set)
        self.released: dict[int, dict[bytes, set[int]]] = defaultdict(lambda: defaultdict(set))
        self.published: dict[int, list[Published]] = defaultdict(list)
        self.zombied = False
        self.gateways = [Gateway(self, name) for name in trial.roster.gateways]
        self.leafs = [Leaf(self, party) for party in range(self.parties)]
        self.up = [party != down for party in range(self.parties)]
        self.roots: list[list[RootWorker | None]] = [[RootWorker(self, party), None] for party in range(self.parties)]
        self.collectors: list[CollectorWorker | None] = [CollectorWorker(self), None]

    def content(self, gateway: str, epoch: int, window: int, sequence: int) -> Content:
        key = (gateway, epoch, window, sequence)
        if key not in self.contents:
            value = 1 << sum(1 for known in self.contents if known[2] == window)
            digest = hashlib.sha256(repr(key).encode()).digest()
            draws = [
                int.from_bytes(hashlib.sha256(digest + bytes([number])).digest()[:8], "little")
                for number in range(self.scheme.components - 1)
            ]
            parts = (*draws, (value - sum(draws)) % 2**64)
            self.contents[key] = Content(gateway, epoch, sequence, value, digest, parts)
        return self.contents[key]

    def append(self, record: Any) -> None:
        """Put a record into its topic, and look whether two sets can now be opened."""
        if isinstance(record, Published):
            self.published[record.window].append(record)
            if len({known.value for known in self.published[record.window]}) > 1:
                raise Violation(f"two outcomes of {self.number(record.window)}: {self.published[record.window]}")
            return
        self.control.append(record)
        if isinstance(record, AggregateShare):
            sets = self.released[record.window]
            sets[record.digest].add(record.party)
            if sum(len(parties) >= self.scheme.enough for parties in sets.values()) > 1:
                raise Violation(f"two reveals of window {self.number(record.window)}")
            if sum(record.party in parties for parties in sets.values()) > 1:
                raise Violation(f"party {record.party} releases two sets of window {self.number(record.window)}")
        elif isinstance(record, Outcome) and not self.published[record.window]:
            raise Violation(f"an outcome of {self.number(record.window)} without an aggregate")

    def number(self, window: int) -> int:
        return (window - START) // HOUR

    # -- the adversary ----------------------------------------------------------------------------------------

    def act(self, action: tuple[Any, ...]) -> bool:
        """Perform one step; False where it is not possible now."""
        kind, *where = action
        who = kind.split()[0]
        if who == "gateway":
            gateway = self.gateways[where[0]]
            steps: dict[str, Callable[[], bool]] = {
                "gateway produces": gateway.produce,
                "gateway sends": lambda: gateway.send(where[1]),
                "gateway is acknowledged": lambda: gateway.acknowledge(where[1]),
                "gateway crashes": gateway.crash,
                "gateway loses its disk": gateway.lose_disk,
            }
        elif who == "party":
            steps = {
                "party goes": lambda: self._stop(where[0]),
                "party comes": lambda: not self.up[where[0]] and self._restart(where[0]),
            }
        elif who == "collector":
            steps = self._collector(where[0])
        else:
            steps = self._leaf(where[0]) if who == "leaf" else self._root(where[0], where[1])
        return steps.get(kind, lambda: False)()

    def _stop(self, party: int) -> bool:
        self.up[party] = False
        self.roots[party][0] = None
        return True

    def _restart(self, party: int) -> bool:
        if party == self.down:
            return False
        self.up[party] = True
        self.leafs[party] = Leaf(self, party)
        self.roots[party][0] = RootWorker(self, party)
        return True

    def _leaf(self, party: int) -> dict[str, Callable[[], bool]]:
        leaf = self.leafs[party]
        if not self.up[party]:
            return {}
        return {
            "leaf reads": leaf.read,
            "leaf sends, unheard": lambda: leaf.read(lost=True),
            "leaf marks": leaf.mark,
            "leaf commits": leaf.commit,
            "leaf crashes": lambda: self._new_leaf(party),
        }

    def _new_leaf(self, party: int) -> bool:
        self.leafs[party] = Leaf(self, party)
        return True

    def _root(self, party: int, slot: int) -> dict[str, Callable[[], bool]]:
        root = self.roots[party][slot]
        if root is None or not self.up[party]:
            return {}
        window = self.trial.task.window
        steps: dict[str, Callable[[], bool]] = {
            "root reads contributions": root.read_contribution,
            "root reads control": root.read_control,
            "root sends": root.send,
            "root sends, unheard": lambda: root.send(lost=True),
            "root: a second": lambda: root.pass_time(1_000),
            "root: an hour": lambda: root.pass_time(HOUR),
            "root: deadline": lambda: root.pass_time(window.deadline),
            "root: interruption": lambda: root.pass_time(1_000, connected=False),
            "root: give up": lambda: root.pass_time(window.give_up_after),
        }
        if slot == 0:  # a zombie cannot commit
            steps["root commits"] = root.commit
            steps["root crashes"] = lambda: self._new_root(party, None)
            steps["root moves"] = lambda: self._new_root(party, root)
        return steps

    def _new_root(self, party: int, zombie: RootWorker | None) -> bool:
        self.zombied |= zombie is not None
        self.roots[party] = [RootWorker(self, party), zombie or self.roots[party][1]]
        return True

    def _collector(self, slot: int) -> dict[str, Callable[[], bool]]:
        worker = self.collectors[slot]
        if worker is None:
            return {}
        steps: dict[str, Callable[[], bool]] = {
            "collector reads": worker.read,
            "collector sends": worker.send,
            "collector sends, unheard": lambda: worker.send(lost=True),
        }
        if slot == 0:
            steps["collector commits"] = worker.commit
            steps["collector crashes"] = lambda: self._new_collector(None)
            steps["collector moves"] = lambda: self._new_collector(worker)
        return steps

    def _new_collector(self, zombie: CollectorWorker | None) -> bool:
        self.collectors = [CollectorWorker(self), zombie or self.collectors[1]]
        return True

    def menu(self) -> list[tuple[float, tuple[Any, ...]]]:
        """What the adversary can choose from, with the weight of each."""
        found: list[tuple[float, tuple[Any, ...]]] = []
        for number in range(len(self.gateways)):
            found += [(8, ("gateway produces", number)), (0.3, ("gateway crashes", number))]
            found += [(0.2, ("gateway loses its disk", number))]
            for party in range(self.parties):
                found += [(6, ("gateway sends", number, party)), (2, ("gateway is acknowledged", number, party))]
        for party in range(self.parties):
            found += [(9, ("leaf reads", party)), (3, ("leaf marks", party)), (2, ("leaf commits", party))]
            found += [(0.7, ("leaf sends, unheard", party)), (0.2, ("leaf crashes", party))]
            found += [
                (3, ("root commits", party, 0)),
                (0.4, ("root crashes", party, 0)),
                (0.2, ("root moves", party, 0)),
            ]
            found += [(0.1, ("party goes", party)), (0.3, ("party comes", party))]
            for slot, rate in ((0, 1.0), (1, 0.2)):
                found += [
                    (9 * rate, ("root reads contributions", party, slot)),
                    (11 * rate, ("root reads control", party, slot)),
                    (9 * rate, ("root sends", party, slot)),
                    (0.7 * rate, ("root sends, unheard", party, slot)),
                    (1 * rate, ("root: a second", party, slot)),
                    (0.7 * rate, ("root: an hour", party, slot)),
                    (1.5 * rate, ("root: deadline", party, slot)),
                    (0.2 * rate, ("root: interruption", party, slot)),
                    (0.02 * rate, ("root: give up", party, slot)),
                ]
        found += [(0.3, ("collector crashes", 0)), (0.2, ("collector moves", 0)), (2, ("collector commits", 0))]
        for slot, rate in ((0, 1.0), (1, 0.2)):
            found += [(8 * rate, ("collector reads", slot)), (5 * rate, ("collector sends", slot))]
            found += [(0.5 * rate, ("collector sends, unheard", slot))]
        return found

    # -- the fair end -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Everybody but the one that is down for good comes back, and time passes until all has ended."""
        for party in range(self.parties):
            self.roots[party][1] = None
            if not self.up[party]:
                self._restart(party)
        self.collectors[1] = None
        window = self.trial.task.window
        for by in (1_000, HOUR * 8, window.deadline, window.deadline, window.deadline, window.give_up_after):
            for _ in range(3):
                self.drain()
                self.pass_all(by if _ == 0 else 1_000)
        self.drain()
        self.pass_all(window.deadline)
        self.drain()

    def pass_all(self, by: int) -> None:
        for party in range(self.parties):
            root = self.roots[party][0]
            if self.up[party] and root is not None:
                root.pass_time(by)

    def drain(self) -> None:
        moved = True
        while moved:
            moved = False
            for gateway in self.gateways:
                while gateway.produce():
                    moved = True
                for party in range(self.parties):
                    while gateway.send(party):
                        moved = True
                    gateway.acknowledge(party)
            for party in range(self.parties):
                root, leaf = self.roots[party][0], self.leafs[party]
                if not self.up[party] or root is None:
                    continue
                for step in (leaf.read, leaf.mark, leaf.commit, root.send, root.read_contribution, root.read_control):
                    while step():
                        moved = True
                root.commit()
            collector = self.collectors[0]
            if collector is not None:
                for step in (collector.send, collector.read, collector.send):
                    while step():
                        moved = True
                collector.commit()

    # -- what must hold ---------------------------------------------------------------------------------------

    def oracle(self) -> Agreement:
        """The fold by somebody who read the whole log and never restarted."""
        fold = agreement_of(self.trial.task, self.trial.roster, first=START)
        for offset, record in enumerate(self.control):
            if not isinstance(record, Outcome):
                fold.fold(record, offset=offset, at=offset)
        return fold

    def check(self) -> None:
        fold = self.oracle()
        for window in range(START, self.trial.task.valid_until, HOUR):
            ballot = fold.ballot(window)
            agreed = ballot.agreed if ballot else None
            if self.decisions[window] - {agreed.digest if agreed else None}:
                raise Violation(f"a root decided window {self.number(window)} otherwise than the log")
            if not self.published[window]:
                raise Violation(f"no outcome of window {self.number(window)}: {self.told(window)}")
            self._check_aggregate(window, fold)
        for party in range(self.parties):
            root = self.roots[party][0]
            if self.up[party] and root is not None and root.root.status(self.clock[party])["windows"]:
                raise Violation(f"party {party} still waits: {root.root.status(self.clock[party])}")

    def _check_aggregate(self, window: int, fold: Agreement) -> None:
        aggregate = self.published[window][0].aggregate
        (cell,) = aggregate.cells
        ballot = fold.ballot(window)
        terminal = ballot.terminal if ballot else None
        if cell.outcome == "suppressed":
            reason = terminal.reason if terminal else "window_over"
            if cell.reason != reason:
                raise Violation(f"window {self.number(window)}: {cell.reason}, the whole log says {reason}")
            return
        if ballot is None or ballot.agreed is None or terminal is None or terminal.outcome != "point":
            raise Violation(f"window {self.number(window)} was revealed, the whole log says {terminal}")
        chosen = {self.sealed[entry.contribution] for entry in ballot.agreed.entries}
        if {name for name, _ in chosen} != {one.gateway for one in aggregate.contributors}:
            raise Violation(f"window {self.number(window)} names others than the agreed contributors")
        readings = [
            known.value for key, known in self.contents.items() if key[2] == window and (key[0], key[1]) in chosen
        ]
        if (cell.count, cell.sum_steps) != (len(readings), sum(readings)):
            raise Violation(f"window {self.number(window)}: {cell}, expected {len(readings)}, {sum(readings)}")
        if aggregate.verified != (self.scheme.tolerates_lies > 0 and len(terminal.parties) == self.parties):
            raise Violation(f"window {self.number(window)}: verified={aggregate.verified} by {terminal.parties}")

    def told(self, window: int) -> str:
        return " ".join(
            f"{type(record).__name__}:{getattr(record, 'party', 'c')}{getattr(record, 'phase', '')}"
            for record in self.control
            if record.window == window
        )


def run(sim: Sim, seed: int, steps: int = 600) -> list[tuple[Any, ...]]:
    """One random schedule, then the fair end and all checks. Returns what was done."""
    rng = random.Random(seed)
    hours = rng.choice([1, 4, 4, 4])
    sim.clock = [now + hours * HOUR for now in sim.clock]
    menu = sim.menu()
    rates: dict[str, float] = {}
    weights = []
    for weight, action in menu:
        # swarm testing: in each schedule every kind of step, and each one's part of it, has a rate of its own
        kind, spread = action[0], 1 if weight >= 2 else 3
        rate = rates.setdefault(kind, 2 ** rng.uniform(-spread, spread))
        weights.append(weight * rate * 2 ** rng.uniform(-1.5, 1.5))
    trace: list[tuple[Any, ...]] = []
    mute: Any = None
    for number, action in enumerate(rng.choices([action for _, action in menu], weights, k=5 * steps)):
        if len(trace) >= steps:
            break
        if number % 40 == 0:  # bursts: somebody is slow for a while
            mute = rng.choice([None, None, "gateway", "leaf", "root", "collector"]), rng.randrange(sim.parties)
        if action[0].split()[0] == mute[0] and (action[1] == mute[1] or mute[0] == "collector"):
            continue
        again = rng.choice((1, 1, 2, 5)) if {"produces", "reads", "sends"} & {*action[0].split()} else 1
        while again and sim.act(action):
            trace.append(action)
            again -= 1
    sim.finish()
    sim.check()
    return trace
