"""The clock that a party goes by: never ahead of Kafka's, whatever its own machine says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.log_clock import JUMP, LATELY, LogClock
from tests.trial import HOUR, START


@given(
    st.integers(0, 10**9),
    st.lists(st.tuples(st.integers(1, JUMP), st.integers(0, 5_000), st.booleans()), min_size=1, max_size=50),
)
def test_it_is_never_ahead_of_kafkas(ahead: int, steps: list[tuple[int, int, bool]]) -> None:
    """Once a record has been read, at most as much as the record was on its way."""
    clock, true, least = LogClock(), START, None
    for pause, way, reads in steps:
        true += pause
        if reads:
            clock.read(true - way, true + ahead)
            least = way if least is None else min(least, way)
        now = clock.now(true + ahead)
        if least is not None:
            assert now <= true


def test_a_machine_whose_clock_is_right_goes_by_it() -> None:
    """Records that were on their way for a moment take nothing away for long."""
    clock = LogClock()
    assert clock.now(START) == START
    clock.read(START - 20, START)
    assert clock.now(START + 5) == START + 5 - 20
    clock.read(START + 10, START + 10)
    assert clock.now(START + 15) == START + 15


def test_a_clock_that_is_behind_stays_behind() -> None:
    """Kafka's own clock may be the wrong one; a party that is late harms nobody."""
    clock = LogClock()
    clock.read(START, START - HOUR)
    assert clock.now(START - HOUR) == START - HOUR
    assert clock.ahead == -HOUR


def test_a_jump_passes_no_time() -> None:
    """The next record says what time it is; until then it goes on from where it was, and never ahead of that."""
    clock = LogClock()
    clock.read(START, START)
    assert clock.now(START + 1_000 + 5 * HOUR) == START
    assert clock.now(START + 3_000 + 5 * HOUR) == START + 2_000
    assert clock.now(START + 4_000 - 5 * HOUR) <= START + 2_000
    assert clock.now(START + 5_000) == START + 2_000
    clock = LogClock()
    clock.read(START, START)
    clock.now(START + HOUR)
    clock.read(START + HOUR, START + HOUR)
    assert clock.now(START + HOUR) == START + HOUR, "it was the process that stood still"


def test_a_clock_that_drifts_away_is_seen() -> None:
    """The bound is of lately, not of ever."""
    clock = LogClock()
    for second in range(0, 3 * LATELY, 10_000):
        clock.read(START + second, START + second + second // 100)
    assert clock.ahead is not None
    assert clock.ahead >= LATELY // 100


def test_an_unknown_time_says_nothing() -> None:
    """Some versions of Kafka keep what the writer says, and he may say nothing."""
    clock = LogClock()
    clock.read(0, START)
    clock.read(-1, START)
    assert clock.now(START) == START
