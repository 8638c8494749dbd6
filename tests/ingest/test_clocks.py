"""Clocks that are wrong: of the gateway's machine, and of its sensors. What is refused, what waits, what is counted."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.event_clock import ALONE, NIGHT, EventClock
from ingest.publisher import Publisher
from ingest.trust import BOUND, SETTLED, Answer, ClockWatch
from protocol.topics import Topics
from runtime.clock import wall
from tests.ingest.made import HOUR, MINUTE, START, Made, at
from tests.ingest.test_service import FakeFuture, FakeKafka, FakeOutbox, Loop
from tests.trial import make_trial

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


def test_a_sensor_with_a_random_clock_opens_a_bounded_number_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By event time. What it sends beyond is counted as refused; those who go with the time lose nothing."""
    most, hours = 20, 60
    monkeypatch.setattr("ingest.windows.FAR", most)
    made, chance = Made(seals_by="event"), random.Random(1)
    mad = chance.sample(range(100, 2_000), hours)
    for hour, ahead in enumerate(mad):
        for station in ("A", "B"):
            made.send(f"air/ring/{station}", {"time": at(START + hour * HOUR), "NO2": 1, "TEMP": None})
        made.send("air/ring/Mad", {"time": at(START + ahead * HOUR), "NO2": 1, "TEMP": None})
        made.tick(flush=True)
        assert len(made.gateway.book.open) <= most + 3
        assert made.gateway.book.open >= made.gateway.open_windows().keys()
    assert made.refusals() == {"too_far_ahead": hours - most}
    assert [made.sum_of("no2", window=START + hour * HOUR)[0] for hour in range(hours)] == [2] * hours


def test_the_bound_on_windows_ahead_does_not_stop_a_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does one sensor's year in a single batch meet it, nor is a gap the end once everybody is behind it."""
    monkeypatch.setattr("ingest.windows.FAR", 20)
    made = Made(seals_by="event", batch_rows=10_000)
    for hour in range(500):
        made.send("air/ring/A", {"time": at(START + hour * HOUR), "NO2": 1, "TEMP": None})
    made.tick(flush=True)
    assert not made.refusals()
    for ahead in range(1_000, 1_020):
        made.send("air/ring/Mad", {"time": at(START + ahead * HOUR), "NO2": 1, "TEMP": None})
    made.tick(flush=True)
    for _ in range(3):
        for station in ("A", "B", "C"):
            made.send(f"air/ring/{station}", {"time": at(START + 900 * HOUR), "NO2": 1, "TEMP": None})
        made.tick(flush=True)
    assert made.refusals()["too_far_ahead"] <= 3
    assert made.sum_of("no2", window=START + 900 * HOUR)[0] >= 3


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
    sealed = [hour for hour in range(24) if START + hour * HOUR in made.sharder.seals]
    assert made.refusals() == {"late": len(sealed)}
    assert made.gateway.tally.repeats == 24 - len(sealed)
    assert made.gateway.tally.late == {START + hour * HOUR: 1 for hour in sealed}
    for hour in range(24):
        assert made.sum_of("no2", window=START + hour * HOUR) == (1, hour)


def test_a_sensor_ahead_of_the_clock_is_refused_and_moves_nothing() -> None:
    """Its readings are counted as ahead; a minute or two are within what is allowed."""
    made = Made(seals_by="wall", now=START)
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


def test_late_readings_are_counted_once_across_a_kill(tmp_path: Path) -> None:
    """Their messages are acknowledged, so the count is durable before."""
    made = Made(tmp_path, seals_by="wall", now=START)
    made.now = START + HOUR + 10 * MINUTE
    made.tick()
    made.send("air/ring/Gucheng", {"time": at(START), "NO2": 1, "TEMP": 2})
    commit = made.tick(flush=True)
    assert commit is not None
    assert [ack.mid for ack in commit.acks] == [1]
    assert made.spool is not None
    made.spool.close()
    again = Made(tmp_path, seals_by="wall", now=made.now)
    assert again.kept.late == 2
    again.now = START + 2 * HOUR + 10 * MINUTE
    again.tick()
    assert again.sharder.seals[START + HOUR][1] == 2


def test_a_clock_that_is_set_forgets_no_delivery() -> None:
    """Readings without a time of their own: a message that is delivered again after a jump is still a repeat."""
    made = Made(seals_by="wall", now=START)
    made.send("now/Gucheng", b"21", mid=7)
    made.tick(flush=True)
    made.gateway.clock_set(5 * MINUTE)
    made.now += 5 * MINUTE
    made.send("now/Gucheng", b"22", mid=8)
    made.tick(flush=True)
    made.send("now/Gucheng", b"21", mid=7, dup=True)
    made.tick(flush=True)
    assert made.sum_of("no2") == (2, 43)
    assert made.gateway.tally.repeats == 1


