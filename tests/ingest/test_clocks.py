"""Clocks that are wrong: of the gateway's machine, and of its sensors. What is refused, what waits, what is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.event_clock import ALONE, NIGHT, EventClock
from ingest.trust import BOUND, SETTLED, Answer, ClockWatch
from tests.ingest.made import HOUR, MINUTE, START, Made, at

LEAP = HOUR + 10 * MINUTE


# -- by event time --------------------------------------------------------------------------------------------


def test_one_wrong_time_moves_nothing() -> None:
    """A sensor far ahead, once or for ever, however its readings are mixed with the others'."""
    clock = EventClock(leap=LEAP)
    for minute in range(60):
        for sensor in ("a", "b"):
            clock.heard(sensor, START + minute * MINUTE)
        clock.heard("bad", START + 30 * 24 * HOUR + minute * MINUTE)
    assert clock.time == START + 59 * MINUTE
    assert clock.at_rest() == START + 59 * MINUTE


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100)), max_size=40), st.integers(200, 10**6))
def test_a_single_sensor_never_leads_the_clock(heard: list[tuple[str, int]], far: int) -> None:
    """Whatever one sensor says in between, the clock is where two others have been, and it never goes back."""
    clock, before = EventClock(leap=10), None
    for sensor, time in heard:
        clock.heard("bad", far + time)
        clock.heard(sensor, time)
        assert clock.time is not None
        assert before is None or clock.time >= before
        before = clock.time
        assert clock.time <= max(one for _, one in heard)


def test_a_mangled_time_of_the_only_sensor_moves_nothing() -> None:
    """Two of its readings have to agree."""
    clock = EventClock(leap=LEAP)
    for time in (0, MINUTE, 90 * HOUR, 2 * MINUTE, 3 * MINUTE):
        clock.heard("a", START + time)
    assert clock.time == START + 3 * MINUTE
    assert clock.at_rest() == START + 3 * MINUTE


def test_a_gap_of_nights_in_a_history_is_passed_at_once() -> None:
    """The second sensor on the other side confirms it, or the second reading of the only one."""
    clock = EventClock(leap=LEAP)
    for sensor in ("a", "b"):
        clock.heard(sensor, START)
    clock.heard("a", START + 12 * HOUR)
    assert clock.time == START
    clock.heard("b", START + 12 * HOUR)
    assert clock.time == START + 12 * HOUR
    alone = EventClock(leap=LEAP)
    for time in (0, 12 * HOUR, 12 * HOUR + MINUTE):
        alone.heard("a", START + time)
    assert alone.time == START + 12 * HOUR


def test_silence_believes_what_nobody_contradicted() -> None:
    """The last hours of a history may have one sensor only; one lonely leap at its end is not believed."""
    clock = EventClock(leap=LEAP)
    for sensor in ("a", "b"):
        clock.heard(sensor, START)
    clock.heard("a", START + HOUR)
    assert clock.at_rest() == START + HOUR
    clock.heard("a", START + 40 * HOUR)
    assert clock.at_rest() == START + HOUR
    clock.heard("a", START + 40 * HOUR + 5)
    assert clock.at_rest() == START + 40 * HOUR + 5
    assert clock.time == START


def test_a_sensor_that_goes_on_alone_is_believed_after_many_readings() -> None:
    """The others have ended; a replay at full speed never falls silent."""
    clock = EventClock(leap=LEAP)
    clock.heard("ended", START)
    for number in range(ALONE + 2):
        clock.heard("a", START + number * HOUR)
    assert clock.time == START + ALONE * HOUR


def test_after_a_restart_silence_ends_the_windows_that_were_open() -> None:
    """As far as they are one history; a window far off stays open."""
    clock = EventClock(leap=LEAP)
    clock.restored([START, START + HOUR, START + HOUR + NIGHT, START + 90 * NIGHT])
    assert clock.time is None
    assert clock.at_rest() == START + HOUR + NIGHT


def test_a_sensor_ahead_seals_nothing_for_the_others() -> None:
    """By event time, from message to seal: its reading waits in its own window; refused values move nothing."""
    made = Made(seals_by="event")
    for station, time in (("A", 0), ("B", 1), ("Bad", 40 * HOUR), ("Bad", 41 * HOUR)):
        made.send(f"air/ring/{station}", {"time": at(START + time), "NO2": 5, "TEMP": None})
    for station in ("Worse", "Worst"):
        made.send(f"air/ring/{station}", {"time": at(START + 60 * HOUR), "NO2": 99_999, "TEMP": None})
    made.flush()
    made.tick()
    assert not made.sharder.seals
    for station in ("A", "B"):
        made.send(f"air/ring/{station}", {"time": at(START + HOUR + 10 * MINUTE), "NO2": 7, "TEMP": None})
    made.tick(flush=True)
    assert set(made.sharder.seals) == {START}
    assert made.refusals() == {"out_of_range": 2}
    made.now += 60_000
    made.tick()
    assert set(made.sharder.seals) == {START, START + HOUR}
    assert made.sum_of("no2", window=START + 40 * HOUR) == (1, 5)


# -- sensors, by the wall clock -------------------------------------------------------------------------------


