"""Disks that are full, read-only or damaged, and processes that die between any two statements of a commit.

Every fault is a real one: SQLite and the file system report it, nothing is made to raise. A kill is the files as they
are on the disk at that moment.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingest.commit import Commit
from ingest.disk import SpoolError, spool_error
from ingest.service import patiently
from ingest.spool import Spool
from protocol.errors import NotReadyError, SottoError
from tests.ingest.made import HOUR, MINUTE, PARTIES, START, Made, at, spool_in
from tests.trial import make_trial

TRIAL = make_trial()


def reading(made: Made, time: int, no2: int) -> None:
    made.send("air/ring/Gucheng", {"time": at(time), "NO2": no2, "TEMP": None})


def spool_of(made: Made) -> Spool:
    assert made.spool is not None
    return made.spool


def records(spool: Spool) -> list[str]:
    return [f"{one.party} {one.value.decode()}" for one in spool.after(0, most=10_000, most_bytes=10**9)]


def state(folder: Path) -> dict[str, Any]:
    """Everything that a start finds in a folder, in a form that can be compared."""
    spool = spool_in(folder, TRIAL)
    try:
        kept = spool.kept()
        windows = {
            window: (one.salt, one.fingerprints, one.rows.tolist(), one.segments, one.gaps, one.refused, one.given_up)
            for window, one in kept.windows.items()
        }
        return {
            "records": records(spool),
            "size": spool.size,
            "oldest": spool.oldest(),
            "windows": windows,
            "book": (kept.cold, kept.following, kept.contributes_from),
            "notes": (kept.late, kept.dropped),
            "receipts": kept.receipts,
        }
    finally:
        spool.close()


def some_commits() -> list[tuple[str, Callable[[Made], Commit | None]]]:
    """Return commits of every kind, each on what those before it left."""

    def batch(made: Made) -> Commit | None:
        for minute in range(3):
            reading(made, START + minute * MINUTE, minute)
        made.send("now/Gucheng", "21.5")
        made.send("air/ring/Gucheng", {"time": at(START), "NO2": None, "TEMP": 5_000})
        return made.gateway.tick(made.now, flush=True, hold=True)

    def seal(made: Made) -> Commit | None:
        made.now = START + HOUR + MINUTE
        reading(made, START + HOUR, 5)
        reading(made, START + MINUTE, 6)
        made.now = START + HOUR + 10 * MINUTE
        return made.gateway.tick(made.now, flush=True)

    def give_up(made: Made) -> Commit | None:
        waiting = spool_of(made).oldest()
        assert waiting is not None
        return made.gateway.give_up(waiting, made.now)

    return [("batch", batch), ("seal", seal), ("a sealed window", give_up), ("an open window", give_up)]


class Stopped:
    """Copies the spool's files before each statement of a commit: what a kill at that moment leaves behind."""

    def __init__(self, made: Made, folder: Path, copies: Path) -> None:
        self.copies: list[Path] = []
        self._folder, self._into = folder, copies
        spool_of(made)._db.set_trace_callback(self._copy)

    def _copy(self, _: str) -> None:
        copy = self._into / str(len(self.copies))
        shutil.copytree(self._folder, copy)
        self.copies.append(copy)


@pytest.mark.parametrize("number", range(4), ids=[name for name, _ in some_commits()])
def test_killed_between_any_two_statements_a_commit_is_there_or_not(tmp_path: Path, number: int) -> None:
    """Never a part of it: the next start finds what was before, or what is after, with nothing in between."""
    folder = tmp_path / "spool"
    made = Made(folder, seals_by="wall")
    commits = some_commits()
    for _, make in commits[:number]:
        commit = make(made)
        assert commit is not None
        spool_of(made).commit(commit, epoch=made.epoch.counter, now=made.now)
    commit = commits[number][1](made)
    assert commit is not None
    shutil.copytree(folder, tmp_path / "before")
    stopped = Stopped(made, folder, tmp_path / "copies")
    spool_of(made).commit(commit, epoch=made.epoch.counter, now=made.now)
    spool_of(made)._db.set_trace_callback(None)
    shutil.copytree(folder, tmp_path / "after")
    before, after = state(tmp_path / "before"), state(tmp_path / "after")
    assert before != after
    assert len(stopped.copies) > 5
    assert all(state(copy) == before for copy in stopped.copies)


