"""The sink as a process, on a real Kafka: killed, started again, and every window is in the database once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from kafka import KafkaProducer

from protocol.identity import format_identity
from protocol.topics import Topics, partition_of_window
from runtime.kafka import admin, ensure_topics
from runtime.retention import plan
from runtime.sections import KafkaSection
from sotto.demo.ports import free_port
from sotto.report import report
from tests.servers.run import Influx, Kafka
from tests.sinks.made import TASK, aggregate, record
from tests.trial import HOUR, START

PARTITIONS = 3
WINDOWS = 60
REPOSITORY = Path(__file__).resolve().parents[2]

TASK_TOML = f"""\
format = 1
name = "beijing-air"
purpose = "a test"
valid_from = 2016-12-01T00:00:00+08:00
valid_until = 2017-03-01T00:00:00+08:00
labels = ["area"]
window = {{ size = "1h", utc_offset = "+08:00", lateness = "10m", deadline = "15m" }}
scheme = {{ name = "replicated", sealing = "x25519" }}
policy = {{ min_organisations = 3 }}
collector = {{ operator = "City", identity = "{format_identity(TASK.collector.identity)}" }}
[measures]
no2 = {{ unit = "ug/m3", range = [0, 1000], resolution = 1 }}
temperature = {{ unit = "Cel", range = [-40, 60], resolution = 0.1 }}
[party]
""" + "\n".join(
    f'{name} = {{ operator = "{name.title()}", identity = "{format_identity(party.identity)}" }}'
    for name, party in TASK.party.items()
)


@pytest.fixture
def topics(kafka: Kafka, tmp_path: Path) -> Topics:
    """Create topic aggregates under a prefix of this test, and write a task file."""
    (tmp_path / "task.toml").write_text(TASK_TOML)
    topics = Topics.of(TASK, f"sink-test-{tmp_path.name}.")
    with admin(KafkaSection(bootstrap_servers=(kafka.bootstrap,), security_protocol="PLAINTEXT")) as client:
        wanted = plan(TASK, topics, partitions=PARTITIONS)
        ensure_topics(client, [each for each in wanted if each.name == topics.aggregates])
    return topics


def publish(kafka: Kafka, topics: Topics, windows: range) -> None:
    """Write windows as the collector does, each followed by a record that is none of ours."""
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap)) as producer:
        for number in windows:
            start = START + number * HOUR
            value = record(aggregate(window_start=start, window_end=start + HOUR))
            partition = partition_of_window(TASK.hash, start, PARTITIONS)
            producer.send(topics.aggregates, value, partition=partition)
            producer.send(topics.aggregates, value[:-7], partition=partition)
        producer.flush()


def sink_file(folder: Path, kafka: Kafka, topics: Topics, place: str) -> tuple[Path, str]:
    """Write `sink.toml`; return it and the address of its pages."""
    listen = f"127.0.0.1:{free_port()}"
    path = folder / "sink.toml"
    path.write_text(
        f"""\
format = 1
task = "task.toml"
[kafka]
bootstrap_servers = ["{kafka.bootstrap}"]
security_protocol = "PLAINTEXT"
topic_prefix = "{topics.prefix}"
[http]
listen = "{listen}"
[log]
format = "json"
{place}
"""
    )
    return path, f"http://{listen}"


@contextmanager
def running(path: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run the sink as a process of its own; killed at the end if it still runs."""
    program = "import sys, pathlib; from sinks.main import run; run(pathlib.Path(sys.argv[1]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait(until: Callable[[], bool], seconds: float = 240) -> None:
    """Wait for something that happens in another process."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.1)


def ask(url: str) -> tuple[int, str]:
    """Get a page; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def rows_in(path: Path) -> int:
    """Count outcomes, as a reader beside the sink."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM outcomes").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_killed_in_the_middle_and_started_again_every_window_is_there_once(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    """SIGKILL while writing: the next process goes on from the committed offset and writes over what it repeats."""
    results = tmp_path / "results.db"
    path, pages = sink_file(tmp_path, kafka, topics, '[sqlite]\npath = "results.db"')
    publish(kafka, topics, range(WINDOWS // 2))
    with running(path) as process:
        wait(lambda: rows_in(results) > 0)
        publish(kafka, topics, range(WINDOWS // 2, WINDOWS))
        process.send_signal(signal.SIGKILL)
    with running(path) as process:
        wait(lambda: rows_in(results) == 2 * WINDOWS)
        wait(lambda: ask(f"{pages}/readyz")[0] == 200)
        status = json.loads(ask(f"{pages}/status")[1])
        assert (status["role"], status["sink"], status["behind"]) == ("sink", "sqlite", 0)
        assert "not written yet: nothing" in "\n".join(report(status, task=TASK, now=START))
        assert 'sotto_sink_rejected_records_total{reason="not_an_aggregate"}' in ask(f"{pages}/metrics")[1]
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=240)
        assert process.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "started"
    assert {"written", "record_rejected", "stopped"} <= set(events)
    with closing(sqlite3.connect(results)) as db:
        assert db.execute("SELECT count(*), count(DISTINCT window_start), sum(sum_steps) FROM results").fetchone() == (
            WINDOWS,
            WINDOWS,
            66 * WINDOWS,
        )


def test_into_influxdb_with_the_token_from_the_environment(
    kafka: Kafka, influx: Influx, topics: Topics, tmp_path: Path
) -> None:
    """The same rows in InfluxDB, and the token in no line of the log."""
    place = f"""\
[influxdb]
url = "{influx.url}"
org = "{influx.org}"
bucket = "{influx.bucket}"
token = "env:SINK_TOKEN"
measurement = "process"
"""
    path, pages = sink_file(tmp_path, kafka, topics, place)
    publish(kafka, topics, range(WINDOWS))
    with running(path, SINK_TOKEN=influx.token) as process:
        wait(lambda: f"sotto_sink_points_total {5 * WINDOWS}.0" in ask(f"{pages}/metrics")[1])
        wait(lambda: ask(f"{pages}/readyz")[0] == 200)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=240)
        assert process.returncode == 0
    assert influx.token not in log
    flux = (
        f'from(bucket: "{influx.bucket}") |> range(start: 2016-01-01T00:00:00Z)'
        ' |> filter(fn: (r) => r._measurement == "process" and r._field == "sum_steps") |> group() |> sum()'
    )
    with InfluxDBClient(url=influx.url, token=influx.token, org=influx.org) as client:
        ((total,),) = [[row["_value"] for row in table.records] for table in client.query_api().query(flux)]
    assert total == 66 * WINDOWS
