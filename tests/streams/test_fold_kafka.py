"""Folds on a real Kafka, under workers that die, freeze and join, and a broker that goes: nothing is lost or wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.servers import run
from tests.streams.counting import NUMBER, SUM, WINDOW

PARTITIONS = 3
TOPICS = ("in", "log", "sums", "words", "echoes")


class Stage:
    """Topics of their own, workers as processes, and what they wrote."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.given = 0

    def create(self) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        admin.create_topics([NewTopic(self.prefix + topic, PARTITIONS, 1) for topic in TOPICS])
        admin.close()

    def worker(self) -> subprocess.Popen[bytes]:
        number = len(self.workers)
        command = [sys.executable, "-m", "tests.streams.counting", self.bootstrap, self.prefix]
        with (self.folder / f"{number}.out").open("wb") as out, (self.folder / f"{number}.err").open("wb") as err:
            self.workers.append(subprocess.Popen(command, stdout=out, stderr=err))
        return self.workers[-1]

    def says(self, worker: subprocess.Popen[bytes]) -> dict[str, object]:
        lines = (self.folder / f"{self.workers.index(worker)}.out").read_text().splitlines()
        found: dict[str, object] = json.loads(lines[-1]) if lines else {}
        return found

    def ready(self, worker: subprocess.Popen[bytes]) -> bool:
        return self.says(worker).get("ready") is True

    def partitions(self, worker: subprocess.Popen[bytes]) -> list[int]:
        said = self.says(worker).get("sum")
        return list(said[0]) if isinstance(said, list) else []

    def give(self, windows: int, pause: float = 0.0) -> None:
        """Numbers of `windows` more windows to each partition, in order, and a word for each tenth of them."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, acks="all", enable_idempotence=True)
        for window in range(self.given, self.given + windows):
            for value in range(window * WINDOW, (window + 1) * WINDOW):
                for partition in range(PARTITIONS):
                    producer.send(f"{self.prefix}in", NUMBER.pack(value), partition=partition)
                    if value % 10 == 0:
                        producer.send(f"{self.prefix}words", NUMBER.pack(value), partition=partition)
            producer.flush()
            time.sleep(pause)
        producer.close()
        self.given += windows

    def read(self, topic: str) -> Counter[tuple[int, bytes]]:
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )
        places = [TopicPartition(self.prefix + topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        found: Counter[tuple[int, bytes]] = Counter()
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(500).values():
                found.update((record.partition, record.value) for record in records)
        consumer.close()
        return found

    def complete(self) -> bool:
        """Whether every window and word has been written at least once. Cheap as long as it is not."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap)
        wanted = {"sums": self.given * PARTITIONS, "echoes": self.given * WINDOW // 10 * PARTITIONS}
        places = {topic: [TopicPartition(self.prefix + topic, n) for n in range(PARTITIONS)] for topic in wanted}
        found = {topic: sum(consumer.end_offsets(at).values()) for topic, at in places.items()}
        consumer.close()
        return all(found[topic] >= count and len(self.read(topic)) >= count for topic, count in wanted.items())

    def check(self) -> None:
        """Every window once or more, always with the right sum; every word."""
        right = {
            (partition, SUM.pack(window, sum(range(window * WINDOW, (window + 1) * WINDOW))))
            for window in range(self.given)
            for partition in range(PARTITIONS)
        }
        assert set(self.read("sums")) == right
        words = {
            (partition, NUMBER.pack(value)) for value in range(0, self.given * WINDOW, 10) for partition in range(3)
        }
        assert set(self.read("echoes")) == words

    def end(self) -> list[int]:
        """Ask all to end; return their exit codes."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        return [worker.wait(60) for worker in self.workers]


def until(true: Callable[[], bool], seconds: float = 240) -> None:
    """Wait for something that comes sooner or later; fail when it does not."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.3)


@pytest.fixture
def stage(kafka: run.Kafka, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(kafka.bootstrap, f"fold-{os.getpid()}-{time.monotonic_ns()}.", tmp_path)
    yield made
    for worker in made.workers:
        worker.kill()


def test_workers_that_die_freeze_and_join_leave_every_sum_exact(stage: Stage) -> None:
    """One is killed, one is frozen for longer than the session and comes back, one joins: 180 sums, all right."""
    stage.create()
    first = stage.worker()
    until(lambda: stage.ready(first))
    stage.give(15, pause=0.1)
    second = stage.worker()
    stage.give(10, pause=0.1)
    until(lambda: stage.ready(second))
    os.kill(first.pid, signal.SIGKILL)
    stage.give(10, pause=0.1)
    third = stage.worker()
    until(lambda: stage.ready(third))
    os.kill(second.pid, signal.SIGSTOP)
    stage.give(15, pause=0.6)
    os.kill(second.pid, signal.SIGCONT)
    stage.give(10, pause=0.1)
    until(stage.complete)
    stage.check()
    assert stage.end()[1:] == [0, 0]


def test_topics_read_together_are_assigned_together(stage: Stage) -> None:
    """Three partitions over two workers, of which none has a number of one topic and not of the other."""
    stage.create()
    first, second = stage.worker(), stage.worker()
    until(lambda: stage.ready(first) and stage.ready(second))

    def shared() -> bool:
        numbers = [stage.partitions(worker) for worker in (first, second)]
        return all(numbers) and sorted(chain(*numbers)) == [0, 1, 2]

    until(shared)
    stage.give(5)
    until(stage.complete)
    stage.check()
    assert stage.end() == [0, 0]


def test_no_broker_at_the_start_and_a_broker_that_is_killed(tmp_path: Path, real_servers: None) -> None:
    """A worker waits for Kafka, and for a Kafka that comes back; it ends by itself only when told to."""
    with run.Kafka(tmp_path / "kafka") as broker:
        stage = Stage(broker.bootstrap, "away.", tmp_path)
        stage.create()
        broker.kill()
        worker = stage.worker()
        time.sleep(3)
        assert worker.poll() is None
        broker.start()
        until(lambda: stage.ready(worker))
        stage.give(10)
        broker.kill()
        time.sleep(4)
        broker.start()
        stage.give(10)
        until(stage.complete)
        stage.check()
        broker.kill()
        assert stage.end() == [0]