def test_after_any_kill_every_reading_counts_once(tmp_path: Path) -> None:
    """The broker sends again what was not acknowledged: with what the spool kept the sums come out exact."""
    folder = tmp_path / "spool"
    first = Made(folder)
    values = [3, 1, 4, 1, 5, 9]
    sent = list(enumerate(values))
    for number, value in sent[:3]:
        reading(first, START + number, value)
    first.flush()
    for number, value in sent[3:]:
        reading(first, START + number, value)
    stopped = Stopped(first, folder, tmp_path / "copies")
    first.flush()
    spool_of(first)._db.set_trace_callback(None)
    for copy in [*stopped.copies, folder]:
        if copy == folder:
            spool_of(first).close()
        second = Made(copy, now=START + MINUTE)
        for number, value in sent:
            reading(second, START + number, value)
        second.flush()
        kept = second.kept.windows[START]
        assert sum(segment.batches for segment in kept.segments) == (2 if copy == folder else 1)
        in_second = second.sum_of("no2")[0]
        assert int(kept.rows.sum()) + in_second == len(values)
        spool_of(second).close()


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Let no file of this process grow beyond a number of bytes, as a full disk does not either."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_without_room_at_the_start_is_waited_for(tmp_path: Path, small_files: Callable[[int], None]) -> None:
    """What the message says is what happens: it goes on by itself when there is room, and leaves no lock behind."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    told: list[SpoolError] = []

    def failed(error: SpoolError) -> None:
        told.append(error)
        small_files(unlimited if len(told) == 2 else 4_096)

    class Now(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return self.is_set()

    small_files(4_096)
    spool = patiently(lambda: spool_in(tmp_path, TRIAL), Now(), failed)
    assert [error.transient for error in told] == [True, True]
    assert str(tmp_path / "spool.db") in str(told[0])
    assert spool.kept().cold


def test_a_disk_without_room_in_the_middle_keeps_what_it_has(
    tmp_path: Path, small_files: Callable[[int], None]
) -> None:
    """The commit fails as a whole, the publisher goes on emptying the spool, and then the same commit is stored."""
    made = Made(tmp_path)
    spool = spool_of(made)
    for number in range(30):
        reading(made, START + number, number)
        made.flush()
    stored = records(spool)
    largest = (tmp_path / "spool.db-wal").stat().st_size
    for number in range(3_000):
        reading(made, START + 100 + number, number % 1_000)
    commit = made.gateway.tick(made.now, flush=True, hold=True)
    assert commit is not None
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    small_files(largest)
    with pytest.raises(SpoolError) as failed:
        spool.commit(commit, epoch=made.epoch.counter, now=made.now)
    assert failed.value.transient
    assert "Nothing is lost" in str(failed.value)
    small_files(unlimited)
    assert records(spool) == stored
    spool.commit(commit, epoch=made.epoch.counter, now=made.now)
    assert len(records(spool)) == len(stored) + len(commit.outgoing)


_FULL = """
import sys
from pathlib import Path
from ingest.disk import SpoolError
from tests.ingest.made import Made, START, at
made = Made(Path(sys.argv[1]))
stored = 0
try:
    for number in range(10_000):
        made.send("air/ring/Gucheng", {"time": at(START + number), "NO2": number % 1000, "TEMP": None})
        made.flush()
        stored += 1
except SpoolError as error:
    found = made.spool.after(0, most=100, most_bytes=10**9)
    made.spool.delete(found[-1].id)  # Kafka has got them: a disk that the spool alone has filled can be emptied
    made.flush()
    print(error.what, error.transient, stored)
