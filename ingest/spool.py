"""The spool: what this gateway has promised to its MQTT broker, on disk until Kafka has it. SQLite in WAL mode.

One transaction (synchronous=FULL) holds the sealed records of a commit and all that a restart needs to go on from
there: numbers and core hashes of the open segments, fingerprints of readings (`ingest.repeats`), the windows that are
sealed. It holds no reading and no key of a segment: what is deleted is overwritten (`secure_delete`), since salts must
go with their windows.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ingest.commit import Commit, Kept, KeptWindow
from ingest.shard import SegmentState
from protocol.batch import Epoch
from protocol.errors import NotReadyError, SottoError

FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs (counter INTEGER PRIMARY KEY, nonce BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS outgoing (
    id INTEGER PRIMARY KEY AUTOINCREMENT, party TEXT NOT NULL, partition INTEGER NOT NULL,
    key BLOB NOT NULL, value BLOB NOT NULL, stored_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS windows (window INTEGER PRIMARY KEY, salt BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS batches (
    window INTEGER NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, core BLOB NOT NULL,
    rows INTEGER NOT NULL, fingerprints BLOB NOT NULL, PRIMARY KEY (window, epoch, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (mid INTEGER PRIMARY KEY, mac BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS subscriptions (filter TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class SpoolError(SottoError):
    """The spool cannot be used. `transient` where it may work again without a restart (a disk that was full)."""

    def __init__(self, what: str, *, where: str, remedy: str, transient: bool) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.transient = transient


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A record on its way to Kafka."""

    id: int
    party: str
    partition: int
    key: bytes
    value: bytes = field(repr=False)


class Spool:
    """The spool of one gateway; only one process opens it. Methods of the outbox may be called by another thread."""

    def __init__(self, folder: Path, *, task: bytes, gateway: str) -> None:
        """Open or make the spool in `folder`. Raises SpoolError, NotReadyError."""
        self._path = folder / "spool.db"
        with self._guard():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_file = _lock(folder / "lock")
            _make_private(self._path)
            self._db = self._connect("FULL")
            self._outbox = self._connect(
                "NORMAL"
            )  # a deletion that is lost is a record sent twice, which parties ignore
            self._db.executescript(_SCHEMA)
            self._belongs(task, gateway)
            self._bytes: int = self._db.execute("SELECT coalesce(sum(length(value)), 0) FROM outgoing").fetchone()[0]
        self._counting = threading.Lock()
        self._sending = threading.Lock()

    def close(self) -> None:
        """Close the files."""
        with self._sending:
            self._outbox.close()
        self._db.close()
        os.close(self._lock_file)

    # -- the gateway's side

    def begin_epoch(self, now: int, nonce: bytes) -> Epoch:
        """Draw the next epoch and store it before it is used: the clock may have gone back since the last one."""
        with self._guard(), self._db:
            (last,) = self._db.execute("SELECT coalesce(max(counter), 0) FROM epochs").fetchone()
            counter = max(last + 1, now)
            self._db.execute("INSERT INTO epochs VALUES (?, ?)", (counter, nonce))
            self._db.execute(
                "DELETE FROM epochs WHERE counter < ? AND counter NOT IN (SELECT epoch FROM batches)", (counter,)
            )
        return Epoch(counter=counter, nonce=nonce)

    def kept(self) -> Kept:
        """Return what a former start left. Call it before `begin_epoch`."""
        with self._guard():
            if self._db.execute("SELECT count(*) FROM epochs").fetchone() == (0,):
                return Kept(cold=True)
            windows = {}
            for window, salt in self._db.execute("SELECT window, salt FROM windows").fetchall():
                windows[window] = self._kept_window(window, salt)
            meta = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
            return Kept(
                cold="following" not in meta and not windows,
                following=meta.get("following"),
                contributes_from=meta.get("contributes_from"),
                late=meta.get("late", 0),
                windows=windows,
                receipts=dict(self._db.execute("SELECT mid, mac FROM receipts").fetchall()),
            )

    def _kept_window(self, window: int, salt: bytes) -> KeptWindow:
        rows, fingerprints = 0, []
        cores: dict[Epoch, list[bytes]] = {}
        query = (
            "SELECT counter, nonce, core, rows, fingerprints FROM batches JOIN epochs ON counter = epoch"
            " WHERE window = ? ORDER BY counter, sequence"
        )
        for counter, nonce, core, count, prints in self._db.execute(query, (window,)):
            cores.setdefault(Epoch(counter=counter, nonce=nonce), []).append(core)
            rows += count
            fingerprints.append(prints)
        segments = tuple(
            SegmentState(epoch=epoch, batches=len(found), cores=b"".join(found)) for epoch, found in cores.items()
        )
        return KeptWindow(salt=salt, fingerprints=b"".join(fingerprints), rows=rows, segments=segments)

    def commit(self, commit: Commit, *, epoch: int, now: int) -> None:
        """Store one commit; it is durable when this returns. Raises SpoolError, and then nothing of it is stored."""
        if not commit.writes:
            return
        db = self._db
        with self._guard(), db:
            db.executemany(
                "INSERT INTO outgoing (party, partition, key, value, stored_at) VALUES (?, ?, ?, ?, ?)",
                [(out.party, out.partition, out.key, out.value, now) for out in commit.outgoing],
            )
            db.executemany("INSERT INTO windows VALUES (?, ?)", commit.salts)
            db.executemany(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (mark.window, epoch, mark.sequence, mark.core, mark.rows, mark.fingerprints)
                    for mark in commit.batches
                ],
            )
            db.executemany("DELETE FROM receipts WHERE mid = ?", [(mid,) for mid in commit.forgotten])
            db.executemany("INSERT OR REPLACE INTO receipts VALUES (?, ?)", commit.receipts)
            gone = [(sealed.window,) for sealed in commit.sealed]
            db.executemany("DELETE FROM batches WHERE window = ?", gone)
            db.executemany("DELETE FROM windows WHERE window = ?", gone)
            meta = {"following": commit.following, "contributes_from": commit.contributes_from, "late": commit.late}
            db.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", [item for item in meta.items() if item[1] is not None]
            )
        with self._counting:
            self._bytes += sum(len(out.value) for out in commit.outgoing)

    def begin_book(self, following: int | None, contributes_from: int | None) -> None:
        """Store where a cold gateway begins, so that a restart within its first window does not move it."""
        with self._guard(), self._db:
            for key, value in (("following", following), ("contributes_from", contributes_from)):
                if value is not None:
                    self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def subscriptions(self) -> set[str]:
        """Return the filters that the broker's session may hold."""
        with self._guard():
            return {row[0] for row in self._db.execute("SELECT filter FROM subscriptions")}

    def subscribe(self, filters: set[str]) -> None:
        """Remember filters before they are subscribed to: what is forgotten can never be unsubscribed."""
        with self._guard(), self._db:
            self._db.executemany("INSERT OR IGNORE INTO subscriptions VALUES (?)", [(one,) for one in sorted(filters)])

    def unsubscribed(self, filters: set[str]) -> None:
        """Forget filters that the broker has confirmed to be gone."""
        with self._guard(), self._db:
            self._db.executemany("DELETE FROM subscriptions WHERE filter = ?", [(one,) for one in filters])

    # -- the publisher's side

    def after(self, last: int, *, most: int) -> list[Stored]:
        """Return the records after id `last`, in order, at most `most` of them."""
        query = "SELECT id, party, partition, key, value FROM outgoing WHERE id > ? ORDER BY id LIMIT ?"
        with self._sending, self._guard():
            return [
                Stored(id=id_, party=party, partition=partition, key=key, value=value)
                for id_, party, partition, key, value in self._outbox.execute(query, (last, most))
            ]

    def delete(self, upto: int) -> None:
        """Forget the records up to id `upto`: Kafka has confirmed all of them."""
        with self._sending, self._guard(), self._outbox:
            (freed,) = self._outbox.execute(
                "SELECT coalesce(sum(length(value)), 0) FROM outgoing WHERE id <= ?", (upto,)
            ).fetchone()
            self._outbox.execute("DELETE FROM outgoing WHERE id <= ?", (upto,))
        with self._counting:
            self._bytes -= freed

    @property
    def size(self) -> int:
        """Bytes of records that Kafka has not confirmed."""
        with self._counting:
            return self._bytes

    def oldest(self) -> int | None:
        """Return when the oldest record was stored (milliseconds), None where there is none."""
        with self._guard():
            row: tuple[int] | None = self._db.execute("SELECT stored_at FROM outgoing ORDER BY id LIMIT 1").fetchone()
        return None if row is None else row[0]

    # -- inside

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA journal_size_limit = 16777216")
        return db

    def _belongs(self, task: bytes, gateway: str) -> None:
        mine = {"format": FORMAT, "task": task, "gateway": gateway}
        found = dict(
            self._db.execute("SELECT key, value FROM meta WHERE key IN ('format', 'task', 'gateway')").fetchall()
        )
        if not found:
            with self._db:
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", mine.items())
        elif found != mine:
            # Records of another task or name would be sealed under our number and refused by every party.
            raise NotReadyError(
                f"the state in {self._path.parent} belongs to another task or another gateway",
                remedy="Give each gateway and task a state_dir of its own. The old one holds what Kafka has not got.",
            )

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Say what SQLite or the disk found in the words of the person who has to mend it."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _spool_error(error, self._path) from error


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise NotReadyError(
            f"another gateway runs on {path.parent}",
            remedy="Two of them would count readings twice. Stop the other, or give this one a state_dir of its own.",
        ) from None
    return handle


