"""When what was collected is stored, what a commit holds, and what it acknowledges."""

from __future__ import annotations

import pytest

from tests.ingest.made import HOUR, MINUTE, START, Made, at


def reading(made: Made, time: int, no2: int, station: str = "Gucheng", **options: bool | int) -> None:
    made.send(f"air/ring/{station}", {"time": at(time), "NO2": no2, "TEMP": None}, **options)


def test_silence_closes_a_batch() -> None:
    """A broker with its few messages in flight waits for an acknowledgement: 50 ms after the last one it gets it."""
    made = Made()
    reading(made, START, 1)
    assert made.gateway.wait(made.now) == 50
    made.now += 49
    assert made.tick() is None
    reading(made, START + 1, 2)
    made.now += 49
    assert made.tick() is None
    made.now += 1
    commit = made.tick()
    assert commit is not None
    assert [ack.mid for ack in commit.acks] == [1, 2]
    assert made.gateway.wait(made.now) is None


def test_age_closes_a_batch_that_goes_on_growing() -> None:
    """No message waits longer than a second for its acknowledgement."""
    made = Made()
    for number in range(40):
        reading(made, START + number, number)
        if made.tick() is not None:
            break
        made.now += 30
    assert made.now - START == 1020


def test_rows_close_a_batch_and_a_long_message_makes_several() -> None:
    """No record is larger than max_rows readings."""
    made = Made(batch_rows=10)
    rows = [{"ts": START + n, "place": "D", "no2": n, "t10": None} for n in range(25)]
    made.send("logger/D", {"rows": rows})
    assert made.gateway.wait(made.now) == 0
    commit = made.tick()
    assert commit is not None
    assert [(window, sequence, len(rows.units)) for window, sequence, rows in made.sharder.batches] == [
        (START, 0, 10),
        (START, 1, 10),
        (START, 2, 5),
    ]
    assert made.sum_of("no2", area="outer") == (25, 300)


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    """Ages are never negative, so a batch waits for its idle time at most."""
    made = Made()
    reading(made, START, 1)
    made.now -= 10 * HOUR
    wait = made.gateway.wait(made.now)
    assert wait is not None
    assert wait <= 50


def test_a_message_over_several_windows_is_acknowledged_when_all_of_it_is_stored() -> None:
    """All windows go into one commit, so no acknowledgement can be early."""
    made = Made()
    rows = [{"ts": START + n * HOUR, "place": "D", "no2": n, "t10": 1} for n in range(4)]
    made.send("logger/D", {"rows": rows})
    commit = made.flush()
    assert commit is not None
    assert {mark.window for mark in commit.batches} == {START + n * HOUR for n in range(4)}
    assert [ack.mid for ack in commit.acks] == [1]


def test_useless_messages_alone_are_acknowledged_without_a_write() -> None:
    """Refused messages count against the broker's window like all others."""
    made = Made()
    made.send("air/ring/Gucheng", b"{")
    commit = made.flush()
    assert commit is not None
    assert not commit.writes
    assert len(commit.acks) == 1


def test_batches_of_a_window_are_numbered_without_holes() -> None:
    """Across several commits, and for each window by itself."""
    made = Made()
    for number in range(3):
        reading(made, START + number, number)
        reading(made, START + HOUR + number, number)
        made.flush()
    assert [(window, sequence) for window, sequence, _ in made.sharder.batches] == [
        (START + window * HOUR, sequence) for sequence in range(3) for window in range(2)
    ]


def test_an_exact_repeat_counts_once() -> None:
    """In the same batch, in a later one, with a longer notation of the same number; and is acknowledged."""
    made = Made()
    reading(made, START, 5)
    reading(made, START, 5)
    made.flush()
    reading(made, START, 5, dup=True)
    made.send("air/ring/Gucheng", b'{"time":"2016-12-01T00:00:00.000","NO2":5.0}')
    commit = made.flush()
    assert commit is not None
    assert len(commit.acks) == 2
    assert made.sum_of("no2") == (1, 5)
    assert made.gateway.tally.repeats == 3


@pytest.mark.parametrize(
    "other",
    [
        {"station": "Wanliu"},
        {"time": START + 1},
        {"no2": 6},
    ],
)
def test_what_differs_in_anything_is_no_repeat(other: dict[str, int | str]) -> None:
    """Another sensor, another time, another value: another reading."""
    made = Made()
    reading(made, START, 5)
    first = {"time": START, "no2": 5, "station": "Gucheng", **other}
    reading(made, first["time"], first["no2"], first["station"])  # type: ignore[arg-type]
    made.flush()
    assert made.sum_of("no2")[0] == 2


def test_two_measures_of_one_sensor_are_no_repeats_of_each_other() -> None:
    """The measure belongs to what is compared."""
    made = Made()
    made.send("air/ring/G", {"time": at(START), "NO2": 5, "TEMP": 5})
    made.flush()
    assert made.sum_of("no2") == (1, 5)
    assert made.sum_of("temperature") == (1, 450)


def test_messages_without_a_time_are_recognised_by_their_delivery() -> None:
    """They have no time that would tell a repeat from a second reading; the broker's DUP and the id do."""
    made = Made(now=START + MINUTE)
    made.send("now/x", 7, mid=1)
    made.send("now/x", 7, mid=2)
    made.send("now/x", 7, mid=2, dup=True)
    made.send("now/x", 7, mid=3, dup=True)
    made.send("now/x", 8, mid=1, dup=True)
    made.flush()
    assert made.sum_of("no2") == (4, 7 + 7 + 7 + 8)
    assert made.gateway.tally.repeats == 1


def test_a_receipt_is_forgotten_when_its_acknowledgement_has_arrived() -> None:
    """Ids are used again, and mosquitto sets DUP on what it queued: a constant reading would be lost."""
    made = Made(now=START + MINUTE)
    made.send("now/x", 7, mid=1)
    made.flush()
    forgotten: list[int] = []
    for number in range(12):
        made.now += 10_000
        made.send("now/x", 8, mid=2 + number)
        commit = made.flush()
        assert commit is not None
        forgotten += commit.forgotten
    assert forgotten == [1]
    made.send("now/x", 7, mid=1, dup=True)
    made.flush()
    assert made.sum_of("no2") == (14, 7 + 12 * 8 + 7)


def test_a_receipt_is_kept_for_a_gateway_that_was_away() -> None:
    """Whatever the clock says: what was not acknowledged comes again right after the next connection."""
    made = Made(now=START + MINUTE)
    made.send("now/x", 7, mid=1)
    made.send("now/x", 7, mid=2)
    made.flush()
    made.now += 10 * MINUTE
    made.send("now/x", 7, mid=1, dup=True, connection=2)
    made.flush()
    made.send("now/x", 7, mid=2, dup=True, connection=2)
    made.flush()
    assert made.sum_of("no2") == (2, 14)


def test_a_scale_is_applied_to_the_decimal() -> None:
    """-3 tenths are -0.3 degrees, exactly."""
    made = Made()
    made.send("logger/D", {"rows": [{"ts": START, "place": "D", "no2": 0, "t10": -3}]})
    made.flush()
    assert made.sum_of("temperature", area="outer") == (1, 397)
