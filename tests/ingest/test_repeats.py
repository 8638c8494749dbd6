"""Fingerprints of readings: equal for equal readings of one window, and without use to anybody else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.repeats import SIZE, Repeats

Reading = tuple[str, str, str, int, float]
READINGS = st.lists(
    st.tuples(
        st.sampled_from(["a", "ab"]),
        st.sampled_from(["b", "", "bc"]),
        st.sampled_from(["c", "m"]),
        st.integers(-(2**40), 2**40),
        st.floats(allow_nan=False),
    ),
    max_size=30,
)


def prints_of(repeats: Repeats, readings: list[Reading]) -> list[bytes]:
    streams = [repeats.stream(*reading[:3]) for reading in readings]
    if not streams:
        return []
    data = repeats.fingerprints(
        streams,
        np.arange(len(readings)),
        np.array([reading[3] for reading in readings], dtype=np.int64),
        np.array([reading[4] for reading in readings], dtype=np.float64),
    )
    return [data[i : i + SIZE] for i in range(0, len(data), SIZE)]


def made(secret: bytes = b"s" * 32, salt: bytes = b"t" * 16, window: int = 0) -> Repeats:
    return Repeats(secret=secret, salt=salt, window=window)


@given(READINGS)
def test_equal_readings_have_equal_fingerprints_and_others_do_not(readings: list[Reading]) -> None:
    """("a", "bc") and ("ab", "c") are not the same; 0.0 and -0.0 are."""
    prints = prints_of(made(), readings)
    for one, first in zip(readings, prints, strict=True):
        for other, second in zip(readings, prints, strict=True):
            assert (first == second) == (one == other)


@given(READINGS, st.integers(0, 30))
def test_what_was_there_is_found_in_one_call_or_in_several(readings: list[Reading], cut: int) -> None:
    """Also after a restart: what was remembered can be given back."""
    repeats = made()
    prints = prints_of(repeats, readings)
    expected, seen = [], set()
    for one in prints:
        expected.append(one not in seen)
        seen.add(one)
    first = repeats.new(b"".join(prints[:cut])).tolist()
    again = Repeats(secret=b"s" * 32, salt=b"t" * 16, window=0, remembered=b"".join(prints[:cut]))
    assert first + again.new(b"".join(prints[cut:])).tolist() == expected
    assert len(again) == len(seen)


def test_a_fingerprint_says_nothing_without_the_secret_of_the_key_file() -> None:
    """Who has the disk, and knows the sensor and the time, cannot try the thousand values that there are."""
    reading: list[Reading] = [("a", "b", "c", 1, 2.0)]
    variants = [made(), made(secret=b"x" * 32), made(salt=b"x" * 16), made(window=1)]
    assert len({prints_of(repeats, reading)[0] for repeats in variants}) == len(variants)
