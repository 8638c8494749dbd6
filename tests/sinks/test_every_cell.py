"""Every cell that was due has exactly one outcome in the database, however its window ended and however often written.

The aggregates are the collector's own: random endings of windows, combined, signed, read by the sink, and written to
both kinds of store more than once and in another order.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.aggregate import encode
from protocol.control import AggregateShare
from protocol.reasons import REASONS
from protocol.share import REASONS as OF_CELLS
from protocol.share import SharePayload
from sinks.influx import points_of
from sinks.rows import Rows
from sinks.sqlite import SqliteStore
from sinks.writer import read
from streams.agreement import Agreed, Ballot, Terminal
from streams.combine import Combiner
from tests.sinks.made import TRIAL
from tests.trial import HOUR, START, counted

TASK, ROSTER = TRIAL.task, TRIAL.roster
CELLS = {(cell.labels[0], TASK.measure_names[cell.measure]) for cell in ROSTER.cells(TASK)}
OF_WINDOWS = ("no_readings", "too_many_absent", "party_missing", "window_over")

cells = st.lists(st.sampled_from(["released", *OF_CELLS]), min_size=len(CELLS), max_size=len(CELLS))
endings = st.one_of(
    st.tuples(st.just("suppressed"), st.sampled_from(OF_WINDOWS)),
    st.tuples(st.sampled_from(["agree", "disagree", "out of range"]), cells),
)


def payload(kinds: list[str], copies: tuple[int, int]) -> SharePayload:
    """The share of one party: released cells hold 3 readings, and `copies` of the two components that it holds."""
    released = np.array([number for number, kind in enumerate(kinds) if kind == "released"], dtype=np.int64)
    return SharePayload(
        released=released,
        counts=np.full(len(released), 3, dtype=np.int64),
        sums=np.repeat(np.array([copies], dtype=np.uint64).T, len(released), axis=1),
        suppressed=tuple((number, kind) for number, kind in enumerate(kinds) if kind != "released"),
        notes=(),
    )


def record(window: int, ending: tuple[str, str | list[str]]) -> bytes:
    """What the collector publishes of a window that ended so."""
    how, what = ending
    shares: dict[int, SharePayload] = {}
    terminal = Terminal(outcome="point", parties=(0, 1, 2), at=window + HOUR)
    if isinstance(what, str):
        terminal = Terminal(outcome="suppressed", reason=what, at=window + HOUR)
    else:
        # All components are 0, so totals are 0; or so large that no readings in range have such a sum; or one party
        # has another copy than the others.
        copy = 2**62 if how == "out of range" else 0
        for party in range(3):
            shares[party] = payload(what, (copy, 5 if how == "disagree" and party == 1 else copy))
    sealed = {
        party: AggregateShare(
            window=window, party=party, floor=window, digest=bytes(32), key_id=bytes(16), sealed=share.encode()
        )
        for party, share in shares.items()
    }
    agreed = Agreed(entries=(), parties=(0, 1, 2), digest=bytes(32), last_seal=window) if shares else None
    ballot = Ballot(shares=sealed, agreed=agreed, terminal=terminal)
    combiner = Combiner(task=TASK, roster=ROSTER, open_share=lambda share: share.sealed)
    return encode(combiner.combine(window, ballot)[0], TRIAL.keys["collector"].identity)


@settings(max_examples=25, deadline=None)
@given(st.lists(endings, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_every_due_cell_has_one_outcome(chosen: list[tuple[str, str | list[str]]], order: Random) -> None:
    """A point and a value, or a reason that is known and no value: in SQLite and in InfluxDB, also when repeated."""
    rows = [read(record(START + number * HOUR, ending), TASK) for number, ending in enumerate(chosen)]
    due = {(START + number * HOUR, *cell) for number in range(len(chosen)) for cell in CELLS}
    writes = rows * 2
    order.shuffle(writes)
    with TemporaryDirectory() as folder:
        check_sqlite(Path(folder) / "results.db", writes, due)
    check_influx(writes, due)


def check_sqlite(path: Path, writes: list[Rows], due: set[tuple[int, str, str]]) -> None:
    store = SqliteStore(path, labels=TASK.labels, clock=lambda: 0, entropy=counted("cells"))
    for rows in writes:
        store.write(rows)
    store.close()
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT window_start, area, measure, reason, cause, sentence, mean FROM cells").fetchall()
        results = db.execute("SELECT count(*) FROM results").fetchone()[0]
    assert len(found) == len(due)
    assert {row[:3] for row in found} == due
    for *_, reason, cause, sentence, mean in found:
        assert (cause, sentence) == (REASONS[reason].cause, REASONS[reason].sentence)
        assert (cause == "none") == (mean is not None)
    assert results == sum(row[3] == "none" for row in found)


def check_influx(writes: list[Rows], due: set[tuple[int, str, str]]) -> None:
    """A point with the same measurement, tags and time overwrites; so what counts is how many different ones."""
    outcomes: set[tuple[int, tuple[tuple[str, str], ...]]] = set()
    values: set[tuple[int, str, str]] = set()
    for rows in writes:
        for point, _ in points_of(rows, "air", now=0):
            line: str = point.to_line_protocol()  # type: ignore[no-untyped-call]  # influxdb-client has no types
            key = line.split(" ", maxsplit=1)[0]
            tags = dict(tag.split("=") for tag in key.split(",")[1:])
            if key.startswith("air_outcome,"):
                outcomes.add((rows.window_start, tuple(sorted(tags.items()))))
            elif key.startswith("air,"):
                values.add((rows.window_start, tags["area"], tags["measure"]))
    told = [(start, dict(tags)) for start, tags in outcomes]
    places = [(start, tags["area"], tags["measure"]) for start, tags in told]
    assert len(places) == len(due)
    assert set(places) == due
    assert all(tags["cause"] == REASONS[tags["reason"]].cause for _, tags in told)
    assert values == {(start, tags["area"], tags["measure"]) for start, tags in told if tags["cause"] == "none"}
