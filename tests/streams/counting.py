"""A worker for the trials of the runner on a real Kafka: `python -m tests.streams.counting BOOTSTRAP PREFIX`.

Flow `sum`: numbers on `in` and, behind each finished window, a mark on its own second topic `log`; 100 numbers make one
window, whose sum goes to `sums`. Flow `echo`: every record of `words` goes to `echoes`. It prints a line a second.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Mapping, Sequence

from runtime.fold import Flow, Fold, Map, Moment, Output, Record, Start
from runtime.logs import configure
from runtime.runner import Runner
from runtime.sections import KafkaSection
from runtime.worker import SystemClock, run_worker

WINDOW = 100
NUMBER = struct.Struct("<q")
SUM = struct.Struct("<qq")


class Sum(Fold):
    def __init__(self, prefix: str, number: int, starts: Mapping[str, Start]) -> None:
        self.prefix = prefix
        self.number = number
        self.open: dict[int, list[int]] = {}
        self.first: dict[int, int] = {}
        self.next = {topic: start.first for topic, start in starts.items()}

    def record(self, record: Record, now: int) -> Sequence[Output]:
        self.next[record.topic] = record.offset + 1
        if record.topic.endswith("log"):
            return ()
        (value,) = NUMBER.unpack(record.value)
        window = value // WINDOW
        self.open.setdefault(window, []).append(value)
        self.first.setdefault(window, record.offset)
        if len(self.open[window]) < WINDOW:
            return ()
        total = SUM.pack(window, sum(self.open.pop(window)))
        del self.first[window]
        return [
            Output(f"{self.prefix}sums", self.number, None, total),
            Output(f"{self.prefix}log", self.number, None, total),
        ]

    def tick(self, moment: Moment) -> Sequence[Output]:
        return ()

    def committable(self) -> Mapping[str, int]:
        source = f"{self.prefix}in"
        return {**self.next, source: min([*self.first.values(), self.next[source]])}


class Echo(Map):
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def record(self, record: Record, now: int) -> Sequence[Output]:
        return [Output(f"{self.prefix}echoes", record.partition, record.key, record.value)]


def main() -> None:
    bootstrap, prefix = sys.argv[1:]
    configure("info", "text")
    beats = 0

    def beat(runner: Runner | None) -> None:
        nonlocal beats
        beats += 1
        if runner is not None and beats % 5 == 0:
            status = {flow.name: (flow.partitions, flow.caught_up) for flow in runner.status()}
            print(json.dumps({"ready": runner.ready, **status}), flush=True)

    run_worker(
        group=f"{prefix}counting",
        kafka=KafkaSection(bootstrap_servers=(bootstrap,), security_protocol="PLAINTEXT"),
        flows=[
            Flow(
                name="sum",
                topics=(f"{prefix}in", f"{prefix}log"),
                make=lambda number, starts: Sum(prefix, number, starts),
                outputs=(f"{prefix}sums",),
            ),
            Flow(
                name="echo",
                topics=(f"{prefix}words",),
                make=lambda _number, _starts: Echo(prefix),
                outputs=(f"{prefix}echoes",),
            ),
        ],
        clock=SystemClock(),
        beat=beat,
    )
    sys.stdout.flush()
    os._exit(0)  # as the command line does: threads of Kafka's clients would keep the process for seconds


if __name__ == "__main__":
    main()
