"""Bad input: each kind is counted by reason and acknowledged, and the sums of the good readings stay exact."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ingest.made import HOUR, MINUTE, START, Made, at

GOOD = [(at(START + MINUTE), 10, 3.5), (at(START + 2 * MINUTE), 38, -8.5)]


def good(made: Made, number: int) -> None:
    time, no2, temperature = GOOD[number]
    made.send("air/ring/Gucheng", {"time": time, "NO2": no2, "TEMP": temperature})


def check(made: Made) -> None:
    commit = made.flush()
    assert commit is not None
    assert [ack.mid for ack in commit.acks] == list(range(1, made.mid + 1))
    assert made.sum_of("no2") == (2, 48)
    assert made.sum_of("temperature") == (2, (35 + 400) + (-85 + 400))
    assert sum(made.sharder.counts.values()) == 4


def row(**changes: Any) -> dict[str, Any]:
    return {"time": at(START + 3 * MINUTE), "NO2": 5, "TEMP": 5, **changes}


WHOLE = [
    (b"", "empty"),
    (b"{", "malformed"),
    (b'{"time": "x"', "malformed"),
    (b"\xff\xfe", "malformed"),
    (b'{"time":"2016-12-01T00:03:00","NO2":"\xff","TEMP":1}', "malformed"),
    (b'{"time":"2016-12-01T00:03:00","NO2":1,"NO2":2,"TEMP":1}', "malformed"),
    (b'{"time":"2016-12-01T00:03:00","NO2" :1,"NO2"\n:2,"TEMP":1}', "malformed"),
    (b'{"time":"2016-12-01T00:03:00","NO2":1,"\\u004eO2":2,"s":"\\":","TEMP":1}', "malformed"),
    (b"[" * 10_000 + b"]" * 10_000, "malformed"),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "malformed"),
    (b'{"a":[{"b":1,"b":2}],"c":NaN}', "malformed"),
    (b'{"time":"2016-12-01T00:03:00","NO2":1} x', "malformed"),
    (b" " * 10_000_000 + b"{}", "too_large"),
    (b"[" * 10_000_000, "too_large"),
    (b"NaN" + b"[" * 10_000, "malformed"),
    (b'{"NO2":' + b"1" * 100_000 + b"}", "malformed"),
]


@pytest.mark.parametrize(("payload", "reason"), WHOLE, ids=range(len(WHOLE)))
def test_a_message_that_cannot_be_read_is_counted_once(payload: bytes, reason: str) -> None:
    """Nothing of it is used, and the process survives it."""
    made = Made()
    good(made, 0)
    made.send("air/ring/Gucheng", payload)
    good(made, 1)
    assert made.refusals() == {reason: 1}
    check(made)


FIELDS: list[tuple[Any, dict[str, int], int]] = [
    # payload, refusals, gaps
    (row(NO2="12.5", TEMP=None), {"not_a_number": 1}, 1),
    (row(NO2="5", TEMP="five"), {"not_a_number": 2}, 0),
    (row(NO2=True, TEMP=False), {"not_a_number": 2}, 0),
    (row(NO2=[5], TEMP={"v": 5}), {"not_a_number": 2}, 0),
    (row(NO2="NA", TEMP="none"), {}, 2),
    (row(NO2=-999, TEMP=-999.0), {}, 2),
    (row(NO2=None, TEMP="NaN"), {}, 2),
    ({"time": at(START)}, {"missing_field": 2}, 2),
    ({"NO2": 5, "TEMP": 5}, {"missing_field": 2}, 0),
    (row(time=None), {"missing_field": 2}, 0),
    (5, {"missing_field": 2}, 0),
    ("text", {"missing_field": 2}, 0),
    ([1, 2], {"missing_field": 2}, 0),
    (None, {"missing_field": 2}, 0),
    (row(NO2=1001, TEMP=-40.1), {"out_of_range": 2}, 0),
    (row(NO2=1000.4, TEMP=60.04), {"out_of_range": 2}, 0),
    (row(NO2=1e308, TEMP=-1e308), {"out_of_range": 2}, 0),
    (row(NO2=10**400, TEMP=10**400), {"out_of_range": 2}, 0),
    (row(time=1_480_521_600), {"bad_time": 2}, 0),
    (row(time=True), {"bad_time": 2}, 0),
    (row(time="yesterday"), {"bad_time": 2}, 0),
    (row(time=""), {"bad_time": 2}, 0),
    (row(time="0001-01-01T00:00:00"), {"time_out_of_range": 2}, 0),
    (row(time="9999-12-31T23:59:59"), {"time_out_of_range": 2}, 0),
    (row(time="9999-12-31T23:59:59-23:59"), {"time_out_of_range": 2}, 0),
    (row(time="2016-11-30T23:59:59.999"), {"outside_task": 2}, 0),
    (row(time="2017-03-01T00:00:00"), {"outside_task": 2}, 0),
]


@pytest.mark.parametrize(("payload", "refused", "gaps"), FIELDS, ids=range(len(FIELDS)))
def test_what_is_wrong_in_a_message_is_counted_by_reason(payload: Any, refused: dict[str, int], gaps: int) -> None:
    """Null, NaN, NA, declared codes and missing values are gaps, not zeros; a text is no number; nothing is clipped."""
    made = Made()
    good(made, 0)
    made.send("air/ring/Gucheng", payload)
    good(made, 1)
    check(made)
    assert made.refusals() == refused
    assert sum(made.gateway.tally.gaps.values()) == gaps


@pytest.mark.parametrize(
    ("text", "refused", "gaps"),
    [
        (b"NaN", {}, 1),
        (b"Infinity", {"out_of_range": 1}, 0),
        (b"-Infinity", {"out_of_range": 1}, 0),
        (b"1e999", {"out_of_range": 1}, 0),
    ],
)
def test_numbers_that_json_does_not_have(text: bytes, refused: dict[str, int], gaps: int) -> None:
    """NaN is a gap, infinity is out of range, and the other measure of the message counts."""
    made = Made()
    made.send("air/ring/Gucheng", b'{"time":"2016-12-01T00:01:00","NO2":%s,"TEMP":3.5}' % text)
    made.flush()
    assert made.sum_of("temperature") == (1, 435)
    assert made.sum_of("no2") == (0, 0)
    assert made.refusals() == refused
    assert sum(made.gateway.tally.gaps.values()) == gaps


def test_a_good_measure_beside_a_bad_one_counts() -> None:
    """One reading of a message being refused does not cost the others."""
    made = Made()
    made.send("air/ring/Gucheng", row(NO2="12.5"))
    made.flush()
    assert made.sum_of("no2") == (0, 0)
    assert made.sum_of("temperature") == (1, 450)


@pytest.mark.parametrize("topic", ["air/moon/Gucheng", "air//Gucheng", "air/Ring/Gucheng"])
def test_an_unknown_label_is_refused(topic: str) -> None:
    """A value that the roster does not list makes no cell."""
    made = Made()
    good(made, 0)
    made.send(topic, row())
    good(made, 1)
    check(made)
    assert made.refusals() == {"unknown_label": 2}


def test_a_retained_message_is_refused() -> None:
    """The broker repeats it to whoever subscribes: nobody knows how old it is."""
    made = Made()
    good(made, 0)
    made.send("air/ring/Gucheng", row(), retain=True)
    good(made, 1)
    check(made)
    assert made.refusals() == {"retained": 1}


def test_a_message_of_no_source_is_acknowledged() -> None:
    """A session goes on delivering what was once subscribed to; twenty of those must not stop the broker."""
    made = Made()
    good(made, 0)
    made.send("ward/7", row())
    good(made, 1)
    check(made)
    assert made.refusals() == {"unknown_topic": 1}


def test_rows_of_an_array_are_judged_one_by_one() -> None:
    """A bad row costs its own readings only; labels come from the payload through a map."""
    made = Made()
    ts = START + 5 * MINUTE
    made.send(
        "logger/Dingling",
        {
            "rows": [
                {"ts": ts, "place": "D", "no2": 5, "t10": 48},
                {"ts": "x", "place": "D", "no2": 5, "t10": 48},
                {"ts": ts + 1, "place": "E", "no2": 5, "t10": 48},
                {"ts": ts + 2, "place": "X", "no2": 5, "t10": 48},
                {"ts": ts + 3, "place": 7.5, "no2": 5, "t10": 48},
                {"ts": ts + 4, "no2": 5, "t10": 48},
                7,
                {"ts": ts + HOUR, "place": "D", "no2": 6, "t10": -3},
            ]
        },
    )
    made.flush()
    assert made.sum_of("no2", area="outer") == (1, 5)
    assert made.sum_of("temperature", area="outer") == (1, 448)
    assert made.sum_of("temperature", area="outer", window=START + HOUR) == (1, 397)
    assert made.refusals() == {"bad_time": 2, "unknown_label": 4, "malformed": 2, "missing_field": 4}


def test_a_message_without_its_array_holds_no_reading() -> None:
    """`each` finds nothing: no row, no error, and the message is acknowledged."""
    made = Made()
    made.send("logger/Dingling", {"rows": []})
    made.send("logger/Dingling", {"other": 1})
    commit = made.flush()
    assert commit is not None
    assert len(commit.acks) == 2
    assert not made.sharder.batches


def test_more_rows_than_the_task_allows_are_refused() -> None:
    """Parties refuse a gateway that exceeds the limit of a cell, so it never gets there."""
    made = Made(max_rows=3)
    for minute in range(5):
        made.send("air/ring/Gucheng", {"time": at(START + minute * MINUTE), "NO2": minute, "TEMP": None})
        if minute % 2:
            made.flush()
    made.flush()
    assert made.sum_of("no2") == (3, 0 + 1 + 2)
    assert made.refusals()["too_many_rows"] == 2


def test_messages_that_nobody_would_send_again_are_counted() -> None:
    """QoS 0 is taken, has nothing to acknowledge, and is counted."""
    made = Made()
    made.send("air/ring/Gucheng", row(), qos=0)
    commit = made.flush()
    assert commit is not None
    assert commit.acks == ()
    assert made.gateway.tally.qos0["air/{area}/{station}"] == 1
    assert made.sum_of("no2") == (1, 5)