"""


def test_a_file_system_that_is_full_says_so(tmp_path: Path) -> None:
    """On a real one of some megabytes, in a mount namespace of its own, where the kernel lets us have one."""
    script = f"""
        set -e
        mount -t tmpfs -o size=12m tmpfs {tmp_path}
        {sys.executable} -c '{_FULL.replace("'", '"')}' {tmp_path}
    """
    run = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if run.returncode and ("mount" in run.stderr or "unshare" in run.stderr):
        # no namespaces here: the same error, from SQLite's own bound
        assert _kind_of(sqlite3.OperationalError("x"), "SQLITE_FULL").what == "the disk is full"
        return
    what, transient, stored = run.stdout.rsplit(" ", 2)
    assert (what, transient) == ("the disk is full", "True"), run.stderr
    assert int(stored) > 10


def _kind_of(error: sqlite3.Error, name: str) -> SpoolError:
    error.sqlite_errorname = name  # as SQLite sets it
    return spool_error(error, Path("/state/spool.db"))


@pytest.mark.parametrize(
    ("name", "transient"),
    [
        ("SQLITE_FULL", True),
        ("SQLITE_BUSY", True),
        ("SQLITE_BUSY_SNAPSHOT", True),
        ("SQLITE_LOCKED_SHAREDCACHE", True),
        ("SQLITE_IOERR_WRITE", True),
        ("SQLITE_IOERR_FSYNC", True),
        ("SQLITE_NOMEM", True),
        ("SQLITE_READONLY", False),
        ("SQLITE_READONLY_DBMOVED", False),
        ("SQLITE_CANTOPEN", False),
        ("SQLITE_PERM", False),
        ("SQLITE_CORRUPT", False),
        ("SQLITE_CORRUPT_INDEX", False),
        ("SQLITE_NOTADB", False),
        ("SQLITE_ERROR", False),
    ],
)
def test_every_error_names_the_file_and_what_to_do(name: str, transient: bool) -> None:
    """What may be well again is waited for; what mends itself never ends the gateway."""
    error = _kind_of(sqlite3.OperationalError("what SQLite says"), name)
    assert error.transient is transient
    assert error.where == "/state/spool.db"
    assert error.remedy
    assert ("goes on" in error.remedy) is transient


def make_full_spool(folder: Path) -> None:
    """A spool with a backlog of two sealed windows and one that is open."""
    made = Made(folder, seals_by="wall")
    for hour in range(3):
        for number in range(20):
            made.now = START + hour * HOUR + MINUTE
            reading(made, START + hour * HOUR + number, number)
            made.flush()
        made.now = START + hour * HOUR + 10 * MINUTE
        made.tick()
    spool_of(made).close()


def test_a_flipped_bit_is_found_or_changes_nothing_that_counts(tmp_path: Path) -> None:
    """Wherever it is: a clear error, or a start with the very same state. Records have the gateway's signature."""
    make_full_spool(tmp_path / "good")
    good = state(tmp_path / "good")
    data = (tmp_path / "good" / "spool.db").read_bytes()
    place = random.Random(4)
    said: list[str] = []
    outcomes = {"refused": 0, "equal": 0, "a record": 0, "other": 0}
    for number in range(400):
        folder = tmp_path / str(number)
        folder.mkdir()
        at_byte, bit = place.randrange(len(data)), 1 << place.randrange(8)
        (folder / "spool.db").write_bytes(data[:at_byte] + bytes([data[at_byte] ^ bit]) + data[at_byte + 1 :])
        try:
            found = state(folder)
        except SottoError as error:
            said.append(str(error))
            assert str(folder) in said[-1]
            outcomes["refused"] += 1
            continue
        except UnicodeDecodeError:
            outcomes["a record"] += 1
            continue
        for window, kept in found["windows"].items():
            # what decides whether a reading counts twice is whole, or there is no start
            assert kept[1:4] == good["windows"][window][1:4], f"byte {at_byte}, bit {bit}"
        same = {name for name in good if good[name] == found[name]}
        outcomes["equal" if same == set(good) else "a record" if "records" not in same else "other"] += 1
    assert outcomes["refused"] > 5
    assert outcomes["equal"] > 100


@pytest.mark.parametrize("length", [0, 1, 100, 5_000, 8_192, 30_000])
def test_a_file_that_was_cut_off_is_refused_or_new(tmp_path: Path, length: int) -> None:
    """A file without anything in it is a new one; all else that is not whole is damaged."""
    make_full_spool(tmp_path / "good")
    folder = tmp_path / "cut"
    folder.mkdir()
    (folder / "spool.db").write_bytes((tmp_path / "good" / "spool.db").read_bytes()[:length])
    if length < 2:
        assert state(folder)["book"] == (True, None, None)
        return
    with pytest.raises(SpoolError, match="damaged") as failed:
        state(folder)
    assert f"mv {folder} {folder}.damaged" in str(failed.value)


def test_a_wal_that_was_cut_off_is_a_commit_that_was_not(tmp_path: Path) -> None:
    """It was not acknowledged, so the broker sends it again; what was durable before is there."""
    made = Made(tmp_path / "live")
    for number in range(5):
        reading(made, START + number, number)
        made.flush()
    shutil.copytree(tmp_path / "live", tmp_path / "whole")
    wal = (tmp_path / "whole" / "spool.db-wal").read_bytes()
    counts = set()
    for cut in [*range(0, len(wal), 8_192), len(wal)]:
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        (folder / "spool.db-wal").write_bytes(wal[:cut])
        (folder / "spool.db-shm").unlink(missing_ok=True)
        try:
            found = state(folder)
        except NotReadyError:
            continue  # cut off before the first commit: there is nothing in it yet
        batches = found["windows"][START][3] if START in found["windows"] else ()
        counts.add(sum(segment.batches for segment in batches))
        assert len(found["records"]) == len(PARTIES) * sum(segment.batches for segment in batches)
    assert counts == {0, 1, 2, 3, 4, 5}


def test_a_spool_of_another_key_is_refused(tmp_path: Path) -> None:
    """Without the key no repeat of an open window would be found, so a reading could count twice."""
    make_full_spool(tmp_path)
    with pytest.raises(NotReadyError, match="another key"):
        spool_in(tmp_path, TRIAL, secret=b"t" * 32)
    assert state(tmp_path)["records"], "it is left as it was"


