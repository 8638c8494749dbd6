"""The leaf as a map over a partition of shares: contributions, marks, bad input, the glass of a trial."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from ingest.shard import Epoch, Rows, SegmentState, Sharder
from protocol.contribution import BatchSums, ContributionBox, Progress, SealSeen
from protocol.topics import Topics
from runtime.fold import Moment, Output, Record
from streams.leaf import Leaf
from streams.leaf_map import Glass, LeafMap
from streams.metrics import PartyMetrics
from tests.trial import START, Trial, counted, make_trial

EPOCH = Epoch(counter=5, nonce=bytes(16))


class Stage:
    """Three leaf maps that read what one gateway writes."""

    def __init__(self, trial: Trial, glass: str | None = None) -> None:
        self.trial = trial
        self.topics = Topics.of(trial.task)
        self.registry = CollectorRegistry()
        metrics = PartyMetrics(self.registry)
        self.sharder = Sharder(
            task=trial.task,
            roster=trial.roster,
            key=trial.keys["north-1"],
            cards=trial.cards,
            entropy=counted("north"),
            epoch=EPOCH,
        )
        self.boxes: dict[str, ContributionBox] = {}
        self.maps: dict[str, LeafMap] = {}
        self.glasses: dict[str, Glass] = {}
        for number, party in enumerate(trial.task.party_names):
            key = trial.keys[party]
            self.boxes[party] = ContributionBox(storage=key.storage, task_hash=trial.task.hash, party=number)
            if glass is not None:
                self.glasses[party] = Glass.of(glass, task=trial.task, roster=trial.roster)
            self.maps[party] = LeafMap(
                leaf=Leaf(task=trial.task, roster=trial.roster, key=key, topics=self.topics),
                box=self.boxes[party],
                topic=self.topics.contributions(party),
                partition=1,
                partitions=trial.roster.partitions,
                metrics=metrics,
                glass=self.glasses.get(party),
            )

    def give(self, party: str, value: bytes, partition: int, offset: int = 0) -> list[Output]:
        record = Record(
            topic=self.topics.shares(party),
            partition=partition,
            offset=offset,
            key=None,
            value=value,
            timestamp=0,
        )
        return list(self.maps[party].record(record, START))

    def batch(self, window: int = START) -> dict[str, list[Output]]:
        cells = self.trial.roster.cells(self.trial.task)
        rows = Rows(cells=cells, cell_ids=np.array([0, 0, 2], np.intp), units=np.array([4, 33, 2], np.uint64))
        outgoing, _ = self.sharder.batch(window=window, rows=rows, sequence=0)
        return {one.party: self.give(one.party, one.value, one.partition) for one in outgoing}

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def moment(now: int) -> Moment:
    return Moment(now=now, connected=True, lag={}, ends={}, ends_at=now)


def test_a_batch_becomes_one_contribution_at_each_party() -> None:
    """Where it goes is the window's partition of the party's own topic; what it holds adds up over the parties."""
    stage = Stage(make_trial())
    total: dict[int, int] = {}
    for party, outputs in stage.batch().items():
        (output,) = outputs
        assert output.topic == stage.topics.contributions(party)
        window, sums = stage.boxes[party].open(output.value, labels=1)
        assert window == START
        assert isinstance(sums, BatchSums)
        held = sums.sums[:, 0].tolist()
        number = stage.trial.task.party_names.index(party)
        for component, value in zip(sorted((number, (number + 1) % 3)), held, strict=True):
            assert total.setdefault(component, value) == value
    assert sum(total.values()) % 2**64 == 37
    assert stage.count("sotto_party_rows_total") == 9


def test_a_seal_becomes_a_contribution_too() -> None:
    """Readings: none."""
    stage = Stage(make_trial())
    sealed = stage.sharder.seal(
        window=START, segments=[SegmentState(epoch=EPOCH, batches=1, cores=bytes(32))], sealed_at=START
    )
    (output,) = stage.give(sealed[0].party, sealed[0].value, sealed[0].partition)
    _, seen = stage.boxes[sealed[0].party].open(output.value, labels=1)
    assert isinstance(seen, SealSeen)
    assert stage.count("sotto_party_rows_total") == 0


@pytest.mark.parametrize("value", [b"", b"\0", b"sotto", bytes(100), b"{}" * 1000])
def test_what_is_not_ours_is_counted_and_left_out(value: bytes) -> None:
    """No output, no exception, a counter with a reason."""
    stage = Stage(make_trial())
    assert stage.give("party-1", value, 0) == []
    families = [family for family in stage.registry.collect() if family.name == "sotto_party_rejected_records"]
    assert sum(s.value for family in families for s in family.samples if s.name.endswith("_total")) == 1


def test_a_mark_goes_to_every_partition_at_first_and_then_when_it_has_moved() -> None:
    """At most once a second; nothing while nothing moves."""
    stage = Stage(make_trial())
    leaf = stage.maps["party-1"]
    first = leaf.tick(moment(START), {"shares": 7})
    assert [output.partition for output in first] == [0, 1, 2]
    assert stage.boxes["party-1"].open(first[0].value, labels=1) == (0, Progress(partition=1, offset=7))
    assert leaf.tick(moment(START + 5000), {"shares": 7}) == ()
    assert len(leaf.tick(moment(START + 5000), {"shares": 8})) == 3
    assert leaf.tick(moment(START + 5500), {"shares": 9}) == ()
    assert len(leaf.tick(moment(START + 6000), {"shares": 9})) == 3


def test_the_glass_shows_numbers_that_add_up_to_the_reading_only_over_all_parties() -> None:
    """The newest window's first row of the chosen cell; each party shows what it holds, as text."""
    trial = make_trial()
    measure = trial.task.measure_names[trial.roster.cells(trial.task)[0].measure]
    area = trial.roster.cells(trial.task)[0].labels[0]
    stage = Stage(trial, f"area={area},measure={measure},gateway=north-1")
    assert stage.glasses["party-1"].document() == {}
    stage.batch()
    components: dict[str, str] = {}
    for glass in stage.glasses.values():
        sample = glass.document()["sample"]
        assert isinstance(sample, dict)
        assert sample["window"] == START
        assert sample["label"] == {"area": area}
        components.update(sample["components"])
    assert sum(map(int, components.values())) % 2**64 == 4


def test_the_glass_looks_at_nothing_else() -> None:
    """Another gateway's readings, or another cell's, stay unseen."""
    for wanted in ("gateway=west-1", "area=nowhere", "measure=pm10"):
        stage = Stage(make_trial(), wanted)
        stage.batch()
        assert all(glass.document() == {} for glass in stage.glasses.values())
