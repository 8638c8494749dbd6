"""Windows: which one a reading belongs to, when it is sealed, and what a start without state does."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.windows import WindowBook, WindowRules
from tests.ingest.made import HOUR, MINUTE, START, Made, at


def rules(**changes: Any) -> WindowRules:
    settings: dict[str, Any] = {
        "size": HOUR,
        "utc_offset": 8 * HOUR,
        "lateness": 10 * MINUTE,
        "first": START,
        "last": START + 1000 * HOUR,
        "seals_by": "wall",
        "max_ahead": 5 * MINUTE,
        "idle_after": 30_000,
    }
    return WindowRules(**{**settings, **changes})


def test_a_cold_gateway_contributes_from_the_next_whole_window_on() -> None:
    """It may have lost readings of the window that is open, so that one is sealed cold and its readings are refused."""
    now = START + 5 * HOUR + 20 * MINUTE
    book = WindowBook.fresh(rules(), now)
    assert book.place(now, now) == "cold_start"
    assert book.due(now) == [START + 5 * HOUR]
    assert book.is_cold(START + 5 * HOUR)
    book.sealed(START + 5 * HOUR)
    assert book.place(START + 6 * HOUR, START + 6 * HOUR) == START + 6 * HOUR
    assert not book.is_cold(START + 6 * HOUR)


def test_a_cold_gateway_leaves_alone_what_its_predecessor_may_have_sealed() -> None:
    """Two seals of one window make neither count, so only windows that nobody can have sealed are sealed as cold."""
    just_after = START + 5 * HOUR + 9 * MINUTE
    assert WindowBook.fresh(rules(), just_after).due(just_after) == [START + 4 * HOUR, START + 5 * HOUR]
    later = START + 5 * HOUR + 10 * MINUTE
    assert WindowBook.fresh(rules(), later).due(later) == [START + 5 * HOUR]


def test_a_start_on_the_edge_of_a_window_contributes_to_it() -> None:
    """Nothing of it can be missing."""
    book = WindowBook.fresh(rules(), START + HOUR)
    assert book.place(START + HOUR, START + HOUR) == START + HOUR


def test_before_the_task_begins_nothing_is_cold() -> None:
    """The first window of the task counts in full."""
    book = WindowBook.fresh(rules(), START - 7 * HOUR)
    assert book.due(START - 7 * HOUR) == []
    assert book.place(START, START) == START
    assert book.due(START + HOUR + 10 * MINUTE) == [START]


def test_by_the_wall_clock_every_window_is_sealed_after_its_lateness() -> None:
    """Also when nothing came at all: silence means trouble."""
    book = WindowBook.fresh(rules(), START)
    assert book.due(START + HOUR + 10 * MINUTE - 1) == []
    assert book.due(START + HOUR + 10 * MINUTE) == [START]
    assert book.due(START + 3 * HOUR + 10 * MINUTE) == [START, START + HOUR, START + 2 * HOUR]


def test_a_sealed_window_takes_nothing_more() -> None:
    """A reading that is too late is late, whatever the clock says afterwards."""
    book = WindowBook.fresh(rules(), START)
    book.sealed(START)
    assert book.place(START + HOUR - 1, START + HOUR) == "late"
    assert book.place(START + HOUR, START) == "ahead"
    assert book.place(START + HOUR, START + HOUR) == START + HOUR


def test_readings_from_the_future_are_refused_by_the_wall_clock_only() -> None:
    """A replay is nothing but readings at another time."""
    ahead = START + HOUR + 5 * MINUTE + 1
    assert WindowBook.fresh(rules(), START).place(ahead, START + HOUR) == "ahead"
    assert WindowBook.fresh(rules(seals_by="event"), START).place(ahead, START + HOUR) == START + HOUR


def seen(book: WindowBook, *times: int, sensor: str = "a") -> None:
    """Let a sensor speak of these times, as the gateway does for rows that count."""
    for time in times:
        book.open.add(book.window_of(time))
        book.events.heard(sensor, time)


def test_by_event_time_the_readings_seal() -> None:
    """Every window from the first contributed one on, the empty ones between included; two sensors are in no doubt."""
    book = WindowBook.fresh(rules(seals_by="event"), now=0)
    seen(book, START + 2 * HOUR + 5, START + HOUR + 5)
    assert book.due(0) == []
    seen(book, START + 5 * HOUR + 10 * MINUTE)
    seen(book, START + 5 * HOUR + 10 * MINUTE, sensor="b")
    assert book.due(0) == [START + n * HOUR for n in range(1, 5)]


def test_by_event_time_silence_seals_what_has_readings() -> None:
    """The last window of a replay ends as well."""
    book = WindowBook.fresh(rules(seals_by="event"), now=0)
    assert book.due(10**9) == []
    seen(book, START + 5)
    book.heard = 1_000
    assert book.due(30_999) == []
    assert book.due(31_000) == [START]


def test_a_jump_over_a_long_time_is_sealed_in_steps() -> None:
    """The gateway goes on taking messages meanwhile."""
    book = WindowBook.fresh(rules(), START)
    assert len(book.due(START + 900 * HOUR)) == 64


def test_the_task_ends() -> None:
    """No window after its last one is sealed or filled."""
    book = WindowBook.fresh(rules(last=START + HOUR), START)
    assert book.due(START + 99 * HOUR) == [START]
    assert book.place(START + HOUR, START + HOUR) == "outside_task"


@given(
    st.lists(st.tuples(st.integers(0, 20 * 60), st.integers(0, 90)), max_size=60), st.sampled_from(["wall", "event"])
)
def test_windows_are_sealed_once_in_order_and_without_holes(steps: list[tuple[int, int]], seals_by: str) -> None:
    """Whatever comes when; and nothing is let into a window after its seal."""
    book = WindowBook.fresh(rules(seals_by=seals_by), START)
    now, sealed = START, []
    for time, pause in steps:
        now += pause * MINUTE
        window = book.place(START + time * MINUTE, now)
        if not isinstance(window, str):
            assert window not in sealed
            seen(book, START + time * MINUTE, sensor=str(time % 3))
            book.heard = now
        for due in book.due(now):
            sealed.append(due)
            book.sealed(due)
    assert sealed == [sealed[0] + n * HOUR for n in range(len(sealed))] if sealed else True


def test_late_readings_are_counted_into_the_next_seal() -> None:
    """Lateness is decided here, once; the seal of the window that was open tells the parties how many there were."""
    made = Made(seals_by="wall", now=START)
    made.now = START + HOUR + 10 * MINUTE
    commit = made.tick()
    assert commit is not None
    made.send("air/ring/Gucheng", {"time": at(START + 5), "NO2": 1, "TEMP": 2})
    made.send("air/ring/Gucheng", {"time": at(START + 6), "NO2": None, "TEMP": 2})
    assert made.refusals()["late"] == 3
    made.now = START + 2 * HOUR + 10 * MINUTE
    made.tick()
    assert made.sharder.seals == {START: ((), 0, False), START + HOUR: ((), 3, False)}


def test_what_was_collected_goes_out_before_its_window_is_sealed() -> None:
    """In one commit: the batch, then the seal that counts it."""
    made = Made(seals_by="wall", now=START)
    made.send("air/ring/Gucheng", {"time": at(START), "NO2": 4, "TEMP": 2})
    made.now = START + HOUR + 10 * MINUTE
    commit = made.tick()
    assert commit is not None
    assert [out.value.split()[0] for out in commit.outgoing] == [b"batch"] * 3 + [b"seal"] * 3
    segments, _, _ = made.sharder.seals[START]
    assert [segment.batches for segment in segments] == [1]


def test_sealing_can_be_put_off() -> None:
    """While the clock is not right, or the spool is full, nothing is sealed; batches go on."""
    made = Made(seals_by="wall", now=START)
    made.send("air/ring/Gucheng", {"time": at(START), "NO2": 4, "TEMP": 2})
    made.now = START + 9 * HOUR
    assert made.tick(hold=True) is not None
    assert not made.sharder.seals
    made.tick()
    assert len(made.sharder.seals) == 8
