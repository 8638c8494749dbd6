"""A spool that empties into a real Kafka: in order for each party and partition, across a Kafka that goes and comes."""

from __future__ import annotations

import itertools
from pathlib import Path

from ingest.commit import Commit
from ingest.producer import connector
from ingest.publisher import Publisher
from ingest.shard import Outgoing
from protocol.topics import Topics
from runtime.kafka import admin, ensure_topics
from runtime.retention import plan
from runtime.sections import KafkaSection
from tests.ingest.made import HOUR, START, spool_in
from tests.ingest.test_running import records, wait
from tests.servers import run
from tests.trial import make_trial

COMMITS, WINDOWS = 400, 6


def commit_of(number: int, parties: tuple[str, ...], partitions: int) -> Commit:
    """Return a commit with a record of each window for each party; each says which it is."""
    return Commit(
        outgoing=tuple(
            Outgoing(
                party=party,
                window=START + window * HOUR,
                readings=1,
                partition=window % partitions,
                key=b"north-1",
                value=f"{number * WINDOWS + window:08}".encode() + bytes(500),
            )
            for window in range(WINDOWS)
            for party in parties
        ),
        batches=(),
        salts=(),
        counted=(),
        sealed=(),
        receipts=(),
        forgotten=(),
        following=START,
        contributes_from=START,
        late=0,
        dropped=0,
        acks=(),
    )


def test_a_backlog_drains_in_order_while_more_comes(kafka: run.Kafka, tmp_path: Path) -> None:
    """Kafka is stopped in the middle and started again: nothing is missing, and what comes again is a repeat.

    A repeat goes back to what was not confirmed and comes in order again, so the first time that each record is seen is
    in order, too: that is what parties count.
    """
    trial = make_trial(name="drain")
    topics, partitions = Topics.of(trial.task), trial.roster.partitions
    section = KafkaSection(bootstrap_servers=(kafka.bootstrap,), security_protocol="PLAINTEXT")
    with admin(section) as client:
        ensure_topics(client, plan(trial.task, topics, partitions=partitions))
    spool = spool_in(tmp_path, trial)
    spool.kept()
    epoch = spool.begin_epoch(START, bytes(16))

    def store(numbers: range) -> None:
        for number in numbers:
            spool.commit(commit_of(number, topics.parties, partitions), epoch=epoch.counter, now=START)

    store(range(COMMITS // 2))
    backlog = spool.size
    publisher = Publisher(outbox=spool, topics=topics, connect=connector(section, "drain"))
    publisher.start()
    wait(lambda: spool.size < backlog, "something is confirmed")
    kafka.stop()
    store(range(COMMITS // 2, COMMITS * 3 // 4))
    assert spool.size > 0
    kafka.start()
    store(range(COMMITS * 3 // 4, COMMITS))
    publisher.wake()
    wait(lambda: spool.size == 0, "the spool is empty")
    publisher.stop()
    spool.close()
    for party in topics.parties:
        seen: dict[int, list[int]] = {}
        for partition, value in records(kafka, trial, party):
            seen.setdefault(partition, []).append(int(value[:8]))
        assert sorted(set(itertools.chain(*seen.values()))) == list(range(COMMITS * WINDOWS))
        for partition, numbers in seen.items():
            first = list(dict.fromkeys(numbers))
            assert first == sorted(first)
            assert {number % WINDOWS % partitions for number in numbers} == {partition}
