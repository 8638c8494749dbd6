"""The time of a reading: exact, with a zone that somebody declared, within what a time can be."""

from __future__ import annotations

import pytest

from ingest.refusal import RefusedError
from ingest.times import check_time_format, time_reader
from tests.trial import HOUR, START

NS = 1_000_000
EAST = 8 * HOUR


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("iso8601", "2016-12-01T00:00:00", START * NS),
        ("iso8601", "2016-12-01 00:00", START * NS),
        ("iso8601", "2016-11-30T16:00:00Z", START * NS),
        ("iso8601", "2016-11-30T16:00:00+00:00", START * NS),
        ("iso8601", "2016-12-01T00:00:00.001", START * NS + 1_000_000),
        ("iso8601", "2016-12-01T00:00:00.123456", START * NS + 123_456_000),
        ("iso8601", "2016-12-01T00:00:00.123456789", START * NS + 123_456_789),
        ("iso8601", "2016-12-01T00:00:00.123456789+08:00", START * NS + 123_456_789),
        ("s", 1_480_521_600, START * NS),
        ("s", 1_480_521_600.25, START * NS + 250_000_000),
        ("s", 1_480_521_600.123, START * NS + 123_000_000),
        ("ms", START, START * NS),
        ("ms", START + 0.5, START * NS + 500_000),
        ("us", START * 1000, START * NS),
        ("ns", START * NS + 7, START * NS + 7),
        ("s", -1, -1_000_000_000),
        ("s", -0.25, -250_000_000),
        ("%d.%m.%Y %H:%M", "01.12.2016 00:00", START * NS),
        ("%d.%m.%Y %H:%M %z", "30.11.2016 16:00 +0000", START * NS),
    ],
)
def test_times_are_exact(form: str, value: object, expected: int) -> None:
    """To the nanosecond, without the noise of binary64."""
    assert time_reader(form, zone=EAST)(value) == expected


@pytest.mark.parametrize(
    ("form", "value", "reason"),
    [
        ("iso8601", "0001-01-01T00:00:00", "time_out_of_range"),
        ("iso8601", "0001-01-01T00:00:00+14:00", "time_out_of_range"),
        ("iso8601", "9999-12-31T23:59:59.999999-14:00", "time_out_of_range"),
        ("s", 10**30, "time_out_of_range"),
        ("s", 1e300, "time_out_of_range"),
        ("s", float("nan"), "time_out_of_range"),
        ("ns", -(10**40), "time_out_of_range"),
        ("s", "1480521600", "bad_time"),
        ("s", True, "bad_time"),
        ("s", None, "bad_time"),
        ("iso8601", 1480521600, "bad_time"),
        ("iso8601", "2016-13-01T00:00:00", "bad_time"),
        ("iso8601", "2016-12-01T24:00:01", "bad_time"),
        ("iso8601", "x" * 100_000, "bad_time"),
        ("iso8601", ["2016-12-01"], "bad_time"),
        ("%d.%m.%Y", "2016-12-01", "bad_time"),
    ],
)
def test_what_is_no_time_is_refused(form: str, value: object, reason: str) -> None:
    """By one of three reasons, and never by another exception."""
    with pytest.raises(RefusedError) as refused:
        time_reader(form, zone=EAST)(value)
    assert refused.value.reason == reason


def test_there_is_no_silent_utc() -> None:
    """A time that names no zone is refused where the source declares none; one that does is taken."""
    read = time_reader("iso8601", zone=None)
    assert read("2016-11-30T16:00:00Z") == START * NS
    with pytest.raises(RefusedError) as refused:
        read("2016-11-30T16:00:00")
    assert refused.value.reason == "time_without_zone"


@pytest.mark.parametrize(("form", "zone"), [("iso", None), ("%d.%m.%Y", None), ("%d.%Q", 0), ("", 0)])
def test_formats_that_cannot_work_are_refused(form: str, zone: int | None) -> None:
    """When the file is read, not when the first message comes."""
    with pytest.raises(ValueError, match=r"iso8601|silent UTC|read back"):
        check_time_format(form, zone=zone)


def test_remembered_times_stay_right() -> None:
    """The memory of texts is bounded and changes nothing."""
    read = time_reader("iso8601", zone=0)
    for _ in range(2):
        for minute in range(5_000):
            text = f"2016-12-{1 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}"
            assert read(text) == (START + EAST + minute * 60_000) * NS
