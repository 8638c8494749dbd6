"""InfluxDB: what is sent, byte for byte; what becomes of what it refuses; and the same against a real 2.7."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS

from protocol.errors import NotReadyError
from sinks.influx import POINTS_PER_REQUEST, InfluxStore
from sinks.points import rows_of
from sinks.store import AwayError
from tests.servers.run import Influx
from tests.sinks import stub as stubs
from tests.sinks.made import aggregate, point, suppressed
from tests.sinks.stub import Stub
from tests.trial import HOUR, START

LAST_SEAL = aggregate().last_seal


def open_store(**changes: Any) -> InfluxStore:
    """Open a store at 84 ms after the last seal."""
    made: dict[str, Any] = {
        "org": "sotto",
        "bucket": "sotto",
        "token": "t0ken",
        "measurement": "beijing_air",
        "labels": ("area",),
        "clock": lambda: LAST_SEAL + 84,
        "timeout_ms": 5_000,
    }
    return InfluxStore(**{**made, **changes})


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Yield a stub of InfluxDB."""
    with stubs.running() as running:
        yield running


# -- what is sent ------------------------------------------------------------------------------------------------


def test_the_line_protocol_of_one_window(stub: Stub) -> None:
    """Tags, integer and float fields, milliseconds, the start of the window as time; nothing else."""
    written = open_store(url=stub.url).write(rows_of(aggregate()))
    assert (written.points, dict(written.refused)) == (5, {})
    window = (
        f"absent=1i,dropped=42i,gateways=3i,last_seal={LAST_SEAL}i,late=3i,latency_ms=84i,organisations=2i,"
        f"revealed_at={LAST_SEAL + 50}i,revision=1i,verified=1i {START}"
    )
    assert sorted(stub.lines) == [
        "beijing_air,area=ring,measure=no2,unit=ug/m3,window=1h"
        f" count=4i,mean=16.5,sum=66,sum_steps=66i,verified=1i {START}",
        f"beijing_air_contributor,organisation=north,window=1h complete=1i,dropped=42i,gateways=2i,late=3i {START}",
        f"beijing_air_contributor,organisation=west,window=1h complete=1i,dropped=0i,gateways=1i,late=0i {START}",
        "beijing_air_outcome,area=outer,cause=policy,measure=no2,outcome=suppressed,reason=too_few_organisations,"
        f"window=1h {window}",
        f"beijing_air_outcome,area=ring,cause=none,measure=no2,outcome=point,reason=none,window=1h {window}",
    ]


def test_both_apis_are_addressed_alike(stub: Stub) -> None:
    """1.8 and later take the same request: org "-", bucket "database/retention", token "user:password"."""
    open_store(url=stub.url, org="-", bucket="air/autogen", token="me:secret").write(rows_of(aggregate()))
    ((path, headers),) = stub.requests
    assert path == "/api/v2/write?org=-&bucket=air%2Fautogen&precision=ms"
    assert headers["Authorization"] == "Token me:secret"
    assert headers["Content-Encoding"] == "gzip"


def test_a_repeated_write_sends_the_same_points(stub: Stub) -> None:
    """Same measurement, tags and time, hence the same points to InfluxDB."""
    store = open_store(url=stub.url)
    store.write(rows_of(aggregate()))
    first = sorted(stub.lines)
    store.write(rows_of(aggregate()))
    assert sorted(stub.lines) == sorted(first * 2)


def test_many_cells_go_in_several_requests(stub: Stub) -> None:
    """A window with more points than one request takes."""
    cells = tuple(point(area=f"a{n}") for n in range(POINTS_PER_REQUEST))
    assert (
        open_store(url=stub.url).write(rows_of(aggregate(cells=cells, contributors=()))).points
        == 2 * POINTS_PER_REQUEST
    )
    assert len(stub.requests) == 2
    assert len(set(stub.lines)) == 2 * POINTS_PER_REQUEST


