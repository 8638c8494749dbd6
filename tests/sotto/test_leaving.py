"""A role that is told to stop ends with its work, whatever threads its libraries have left."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.retention import plan
from sotto.demo.mock_kafka import MockKafka
from sotto.init import Trial, write_trial

NOWHERE = "127.0.0.1:1"
FILES = {
    "gateway": "gateways/north-1.toml",
    "party": "parties/university.toml",
    "collector": "collector.toml",
    "sink": "sink.toml",
}
# As the installed command, in a process with a thread that never ends by itself: Python would wait for it for ever.
PROGRAM = """
import threading
threading.Thread(target=threading.Event().wait).start()
from sotto.cli import main
main()
"""


@contextmanager
def running(trial: Trial, role: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, "--log-format", "json", role, str(trial.directory / FILES[role])]
    process = subprocess.Popen([*command, "--http", ""], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("role", list(FILES))
def test_a_signal_ends_a_role_with_its_last_line(role: str, tmp_path: Path) -> None:
    """Status 0, and `stopped` is the last that it says: nothing after it can go wrong."""
    trial = write_trial(tmp_path / "air", kafka=NOWHERE, mqtt=f"mqtt://{NOWHERE}")
    lines: list[str] = []
    with running(trial, role) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "kafka" in line and '"warning"' in line:  # it has begun its work, which here is to wait for Kafka
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 0, lines
    said = [
        line for line in map(json.loads, lines) if "more" not in line
    ]  # how often a warning was repeated: at the end
    assert said[-1]["event"] == "stopped"


@pytest.mark.parametrize("role", list(FILES))
def test_a_role_that_may_not_start_ends_with_status_3(role: str, tmp_path: Path) -> None:
    """The error is a sentence, whose last lines say what to do."""
    kafka = MockKafka()
    trial = write_trial(
        tmp_path / "air",
        kafka=kafka.address,
        kafka_api_version="2.3",
        mqtt=f"mqtt://{NOWHERE}",
        entropy=random.Random(1).randbytes,
    )
    task = load(trial.task, Task)
    for each in plan(task, Topics.of(task), partitions=4):
        if role != "sink":  # a sink may have any number of partitions, but not none
            kafka.create_topic(each.name, each.partitions)
    with running(trial, role) as process:
        _, log = process.communicate()
        assert process.returncode == 3, log
    told = log[log.index("error: [kafka]: ") :]
    assert "are not there" in told if role == "sink" else "4 partitions, the roster says 3" in told
    assert "sotto topics" in told
