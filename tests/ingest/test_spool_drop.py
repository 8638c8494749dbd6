"""What leaves the spool unsent: whole windows, said so, and told by the next seal that counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ingest.commit import Waiting
from ingest.room import Bounds, Room
from protocol.body import SealNotes
from protocol.units import format_size
from tests.ingest.made import HOUR, MINUTE, START, Made, at
from tests.ingest.test_service import BOUNDS, Loop

DAY = 24 * HOUR


def reading(made: Made, time: int, no2: int) -> None:
    made.send("air/ring/Gucheng", {"time": at(time), "NO2": no2, "TEMP": None})


def in_spool(made: Made) -> list[str]:
    assert made.spool is not None
    return [one.value.decode() for one in made.spool.after(0, most=1_000, most_bytes=10**9) if one.party == "party-1"]


def give_up(made: Made) -> Waiting:
    """Give up the window of the oldest batch, as the loop does."""
    assert made.spool is not None
    waiting = made.spool.oldest()
    assert waiting is not None
    made.spool.commit(made.gateway.give_up(waiting, made.now), epoch=made.epoch.counter, now=made.now)
    return waiting


def hours(made: Made, number: int, readings: int = 1) -> None:
    """Fill `number` windows; all but the last are sealed."""
    for hour in range(number):
        made.now = START + hour * HOUR + MINUTE
        for minute in range(readings):
            reading(made, START + hour * HOUR + minute * MINUTE, 1)
        made.flush()
        made.now = START + hour * HOUR + 11 * MINUTE
        made.tick()


def test_a_sealed_window_leaves_as_a_whole_and_a_cold_seal_takes_its_place(tmp_path: Path) -> None:
    """Parties that have some of its batches wait for no more; the next seal that counts tells what was lost."""
    made = Made(tmp_path, seals_by="wall")
    hours(made, 3, readings=2)
    assert made.spool is not None
    before = in_spool(made)
    waiting = give_up(made)
    assert (waiting.window, waiting.readings) == (START, 2)
    assert in_spool(made) == [*(one for one in before if str(START) not in one), f"cold seal {START}"]
    assert made.sharder.seals[START] == ((), 0, True)
    assert made.spool.size == sum(len(one) for one in in_spool(made)) * 3
    made.now = START + 3 * HOUR + 10 * MINUTE
    made.tick()
    assert made.sharder.notes[START + 2 * HOUR] == SealNotes(dropped=2)
    waiting = give_up(made)
    assert waiting.window == START + HOUR


def test_an_open_window_is_over_when_it_is_given_up(tmp_path: Path) -> None:
    """What still comes for it is counted and not shared; its one seal comes when it is due, and is cold."""
    made = Made(tmp_path, seals_by="wall")
    for minute in range(3):
        reading(made, START + minute * MINUTE, minute)
    made.flush()
    assert give_up(made).readings == 0, "the gateway knows how many it has"
    assert in_spool(made) == []
    made.now = START + 9 * MINUTE
    reading(made, made.now, 7)
    reading(made, made.now, 7)
    made.now = START + HOUR
    reading(made, START + HOUR, 8)
    made.flush()
    assert made.refusals() == {"dropped": 1}
    assert in_spool(made) == [f"batch {START + HOUR} 0"]
    made.now = START + HOUR + 10 * MINUTE
    made.tick()
    assert in_spool(made) == [f"batch {START + HOUR} 0", f"cold seal {START}"]
    made.now = START + 2 * HOUR + 10 * MINUTE
    made.tick()
    assert made.sharder.notes[START + HOUR] == SealNotes(dropped=4)
    assert made.sharder.notes[START] == SealNotes()


def test_what_is_collected_and_not_stored_when_its_window_goes_is_counted_too(tmp_path: Path) -> None:
    """A message in the batcher is neither shared nor forgotten."""
    made = Made(tmp_path, seals_by="wall")
    reading(made, START, 1)
    made.flush()
    reading(made, START + 1, 2)
    give_up(made)
    commit = made.flush()
    assert commit is not None
    assert len(commit.acks) == 1
    assert (commit.dropped, commit.batches, commit.outgoing) == (2, (), ())


@pytest.mark.parametrize("sealed", [False, True])
def test_a_restart_after_a_drop_goes_on_with_it(tmp_path: Path, sealed: bool) -> None:
    """The window stays given up, and the count is told once, by a later start."""
    first = Made(tmp_path, seals_by="wall")
    hours(first, 2 if sealed else 1)
    give_up(first)
    assert first.spool is not None
    first.spool.close()
    second = Made(tmp_path, seals_by="wall", now=START + 2 * HOUR)
    reading(second, START + HOUR + MINUTE, 5)
    second.flush()
    for hours_later in (2, 3):
        second.now = START + hours_later * HOUR + 10 * MINUTE
        second.tick()
    cold = {window: cold for window, (_, _, cold) in second.sharder.seals.items()}
    notes = {window: noted.dropped for window, noted in second.sharder.notes.items() if noted.dropped}
    if sealed:
        assert cold == {START + HOUR: False, START + 2 * HOUR: False}
        assert notes == {START + HOUR: 1}
    else:
        assert cold == {START: True, START + HOUR: False, START + 2 * HOUR: False}
        assert notes == {START + HOUR: 1}
    assert second.spool is not None
    waiting = second.spool.oldest()
    assert waiting is not None
    assert waiting.window == START + HOUR, "a window that was given up is not given up again"


def test_what_a_dropped_seal_had_noted_is_told_again(tmp_path: Path) -> None:
    """A seal that leaves the spool takes no count with it."""
    made = Made(tmp_path, seals_by="wall")
    hours(made, 2)
    reading(made, START, 3)  # late
    made.flush()
    made.now = START + 2 * HOUR + 10 * MINUTE
    give_up(made)
    reading(made, START + 2 * HOUR, 4)
    made.tick(flush=True)
    assert made.sharder.notes[START + HOUR] == SealNotes(late=1, dropped=1)
    assert give_up(made).window == START + HOUR
    made.now = START + 3 * HOUR + 10 * MINUTE
    made.tick()
    assert made.sharder.notes[START + 2 * HOUR] == SealNotes(late=1, dropped=2)
    assert give_up(made).window == START + 2 * HOUR
    assert made.spool is not None
    assert made.spool.oldest() is None
    assert in_spool(made) == [f"cold seal {START + hour * HOUR}" for hour in range(3)]


def test_what_was_lost_is_told_when_kafka_is_there_again(tmp_path: Path) -> None:
    """A seal that is made while Kafka is away comes too late for its window, and nobody would read its notes."""
    made = Made(tmp_path, seals_by="wall", now=START)

    def hour(number: int, *, tells: bool) -> None:
        made.now = START + number * HOUR + 20 * MINUTE
        made.send("air/ring/A", {"time": at(made.now), "NO2": 5, "TEMP": None})
        made.tick(flush=True, tells=tells)

    for number in range(4):
        hour(number, tells=False)
    waiting = made.spool.oldest() if made.spool is not None else None
    assert waiting is not None
    assert made.spool is not None
    made.spool.commit(made.gateway.give_up(waiting, made.now), epoch=made.epoch.counter, now=made.now)
    hour(4, tells=False)
    made.spool.close()
    made = Made(tmp_path, seals_by="wall", now=made.now)
    hour(5, tells=False)
    assert not any(notes for notes in made.sharder.notes.values())
    hour(6, tells=True)
    hour(7, tells=True)
    told = {window: notes.dropped for window, notes in made.sharder.notes.items() if notes}
    assert told == {START + 5 * HOUR: 1}


def test_a_window_that_kafka_has_is_never_given_up(tmp_path: Path) -> None:
    """Seals alone take no room and complete what is there already; cold ones are not dropped again."""
    made = Made(tmp_path, seals_by="wall")
    hours(made, 2)
    assert made.spool is not None
    records = made.spool.after(0, most=100, most_bytes=10**9)
    made.spool.delete(next(one.id for one in reversed(records) if one.value == f"batch {START} 0".encode()))
    waiting = made.spool.oldest()
    assert waiting is not None
    assert waiting.window == START + HOUR


def test_a_window_that_is_half_sent_leaves_as_a_whole(tmp_path: Path) -> None:
    """All of its readings are lost, not only those of the batches that are still here."""
    made = Made(tmp_path, seals_by="wall")
    for minute in range(4):
        reading(made, START + minute * MINUTE, minute)
        made.flush()
    made.now = START + HOUR + 10 * MINUTE
    made.tick()
    assert made.spool is not None
    records = made.spool.after(0, most=100, most_bytes=10**9)
    made.spool.delete(records[7].id)  # the third batch has reached party-1 and party-2
    assert give_up(made).readings == 4
    assert in_spool(made) == [f"cold seal {START}"]


ROOM = Waiting(window=START, stored_at=START + HOUR, readings=1, late=0, dropped=0)


@pytest.mark.parametrize(
    ("when_full", "full", "now", "why"),
    [
        ("stop", True, START + 2 * HOUR, None),
        ("drop_oldest", False, START + 2 * HOUR, None),
        ("drop_oldest", True, START + 2 * HOUR, "the spool was full"),
        ("drop_oldest", True, None, "the spool was full"),
        ("stop", False, START + HOUR + 7 * DAY, None),
        ("stop", False, START + HOUR + 7 * DAY + 1, "older than 7d"),
        ("drop_oldest", False, START + HOUR + 7 * DAY + 1, "older than 7d"),
        ("stop", False, None, None),
    ],
)
def test_why_a_window_leaves(when_full: str, full: bool, now: int | None, why: str | None) -> None:
    """By size only where the configuration says so; by age always, if the clock can be relied on."""
    bounds = Bounds(max_size=100, max_age=7 * DAY, when_full=when_full, kafka="", file="")  # type: ignore[arg-type]
    assert bounds.why_to_give_up(ROOM, full=full, now=now, window_size=HOUR) == why


def test_a_clock_that_was_in_the_past_makes_nothing_old() -> None:
    """A machine without a clock chip stored it in 1970; its window says how old it is at most."""
    bounds = replace(BOUNDS, max_age=7 * DAY)
    stored = replace(ROOM, stored_at=0)
    last = START + HOUR + 7 * DAY
    assert bounds.why_to_give_up(stored, full=False, now=last, window_size=HOUR) is None
    assert bounds.why_to_give_up(stored, full=False, now=last + 1, window_size=HOUR) == "older than 7d"


def test_reading_goes_on_only_with_some_room() -> None:
    """Otherwise it would stop and go on with every record."""
    bounds = replace(BOUNDS, max_size=100)
    assert [bounds.is_full(size, before=False) for size in (90, 99, 100)] == [False, False, True]
    assert [bounds.is_full(size, before=True) for size in (89, 90, 99, 100)] == [False, True, True, True]


def test_what_a_full_spool_says(tmp_path: Path) -> None:
    """How full, how old, since when Kafka is away, what to do, and how much is at stake."""
    made = Made(tmp_path, seals_by="wall")
    hours(made, 2, readings=3)
    assert made.spool is not None
    bounds = replace(BOUNDS, max_size=10)
    room = Room(bounds, made.spool, window_size=HOUR, utc_offset=8 * HOUR)
    now = made.now + 30 * HOUR
    assert room.look(wall=now - DAY, monotonic=0, right=True, connected=False) is None
    room.look(wall=now, monotonic=DAY, right=True, connected=False)
    assert room.full
    error = room.full_error(now)
    assert error.what.startswith(
        f"the spool is full: {format_size(made.spool.size)} of 10 B, oldest batch 1d7h10m,"
        " Kafka not reached since 2016-12-01T"
    )
    assert error.where == "north-1.toml: [spool] max_size"
    assert "kafka-1:9092" in str(error)
    assert "only copy, sealed, of 6 readings" in str(error)
    room.look(wall=now, monotonic=DAY + 2_000, right=True, connected=True)
    assert "Kafka takes less than comes in" in room.full_error(now).what


def test_the_loop_drops_the_oldest_until_there_is_room(tmp_path: Path) -> None:
    """Reading goes on; what is lost is counted by the metrics, on the page and in the log."""
    loop = Loop(tmp_path, bounds=replace(BOUNDS, max_size=2_000, when_full="drop_oldest"), seals_by="wall")
    for hour in range(8):
        for number in range(10):
            loop.send(START + hour * HOUR + number, hour)
            loop.turn()
            loop.later(60)
            loop.turn()
        loop.later(HOUR - 600)
    lost = 10 * sum(cold for _, _, cold in loop.made.sharder.seals.values())
    assert lost > 0
    assert len(loop.broker.acknowledged) == 80
    loop.later(1_000)
    loop.turn()
    status = loop.service.status()
    named, sealed = status["dropped_windows"], status["sealed"]
    assert isinstance(named, list)
    assert isinstance(sealed, list)
    assert sum(one["readings"] for one in named) == lost
    assert {one["reason"] for one in named} == {"the spool was full"}
    gone = {one["window"] for one in named}
    assert [one["window"] for one in sealed if one["cold"]] == sorted(gone & {one["window"] for one in sealed})
    assert not any(one["dropped"] for one in sealed if one["window"] in gone)
    spool = status["spool"]
    assert isinstance(spool, dict)
    assert spool["dropped"] == lost
    assert loop.service._metrics.dropped._value.get() == lost
    assert loop.service._metrics.dropped_windows._value.get() == lost // 10


def test_the_loop_drops_what_is_too_old_and_only_by_a_right_clock(tmp_path: Path) -> None:
    """Whatever happens when the spool is full."""
    loop = Loop(tmp_path, bounds=replace(BOUNDS, max_age=2 * HOUR), seals_by="wall", require_sync=True)
    loop.send(START, 5)
    loop.turn()
    loop.later(60)
    loop.turn()
    assert loop.spool.oldest() is not None
    loop.synchronised = False
    loop.later(4 * HOUR)
    loop.turn(2)
    assert loop.spool.oldest() is not None
    loop.synchronised = True
    loop.later(61_000)
    loop.turn()
    loop.later(1_000)
    loop.turn()
    assert loop.spool.oldest() is None
