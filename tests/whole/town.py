"""All parties and the collector over logs in memory: the very folds that run on Kafka, fed by hand.

Time stands still until a test moves it; records are taken in the order of the logs, party by party.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from ingest.shard import Outgoing
from protocol.aggregate import Aggregate, decode
from protocol.control import ControlRecord
from protocol.control import decode as decode_control
from protocol.control import encode as encode_control
from protocol.share import SharePayload
from protocol.topics import Topics, partition_of_window
from runtime.fold import Flow, Fold, Map, Moment, Output, Place, Record, Start
from streams.collect import CollectorRole
from streams.joint.plan import plans_of
from streams.party import PartyRole
from streams.root_fold import RootFold
from tests.trial import Trial


@dataclass
class _Worker:
    """One partition number of one flow."""

    flow: Flow
    number: int
    does: Fold | Map
    read: dict[str, int] = field(default_factory=dict)


class Town:
    """Parties, collector, and the logs between them."""

    def __init__(self, trial: Trial, *, now: int, away: Iterable[str] = ()) -> None:
        self.trial = trial
        self.now = now
        self.said: int | None = None  # the time that writers give their records, where it is not the true one
        self.topics = Topics.of(trial.task)
        self.logs: dict[Place, list[Record]] = defaultdict(list)
        self.registries: dict[str, CollectorRegistry] = {}
        self.liars: dict[str, Callable[[ControlRecord], Iterable[ControlRecord]]] = {}
        self.off: dict[str, int] = defaultdict(int)  # by how many ms a role's clock is ahead of the true time
        self._workers: dict[str, list[_Worker]] = {}
        for party in trial.task.party_names:
            if party not in away:
                self.start(party)
        self.start("collector")

    def start(self, name: str) -> None:
        """Start a role with nothing in memory: it reads everything from the beginning."""
        trial = self.trial
        registry = self.registries[name] = CollectorRegistry()
        if name == "collector":
            role: PartyRole | CollectorRole = CollectorRole(
                task=trial.task,
                roster=trial.roster,
                topics=self.topics,
                key=trial.keys[name],
                registry=registry,
                plans=plans_of(trial.task, trial.roster, {}),
            )
        else:
            role = PartyRole(
                task=trial.task,
                roster=trial.roster,
                topics=self.topics,
                key=trial.keys[name],
                cards=trial.cards,
                plans=plans_of(trial.task, trial.roster, {}),
                registry=registry,
                show_share=None,
            )
        self._workers[name] = []
        for flow in role.flows():
            for number in range(trial.roster.partitions):
                starts = {topic: Start(first=0, end=len(self.logs[Place(topic, number)])) for topic in flow.topics}
                does = flow.make(number, starts)
                assert isinstance(does, Fold | Map)
                self._workers[name].append(_Worker(flow, number, does, dict.fromkeys(flow.topics, 0)))

    def send(self, records: Sequence[Outgoing]) -> None:
        """Let a gateway's records arrive."""
        for record in records:
            self.append(Output(self.topics.shares(record.party), record.partition, record.key, record.value))

    def lie(self, name: str, says: Callable[[ControlRecord], Iterable[ControlRecord]]) -> None:
        """Let a party write other control records than its root wants to."""
        self.liars[name] = says

    def lie_in_shares(self, name: str, change: Callable[[SharePayload], SharePayload | bytes]) -> None:
        """Let a party seal something else to the collector; bytes stand in the log as they are."""
        for worker in self._workers[name]:
            if isinstance(worker.does, RootFold):
                _lie_in_shares(worker.does, change)

    def write(self, name: str, record: ControlRecord) -> None:
        """Write a control record in a party's name, with its signature."""
        trial = self.trial
        number = partition_of_window(trial.task.hash, record.window, trial.roster.partitions)
        value = encode_control(record, task=trial.task, roster=trial.roster, identity=trial.keys[name].identity)
        self.append(Output(self.topics.control, number, b"", value))

    def stop(self, name: str) -> None:
        """Let a role be gone, with all that it has in memory."""
        del self._workers[name]

    def _send(self, name: str, output: Output) -> None:
        says = self.liars.get(name)
        if says is None or output.topic != self.topics.control:
            self.append(output)
            return
        for record in says(decode_control(output.value, task=self.trial.task, roster=self.trial.roster)):
            self.write(name, record)

    def append(self, output: Output) -> None:
        """Write one record to a log."""
        log = self.logs[Place(output.topic, output.partition)]
        log.append(
            Record(
                topic=output.topic,
                partition=output.partition,
                offset=len(log),
                key=output.key,
                value=output.value,
                timestamp=self.now if self.said is None else self.said,
            )
        )

    def settle(self) -> None:
        """Let everybody read and write until nothing moves any more."""
        moved = True
        while moved:
            moved = False
            for name, workers in self._workers.items():
                for worker in workers:
                    moved = self._read(name, worker) or moved
            for name, workers in self._workers.items():
                for worker in workers:
                    moved = self._tick(name, worker) or moved

    def _read(self, name: str, worker: _Worker) -> bool:
        moved = False
        for topic in worker.flow.topics:
            log = self.logs[Place(topic, worker.number)]
            while worker.read[topic] < len(log):
                record = log[worker.read[topic]]
                worker.read[topic] += 1
                moved = True
                for output in worker.does.record(record, self.now + self.off[name]):
                    self._send(name, output)
        return moved

    def _tick(self, name: str, worker: _Worker) -> bool:
        ends = {
            topic: {number: len(self.logs[Place(topic, number)]) for number in range(self.trial.roster.partitions)}
            for topic in worker.flow.watch
        }
        lag = {topic: len(self.logs[Place(topic, worker.number)]) - worker.read[topic] for topic in worker.flow.topics}
        now = self.now + self.off[name]
        moment = Moment(now=now, connected=True, lag=lag, ends=ends, ends_at=now)
        if isinstance(worker.does, Map):
            outputs = worker.does.tick(moment, dict(worker.read))
        else:
            outputs = worker.does.tick(moment)
        for output in outputs:
            self._send(name, output)
        return bool(outputs)

    def wait(self, ms: int, step: int = 60_000) -> None:
        """Let time pass, in steps, and let everybody work after each."""
        end = self.now + ms
        while self.now < end:
            self.now = min(end, self.now + step)
            self.settle()

    def aggregates(self) -> dict[int, Aggregate]:
        """Return what was published, by window; a window has one aggregate."""
        found: dict[int, Aggregate] = {}
        for place, log in self.logs.items():
            if place.topic == self.topics.aggregates:
                for record in log:
                    aggregate = decode(record.value, task=self.trial.task)
                    assert found.setdefault(aggregate.window_start, aggregate) == aggregate
        return found

    def committable(self, name: str, topic: str, number: int) -> int:
        """Return what a role needs no more of one partition; 0 where it commits nothing."""
        flows = [one for one in self._workers[name] if one.number == number and topic in one.flow.topics]
        return max(worker.does.committable().get(topic, 0) for worker in flows if isinstance(worker.does, Fold))

    def count(self, role: str, name: str, **labels: str) -> float:
        """Return a metric of one role, 0 where it has not been counted."""
        return self.registries[role].get_sample_value(name, labels) or 0.0

    def raw(self, *topics: str) -> list[bytes]:
        """Return the bytes of every record of these topics, or of all."""
        return [
            record.value for place, log in self.logs.items() if not topics or place.topic in topics for record in log
        ]


def _lie_in_shares(fold: RootFold, change: Callable[[SharePayload], SharePayload | bytes]) -> None:
    honest = fold.root.speech._seal_share

    def seal(payload: SharePayload, window: int, digest: bytes) -> tuple[bytes, bytes]:
        changed = change(payload)
        if isinstance(changed, SharePayload):
            return honest(changed, window, digest)
        return honest(payload, window, digest)[0], changed

    fold.root.speech._seal_share = seal
