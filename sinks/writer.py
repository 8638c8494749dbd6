"""One record of topic `aggregates` in, one window in the database: what the sink does, without Kafka or a database.

The offset of a record is committed after `write` has returned. So it returns when the window is in the database, when
the database has refused its points for good (counted, logged as an error), or when the record is none of ours (counted,
skipped). While the database is away it tries again for ever: the results wait in Kafka.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from protocol.aggregate import decode
from protocol.errors import WireError
from protocol.joint_outcomes import groups_of
from protocol.units import iso
from runtime.fold import Effect
from sinks.points import check_shape, rows_of
from sinks.store import AwayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from protocol.task import Task
    from runtime.fold import Record
    from runtime.lane import Clock
    from sinks.metrics import SinkMetrics
    from sinks.rows import Rows
    from sinks.store import Store, Written

_log = structlog.get_logger("sotto.sink")
_T = TypeVar("_T")

_MOST: Final = 12
"""So many windows are shown."""

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 30.0
"""Seconds between two attempts to write: doubled from the first to the longest, and so for ever."""


def read(value: bytes, task: Task) -> Rows:
    """Decode a record, check the collector's signature, make rows. Raises WireError, and nothing else."""
    try:
        aggregate = decode(value, task=task)
        check_shape(aggregate, task)
        return rows_of(aggregate, groups_of(task))
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        raise WireError("not_an_aggregate") from None


class Writer(Effect):
    """Writes windows to a store. One instance serves all partitions: it keeps nothing of what it has written."""

    def __init__(
        self,
        *,
        task: Task,
        store: Store,
        metrics: SinkMetrics,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.up = False
        """Whether the store took what was last tried: a write, or the look at the start."""
        self.windows = 0
        self.recent: deque[dict[str, object]] = deque(maxlen=_MOST)
        """What was written last, for /status."""
        self._task = task
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._alone = threading.Lock()

    def look(self) -> str | None:
        """Whether the store takes results, before there are any; as `Store.check`. Blocks."""
        with self._alone:
            warning = self._store.check(valid_from=self._task.valid_from, now=self._clock.wall())
        self.up = True
        self._metrics.up.labels(self._store.kind).set(1)
        return warning

    def close(self, patience: float = 2.0) -> None:
        """Close the store, unless a write hangs in it: the end of the process cuts that off."""
        if self._alone.acquire(timeout=patience):
            self._store.close()

    async def write(self, record: Record, now: int) -> None:
        """Write one record's window, trying again as long as it takes."""
        del now
        try:
            rows = read(record.value, self._task)
        except WireError as error:
            self._metrics.rejected_records.labels(error.reason).inc()
            _log.warning(
                "record_rejected",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=error.reason,
            )
            return
        began = self._clock.monotonic()
        self._report(rows, await self._until_written(rows), self._clock.monotonic() - began)

    async def _until_written(self, rows: Rows) -> Written:
        pause = FIRST_PAUSE
        while True:
            try:
                written = await _in_thread(lambda: self._store.write(rows), self._alone)
            except AwayError as error:
                self.up = False
                self._metrics.retries.inc()
                self._metrics.up.labels(self._store.kind).set(0)
                _log.warning(
                    "not_written",
                    window=self._name(rows),
                    detail=error.what,
                    remedy=error.remedy,
                    again_in=f"{pause:g}s",
                )
                await self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                if pause > FIRST_PAUSE:
                    _log.info("connection_restored", sink=self._store.kind)
                self.up = True
                self._metrics.up.labels(self._store.kind).set(1)
                return written

    def _report(self, rows: Rows, written: Written, seconds: float) -> None:
        now = self._clock.wall()
        self.windows += 1
        hidden = Counter(row.reason for row in rows.outcomes if row.outcome != "point")
        self.recent.append(
            {
                "window": rows.window_start,
                "written_at": now,
                "points": sum(row.outcome == "point" for row in rows.outcomes),
                "suppressed": dict(sorted(hidden.items())),
                "refused_points": sum(written.refused.values()),
            }
        )
        self._metrics.write_seconds.observe(seconds)
        self._metrics.points.inc(written.points)
        if written.points:
            self._metrics.last_point.set(now / 1_000)
            if rows.last_seal:
                # Two clocks: a gateway's that is ahead must not make a negative latency.
                self._metrics.seal_to_point.observe(max(now - rows.last_seal, 0) / 1_000)
        for reason, points in written.refused.items():
            self._metrics.rejected_points.labels(reason).inc(points)
            _log.error(
                "points_refused",
                window=self._name(rows),
                sink=self._store.kind,
                reason=reason,
                points=points,
                said=written.said,
                remedy="They are not in the database. Mend the cause, then write them again: docs/results.md.",
            )
        _log.info(
            "written",
            window=self._name(rows),
            points=len(rows.results),
            outcomes=len(rows.outcomes),
            contributors=len(rows.contributors),
            **({"joint": len(rows.joint)} if rows.joint else {}),
            refused=sum(written.refused.values()),
        )

    def _name(self, rows: Rows) -> str:
        return iso(rows.window_start, self._task.window.utc_offset)


async def _in_thread(work: Callable[[], _T], alone: threading.Lock) -> _T:
    """Run blocking work outside the loop, one at a time.

    In a daemon thread: asyncio's own pool is waited for when the process ends, and a database that hangs must not hold
    up a stop. What is cut off there is written again after the restart, over itself.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only if the work returns None

    def run() -> None:
        result, failure = None, None
        try:
            with alone:
                result = work()
        except BaseException as error:  # noqa: BLE001  handed on to whoever awaits
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="sotto-sink-write", daemon=True).start()
    return await done
