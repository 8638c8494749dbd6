"""The gateway as a process, with a real mosquitto and a real Kafka, killed in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
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
from sotto.demo.ports import free_port
from tests.ingest import folder
from tests.ingest.made import FILE, HOUR, MINUTE, START, at
from tests.servers import run
from tests.trial import Trial, make_trial
from tests.vectors.playing import leaf_of

WITHIN = 240.0  # seconds: a busy machine is no failure


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


class Running:
    """A folder with a gateway's files, and what the gateway says on its pages."""

    def __init__(self, name: str, mosquitto: run.Mosquitto, kafka: run.Kafka, path: Path) -> None:
        self.trial = make_trial(name=name)
        self.kafka, self.path, self.port = kafka, path / "gateway.toml", free_port()
        folder.write(self.trial, path)
        text = FILE.replace("mqtt://127.0.0.1:1883", mosquitto.url).replace("127.0.0.1:9092", kafka.bootstrap)
        text = text.replace("[mqtt]", f'state_dir = "state"\n[mqtt]\nclient_id = "sotto-{name}"')
        self.path.write_text(
            f'{text}[http]\nlisten = "127.0.0.1:{self.port}"\n[clock]\nseals_by = "event"\nidle_after = "10m"\n'
        )
        topics = Topics.of(self.trial.task)
        with admin(KafkaSection(bootstrap_servers=(kafka.bootstrap,), security_protocol="PLAINTEXT")) as client:
            ensure_topics(client, plan(self.trial.task, topics, partitions=self.trial.roster.partitions))

    def page(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=60) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> float:
        lines = self.page("metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def wait_ready(self, process: subprocess.Popen[str]) -> None:
        def ready() -> bool:
            assert process.poll() is None, (self.path.parent / "gateway.log").read_text()[-2000:]
            try:
                return self.page("readyz") == "ok\n"
            except OSError:
                return False

        wait(ready, "ready")

    def end(self, process: subprocess.Popen[str], sensor: Sensor) -> None:
        """Seal the first window by two readings that are late enough, and stop."""
        for number in range(2):
            sensor.send("air/ring/Gucheng", {"time": at(START + HOUR + 10 * MINUTE + number), "NO2": 0, "TEMP": None})
        wait(lambda: self.metric("sotto_gateway_last_sealed") > 0, "sealed")
        wait(lambda: self.metric("sotto_gateway_spool_bytes") == 0, "the spool is empty")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0

    def revealed(self) -> tuple[int, int, SealCore]:
        """Play two parties: return the number of readings in the first window, their sum, and the one seal."""
        components: dict[int, int] = {}
        for number, party in enumerate(self.trial.task.party_names[:2]):
            seen, seals = self._contributions(number, party)
            (seal,) = seals
            assert sum(segment.batches for segment in seal.segments) == len(seen)
            rows = sum(int(sums.rows.sum()) for sums in seen)
            for place, component in enumerate((number, (number + 1) % 3)):
                total = sum(int(sums.sums[place][0]) for sums in seen) % 2**64
                assert components.setdefault(component, total) == total
        (total,) = reveal([np.array([components[n]], dtype=np.uint64) for n in range(3)]).tolist()
        return rows, total, seal

    def _contributions(self, number: int, party: str) -> tuple[list[BatchSums], list[SealCore]]:
        seen: dict[bytes, BatchSums] = {}
        seals: list[SealCore] = []
        box = ContributionBox(storage=self.trial.keys[party].storage, task_hash=self.trial.task.hash, party=number)
        leaf = leaf_of(self.trial, party)
        for partition, value in records(self.kafka, self.trial, party):
            core = decode_record(value).core
            if core.place.window != START:
                continue
            if isinstance(core, SealCore):
                seals += [core] if core not in seals else []
                continue
            assert isinstance(core, BatchCore)
            contributed = leaf.contribute(value, partition=partition)
            assert contributed.fault is None
            sums = box.open(contributed.value, labels=1)[1]
            assert isinstance(sums, BatchSums)
            seen[core.hash] = sums
        assert len({cell for sums in seen.values() for cell in sums.cells}) == 1
        return list(seen.values()), seals


def test_killed_and_started_again_it_counts_every_reading_once(
    mosquitto: run.Mosquitto, kafka: run.Kafka, tmp_path: Path
) -> None:
    """SIGKILL with messages in any state: the broker sends again what has no acknowledgement, the spool the rest."""
    running = Running("killed", mosquitto, kafka, tmp_path)
    sensor = Sensor(mosquitto)
    for start in range(4):
        with gateway(running.path) as process:
            running.wait_ready(process)
            for n in range(start * 200, start * 200 + 200):
                sensor.send("air/ring/Gucheng", {"time": at(START + n * 1000), "NO2": n, "TEMP": None})
                sensor.send("now/x", 7)
            if start < 3:
                wait(lambda: running.metric("sotto_gateway_readings_total") > 20, "some readings")
                process.kill()
                continue
            running.end(process, sensor)
    rows, total, seal = running.revealed()
    assert (rows, total) == (800, sum(range(800)))
    assert len(seal.segments) >= 2


def test_with_kafka_away_and_mqtt_restarted_nothing_is_lost(
    mosquitto: run.Mosquitto, kafka: run.Kafka, tmp_path: Path
) -> None:
    """Readings are acknowledged and stored meanwhile, and counted once in the end."""
    running = Running("away", mosquitto, kafka, tmp_path)
    with gateway(running.path) as process:
        running.wait_ready(process)
        sensor = Sensor(mosquitto)
        numbers = iter(range(10_000))

        def send(count: int) -> None:
            for _ in range(count):
                n = next(numbers)
                sensor.send("air/ring/Gucheng", {"time": at(START + n * 100), "NO2": n % 1000, "TEMP": None})
            sensor.confirmed()

        send(100)
        kafka.stop()
        send(500)
        wait(lambda: running.metric("sotto_gateway_readings_total") == 600, "all readings are stored")
        assert running.metric("sotto_gateway_spool_bytes") > 0
        mosquitto.restart()
        wait(lambda: running.metric("sotto_gateway_mqtt_reconnects_total") > 0, "connected again")
        sensor = Sensor(mosquitto)
        send(100)
        kafka.start()
        send(100)
        running.end(process, sensor)
        count = next(numbers)
    rows, total, _ = running.revealed()
    assert (rows, total) == (count, sum(n % 1000 for n in range(count)))