def test_a_clock_that_is_set_is_no_silence() -> None:
    """By event time silence ends the last windows; a clock that jumps is not silence."""
    made = Made(seals_by="event")
    for station in ("A", "B"):
        made.send(f"air/ring/{station}", {"time": at(START), "NO2": 1, "TEMP": None})
    made.flush()
    made.gateway.clock_set(HOUR)
    made.now += HOUR
    made.tick()
    assert not made.sharder.seals
    made.now += made.config.clock.idle_after
    made.tick()
    assert set(made.sharder.seals) == {START}


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


class Wrong(Loop):
    """A gateway by the wall clock whose machine is `off` by so much; Kafka answers what it is sent.

    It begins with its first turn, if its clock is right then.
    """

    def __init__(self, folder: Path, *, off: int = 0, **options: Any) -> None:
        self.off = off
        super().__init__(folder, seals_by="wall", require_sync=True, now=START + off, **options)
        self.reachable = True
        self.asked = 0
        self.publisher.ask = self.ask  # type: ignore[method-assign]

    def ask(self) -> None:
        self.asked += 1
        if self.reachable:
            self.confirm()

    def confirm(self) -> None:
        self.publisher.answer = Answer(sent=self.monotonic - 20, confirmed=self.monotonic, stamp=START + self.monotonic)
        self.publisher.sent["party-1"] = 1

    def set_clock(self, off: int) -> None:
        self.made.now += off - self.off
        self.off = off

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            super().turn()
            if self.reachable and self.made.sharder.seals.keys() | {one[0] for one in self.made.sharder.batches}:
                self.confirm()

    def pass_time(self, ms: int, step: int = 1_000) -> None:
        for _ in range(0, ms, step):
            self.later(step)
            self.turn()


def read(loop: Wrong) -> list[int]:
    """Return the readings that were counted, as their values."""
    return [unit for _, _, rows in loop.made.sharder.batches for unit in rows.units.tolist()]


def test_a_clock_that_jumps_ahead_seals_and_takes_nothing_until_it_is_back(tmp_path: Path) -> None:
    """In between every reading of a valid time waits with the broker; none is late, none is ahead, none is lost."""
    loop = Wrong(tmp_path)
    loop.turn()
    loop.send(START + 1, 1)
    loop.pass_time(2_000)
    assert loop.broker.acknowledged == [1]
    loop.set_clock(5 * HOUR)
    loop.send(START + 2_500, 2)
    loop.pass_time(10 * MINUTE)
    assert not loop.made.sharder.seals
    assert loop.broker.acknowledged == [1]
    assert "clock" in loop.service.health.unready
    assert loop.asked
    loop.set_clock(0)
    loop.pass_time(2_000)
    assert loop.broker.acknowledged == [1, 2]
    assert read(loop) == [1, 2]
    assert loop.service.status()["refused"] == {}
    loop.pass_time(HOUR, step=MINUTE)
    assert set(loop.made.sharder.seals) == {START}


def test_a_clock_that_jumps_back_seals_no_window_twice(tmp_path: Path) -> None:
    """And what comes meanwhile is neither ahead nor put into a window that is over."""
    loop = Wrong(tmp_path)
    loop.turn()
    loop.pass_time(HOUR + 11 * MINUTE, step=MINUTE)
    assert set(loop.made.sharder.seals) == {START}
    loop.set_clock(-2 * HOUR)
    loop.send(START + HOUR + 11 * MINUTE, 7)
    loop.pass_time(20 * MINUTE, step=MINUTE)
    assert not loop.broker.acknowledged
    loop.set_clock(0)
    loop.pass_time(MINUTE)
    assert read(loop) == [7]
    loop.pass_time(HOUR, step=MINUTE)
    assert sorted(loop.made.sharder.seals) == [START, START + HOUR]
    assert loop.service.status()["refused"] == {}


def test_a_gateway_that_starts_ahead_begins_again_when_its_clock_is_right(tmp_path: Path) -> None:
    """The kernel believed in it; the cold seal was the question, and Kafka's answer showed it. No window is lost."""
    loop = Wrong(tmp_path, off=50 * HOUR)
    loop.send(START + HOUR + 1, 3)
    loop.turn(3)
    assert {cold for _, _, cold in loop.made.sharder.seals.values()} <= {True}
    loop.pass_time(5_000)
    assert not loop.service._clock_right
    loop.set_clock(0)
    loop.pass_time(HOUR, step=MINUTE)
    loop.send(START + HOUR + 2, 4)
    loop.pass_time(2_000)
    assert 4 in read(loop)
    assert loop.made.gateway.book.contributes_from == START + HOUR


