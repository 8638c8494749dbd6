"""The spool: what survives a restart, what it holds of a reading, and what it says when the disk fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.disk import SpoolError
from ingest.spool import Spool
from protocol.errors import NotReadyError
from tests.ingest.made import HOUR, MINUTE, START, Made, at, spool_in
from tests.trial import make_trial


def reading(made: Made, time: int, no2: int) -> None:
    made.send("air/ring/Gucheng", {"time": at(time), "NO2": no2, "TEMP": None})


def end(made: Made) -> None:
    """End without a word, as SIGKILL does."""
    assert made.spool is not None
    made.spool.close()


def values(spool: Spool | None) -> list[bytes]:
    assert spool is not None
    return [record.value for record in spool.after(0, most=100, most_bytes=10**6)]


def test_a_seal_after_a_restart_names_both_segments(tmp_path: Path) -> None:
    """The window goes on in a new epoch; sequence numbers begin anew in it, and repeats are still found."""
    first = Made(tmp_path)
    reading(first, START, 1)
    first.flush()
    reading(first, START + 1, 2)
    first.flush()
    reading(first, START + 2, 4)  # not stored: the broker will send it again
    end(first)
    second = Made(tmp_path, now=START + MINUTE)
    assert second.epoch.counter > first.epoch.counter
    for number, value in enumerate((1, 2, 4)):
        reading(second, START + number, value)
    second.flush()
    assert second.sum_of("no2") == (1, 4)
    assert second.gateway.tally.repeats == 2
    for number in range(2):  # one reading alone does not move the clock
        reading(second, START + HOUR + 10 * MINUTE + number, 0)
    commit = second.tick(flush=True)
    assert commit is not None
    segments, _, _ = second.sharder.seals[START]
    assert [(segment.epoch, segment.batches) for segment in segments] == [(first.epoch, 2), (second.epoch, 1)]
    assert [len(segment.cores) for segment in segments] == [64, 32]
    end(second)
    third = Made(tmp_path, now=START + 2 * MINUTE)
    reading(third, START, 1)
    assert third.refusals() == {"late": 1}
    assert set(third.kept.windows) == {START + HOUR}


def test_nothing_is_stored_of_a_commit_that_fails(tmp_path: Path) -> None:
    """Then nothing of it was acknowledged either; it is tried again as it is, once there is room."""
    made = Made(tmp_path)
    reading(made, START, 1)
    made.flush()
    assert made.spool is not None
    before = values(made.spool)
    pages = made.spool._db.execute("PRAGMA page_count").fetchone()[0]
    made.spool._db.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(2_000):
        reading(made, START + 1 + number, number % 1000)
    commit = made.gateway.tick(made.now, flush=True)
    assert commit is not None
    with pytest.raises(SpoolError, match="disk is full") as failed:
        made.spool.commit(commit, epoch=made.epoch.counter, now=made.now)
    assert failed.value.transient
    assert values(made.spool) == before
    made.spool._db.execute("PRAGMA max_page_count = 1000000")
    made.spool.commit(commit, epoch=made.epoch.counter, now=made.now)
    assert len(values(made.spool)) == len(before) + len(commit.outgoing)


def test_records_come_out_in_order_and_go_when_confirmed(tmp_path: Path) -> None:
    """Sizes follow, also over a restart."""
    made = Made(tmp_path)
    for number in range(3):
        reading(made, START + number, number)
        made.flush()
    assert made.spool is not None
    records = made.spool.after(0, most=100, most_bytes=10**6)
    assert [record.id for record in records] == sorted(record.id for record in records)
    assert made.spool.size == sum(len(record.value) for record in records)
    made.spool.delete(records[3].id)
    assert made.spool.after(records[3].id, most=2, most_bytes=10**6) == records[4:6]
    size = made.spool.size
    assert size == sum(len(record.value) for record in records[4:])
    end(made)
    assert Made(tmp_path).spool.size == size  # type: ignore[union-attr]


def test_epochs_never_go_back(tmp_path: Path) -> None:
    """The clock of a machine without a clock chip does."""
    first = Made(tmp_path, now=START)
    end(first)
    second = Made(tmp_path, now=START - 10 * HOUR)
    assert second.epoch.counter == first.epoch.counter + 1


def test_a_restart_in_the_first_window_is_still_cold(tmp_path: Path) -> None:
    """Where a gateway began is stored before anything else happens."""
    now = START + HOUR + MINUTE
    end(Made(tmp_path, now=now, seals_by="wall"))
    second = Made(tmp_path, now=now + MINUTE, seals_by="wall")
    reading(second, now, 1)
    assert second.refusals() == {"cold_start": 1}
    second.tick()
    assert {window: cold for window, (_, _, cold) in second.sharder.seals.items()} == {START: True, START + HOUR: True}
    end(second)
    third = Made(tmp_path, now=START + 3 * HOUR, seals_by="wall")
    assert not third.kept.cold
    third.tick()
    assert set(third.sharder.seals) == set()
    third.now = START + 3 * HOUR + 10 * MINUTE
    third.tick()
    assert {window: cold for window, (_, _, cold) in third.sharder.seals.items()} == {START + 2 * HOUR: False}


def test_the_files_show_no_reading_and_no_sensor(tmp_path: Path) -> None:
    """Not as text, not as a number, and not as a hash that one could guess: the key is not in the folder."""
    made = Made(tmp_path)
    made.send("air/ring/Gucheng", {"time": at(START), "NO2": 987.0, "TEMP": 36.6})
    made.flush()
    end(made)
    stored = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    for secret in (b"Gucheng", b"987", b"36.6", (987).to_bytes(8, "little"), (987).to_bytes(8, "big")):
        assert secret not in stored


def test_what_recognises_repeats_goes_with_its_window(tmp_path: Path) -> None:
    """Salt and fingerprints are overwritten when the window is sealed."""
    made = Made(tmp_path)
    reading(made, START, 1)
    commit = made.flush()
    assert commit is not None
    ((_, salt),) = commit.salts
    for number in range(2):
        reading(made, START + 3 * HOUR + number, 1)
    made.tick(flush=True)
    end(made)
    stored = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert salt not in stored
    assert commit.batches[0].fingerprints not in stored


def test_files_belong_to_their_user_alone(tmp_path: Path) -> None:
    """Sealed, but still nobody's business."""
    made = Made(tmp_path / "state")
    reading(made, START, 1)
    made.flush()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()} == {0o600}