def test_the_floats_read_back_are_the_floats_that_were_made(stub: Stub) -> None:
    """A third has no short decimal: what is sent parses to the same 64 bits."""
    cells = (point(count=3, sum_steps=1_234_567, resolution=Decimal("0.1")),)
    rows = rows_of(aggregate(cells=cells))
    open_store(url=stub.url).write(rows)
    (line,) = [line for line in stub.lines if line.startswith("beijing_air,")]
    fields = dict(pair.split("=") for pair in line.split(" ")[1].split(","))
    assert (float(fields["sum"]), float(fields["mean"])) == (rows.results[0].sum, rows.results[0].mean)


# -- what is refused ---------------------------------------------------------------------------------------------


def test_one_point_that_cannot_be_parsed_does_not_take_the_others_with_it(stub: Stub) -> None:
    """InfluxDB refuses the whole request; halving finds the one, and all the others arrive."""

    def answer(lines: Sequence[str]) -> tuple[int, str]:
        return (400, "unable to parse: bad tag") if any("area=bad" in line for line in lines) else (204, "")

    stub.answer = answer
    cells = tuple(point(area=area) for area in ("a", "b", "bad", "c", "d"))
    written = open_store(url=stub.url).write(rows_of(aggregate(cells=cells)))
    assert (written.points, dict(written.refused)) == (10, {"malformed": 2})
    assert len(set(stub.lines)) == 10
    assert not [line for line in stub.lines if "area=bad" in line]


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (422, "failure writing points: partial write: points beyond retention policy dropped=2", "retention"),
        (400, "partial write: field type conflict: input field count dropped=2", "type_conflict"),
        (500, "partial write: max-values-per-tag limit exceeded dropped=2", "limit"),
        (422, "partial write: who knows dropped=2", "refused"),
    ],
)
def test_a_partial_write_is_counted_by_reason(stub: Stub, status: int, message: str, reason: str) -> None:
    """Some points are in, some never will be: both numbers are told, and InfluxDB's own words."""
    stub.answer = lambda _lines: (status, message)
    written = open_store(url=stub.url).write(rows_of(aggregate()))
    assert (written.points, dict(written.refused), written.said) == (3, {reason: 2}, message)


@pytest.mark.parametrize("label", ["back\\slash", "trailing\\", "two\nlines", "bell\x07"])
def test_a_label_without_an_unambiguous_form_is_refused_before_it_is_sent(stub: Stub, label: str) -> None:
    """Otherwise two label values could become one series, one overwriting the other."""
    written = open_store(url=stub.url).write(rows_of(aggregate(cells=(point(), point(area=label)))))
    assert (written.points, dict(written.refused)) == (4, {"unwritable_label": 2})


@pytest.mark.parametrize(
    ("status", "said"), [(401, "refuses the token"), (404, "no such org or bucket"), (429, "429"), (503, "503")]
)
def test_what_can_be_mended_is_waited_for(stub: Stub, status: int, said: str) -> None:
    """A wrong token or a missing bucket is no reason to lose a result: it waits until somebody has mended it."""
    stub.answer = lambda _lines: (status, "no")
    store = open_store(url=stub.url)
    with pytest.raises(AwayError, match=said):
        store.write(rows_of(aggregate()))
    with pytest.raises(NotReadyError, match=said) as caught:
        store.check(valid_from=START, now=START)
    assert "t0ken" not in str(caught.value)
    stub.answer = lambda _lines: (204, "")
    assert store.write(rows_of(aggregate())).points == 5


