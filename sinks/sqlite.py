"""The embedded store: one SQLite file with tables `results`, `outcomes`, `contributors`, `reasons`, and a view `cells`.

A task with joint computations has a table `joint` more, of their numbers.

For trials and small deployments: nothing to install, and anybody can read it with `sqlite3` while it is being written
(WAL). Each label is a column of its own, computed from the JSON in `labels`, so that a later revision of the task may
have other labels in the same file; `time` is the start of the window in UTC as text. A window is one transaction: a
reader sees all of it or nothing.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from protocol.errors import NotReadyError
from protocol.reasons import REASONS
from sinks.points import check_labels
from sinks.store import AwayError, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from sinks.rows import Labels, Rows

_TIME = "time TEXT GENERATED ALWAYS AS (strftime('%Y-%m-%dT%H:%M:%SZ', window_start / 1000, 'unixepoch')) VIRTUAL"
_WINDOW = "task TEXT NOT NULL, revision INTEGER NOT NULL, window_start INTEGER NOT NULL, window_end INTEGER NOT NULL"
_CELL = "labels TEXT NOT NULL, measure TEXT NOT NULL"

_TABLES = f"""
CREATE TABLE IF NOT EXISTS results ({_WINDOW}, {_CELL}, unit TEXT NOT NULL, resolution TEXT NOT NULL,
    count INTEGER NOT NULL, sum_steps INTEGER NOT NULL, sum REAL NOT NULL, mean REAL, verified INTEGER NOT NULL,
    {_TIME}, PRIMARY KEY (task, window_start, window_end, labels, measure)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes ({_WINDOW}, {_CELL}, outcome TEXT NOT NULL, reason TEXT NOT NULL,
    at_fault TEXT NOT NULL, organisations INTEGER NOT NULL, gateways INTEGER NOT NULL, absent INTEGER NOT NULL,
    late INTEGER, dropped INTEGER, verified INTEGER NOT NULL, last_seal INTEGER NOT NULL, revealed_at INTEGER NOT NULL,
    written_at INTEGER NOT NULL,
    {_TIME}, PRIMARY KEY (task, window_start, window_end, labels, measure)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contributors ({_WINDOW}, organisation TEXT NOT NULL, complete INTEGER NOT NULL,
    gateways INTEGER NOT NULL, late INTEGER NOT NULL, dropped INTEGER NOT NULL,
    {_TIME}, PRIMARY KEY (task, window_start, window_end, organisation)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reasons (reason TEXT PRIMARY KEY, cause TEXT NOT NULL, sentence TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_JOINT_TABLE = f"""
CREATE TABLE IF NOT EXISTS joint ({_WINDOW}, labels TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
    unit TEXT NOT NULL, resolution TEXT NOT NULL, steps INTEGER, steps_text TEXT NOT NULL, value REAL,
    verified INTEGER NOT NULL, {_TIME}, PRIMARY KEY (task, window_start, window_end, labels, name, key)) WITHOUT ROWID;
"""
_KEYS = frozenset({"task", "window_start", "window_end", "labels", "measure", "organisation", "name", "key"})
_FIRST_WRITE_STAYS = frozenset({"revealed_at", "written_at"})
"""An aggregate that is sent again differs in `revealed_at` only, and readers take the first (SPEC 9)."""


class SqliteStore:
    """Results in a SQLite file.

    `clock` gives milliseconds since the epoch, for the column `written_at`; `entropy` random bytes, for the file's
    identity: a file that is deleted and made anew is another store, and gets everything again. `joint`: the task has
    joint computations.
    """

    kind = "sqlite"

    def __init__(
        self,
        path: Path,
        *,
        labels: Sequence[str],
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        joint: bool = False,
    ) -> None:
        check_labels(labels, joint=joint)
        self.where = str(path)
        self._clock = clock
        try:
            # The sink writes from a worker thread, one window at a time; SQLite itself is built for that.
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            # FULL: the offset is committed after the write, so the write has to survive a power cut by itself.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_TABLES + _JOINT_TABLE if joint else _TABLES)
            for table in ("results", "outcomes", "joint")[: 3 if joint else 2]:
                self._add_label_columns(table, labels)
            self._db.executemany(
                "INSERT OR REPLACE INTO reasons VALUES (?, ?, ?)",
                [(word, reason.cause, reason.sentence) for word, reason in REASONS.items()],
            )
            self._make_view(labels)
            self._db.execute("INSERT OR IGNORE INTO about VALUES ('identity', ?)", (entropy(8).hex(),))
            self.identity = self._db.execute("SELECT value FROM about WHERE name = 'identity'").fetchone()[0]
        except sqlite3.Error as error:
            raise NotReadyError(
                f"the results file cannot be opened: {error}",
                where=str(path),
                remedy="It has to be a SQLite file, or nothing yet, in a folder that this user may write.",
            ) from error

    def write(self, rows: Rows) -> Written:
        """Write one window in one transaction; AwayError when the file is locked, the disk full or the like."""
        now = self._clock()
        common = {
            "task": rows.task,
            "revision": rows.revision,
            "window_start": rows.window_start,
            "window_end": rows.window_end,
        }
        results = [
            {
                **common,
                "labels": _json(row.labels),
                "measure": row.measure,
                "unit": row.unit,
                "resolution": format(row.resolution, "f"),
                "count": row.count,
                "sum_steps": row.sum_steps,
                "sum": row.sum,
                "mean": row.mean,
                "verified": int(rows.verified),
            }
            for row in rows.results
        ]
        outcomes = [
            {
                **common,
                "labels": _json(row.labels),
                "measure": row.measure,
                "outcome": row.outcome,
                "reason": row.reason,
                "at_fault": ",".join(row.at_fault),
                "organisations": rows.organisations,
                "gateways": rows.gateways,
                "absent": rows.absent,
                "late": rows.late,
                "dropped": rows.dropped,
                "verified": int(rows.verified),
                "last_seal": rows.last_seal,
                "revealed_at": rows.revealed_at,
                "written_at": now,
            }
            for row in rows.outcomes
        ]
        contributors = [
            {
                **common,
                "organisation": row.organisation,
                "complete": 1,
                "gateways": row.gateways,
                "late": row.late,
                "dropped": row.dropped,
            }
            for row in rows.contributors
        ]
        joint = [
            {
                **common,
                "labels": _json(row.labels),
                "name": row.name,
                "key": row.key,
                "unit": row.unit,
                "resolution": format(row.resolution, "f"),
                "steps": row.steps,
                "steps_text": row.steps_text,
                "value": row.value,
                "verified": int(rows.verified),
            }
            for row in rows.joint
        ]
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._upsert("results", results)
                self._upsert("outcomes", outcomes)
                self._upsert("contributors", contributors)
                self._upsert("joint", joint)
        except sqlite3.Error as error:
            raise AwayError(
                f"SQLite did not take the results: {error}",
                where=self.where,
                remedy="Nothing is lost: they stay in Kafka and are written when the file can be written again.",
            ) from error
        return Written(points=len(results) + len(outcomes) + len(contributors) + len(joint))

    def check(self, *, valid_from: int, now: int) -> str | None:
        """Whether the file can be written; it keeps everything, whenever the task began."""
        del valid_from, now
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise NotReadyError(
                f"the results file cannot be written: {error}",
                where=self.where,
                remedy="Look whether another process keeps it locked, and whether this user may write it.",
            ) from error
        return None

    def close(self) -> None:
        """Close the file; the WAL goes into it."""
        self._db.close()

    def _upsert(self, table: str, rows: Sequence[Mapping[str, object]]) -> None:
        if not rows:
            return
        columns = list(rows[0])
        keys = [name for name in columns if name in _KEYS]
        changing = [name for name in columns if name not in _KEYS | _FIRST_WRITE_STAYS]
        values = ", ".join(f":{name}" for name in columns)
        changes = ", ".join(f"{name} = excluded.{name}" for name in changing)
        self._db.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) "  # noqa: S608  names of ours only
            f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}",
            rows,
        )

    def _add_label_columns(self, table: str, labels: Iterable[str]) -> None:
        there = {row[1] for row in self._db.execute(f"PRAGMA table_xinfo({table})")}
        for label in labels:
            if label not in there:
                self._db.execute(
                    f"ALTER TABLE {table} ADD COLUMN {_name(label)} TEXT "
                    f"GENERATED ALWAYS AS (json_extract(labels, '$.{label}')) VIRTUAL"
                )

    def _make_view(self, labels: Iterable[str]) -> None:
        shown = "".join(f"o.{_name(label)}, " for label in labels)
        self._db.executescript(
            f"""
            BEGIN IMMEDIATE;
            DROP VIEW IF EXISTS cells;
            CREATE VIEW cells AS
                SELECT o.task, o.time, {shown}o.measure, r.unit, o.outcome, o.reason,
                       coalesce(w.cause, 'fault') AS cause, w.sentence, o.at_fault, r.count, r.sum, r.mean,
                       r.sum_steps, o.verified, o.organisations, o.last_seal, o.written_at, o.window_start,
                       o.window_end, o.labels
                FROM outcomes AS o LEFT JOIN results AS r USING (task, window_start, window_end, labels, measure)
                     LEFT JOIN reasons AS w ON w.reason = o.reason;
            COMMIT;
            """  # noqa: S608  names of ours, and labels (a-z, 0-9, _; quoted for the sake of keywords)
        )


def _json(labels: Labels) -> str:
    """Labels as JSON, the same text for the same labels: it is part of the primary key."""
    return json.dumps(dict(labels), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _name(text: str) -> str:
    """Quote a column: a label may be a word of SQL, such as "order". Task has checked that it is a-z, 0-9 and _."""
    return f'"{text}"'
