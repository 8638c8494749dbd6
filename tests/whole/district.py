"""A town whose parties have two workers each: partitions move between them in the middle of everything.

What runs are the production folds, made as `runtime.lane` makes them: anew from the committed offsets after each
rebalance, every output in Kafka before the next record is taken. An adversary with a seed chooses what happens next.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from ingest.shard import Outgoing
from protocol.control import ControlRecord, decode
from runtime.fold import Flow, Fold, Map, Moment, Output, Place, Start
from streams.joint.plan import plans_of
from streams.party import PartyRole
from tests.trial import Trial
from tests.whole.town import Town


@dataclass
class Lane:
    """One partition number of one flow at one worker. `pending`: to be sent before anything else is taken."""

    party: str
    flow: Flow
    number: int
    does: Fold | Map
    read: dict[str, int]
    done: dict[str, int]
    pending: list[Output] = field(default_factory=list)
    flying: deque[tuple[str, int, list[Output]]] = field(default_factory=deque)
    zombie: int | None = None  # so many steps until an old worker notices


class District(Town):
    """Each party has two workers. `lanes` are those at work, `zombies` those that do not know yet that they are not."""

    def __init__(self, trial: Trial, *, now: int, rng: random.Random) -> None:
        super().__init__(trial, now=now, away=trial.task.party_names)
        self.rng = rng
        self.committed: dict[tuple[str, Place], int] = {}
        self.lanes: dict[str, list[Lane]] = {}
        self.zombies: list[Lane] = []
        self.workers = {party: [self._worker(party), self._worker(party)] for party in trial.task.party_names}
        self.seen: list[CollectorRegistry] = []
        for party in trial.task.party_names:
            self.rebalance(party)

    def _worker(self, party: str) -> tuple[PartyRole, CollectorRegistry]:
        trial, registry = self.trial, CollectorRegistry()
        role = PartyRole(
            task=trial.task,
            roster=trial.roster,
            topics=self.topics,
            key=trial.keys[party],
            cards=trial.cards,
            plans=plans_of(trial.task, trial.roster, {}),
            registry=registry,
            show_share=None,
        )
        return role, registry

    # -- what the adversary can do ----------------------------------------------------------------------------

    def rebalance(self, party: str) -> None:
        """Partitions are given out anew: leaf and root of a number may come to different workers."""
        for lane in self.lanes.get(party, []):
            if self.rng.random() < 0.4:
                lane.zombie = self.rng.randrange(1, 60)
                self.zombies.append(lane)
        self.lanes[party] = []
        flows = [role.flows() for role, _ in self.workers[party]]
        for place in range(len(flows[0])):
            for number in range(self.trial.roster.partitions):
                self.lanes[party].append(self._lane(party, self.rng.choice(flows)[place], number))

    def kill(self, party: str) -> None:
        """One worker dies with all that it has in memory, a new one comes in its place."""
        place = self.rng.randrange(2)
        self.seen.append(self.workers[party][place][1])
        self.workers[party][place] = self._worker(party)
        self.rebalance(party)

    def _lane(self, party: str, flow: Flow, number: int) -> Lane:
        starts = {}
        for topic in flow.topics:
            where = Place(topic, number)
            starts[topic] = Start(first=self.committed.get((party, where), 0), end=len(self.logs[where]))
        does = flow.make(number, starts)
        assert isinstance(does, Fold | Map)
        read = {topic: start.first for topic, start in starts.items()}
        return Lane(party=party, flow=flow, number=number, does=does, read=read, done=dict(read))

    def step(self, lane: Lane) -> bool:
        """Let one lane do one thing; False where there is nothing to do."""
        if lane.zombie is not None:
            lane.zombie -= 1
            if lane.zombie <= 0:
                self.zombies.remove(lane)
        kind = self.rng.choices(("take", "send", "tick", "commit"), (8, 10, 2, 1))[0]
        if lane.pending or (kind == "send" and lane.flying):
            return self.deliver(lane)
        if kind == "take":
            return self.take(lane)
        if kind == "tick":
            return self.tick(lane)
        return self.commit(lane)

    def take(self, lane: Lane) -> bool:
        topics = [topic for topic in lane.flow.topics if lane.read[topic] < len(self.logs[Place(topic, lane.number)])]
        if lane.pending or not topics or len(lane.flying) > 5:
            return False
        topic = self.rng.choice(topics)
        record = self.logs[Place(topic, lane.number)][lane.read[topic]]
        lane.read[topic] += 1
        outputs = list(lane.does.record(record, self.now))
        if isinstance(lane.does, Map):
            lane.flying.append((topic, lane.read[topic], outputs))
        else:
            lane.pending += outputs
        self._settle(lane)
        return True

    def deliver(self, lane: Lane) -> bool:
        """Send one output, the answer to which may be lost: then it is sent again."""
        if lane.pending:
            row = lane.pending
        else:
            rows = [outputs for _, _, outputs in lane.flying if outputs]
            if not rows:
                return False
            row = self.rng.choice(rows)
        self.append(row[0])
        if self.rng.random() > 0.05:
            del row[0]
        self._settle(lane)
        return True

    def tick(self, lane: Lane) -> bool:
        if lane.pending:
            return False
        partitions = range(self.trial.roster.partitions)
        ends = {
            topic: {number: len(self.logs[Place(topic, number)]) for number in partitions} for topic in lane.flow.watch
        }
        lag = {topic: len(self.logs[Place(topic, lane.number)]) - lane.read[topic] for topic in lane.flow.topics}
        moment = Moment(now=self.now, connected=True, lag=lag, ends=ends, ends_at=self.now)
        if isinstance(lane.does, Map):
            lane.pending += lane.does.tick(moment, dict(lane.done))
        else:
            lane.pending += lane.does.tick(moment)
        self._settle(lane)
        return bool(lane.pending)

    def commit(self, lane: Lane) -> bool:
        """Kafka takes commits of the present generation only."""
        if lane.zombie is None:
            for topic, offset in lane.done.items():
                self.committed[lane.party, Place(topic, lane.number)] = offset
        return False

    def _settle(self, lane: Lane) -> None:
        """What may be committed: as `runtime.lane` has it."""
        if isinstance(lane.does, Map):
            while lane.flying and not lane.flying[0][2]:
                topic, following, _ = lane.flying.popleft()
                lane.done[topic] = following
        elif not lane.pending:
            for topic, offset in lane.does.committable().items():
                lane.done[topic] = max(lane.done[topic], min(offset, lane.read[topic]))

    # -- a schedule -------------------------------------------------------------------------------------------

    def play(self, queues: Sequence[list[Outgoing]], *, steps: int, pause: int) -> None:
        """Let `queues` (each in its order) arrive while everything happens; `pause`: ms that pass now and then."""
        slow: tuple[str, str] | None = None
        weights = {"arrive": 4, "work": 60, "zombie": 6, "move": 0.4, "kill": 0.2, "time": 1, "collector": 1}
        for number in range(steps):
            if number % 50 == 0:  # bursts: the leafs or roots of one party are slow for a while
                slow = (self.rng.choice(self.trial.task.party_names), self.rng.choice(("leaf", "leaf", "root")))
            what = self.rng.choices([*weights], [*weights.values()])[0]
            waiting = [queue for queue in queues if queue]
            if what == "arrive" and waiting:
                self.send([self.rng.choice(waiting).pop(0)])
            elif what == "zombie" and self.zombies:
                self.step(self.rng.choice(self.zombies))
            elif what == "move":
                self.rebalance(self.rng.choice(self.trial.task.party_names))
            elif what == "kill":
                self.kill(self.rng.choice(self.trial.task.party_names))
            elif what == "time":
                self.let_pass(pause)
            elif what == "collector":
                self.settle()
            else:
                lane = self.rng.choice([lane for lanes in self.lanes.values() for lane in lanes])
                if (lane.party, lane.flow.name) != slow:
                    for _ in range(self.rng.choice((1, 3, 10))):
                        self.step(lane)

    def let_pass(self, ms: int) -> None:
        """Let time pass, and everybody who is not busy sending look at the clock, as they do many times a minute."""
        end = self.now + ms
        while self.now < end:
            self.now = min(end, self.now + 60_000)
            for lane in [*self.zombies, *(lane for lanes in self.lanes.values() for lane in lanes)]:
                self.tick(lane)

    def calm_down(self, queues: Sequence[list[Outgoing]], *, pauses: Sequence[int]) -> None:
        """Everything arrives, zombies are gone, and everybody works until nothing moves, after each pause too."""
        for queue in queues:
            self.send(queue)
            queue.clear()
        self.zombies.clear()
        for pause in (0, *pauses):
            self.let_pass(pause)
            moved = True
            while moved:
                moved = False
                for lane in [lane for lanes in self.lanes.values() for lane in lanes]:
                    while self.deliver(lane) or self.take(lane):
                        moved = True
                for lane in [lane for lanes in self.lanes.values() for lane in lanes]:
                    moved = self.tick(lane) or moved
                    self.commit(lane)
                self.settle()

    # -- what can be seen -------------------------------------------------------------------------------------

    def control_records(self) -> list[ControlRecord]:
        """All records of control, of all partitions."""
        return [
            decode(value, task=self.trial.task, roster=self.trial.roster) for value in self.raw(self.topics.control)
        ]

    def contradictions(self) -> float:
        """What all workers there ever were, and the collector, have counted."""
        registries = [
            *self.seen,
            self.registries["collector"],
            *(one for pair in self.workers.values() for _, one in pair),
        ]
        return sum(
            sample.value
            for registry in registries
            for family in registry.collect()
            if family.name.endswith("_contradictions")
            for sample in family.samples
            if sample.name.endswith("_total")
        )
