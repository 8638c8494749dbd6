"""A party: the records of a segment in memory, to its contribution records.

Both sides read a record from memory and write a contribution record to memory; neither has Kafka or Faust around it.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.pairs import Run, Way
from benchmarks.plain import bare_contribution, packed, sealed_contribution
from benchmarks.setting import Setting, segment
from protocol.batch import BatchCore
from protocol.contribution import ContributionBox
from protocol.topics import Topics
from streams.leaf import Leaf


def leafs(setting: Setting) -> Iterator[tuple[str, Way]]:
    """Give each party's leaf over the segment: (what it holds, way). HPKE is opened once for each segment."""
    task, roster = setting.trial.task, setting.trial.roster
    outgoing = segment(setting.sharder(), setting.random_rows())
    for number, party in enumerate(task.party_names):
        records = [(record.value, record.partition) for record in outgoing if record.party == party]

        def way(party: str = party, records: list[tuple[bytes, int]] = records) -> Run:
            leaf = Leaf(task=task, roster=roster, key=setting.trial.keys[party], topics=Topics.of(task))
            return lambda: [leaf.contribute(value, partition=partition) for value, partition in records]

        yield f"party {number}", way


def bare(setting: Setting) -> Way:
    """Packed plaintext without any protection."""
    labels = len(setting.trial.task.labels)
    place = setting.envelope().place
    records = [
        (packed(rows), BatchCore(place=place, sequence=sequence, commitments=(), table=bytes(32)))
        for sequence, rows in enumerate(setting.random_rows())
    ]
    return lambda: lambda: [bare_contribution(content, core, labels=labels) for content, core in records]


def sealed(setting: Setting) -> Way:
    """Packed plaintext in the same envelope: signature verified, body opened, contribution sealed."""
    task = setting.trial.task
    envelope = setting.envelope()
    box = ContributionBox(storage=setting.trial.keys[task.party_names[0]].storage, task_hash=task.hash, party=0)
    records = [envelope.close(packed(rows), sequence) for sequence, rows in enumerate(setting.random_rows())]
    labels = len(task.labels)
    return lambda: lambda: [sealed_contribution(record, envelope, box, labels=labels) for record in records]