def test_a_cold_gateway_waits_for_the_clock_before_it_says_where_it_begins(tmp_path: Path) -> None:
    """A machine without a clock chip starts in the past: it would seal weeks of windows that it has never seen."""
    loop = Wrong(tmp_path, off=-20 * 24 * HOUR)
    loop.synchronised = False
    loop.send(START + 1, 3)
    loop.pass_time(5_000)
    assert not loop.made.sharder.seals
    assert not loop.broker.acknowledged
    loop.synchronised = True
    loop.set_clock(30_000)
    loop.pass_time(61_000)
    loop.set_clock(0)
    loop.pass_time(5_000)
    assert loop.made.gateway.book.contributes_from == START + HOUR
    assert set(loop.made.sharder.seals) <= {START - HOUR, START}
    assert loop.broker.acknowledged == [1]
    assert loop.service.status()["refused"] == {"cold_start": 1}


def test_before_kafkas_first_answer_one_window_is_sealed_at_most(tmp_path: Path) -> None:
    """A month of windows would be lost to a clock that is wrong at a restart."""
    first = Wrong(tmp_path)
    first.turn()
    first.send(START + 1, 1)
    first.pass_time(2_000)
    assert first.made.spool is not None
    first.made.spool.close()
    loop = Wrong(tmp_path, off=100 * HOUR)
    loop.reachable = False
    loop.pass_time(10_000)
    assert len(loop.made.sharder.seals) <= 1
    loop.reachable = True
    loop.pass_time(10_000)
    assert len(loop.made.sharder.seals) <= 1
    assert not loop.service._clock_right


def test_days_without_power_are_sealed_in_steps(tmp_path: Path) -> None:
    """What the broker kept is placed first; then window after window, some at a time, messages in between."""
    first = Wrong(tmp_path)
    first.turn()
    first.send(START + 1, 1)
    first.pass_time(2_000)
    assert first.made.spool is not None
    first.made.spool.close()
    loop = Wrong(tmp_path)
    loop.later(100 * HOUR)
    loop.made.now = START + loop.monotonic
    loop.send(START + 2, 2)
    loop.send(START + 99 * HOUR, 3)
    loop.confirm()
    before = 0
    while len(loop.made.sharder.seals) < 99:
        loop.pass_time(1_000)
        assert len(loop.made.sharder.seals) - before <= 64
        assert len(loop.made.sharder.seals) > before or loop.monotonic < 100 * HOUR + 3_000
        before = len(loop.made.sharder.seals)
    assert read(loop) == [2, 3]
    assert loop.made.sharder.seals[START][0][0].batches == 1
    assert loop.service.status()["refused"] == {}


def test_late_readings_are_told_by_window_and_counted_in_a_later_seal(tmp_path: Path) -> None:
    """A seal is final, so what comes after it can only stand in the next one; the page says for which window it was."""
    loop = Wrong(tmp_path)
    loop.turn()
    loop.pass_time(2 * HOUR + 11 * MINUTE, step=MINUTE)
    for time in (5, HOUR + 1, HOUR + 2):
        loop.send(START + time, 9)
    loop.pass_time(3_000)
    late = loop.service.status()["late"]
    assert isinstance(late, list)
    assert [one["readings"] for one in late] == [1, 2]
    loop.pass_time(HOUR, step=MINUTE)
    assert [loop.made.sharder.seals[START + hour * HOUR][1] for hour in range(3)] == [0, 0, 3]


class StampingKafka(FakeKafka):
    """Puts a time into its answers: `says`, or (None: CreateTime) that of the moment of sending."""

    def __init__(self, *, says: int | None) -> None:
        super().__init__([])
        self.says = says
        self.again = threading.Event()

    def send(self, topic: str, value: bytes, key: bytes, *, partition: int) -> FakeFuture:
        future = super().send(topic, value, key, partition=partition)
        stamp = wall() if self.says is None else self.says
        future.get = lambda timeout=None: SimpleNamespace(timestamp=stamp)  # type: ignore[method-assign]
        if len(self.sessions[-1]) > 2:
            self.again.set()
        return future


@pytest.mark.parametrize(("says", "counts"), [(START, True), (None, False), (1234, False), (0, False), (-1, False)])
def test_kafka_is_asked_for_its_time_by_sending_the_last_record_again(says: int | None, counts: bool) -> None:
    """Parties ignore what they have had. The sender's own time, which comes back with CreateTime, proves nothing, and
    neither does what is no time at all: librdkafka's mock, the embedded Kafka, answers with a small constant."""
    outbox, kafka = FakeOutbox(2), StampingKafka(says=says)
    publisher = Publisher(outbox=outbox, topics=Topics.of(make_trial().task), connect=kafka.connect)
    publisher.start()
    publisher.wake()
    assert outbox.empty.wait(60)
    publisher.ask()
    assert kafka.again.wait(60)
    publisher.stop()
    assert kafka.sessions == [[1, 2, 2]]
    assert (publisher.answer is not None and publisher.answer.stamp == START) == counts
    assert counts or publisher.answer is None
