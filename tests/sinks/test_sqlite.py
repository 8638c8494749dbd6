"""The SQLite file: overwritten, never doubled; readable while it is written; exact."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.errors import ConfigError, NotReadyError
from sinks.points import rows_of
from sinks.sqlite import SqliteStore
from sinks.store import AwayError
from tests.sinks.made import aggregate, point, suppressed
from tests.trial import START, counted

Open = Callable[..., SqliteStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Open (again) the file of a test."""
    stores = []
    entropy = counted("sqlite")

    def opened(
        path: Path = tmp_path / "results.db", labels: tuple[str, ...] = ("area",), now: int = 1_000
    ) -> SqliteStore:
        stores.append(SqliteStore(path, labels=labels, clock=lambda: now, entropy=entropy))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def read(tmp_path: Path, query: str) -> list[tuple[object, ...]]:
    """Read as a person with sqlite3 does."""
    db = sqlite3.connect(f"file:{tmp_path / 'results.db'}?mode=ro", uri=True)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def test_what_is_written_can_be_queried_by_label_and_time(open_store: Open, tmp_path: Path) -> None:
    """The view `cells` has one row for each due cell, with the value or the reason."""
    written = open_store().write(rows_of(aggregate()))
    assert (written.points, dict(written.refused)) == (5, {})
    assert read(
        tmp_path, "SELECT time, area, measure, outcome, reason, count, sum, mean, sum_steps FROM cells ORDER BY area"
    ) == [
        ("2016-11-30T16:00:00Z", "outer", "no2", "suppressed", "too_few_organisations", None, None, None, None),
        ("2016-11-30T16:00:00Z", "ring", "no2", "point", "none", 4, 66.0, 16.5, 66),
    ]
    assert read(tmp_path, "SELECT area, mean FROM results") == [("ring", 16.5)]
    assert read(tmp_path, "SELECT organisation, complete, gateways, late, dropped FROM contributors") == [
        ("north", 1, 2, 3, 42),
        ("west", 1, 1, 0, 0),
    ]


def test_writing_again_overwrites_and_keeps_the_first_time(open_store: Open, tmp_path: Path) -> None:
    """After a crash between write and commit the window comes again: same rows, and `written_at` stays the first."""
    open_store(now=1_000).write(rows_of(aggregate()))
    before = {table: read(tmp_path, f"SELECT * FROM {table}") for table in ("results", "outcomes", "contributors")}  # noqa: S608
    open_store(now=9_000).write(rows_of(aggregate()))
    assert {table: read(tmp_path, f"SELECT * FROM {table}") for table in before} == before  # noqa: S608
    assert read(tmp_path, "SELECT DISTINCT written_at FROM outcomes") == [(1_000,)]


def test_integers_above_what_a_float_carries_stay_exact(open_store: Open, tmp_path: Path) -> None:
    """2^62 + 1 steps come back as 2^62 + 1."""
    open_store().write(rows_of(aggregate(cells=(point(sum_steps=2**62 + 1),))))
    assert read(tmp_path, "SELECT sum_steps FROM results") == [(2**62 + 1,)]


def test_a_reader_sees_whole_windows_and_disturbs_nobody(open_store: Open, tmp_path: Path) -> None:
    """A reader in the middle of a query does not stop a write, and does not see half of it."""
    store = open_store()
    store.write(rows_of(aggregate()))
    reader = sqlite3.connect(f"file:{tmp_path / 'results.db'}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM outcomes").fetchone() == (2,)
    store.write(rows_of(aggregate(window_start=START + 3_600_000, window_end=START + 7_200_000)))
    assert reader.execute("SELECT count(*) FROM outcomes").fetchone() == (2,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM outcomes").fetchone() == (4,)
    reader.close()


def test_a_revision_with_another_label_goes_into_the_same_file(open_store: Open, tmp_path: Path) -> None:
    """Old rows keep their labels; the new label has a column of its own, also when its name is a word of SQL."""
    open_store().write(rows_of(aggregate()))
    store = open_store(labels=("area", "order"))
    cell = point()
    later = {"window_start": START + 3_600_000, "window_end": START + 7_200_000, "revision": 2}
    store.write(rows_of(aggregate(cells=(point(labels={**cell.labels, "order": "a"}),), **later)))
    assert read(tmp_path, 'SELECT area, "order" FROM cells ORDER BY time') == [
        ("outer", None),
        ("ring", None),
        ("ring", "a"),
    ]


def test_a_new_file_is_a_new_store(open_store: Open, tmp_path: Path) -> None:
    """Kafka remembers per identity how far a store is written: who deletes the file gets everything again."""
    first = open_store().identity
    assert open_store().identity == first
    assert open_store(path=tmp_path / "other.db").identity != first
    assert first.isalnum()


def test_a_locked_file_is_tried_again_later(open_store: Open, tmp_path: Path) -> None:
    """Another writer holds the lock: no row is lost, none is half written, and the next attempt succeeds."""
    store = open_store()
    store._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(tmp_path / "results.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AwayError, match="locked"):
        store.write(rows_of(aggregate()))
    with pytest.raises(NotReadyError, match="locked"):
        store.check(valid_from=0, now=0)
    other.execute("ROLLBACK")
    other.close()
    assert store.write(rows_of(aggregate())).points == 5
    assert store.check(valid_from=0, now=0) is None


@pytest.mark.parametrize("name", ["no/such/folder/results.db", "text.db"])
def test_a_file_that_cannot_be_used_is_named(open_store: Open, tmp_path: Path, name: str) -> None:
    """A folder that is missing, a file that is no database: said at the start, with the path."""
    (tmp_path / "text.db").write_text("this is a letter to my aunt, and no database at all" * 20)
    with pytest.raises(NotReadyError, match=name):
        open_store(path=tmp_path / name)


def test_a_label_named_like_a_column_is_refused(open_store: Open) -> None:
    """Before a table is made."""
    with pytest.raises(ConfigError, match="verified"):
        open_store(labels=("verified",))


def test_at_fault_names_parties(open_store: Open, tmp_path: Path) -> None:
    """`parties_disagree` says who, where it can be told."""
    cells = (suppressed(reason="parties_disagree", at_fault=("university", "city-it")),)
    open_store().write(rows_of(aggregate(cells=cells)))
    assert read(tmp_path, "SELECT reason, at_fault FROM outcomes") == [("parties_disagree", "city-it,university")]