def test_nobody_there_and_the_wrong_protocol(stub: Stub) -> None:
    """A port where nothing listens, TLS where there is none: said in words."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(AwayError, match="nothing listens"):
            open_store(url=f"http://127.0.0.1:{free.getsockname()[1]}").write(rows_of(aggregate()))
    with pytest.raises(AwayError, match="TLS"):
        open_store(url=stub.url.replace("http:", "https:")).write(rows_of(aggregate()))


def test_another_bucket_is_another_store() -> None:
    """Kafka remembers per identity how far a store is written."""
    one = open_store(url="http://influx:8086").identity
    assert one == open_store(url="http://influx:8086/", token="other").identity
    assert (
        len({one, open_store(url="http://influx:8086", bucket="b").identity, open_store(url="http://i:8086").identity})
        == 3
    )


# -- a real InfluxDB ---------------------------------------------------------------------------------------------


def real(influx: Influx, **changes: Any) -> InfluxStore:
    """Open a store in a running InfluxDB."""
    return open_store(
        **{"url": influx.url, "org": influx.org, "bucket": influx.bucket, "token": influx.token, **changes}
    )


def query(influx: Influx, measurement: str) -> list[dict[str, Any]]:
    """Read a measurement with Flux, one row for each point."""
    flux = (
        f'from(bucket: "{influx.bucket}") |> range(start: 2016-01-01T00:00:00Z)'
        f' |> filter(fn: (r) => r._measurement == "{measurement}")'
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
    )
    with InfluxDBClient(url=influx.url, token=influx.token, org=influx.org) as client:
        return [record.values for table in client.query_api().query(flux) for record in table.records]


def test_real_influxdb_gives_back_what_was_written_once(influx: Influx) -> None:
    """Exact integers above 2^53, floats, labels with every awkward character; written twice, there once."""
    label = 'a b,c=d"é µ'
    rows = rows_of(aggregate(cells=(point(area=label, sum_steps=2**62 + 1, count=3), suppressed())))
    store = real(influx, measurement="once")
    assert store.check(valid_from=START, now=START + HOUR) is None
    for _ in range(2):
        assert store.write(rows).points == 5
    (found,) = query(influx, "once")
    assert (found["area"], found["count"], found["sum_steps"]) == (label, 3, 2**62 + 1)
    assert (found["sum"], found["mean"]) == (rows.results[0].sum, rows.results[0].mean)
    assert found["_time"].timestamp() * 1_000 == START
    outcomes = query(influx, "once_outcome")
    assert sorted((row["outcome"], row["reason"], row["latency_ms"]) for row in outcomes) == [
        ("point", "none", 84),
        ("suppressed", "too_few_organisations", 84),
    ]
    assert sorted((row["organisation"], row["late"]) for row in query(influx, "once_contributor")) == [
        ("north", 3),
        ("west", 0),
    ]


def test_real_influxdb_says_what_is_wrong(influx: Influx) -> None:
    """Token, bucket, organisation: each has its own sentence."""
    for changes, said in (({"token": "no"}, "token"), ({"bucket": "no"}, "bucket"), ({"org": "no"}, "org")):
        with pytest.raises(NotReadyError, match=said):
            real(influx, **changes).check(valid_from=START, now=START)
        with pytest.raises(AwayError, match=said):
            real(influx, **changes).write(rows_of(aggregate()))


def test_real_influxdb_refuses_a_type_and_says_so(influx: Influx) -> None:
    """Somebody else wrote `count` as a float: one point is refused and counted, the other four are there."""
    with InfluxDBClient(url=influx.url, token=influx.token, org=influx.org) as client:
        client.write_api(SYNCHRONOUS).write(influx.bucket, record=Point("taken").field("count", 1.5).time(START, "ms"))
    written = real(influx, measurement="taken").write(rows_of(aggregate()))
    assert (written.points, dict(written.refused)) == (4, {"type_conflict": 1})


def test_real_influxdb_drops_what_its_bucket_does_not_keep_and_we_say_so(influx: Influx) -> None:
    """A bucket of one day and data of 2016: warned of at the start, counted at the write, never silent."""
    with InfluxDBClient(url=influx.url, token=influx.token, org=influx.org) as client:
        client.buckets_api().create_bucket(
            bucket_name="one-day", org=influx.org, retention_rules=[{"type": "expire", "everySeconds": 86_400}]
        )
    store = real(influx, bucket="one-day")
    warning = store.check(valid_from=START, now=time.time_ns() // 1_000_000)
    assert warning is not None
    assert "keeps 1d" in warning
    written = store.write(rows_of(aggregate()))
    assert (written.points, dict(written.refused)) == (0, {"retention": 5})
