"""From a record to the database: what is not ours is counted and skipped, what is ours is written, however late."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from protocol.aggregate import encode
from runtime.fold import Record
from sinks.metrics import SinkMetrics
from sinks.points import rows_of
from sinks.rows import Rows
from sinks.store import AwayError, Written
from sinks.writer import LONGEST_PAUSE, Writer
from tests.sinks.made import TASK, TRIAL, aggregate, point, record
from tests.trial import HOUR, START, make_trial

NOW = START + 3_600_000 + 600_084


class Clock:
    """Stands still, at 84 ms after the last seal."""

    def wall(self) -> int:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class FakeStore:
    """Remembers what was written; `answers` come first (an error is raised)."""

    kind = "fake"
    where = "memory"
    identity = "fake"

    def __init__(self, *answers: Written | AwayError) -> None:
        self.answers = list(answers)
        self.written: list[Rows] = []

    def write(self, rows: Rows) -> Written:
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, AwayError):
                raise answer
            return answer
        self.written.append(rows)
        return Written(points=5)

    def check(self, *, valid_from: int, now: int) -> str | None:
        del valid_from, now
        return None

    def close(self) -> None:
        pass


class Desk:
    """A writer with everything around it."""

    def __init__(self, *answers: Written | AwayError) -> None:
        self.registry = CollectorRegistry()
        self.store = FakeStore(*answers)
        self.pauses: list[float] = []
        self.writer = Writer(
            task=TASK, store=self.store, metrics=SinkMetrics(self.registry, TASK), clock=Clock(), sleep=self.sleep
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def give(self, value: bytes) -> None:
        asyncio.run(
            self.writer.write(
                Record(topic="aggregates", partition=0, offset=7, key=None, value=value, timestamp=0), NOW
            )
        )

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def bad_records() -> Iterator[tuple[str, bytes]]:
    """Yield records that are none of ours, each with the reason under which it is counted."""
    good = record()
    other = make_trial(name="other-air")
    yield "not_an_aggregate", b""
    yield "not_an_aggregate", b"\xff\xfe"
    yield "not_an_aggregate", b"[" * 100_000
    yield "not_an_aggregate", good[:-1]
    yield "not_an_aggregate", b"null"
    yield "not_an_aggregate", b'{"aggregate":[],"signature":{}}'
    yield "not_canonical", good + b" "
    yield "wrong_signature", good.replace(b'"sum_steps":"66"', b'"sum_steps":"67"')
    yield "wrong_signature", encode(aggregate(), TRIAL.keys["party-1"].identity)
    yield "other_task", encode(aggregate(task_id=other.task.id), TRIAL.keys["collector"].identity)
    yield "repeated_cell", record(aggregate(cells=(point(), point(sum_steps=1))))
    yield "unknown_cell", record(aggregate(cells=(point(measure="mean"),)))
    yield "unknown_cell", record(aggregate(cells=(point(labels={"area": "ring", "outcome": "point"}),)))
    yield "unknown_cell", record(aggregate(cells=(point(unit="Cel"),)))
    yield "unknown_cell", record(aggregate(cells=(point(resolution=Decimal("0.1")),)))
    yield "other_window", record(aggregate(window_start=START + 1))
    yield "other_window", record(aggregate(window_end=START + 2 * HOUR))
    yield "other_window", record(aggregate(window_start=0, window_end=HOUR))


@pytest.mark.parametrize(
    ("reason", "value"), list(bad_records()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_not_ours_is_counted_and_the_stream_goes_on(reason: str, value: bytes) -> None:
    """Truncated, altered, signed by another, of another task, contradicting itself: counted, never written."""
    desk = Desk()
    desk.give(value)
    desk.give(record())
    assert desk.metric("sotto_sink_rejected_records_total", reason=reason) == 1
    assert desk.store.written == [rows_of(aggregate())]


@pytest.mark.parametrize(
    "field", ["window_start", "window_end", "cells", "contributors", "absent", "last_seal", "verified"]
)
@pytest.mark.parametrize("value", [None, "x", [1], {"a": 1}])
def test_a_signed_aggregate_of_the_wrong_shape_does_not_stop_the_stream(field: str, value: object) -> None:
    """A collector of another version may sign what we cannot read: it is counted, skipped, and nothing raises."""
    from protocol.aggregate import _SIGNED  # noqa: PLC0415  to sign what `encode` would not make
    from protocol.canonical import canonical  # noqa: PLC0415
    from protocol.identity import b64  # noqa: PLC0415

    document = {**json.loads(record())["aggregate"], field: value}
    signature = TRIAL.keys["collector"].identity.sign(_SIGNED + canonical(document))
    desk = Desk()
    desk.give(canonical({"aggregate": document, "signature": b64(signature)}))
    desk.give(record())
    assert desk.store.written == [rows_of(aggregate())]


def test_the_database_being_away_is_waited_for() -> None:
    """The same window, again and again, at growing distances; the offset is not released before it is written."""
    desk = Desk(*[AwayError("InfluxDB cannot be reached")] * 12)
    desk.give(record())
    assert desk.store.written == [rows_of(aggregate())]
    assert desk.pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert desk.pauses[-1] == LONGEST_PAUSE
    assert desk.metric("sotto_sink_retries_total") == 12
    assert desk.metric("sotto_dependency_up", dependency="fake") == 1


def test_refused_points_are_counted_and_later_windows_are_written() -> None:
    """A point that the database will never take does not hold up the rest, and is not forgotten either."""
    desk = Desk(Written(points=2, refused={"retention": 3}, said="points beyond retention policy"))
    desk.give(record())
    desk.give(record())
    assert desk.metric("sotto_sink_rejected_points_total", reason="retention") == 3
    assert desk.metric("sotto_sink_points_total") == 7
    assert len(desk.store.written) == 1


def test_the_latency_runs_from_the_last_seal_to_the_point() -> None:
    """84 ms after the seal; a window without a known seal, or sealed by a clock ahead of ours, spoils nothing."""
    desk = Desk()
    desk.give(record())
    assert desk.metric("sotto_seal_to_point_seconds_sum") == pytest.approx(0.084)
    desk.give(record(aggregate(last_seal=0)))
    assert desk.metric("sotto_seal_to_point_seconds_count") == 1
    desk.give(record(aggregate(last_seal=NOW + 60_000)))
    assert desk.metric("sotto_seal_to_point_seconds_sum") == pytest.approx(0.084)
    assert desk.metric("sotto_sink_last_point_timestamp_seconds") == NOW / 1_000


def test_a_stop_does_not_wait_for_a_database_that_hangs() -> None:
    """The partition goes elsewhere in the middle of a write: the loop is free at once."""
    desk = Desk()
    entered, release = threading.Event(), threading.Event()

    def hangs(rows: Rows) -> Written:
        entered.set()
        assert release.wait(60)
        return Written(points=1)

    desk.store.write = hangs  # type: ignore[method-assign]

    async def scenario() -> None:
        task = asyncio.create_task(
            desk.writer.write(
                Record(topic="aggregates", partition=0, offset=7, key=None, value=record(), timestamp=0), NOW
            )
        )
        await asyncio.to_thread(entered.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    release.set()
    assert desk.metric("sotto_sink_points_total") == 0