def test_a_spool_of_another_version_or_none_of_ours_is_refused(tmp_path: Path) -> None:
    """It is not emptied, and not written over."""
    for folder, statement in (("a", "CREATE TABLE meta (key, value)"), ("b", "CREATE TABLE other (x)")):
        (tmp_path / folder).mkdir()
        db = sqlite3.connect(tmp_path / folder / "spool.db")
        db.execute(statement)
        db.close()
        with pytest.raises(NotReadyError, match="another version"):
            spool_in(tmp_path / folder, TRIAL)


def test_a_restored_copy_begins_an_epoch_of_its_own(tmp_path: Path) -> None:
    """Parties see two seals of one window then and take neither (SPEC 6.4): never a sum of both."""
    made = Made(tmp_path / "live")
    reading(made, START, 1)
    made.flush()
    shutil.copytree(tmp_path / "live", tmp_path / "copy")
    spool_of(made).close()
    live = Made(tmp_path / "live", now=START + MINUTE)
    copy = Made(tmp_path / "copy", now=START + MINUTE + 1)
    assert copy.epoch.counter != live.epoch.counter
    assert copy.epoch.nonce != live.epoch.nonce


def test_counts_of_rows_survive_by_cell_and_are_not_in_the_clear(tmp_path: Path) -> None:
    """After a restart the task's limit of rows is neither passed nor too strict."""
    first = Made(tmp_path, max_rows=4)
    for number in range(3):
        reading(first, START + number, 1)
    for number in range(3):
        first.send("air/centre/Tiantan", {"time": at(START + number), "NO2": 1, "TEMP": None})
    first.flush()
    spool_of(first).close()
    second = Made(tmp_path, max_rows=4, now=START + MINUTE)
    for number in range(3, 6):
        reading(second, START + number, 1)
    second.send("air/centre/Tiantan", {"time": at(START + 3), "NO2": 1, "TEMP": None})
    second.flush()
    assert second.refusals() == {"too_many_rows": 2}
    (sealed,) = spool_of(second)._db.execute("SELECT rows FROM batches LIMIT 1").fetchone()
    assert json.dumps([3, 3]) not in str(sealed)
    assert (3).to_bytes(4, "little") not in sealed


def test_gaps_and_refused_readings_of_a_window_are_counted_over_a_restart(tmp_path: Path) -> None:
    """The line that says what a window had is about the whole window."""
    first = Made(tmp_path, seals_by="wall")
    first.send("air/ring/G", {"time": at(START), "NO2": None, "TEMP": 5_000})
    first.flush()
    spool_of(first).close()
    second = Made(tmp_path, seals_by="wall", now=START + MINUTE)
    second.send("air/ring/G", {"time": at(START + 1), "NO2": None, "TEMP": 5_000})
    second.flush()
    second.now = START + HOUR + 10 * MINUTE
    commit = second.tick()
    assert commit is not None
    assert [(one.gaps, one.refused) for one in commit.sealed] == [(2, 2)]


def test_no_plain_hash_of_a_reading_is_stored(tmp_path: Path) -> None:
    """Values of ten bits are guessed in no time: no common hash of one, with or without its time, is in the files."""
    made = Made(tmp_path)
    values = [float(number) for number in range(0, 1_000, 7)]
    for number, value in enumerate(values):
        made.send("air/ring/G", {"time": at(START + number), "NO2": value, "TEMP": None})
        made.send("now/G", value)
    made.flush()
    spool_of(made).close()
    # Megabytes of zeros are kept in reserve.
    stored = b"".join(path.read_bytes().strip(b"\0") for path in sorted(tmp_path.iterdir()))
    for number, value in enumerate(values):
        unit, time = int(value), START + number
        texts = [str(unit).encode(), str(value).encode(), struct.pack("<d", value), unit.to_bytes(8, "little")]
        texts += [text + time.to_bytes(8, "little") for text in texts] + [time.to_bytes(8, "little") + x for x in texts]
        for text in texts:
            for hashed in (hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.blake2b):
                assert hashed(text).digest()[:8] not in stored


def test_whoever_owns_a_file_beside_the_spool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `sqlite3` that root runs leaves spool.db-wal behind, a gateway that root starts once the reserve."""
    for name in ("spool.db", "spool.db-wal", "reserve"):
        (tmp_path / name).touch()
    mine = os.geteuid() + 1
    for foreign in ("spool.db-wal", "reserve"):
        owners = {foreign: 0}
        monkeypatch.setattr("ingest.disk.os.geteuid", lambda: mine)
        monkeypatch.setattr(
            "ingest.disk.Path.stat",
            lambda path, owners=owners: SimpleNamespace(st_uid=owners.get(path.name, mine)),
        )
        said = spool_error(PermissionError(errno.EACCES, "no"), tmp_path / "spool.db").what
        monkeypatch.undo()
        assert f"{foreign} belongs to root" in said
