"""One party of `benchmarks.joint_kafka`: `python -m benchmarks.joint_party BOOTSTRAP TOPIC PARTY RUNS`.

It does what a party does in a joint computation of a window, with the code that does it there: keys between the
parties, messages sealed for their receiver, records signed, the records that count and the history
(`streams.joint.run`). Around it is as little as possible: one consumer and one producer, in place of a runner.

Prints a JSON list, one entry for each run: its operation, scheme, begin, end (seconds of this machine's clock that
never goes back), rounds, bytes written, and what was opened.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

from benchmarks.joint_work import Operation, opened, operations
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.replicated import PARTIES, Replicated
from mpc_ops.rounds import Array, Interactive
from mpc_ops.sessions import Party
from protocol import rounds
from streams.joint.keys import PartyKeys, RunPlace
from streams.joint.run import JointRun
from tests.trial import HOUR, START, Trial, make_trial

SIDES: dict[str, type[Replicated]] = {"unchecked": Replicated, "checked": Checked}
LARGEST = 8 << 20
"""Bytes of a record."""
WARM = 3000
"""Rounds before the first run, of records that are short and, now and then, as long as in a run. A broker that has just
started compiles while it serves: a round takes some 8 ms then, and 2 when a few thousand have passed. One that has been
running for an hour is past that."""
SILENT = 60.0
"""Seconds without a record after which a party gives up."""


class Line:
    """The topic: records in the order of the log, and writing one."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        at = {"bootstrap.servers": bootstrap, "socket.nagle.disable": True, "message.max.bytes": 2 * LARGEST}
        self._topic = topic
        self._producer = Producer({**at, "acks": "all", "linger.ms": 0})
        self._consumer = Consumer(
            {**at, "group.id": "bench", "enable.auto.commit": False, "fetch.message.max.bytes": 2 * LARGEST}
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

    def write(self, data: bytes) -> None:
        """Hand it to the producer, which waits for nothing."""
        self._producer.produce(self._topic, data, partition=0)
        self._producer.poll(0)  # forgets what has been delivered

    def close(self) -> None:
        """Return when all that was written is in the log."""
        self._producer.flush()
        self._consumer.close()

    def records(self) -> Iterator[bytes]:
        """All records, from the first on. Raises TimeoutError after a long silence."""
        while True:
            record = self._consumer.poll(SILENT)
            if record is None:
                raise TimeoutError("no record from the other parties")
            if record.error() is not None:
                raise KafkaException(record.error())
            data = record.value()
            assert data is not None, "internal error: a record without a value"
            yield data


def warm(line: Line, log: Iterator[bytes]) -> None:
    """Rounds in which each party says nothing, with the broker and connections of the runs."""
    for number in range(WARM):
        line.write(bytes(64 if number % 32 else 300_000))
        for _ in range(PARTIES):
            next(log)


def one_run(
    operation: Operation,
    kind: type[Replicated],
    *,
    trial: Trial,
    party: int,
    window: int,
    line: Line,
    log: Iterator[bytes],
) -> dict[str, Any]:
    """Take part in one run, from the keys to the opened result."""
    mine = operation.shares()[party]

    def program(who: Party) -> Interactive[Array]:
        return operation.program(kind(who, operation.ring), *mine)

    names = trial.task.party_names
    place = RunPlace(
        task_hash=trial.task.hash,
        roster_hash=trial.roster.hash,
        window=window,
        digest=hashlib.sha256(operation.name.encode()).digest(),
    )
    keys = PartyKeys(key=trial.keys[names[party]], cards=[trial.cards[name] for name in names], party=party)
    run: JointRun[Array] = JointRun(place=place, keys=keys, program=program)
    begin, size, said, data = 0.0, 0, None, b""
    while not run.done:
        pending = run.pending()
        if pending and pending[0] != said:
            said = pending[0]
            data = rounds.encode(said, task=trial.task, roster=trial.roster, identity=trial.keys[names[party]].identity)
            size += len(data)
            line.write(data)
        raw = next(log)
        record = rounds.decode(raw, task=trial.task, roster=trial.roster, own=data)
        if run.round_number is None:
            begin = time.monotonic()
        run.take(record, raw)
        if run.stopped is not None:
            raise ValueError(f"a run of {operation.name} has stopped: {run.stopped.reason}")
    end = time.monotonic()
    assert run.round_number is not None, "internal error: a run without a round"
    return {
        "begin": begin,
        "end": end,
        "rounds": run.round_number,
        "bytes": size,
        "opened": opened(operation, run.result),
    }


def main(bootstrap: str, topic: str, party: int, runs: int) -> None:
    """All runs, one after the other, on a broker that is warm; the first of each kind is not told."""
    trial = make_trial()
    line = Line(bootstrap, topic)
    log = line.records()
    warm(line, log)
    window = START
    found = []
    for operation in operations():
        for name, kind in SIDES.items():
            for number in range(runs + 1):
                result = one_run(operation, kind, trial=trial, party=party, window=window, line=line, log=log)
                window += HOUR
                if number:
                    found.append({"operation": operation.name, "scheme": name, **result})
    line.close()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