def _make_private(path: Path) -> None:
    """SQLite gives its other files the mode of the first one."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


def _spool_error(error: sqlite3.Error | OSError, path: Path) -> SpoolError:
    text = str(error).lower()
    kept = "Nothing is lost: messages stay with the MQTT broker, as far as its limits go."
    table: tuple[tuple[Callable[[str], bool], str, str, bool], ...] = (
        (
            lambda t: "full" in t or "no space" in t,
            "the disk is full",
            f"{kept} Make room; it goes on by itself.",
            True,
        ),
        (
            lambda t: "locked" in t,
            "the spool is locked by another program",
            f"{kept} Close what else has it open.",
            True,
        ),
        (
            lambda t: "i/o" in t or "input/output" in t,
            "the disk does not answer as it should",
            f"{kept} Look at the disk (dmesg).",
            True,
        ),
        (
            lambda t: "readonly" in t or "read-only" in t or "permission" in t or "unable to open" in t,
            "the spool cannot be written",
            f"{kept} The folder must belong to the user that runs the gateway, on a disk mounted for writing.",
            False,
        ),
        (
            lambda t: "malformed" in t or "not a database" in t,
            "the spool is damaged",
            "Copy the folder first. Then: sqlite3 spool.db .recover | sqlite3 new.db, and put new.db in its place.\n"
            "Without the spool the gateway starts cold: it contributes from the next whole window on,\n"
            "and what Kafka had not got is lost.",
            False,
        ),
    )
    for fits, what, remedy, transient in table:
        if fits(text):
            return SpoolError(what, where=str(path), remedy=remedy, transient=transient)
    return SpoolError(f"the spool does not work: {text}", where=str(path), remedy=kept, transient=False)