def test_a_sensor_that_sends_a_day_again_counts_once() -> None:
    """In an open window a repeat is recognised; in a sealed one it is late, and counted by the window it was for."""
    made = Made(seals_by="wall", now=START)
    day = [{"time": at(START + hour * HOUR), "NO2": hour, "TEMP": None} for hour in range(24)]
    for hour, payload in enumerate(day):
        made.now = START + hour * HOUR + MINUTE
        made.send("air/ring/Gucheng", payload)
        made.tick(flush=True)
    for payload in day:
        made.send("air/ring/Gucheng", payload)
    made.tick(flush=True)
    assert made.refusals() == {"late": 23}
    assert made.gateway.tally.repeats == 1
    assert made.gateway.tally.late == {START + hour * HOUR: 1 for hour in range(23)}
    for hour in range(24):
        assert made.sum_of("no2", window=START + hour * HOUR) == (1, hour)


def test_a_sensor_ahead_of_the_clock_is_refused_and_moves_nothing() -> None:
    """Its readings are counted as ahead; a minute or two are within what is allowed."""
    made = Made(seals_by="wall", now=START + MINUTE)
    made.send("air/ring/Gucheng", {"time": at(START + 3 * HOUR), "NO2": 1, "TEMP": None})
    made.send("air/ring/Gucheng", {"time": at(START + 5 * MINUTE), "NO2": 2, "TEMP": None})
    made.tick(flush=True)
    assert made.refusals() == {"ahead": 1}
    assert not made.sharder.seals
    assert made.sum_of("no2") == (1, 2)


def test_a_day_that_comes_at_once_is_late_but_for_the_open_windows() -> None:
    """A sensor that was offline: lateness in the task says how long results wait for it."""
    made = Made(seals_by="wall", now=START)
    made.now = START + 24 * HOUR + 5 * MINUTE
    while made.tick() is not None:
        pass
    for hour in range(24):
        made.send("air/ring/Gucheng", {"time": at(START + hour * HOUR), "NO2": 1, "TEMP": None})
    made.tick(flush=True)
    assert made.refusals() == {"late": 23}
    assert made.sum_of("no2", window=START + 23 * HOUR) == (1, 1)


# -- the gateway's own clock ----------------------------------------------------------------------------------


class Machine:
    """A machine's clocks: `true` is the time, `off` what its wall clock makes of it."""

    def __init__(self) -> None:
        self.watch, self.true, self.off = ClockWatch(), START, 0
        self.synchronised: bool | None = True
        self.answer: Answer | None = None

    def look(self) -> int:
        wall, monotonic = self.true + self.off, self.true - START
        return self.watch.look(wall, monotonic, synchronised=self.synchronised, answer=self.answer)

    def ask(self, took: int = 20) -> None:
        sent = self.true - START
        self.true += took
        self.answer = Answer(sent=sent, confirmed=sent + took, stamp=self.true - took // 2)


def test_a_clock_that_is_not_synchronised_decides_nothing() -> None:
    """The kernel says so: a Raspberry Pi after power-on."""
    machine = Machine()
    machine.synchronised = False
    machine.look()
    assert (machine.watch.right, machine.watch.reason) == (False, "not synchronised")
    machine.synchronised = True
    machine.look()
    assert machine.watch.right


def test_kafka_contradicts_a_clock_that_is_hours_off() -> None:
    """Ahead or behind; and as soon as it is set right it is right, without another answer."""
    for off in (3 * HOUR, -3 * HOUR):
        machine = Machine()
        machine.off = off
        machine.look()
        assert machine.watch.right
        machine.ask()
        assert machine.look() == 0
        assert not machine.watch.right
        assert machine.watch.kafka == machine.true
        machine.off = 0
        assert machine.look() == -off
        assert machine.watch.right


def test_a_jump_in_the_middle_and_back_is_seen_at_once() -> None:
    """By Kafka's last answer, an hour old, and the monotonic clock."""
    machine = Machine()
    machine.ask()
    machine.true += HOUR
    machine.look()
    machine.off = 5 * HOUR
    assert machine.look() == 5 * HOUR
    assert not machine.watch.right
    machine.off = 0
    machine.look()
    assert machine.watch.right


def test_without_kafka_a_clock_that_was_set_is_left_to_settle() -> None:
    """It may be set again, and nobody can be asked."""
    machine = Machine()
    machine.look()
    machine.off = 5 * HOUR
    machine.look()
    assert not machine.watch.right
    machine.true += SETTLED - 1
    machine.look()
    assert not machine.watch.right
    machine.true += 1
    machine.look()
    assert machine.watch.right


def test_a_slow_answer_accuses_nobody() -> None:
    """Kafka may take a minute; its stamp lies somewhere in it."""
    machine = Machine()
    machine.ask(took=60_000)
    machine.look()
    assert machine.watch.right
    machine.off = 30_000 + BOUND
    machine.look()
    assert machine.watch.right, "it may have been stamped at the beginning of the minute"
    machine.off += 1
    machine.look()
    assert not machine.watch.right


def test_small_corrections_are_no_jumps() -> None:
    """NTP moves a clock all the time."""
    machine = Machine()
    machine.look()
    machine.off = BOUND
    assert machine.look() == 0
    assert machine.watch.right
