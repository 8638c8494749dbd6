"""The spool: what this gateway has promised to its MQTT broker, on disk until Kafka has it. SQLite in WAL mode.

One transaction (synchronous=FULL) holds the sealed records of a commit and all that a restart needs to go on from
there: numbers and core hashes of the open segments, fingerprints of readings (`ingest.repeats`), the windows that are
sealed. It holds no reading and no key of a segment. What an open window leaves behind is overwritten when it is sealed
(`secure_delete`), since salts must go with their windows; sealed records need not be.
"""

from __future__ import annotations

import hmac
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.commit import Commit, Kept, KeptWindow, Waiting
from ingest.counts import SealedCounts
from ingest.disk import SpoolError, damaged
from ingest.shard import SegmentState
from ingest.spool_file import SpoolFile
from protocol.batch import Epoch
from protocol.derive import derive

_BOOK: Final = ("following", "contributes_from", "late", "dropped")


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

    def __init__(self, folder: Path, *, task: bytes, gateway: str, secret: bytes, reading: bool = False) -> None:
        """Open or make the spool in `folder`; `secret` is the key file's storage secret.

        `reading`: it has to be there, and nothing but `kept` may be called. Raises SpoolError, NotReadyError where it
        is another gateway's, and InUseError.
        """
        key = derive(secret, tag="spool", context=b"")
        self._file = SpoolFile(folder, task=task, gateway=gateway, key=key, reading=reading)
        self._db, self._outbox = self._file.db, self._file.outbox
        self._guard = self._file.guard
        self._secret = secret
        self._check_key = derive(secret, tag="spool check", context=b"")
        self._sealed_counts: dict[int, SealedCounts] = {}
        self._batches: Counter[int] = Counter()
        """How many batches of each open window are stored."""
        self._book: dict[str, int] = {}
        self._counting = threading.Lock()
        self._sending = threading.Lock()
        # SQLite has one writer; who waits here goes on at once, who waits in SQLite sleeps and looks again.
        self._writing = threading.Lock()
        with self._guard():
            self._bytes: int = self._db.execute("SELECT coalesce(sum(size), 0) FROM outgoing").fetchone()[0]

    def close(self) -> None:
        """Close the files."""
        with self._sending:
            self._file.close()

    # -- the gateway's side

    def begin_epoch(self, now: int, nonce: bytes) -> Epoch:
        """Draw the next epoch and store it before it is used: the clock may have gone back since the last one."""
        with self._guard(), self._writing, self._db:
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
            self._load_book()
            query = "SELECT window, salt, gaps, refused, given_up FROM windows"
            for window, salt, gaps, refused, given_up in self._db.execute(query).fetchall():
                self._sealed_counts[window] = SealedCounts(secret=self._secret, salt=salt, window=window)
                segments, rows, fingerprints = self._kept_batches(window)
                windows[window] = KeptWindow(
                    salt=salt,
                    fingerprints=fingerprints,
                    rows=rows,
                    segments=segments,
                    gaps=gaps,
                    refused=refused,
                    given_up=bool(given_up),
                )
            book = self._book
            return Kept(
                cold="following" not in book and not windows,
                following=book.get("following"),
                contributes_from=book.get("contributes_from"),
                late=book.get("late", 0),
                dropped=book.get("dropped", 0),
                windows=windows,
                receipts=dict(self._db.execute("SELECT mid, mac FROM receipts").fetchall()),
            )

    def _load_book(self) -> None:
        """Read what is known of the windows. One bit that flipped in a page of SQLite's own can hide a whole table."""
        found = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        self._book = {name: found[name] for name in _BOOK if name in found}
        stored = "SELECT window, 0 FROM windows UNION ALL SELECT window, count(*) FROM batches GROUP BY window"
        self._batches = Counter()
        for window, number in self._db.execute(stored):
            self._batches[window] += number
        known = bool(self._book or self._batches)
        if found.get("check", not known) not in (True, self._check(self._book, self._batches)):
            raise damaged(self._file.path)

    def _check(self, book: Mapping[str, int], batches: Mapping[int, int]) -> bytes:
        content = repr((sorted(book.items()), sorted(batches.items())))
        return hmac.digest(self._check_key, content.encode(), "sha256")

    def _store_book(self, book: Mapping[str, int | None], batches: Counter[int]) -> dict[str, int]:
        """Write what a restart has to know beside the windows themselves, with a check over both."""
        new = self._book | {name: value for name, value in book.items() if value is not None}
        rows = [*new.items(), ("check", self._check(new, batches))]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        return new

    def _kept_batches(self, window: int) -> tuple[tuple[SegmentState, ...], NDArray[np.int64], bytes]:
        """Return an open window's segments, its rows by cell, and its fingerprints."""
        rows, fingerprints = np.zeros(0, dtype=np.int64), []
        cores: dict[Epoch, list[bytes]] = {}
        query = (
            "SELECT counter, nonce, sequence, core, rows, fingerprints FROM batches JOIN epochs ON counter = epoch"
            " WHERE window = ? ORDER BY counter, sequence"
        )
        for counter, nonce, sequence, core, sealed, prints in self._db.execute(query, (window,)):
            counts = self._sealed_counts[window].open(sealed, _beside(counter, sequence, core, prints))
            found = cores.setdefault(Epoch(counter=counter, nonce=nonce), [])
            if counts is None or sequence != len(found):
                raise damaged(self._file.path)
            found.append(core)
            if len(counts) > len(rows):
                rows = np.pad(rows, (0, len(counts) - len(rows)))
            rows[: len(counts)] += counts
            fingerprints.append(prints)
        if len(fingerprints) != self._batches[window]:
            raise damaged(self._file.path)
        segments = tuple(
            SegmentState(epoch=epoch, batches=len(found), cores=b"".join(found)) for epoch, found in cores.items()
        )
        return segments, rows, b"".join(fingerprints)

    def commit(self, commit: Commit, *, epoch: int, now: int) -> None:
        """Store one commit; it is durable when this returns. Raises SpoolError, and then nothing of it is stored."""
        if not commit.writes:
            return
        boxes = {window: SealedCounts(secret=self._secret, salt=salt, window=window) for window, salt in commit.salts}
        with self._guard(), self._writing, self._db:
            self._file.keep_reserve()
            freed = sum(self._give_up(given_up.window) for given_up in commit.given_up)
            self._store_open(commit, epoch, self._sealed_counts | boxes)
            self._db.executemany(
                "INSERT INTO outgoing (party, partition, window, readings, stored_at, size, key, value)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (one.party, one.partition, one.window, one.readings, now, len(one.value), one.key, one.value)
                    for one in commit.outgoing
                ],
            )
            self._store_sealed(commit)
            self._db.executemany("DELETE FROM receipts WHERE mid = ?", [(mid,) for mid in commit.forgotten])
            self._db.executemany("INSERT OR REPLACE INTO receipts VALUES (?, ?)", commit.receipts)
            batches = self._batches_after(commit)
            book = self._store_book({name: getattr(commit, name) for name in _BOOK}, batches)
        self._batches, self._book = batches, book
        self._sealed_counts.update(boxes)
        for sealed in commit.sealed:
            self._sealed_counts.pop(sealed.window, None)
        with self._counting:
            self._bytes += sum(len(out.value) for out in commit.outgoing) - freed

    def _batches_after(self, commit: Commit) -> Counter[int]:
        after = self._batches.copy()
        after.update(dict.fromkeys((window for window, _ in commit.salts), 0))
        after.update(mark.window for mark in commit.batches)
        for one in commit.given_up:
            if one.window in after:
                after[one.window] = 0
        for sealed in commit.sealed:
            after.pop(sealed.window, None)
        return after

    def _store_open(self, commit: Commit, epoch: int, boxes: Mapping[int, SealedCounts]) -> None:
        """Store what open windows have learnt."""
        self._db.executemany("INSERT INTO windows (window, salt) VALUES (?, ?)", commit.salts)
        self._db.executemany(
            "UPDATE windows SET gaps = ?, refused = ? WHERE window = ?",
            [(gaps, refused, window) for window, gaps, refused in commit.counted],
        )
        self._db.executemany(
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    mark.window,
                    epoch,
                    mark.sequence,
                    mark.core,
                    boxes[mark.window].seal(mark.rows, _beside(epoch, mark.sequence, mark.core, mark.fingerprints)),
                    mark.fingerprints,
                )
                for mark in commit.batches
            ],
        )

    def _store_sealed(self, commit: Commit) -> None:
        """Forget what an open window needs; keep what has to be told should the window be given up."""
        gone = [(sealed.window,) for sealed in commit.sealed]
        self._db.executemany("DELETE FROM batches WHERE window = ?", gone)
        self._db.executemany("DELETE FROM windows WHERE window = ?", gone)
        self._db.executemany(
            "INSERT INTO sealed SELECT ?1, ?2, ?3, ?4 WHERE EXISTS"
            " (SELECT 1 FROM outgoing WHERE window = ?1 AND readings > 0)",
            [(one.window, one.readings, one.late, one.dropped) for one in commit.sealed],
        )

    def _give_up(self, window: int) -> int:
        """Delete a window's records and what its seal would have needed; return the bytes of the records."""
        (freed,) = self._db.execute(
            "SELECT coalesce(sum(size), 0) FROM outgoing WHERE window = ?", (window,)
        ).fetchone()
        # Sealed records need no overwriting, which would take as much room in the WAL, on a full disk.
        self._db.execute("PRAGMA secure_delete = OFF")
        try:
            self._db.execute("DELETE FROM outgoing WHERE window = ?", (window,))
        finally:
            self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute("DELETE FROM batches WHERE window = ?", (window,))
        self._db.execute("DELETE FROM sealed WHERE window = ?", (window,))
        self._db.execute("UPDATE windows SET given_up = 1 WHERE window = ?", (window,))
        return int(freed)

    def begin_book(self, following: int | None, contributes_from: int | None) -> None:
        """Store where a cold gateway begins, so that a restart within its first window does not move it."""
        with self._guard(), self._writing, self._db:
            book = self._store_book({"following": following, "contributes_from": contributes_from}, self._batches)
        self._book = book

    def oldest(self) -> Waiting | None:
        """Return the window of the oldest batch that Kafka has not confirmed."""
        query = (
            "SELECT o.window, o.stored_at, coalesce(s.readings, 0), coalesce(s.late, 0), coalesce(s.dropped, 0)"
            " FROM outgoing AS o LEFT JOIN sealed AS s ON s.window = o.window"
            " WHERE o.readings > 0 ORDER BY o.id LIMIT 1"
        )
        with self._guard():
            row = self._db.execute(query).fetchone()
        if row is None:
            return None
        window, stored_at, readings, late, dropped = row
        return Waiting(window=window, stored_at=stored_at, readings=readings, late=late, dropped=dropped)

    def readings(self) -> int:
        """Return how many readings the spool holds: as many as the party has that lacks most of them."""
        query = "SELECT max(total) FROM (SELECT sum(readings) AS total FROM outgoing GROUP BY party)"
        with self._guard():
            (found,) = self._db.execute(query).fetchone()
        return int(found or 0)

    def subscriptions(self) -> set[str]:
        """Return the filters that the broker's session may hold."""
        with self._guard():
            return {row[0] for row in self._db.execute("SELECT filter FROM subscriptions")}

    def subscribe(self, filters: set[str]) -> None:
        """Remember filters before they are subscribed to: what is forgotten can never be unsubscribed."""
        with self._guard(), self._writing, self._db:
            self._db.executemany("INSERT OR IGNORE INTO subscriptions VALUES (?)", [(one,) for one in sorted(filters)])

    def unsubscribed(self, filters: set[str]) -> None:
        """Forget filters that the broker has confirmed to be gone."""
        with self._guard(), self._writing, self._db:
            self._db.executemany("DELETE FROM subscriptions WHERE filter = ?", [(one,) for one in filters])

    # -- the publisher's side

    def after(self, last: int, *, most: int, most_bytes: int) -> list[Stored]:
        """Return the records after id `last`, in order: at most `most`, and one more than `most_bytes` hold."""
        query = "SELECT id, party, partition, key, value FROM outgoing WHERE id > ? ORDER BY id LIMIT ?"
        found, size = [], 0
        with self._sending, self._guard(), closing(self._outbox.execute(query, (last, most))) as rows:
            for id_, party, partition, key, value in rows:
                found.append(Stored(id=id_, party=party, partition=partition, key=key, value=value))
                size += len(value)
                if size > most_bytes:
                    break
        return found

    def delete(self, upto: int) -> None:
        """Forget the records up to id `upto`: Kafka has confirmed all of them."""
        try:
            self._delete(upto)
        except SpoolError as error:
            if not error.transient:
                raise
            with self._sending, self._guard(), self._writing:
                self._file.use_reserve()
            self._delete(upto)

    def _delete(self, upto: int) -> None:
        with self._sending, self._guard(), self._writing, self._outbox:
            outbox = self._outbox
            (freed,) = outbox.execute("SELECT coalesce(sum(size), 0) FROM outgoing WHERE id <= ?", (upto,)).fetchone()
            windows = outbox.execute("SELECT DISTINCT window FROM outgoing WHERE id <= ?", (upto,)).fetchall()
            outbox.execute("DELETE FROM outgoing WHERE id <= ?", (upto,))
            outbox.executemany(
                "DELETE FROM sealed WHERE window = ?1 AND NOT EXISTS"
                " (SELECT 1 FROM outgoing WHERE window = ?1 AND readings > 0)",
                windows,
            )
        with self._counting:
            self._bytes -= freed

    @property
    def size(self) -> int:
        """Bytes of records that Kafka has not confirmed."""
        with self._counting:
            return self._bytes


def _beside(epoch: int, sequence: int, core: bytes, fingerprints: bytes) -> bytes:
    return epoch.to_bytes(8, "little") + sequence.to_bytes(4, "little") + core + fingerprints
