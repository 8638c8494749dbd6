"""The file of the spool: opened by one process alone, private, and only where it is this gateway's own."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from ingest.disk import spool_error
from protocol.errors import NotReadyError

FORMAT: Final = 2
_PAGE: Final = 8_192
_PAGES_IN_WAL: Final = 250
_RESERVE: Final = 8 << 20
"""Bytes: more than what waits in the WAL to go into the file, and one commit."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs (counter INTEGER PRIMARY KEY, nonce BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS outgoing (
    id INTEGER PRIMARY KEY AUTOINCREMENT, party TEXT NOT NULL, partition INTEGER NOT NULL, window INTEGER NOT NULL,
    readings INTEGER NOT NULL, stored_at INTEGER NOT NULL, size INTEGER NOT NULL, key BLOB NOT NULL,
    value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS outgoing_by_window ON outgoing (window, party, readings, size);
CREATE TABLE IF NOT EXISTS windows (
    window INTEGER PRIMARY KEY, salt BLOB NOT NULL, gaps INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0, given_up INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS sealed (
    window INTEGER PRIMARY KEY, readings INTEGER NOT NULL, late INTEGER NOT NULL, dropped INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS batches (
    window INTEGER NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, core BLOB NOT NULL,
    rows BLOB NOT NULL, fingerprints BLOB NOT NULL, PRIMARY KEY (window, epoch, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (mid INTEGER PRIMARY KEY, mac BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS subscriptions (filter TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class InUseError(NotReadyError):
    """Another process holds the spool."""


class SpoolFile:
    """`db` for the gateway's loop, durable after each commit; `outbox` for the publisher."""

    def __init__(self, folder: Path, *, task: bytes, gateway: str, key: bytes, reading: bool) -> None:
        """Open or make `spool.db`; `key` tells the gateway's keys apart. `reading`: nothing is made or written.

        Raises SpoolError, NotReadyError where the file is another gateway's, and InUseError.
        """
        self.path = folder / "spool.db"
        self._reserved = False
        self._reserve = folder / "reserve"
        self._mine = {"format": FORMAT, "task": task, "gateway": gateway, "key": key}
        with ExitStack() as opened, self.guard():
            if reading:
                opened.enter_context(_locked_to_read(folder / "lock"))
                self.db = self.outbox = opened.enter_context(closing(self._connect_to_read()))
                if self._found() is None:
                    # Who made it got no further. The next start makes its tables; here they are made in memory.
                    self.db = self.outbox = opened.enter_context(closing(sqlite3.connect(":memory:")))
                self._make_or_check()
                self._opened = opened.pop_all()
                return
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            opened.callback(os.close, _lock(folder / "lock"))
            _make_private(self.path)
            self.db = opened.enter_context(closing(self._connect("FULL")))
            # A deletion that is lost is a record sent twice, which parties ignore; what is sealed needs no overwriting.
            self.outbox = opened.enter_context(closing(self._connect("NORMAL")))
            self.outbox.execute("PRAGMA secure_delete = OFF")
            self._make_or_check()
            self.keep_reserve()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Close the connections, then let others in."""
        self._opened.close()

    def keep_reserve(self) -> None:
        """Hold some room back, so that a disk which the spool alone has filled can be emptied again. Raises OSError.

        SQLite needs room to delete: without it, Kafka would get all records and the disk stay full for ever.
        """
        if self._reserved:
            return
        handle = os.open(self._reserve, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(handle, 0, _RESERVE)
        except OSError as error:
            self._reserve.unlink()
            raise OSError(errno.ENOSPC, "no room for the reserve") from error
        finally:
            os.close(handle)
        self._reserved = True

    def use_reserve(self) -> None:
        """Give the room that was held back to the deletion that waits for it."""
        self._reserve.unlink(missing_ok=True)
        self._reserved = False
        self.outbox.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Say what SQLite or the disk found in the words of the person who has to mend it."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise spool_error(error, self.path) from error

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
        db.execute(f"PRAGMA page_size = {_PAGE}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("PRAGMA secure_delete = ON")
        db.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_IN_WAL}")
        db.execute("PRAGMA journal_size_limit = 4194304")
        return db

    def _connect_to_read(self) -> sqlite3.Connection:
        """Connect to a file whose lock is held. Without a WAL nothing has to be made beside it, so nothing is."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        how = "mode=ro" if wal.exists() and wal.stat().st_size else "mode=ro&immutable=1"
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?{how}", uri=True)

    def _make_or_check(self) -> None:
        """Make the tables of a new spool; refuse one that is not ours to go on with."""
        mine, found = self._mine, self._found()
        if found is None:
            with self.db:
                self.db.execute("BEGIN")
                for statement in _SCHEMA.split(";"):
                    self.db.execute(statement)
                self.db.executemany("INSERT INTO meta VALUES (?, ?)", mine.items())
        elif found.get("format") != FORMAT:
            raise self._not_ours("was written by another version of Sotto", "Let that version empty it first.")
        elif (found.get("task"), found.get("gateway")) != (mine["task"], mine["gateway"]):
            # Records of another task or name would be sealed under our number and refused by every party.
            raise self._not_ours("belongs to another task or another gateway", "Give each one a state_dir of its own.")
        elif found.get("key") != mine["key"]:
            # Without the key no repeat of an open window would be found, and parties refuse what the old one signed.
            raise self._not_ours(
                "was written with another key", "Put that key back, or give the new one a new state_dir."
            )

    def _found(self) -> dict[str, object] | None:
        """Return what the file says of itself; None where it is new, nothing where it is none of ours."""
        tables = {row[0] for row in self.db.execute("SELECT name FROM sqlite_master")}
        if not tables:
            return None
        return dict(self.db.execute("SELECT key, value FROM meta").fetchall()) if "meta" in tables else {}

    def _not_ours(self, what: str, remedy: str) -> NotReadyError:
        return NotReadyError(
            f"the spool {what}", where=str(self.path), remedy=f"{remedy} It holds what Kafka has not got: keep it."
        )


@contextmanager
def _locked_to_read(path: Path) -> Iterator[None]:
    """Hold the lock as one of several readers; where no gateway has made one, none runs. Raises InUseError."""
    if not path.exists():
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        _hold(handle, fcntl.LOCK_SH, path)
        yield
    finally:
        os.close(handle)


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _hold(handle, fcntl.LOCK_EX, path)
    except InUseError:
        os.close(handle)
        raise
    return handle


def _hold(handle: int, how: int, path: Path) -> None:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUseError(
            f"another gateway runs on {path.parent}",
            remedy="Two of them would count readings twice. Stop the other, or give this one a state_dir of its own.",
        ) from None


def _make_private(path: Path) -> None:
    """SQLite gives its other files the mode of the first one."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
