"""Joint computation over a real Kafka: three parties as processes, one partition of one topic."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from kafka.admin import KafkaAdminClient, NewTopic

from benchmarks.joint_party import LARGEST
from benchmarks.joint_work import operations
from mpc_ops.joint.replicated import PARTIES
from tests.servers.run import Kafka, NotInstalledError, installed

TOPIC = "sotto.bench.rounds"
WITHIN = 600.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The median over runs of the time from the first party's begin to the last party's end; bytes: the most of one."""

    seconds: float
    rounds: int
    size: int


def measure(runs: int) -> dict[tuple[str, str], Measured]:
    """By operation and scheme; nothing where Kafka is not installed (`make servers`).

    Raises ValueError where a party has opened something else than what is right.
    """
    try:
        installed()
    except NotInstalledError:
        return {}
    with tempfile.TemporaryDirectory(prefix="sotto-bench-") as directory, Kafka(Path(directory)) as kafka:
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        configs = {"max.message.bytes": str(LARGEST)}
        admin.create_topics([NewTopic(TOPIC, 1, 1, topic_configs=configs)])
        admin.close()
        parties = [
            subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-m", "benchmarks.joint_party", kafka.bootstrap, TOPIC, str(party), str(runs)],
                stdout=subprocess.PIPE,
            )
            for party in range(PARTIES)
        ]
        try:
            said = [json.loads(party.communicate(timeout=WITHIN)[0]) for party in parties]
        finally:
            for party in parties:
                party.kill()
    return _joined(said)


def _joined(said: list[list[dict[str, Any]]]) -> dict[tuple[str, str], Measured]:
    expected = {operation.name: list(operation.expected) for operation in operations()}
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    found: dict[tuple[str, str], Measured] = {}
    for at_parties in zip(*said, strict=True):
        name, scheme = at_parties[0]["operation"], at_parties[0]["scheme"]
        if any(each["opened"] != expected[name] for each in at_parties):
            raise ValueError(f"{name}, {scheme}: a party has opened another result")
        seconds = max(each["end"] for each in at_parties) - min(each["begin"] for each in at_parties)
        times[name, scheme].append(seconds)
        found[name, scheme] = Measured(
            seconds=median(times[name, scheme]),
            rounds=at_parties[0]["rounds"],
            size=max(each["bytes"] for each in at_parties),
        )
    return found