def test_two_gateways_cannot_use_one_folder(tmp_path: Path) -> None:
    """They would count readings twice."""
    made = Made(tmp_path)
    with pytest.raises(NotReadyError, match="another gateway runs"):
        spool_in(tmp_path, made.trial)


def test_a_folder_of_another_task_is_refused(tmp_path: Path) -> None:
    """Its records would be refused by every party, and its numbers are not ours."""
    made = Made(tmp_path)
    end(made)
    with pytest.raises(NotReadyError, match="another task"):
        spool_in(tmp_path, make_trial(), task=bytes(32))


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    """With what to do; it is never deleted or replaced by us."""
    (tmp_path / "spool.db").write_bytes(b"no database at all, " * 100)
    with pytest.raises(SpoolError, match="damaged") as failed:
        spool_in(tmp_path, make_trial(), task=bytes(32))
    assert not failed.value.transient
    assert (tmp_path / "spool.db").read_bytes().startswith(b"no database")


def test_a_folder_that_cannot_be_written_is_said_to_be_so() -> None:
    """Before anything is taken from the broker. Nobody may make files in /sys, not even root, as whom CI can run."""
    with pytest.raises(SpoolError, match="cannot be written"):
        spool_in(Path("/sys"), make_trial())


def test_subscriptions_are_remembered(tmp_path: Path) -> None:
    """What is forgotten can never be unsubscribed: a ward that was taken out would go on sharing."""
    made = Made(tmp_path)
    assert made.spool is not None
    made.spool.subscribe({"a/#", "b/+"})
    end(made)
    again = spool_in(tmp_path, made.trial)
    assert again.subscriptions() == {"a/#", "b/+"}
    again.unsubscribed({"a/#"})
    assert again.subscriptions() == {"b/+"}
