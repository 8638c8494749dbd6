"""The gateway as a process, with a real mosquitto and a real Kafka, killed in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
from kafka import KafkaConsumer, TopicPartition
from paho.mqtt.enums import CallbackAPIVersion

from mpc_ops.sharing import reveal
from protocol.batch import BatchCore, SealCore, decode_record
from protocol.contribution import BatchSums, ContributionBox
from protocol.topics import Topics
from runtime.kafka import admin, ensure_topics
from runtime.retention import plan
from runtime.sections import KafkaSection
from tests.ingest import folder
from tests.ingest.made import FILE, START, at
from tests.servers import run
from tests.trial import Trial, make_trial
from tests.vectors.playing import leaf_of

WITHIN = 60.0


def wait(condition: Callable[[], bool], what: str, within: float = WITHIN) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.05)


@contextmanager
def gateway(path: Path) -> Iterator[subprocess.Popen[str]]:
    code = "import sys; from pathlib import Path; from ingest.main import run; run(Path(sys.argv[1]))"
    with (path.parent / "gateway.log").open("a") as log:
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=log, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


class Sensor:
    """Publishes at QoS 1 and waits for every confirmation."""

    def __init__(self, server: run.Mosquitto) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.connect(server.host, server.port)
        self.client.loop_start()
        self.sent: list[paho.MQTTMessageInfo] = []

    def send(self, topic: str, document: object) -> None:
        self.sent.append(self.client.publish(topic, json.dumps(document), qos=1))

    def confirmed(self) -> None:
        for info in self.sent:
            info.wait_for_publish(WITHIN)
        self.sent.clear()


def records(kafka: run.Kafka, trial: Trial, party: str) -> list[tuple[int, bytes]]:
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    partitions = [TopicPartition(Topics.of(trial.task).shares(party), n) for n in range(trial.roster.partitions)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    found = []
    while any(consumer.position(one) < ends[one] for one in partitions):
        for one, messages in consumer.poll(timeout_ms=500).items():
            found += [(one.partition, message.value) for message in messages]
    consumer.close()
    return found


def test_killed_and_started_again_it_counts_every_reading_once(
    mosquitto: run.Mosquitto, kafka: run.Kafka, tmp_path: Path
) -> None:
    """SIGKILL with messages in every state: the broker sends again what has no acknowledgement, the spool the rest."""
    trial = make_trial(name="killed")
    folder.write(trial, tmp_path)
    path = tmp_path / "gateway.toml"
    text = FILE.replace("mqtt://127.0.0.1:1883", mosquitto.url).replace("127.0.0.1:9092", kafka.bootstrap)
    text = text.replace('key = "file:north-1.key"', 'key = "file:north-1.key"\nstate_dir = "state"')
    port = run.free_port()
    path.write_text(f'{text}[http]\nlisten = "127.0.0.1:{port}"\n[clock]\nseals_by = "event"\nidle_after = "3s"\n')
    topics = Topics.of(trial.task)
    with admin(KafkaSection(bootstrap_servers=(kafka.bootstrap,), security_protocol="PLAINTEXT")) as client:
        ensure_topics(client, plan(trial.task, topics, partitions=trial.roster.partitions))

    def metric(name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def ready() -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200
        except OSError:
            return False

    expected: Counter[tuple[int, str]] = Counter()
    sensor = Sensor(mosquitto)
    for start in range(4):
        with gateway(path) as process:
            wait(lambda process=process: process.poll() is not None or ready(), "ready")
            assert process.poll() is None, (tmp_path / "gateway.log").read_text()[-2000:]
            for number in range(200):
                n = start * 200 + number
                sensor.send("air/ring/Gucheng", {"time": at(START + n * 1000), "NO2": n, "TEMP": None})
                sensor.send("now/x", 7)
                expected[START, "no2"] += n
            if start < 3:
                wait(lambda: metric("sotto_gateway_readings_total") > 20, "some readings")
                process.kill()
                continue
            sensor.confirmed()
            wait(lambda: metric("sotto_gateway_last_sealed") > 0, "sealed")
            wait(lambda: metric("sotto_gateway_spool_bytes") == 0, "the spool is empty")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    components = {}
    party_names = trial.task.party_names
    for number, party in enumerate(party_names[:2]):
        seen: dict[bytes, BatchSums] = {}
        seals: list[SealCore] = []
        box = ContributionBox(storage=trial.keys[party].storage, task_hash=trial.task.hash, party=number)
        leaf = leaf_of(trial, party)
        for partition, value in records(kafka, trial, party):
            core = decode_record(value).core
            if isinstance(core, SealCore):
                seals.append(core)
                continue
            assert isinstance(core, BatchCore)
            contributed = leaf.contribute(value, partition=partition)
            assert contributed.fault is None
            sums = box.open(contributed.value, labels=1)[1]
            assert isinstance(sums, BatchSums)
            if core.place.window == START:
                seen[core.hash] = sums
        (seal,) = [one for one in seals if one.place.window == START]
        assert sum(segment.batches for segment in seal.segments) == len(seen)
        assert len(seal.segments) >= 2
        assert len({cell for sums in seen.values() for cell in sums.cells}) == 1
        assert sum(int(sums.rows.sum()) for sums in seen.values()) == 800
        for place, component in enumerate((number, (number + 1) % 3)):
            total = sum(int(sums.sums[place][0]) for sums in seen.values()) % 2**64
            assert components.setdefault(component, total) == total
    (total,) = reveal([np.array([components[n]], dtype=np.uint64) for n in range(3)]).tolist()
    assert total == expected[START, "no2"]
