"""Every query in docs/results.md runs, on the rows that the sink writes, and finds what it says."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient

from protocol.aggregate import JointResult, JointValue
from protocol.reasons import REASONS
from protocol.share import JOINT_REASONS
from protocol.share import REASONS as SHARE_REASONS
from sinks.influx import InfluxStore
from sinks.points import rows_of
from sinks.sqlite import SqliteStore
from tests.servers.run import Influx
from tests.sinks.made import aggregate, point, suppressed
from tests.trial import HOUR, START, counted

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "results.md").read_text()
GROUPS = {"overload": ("area",)}


def overload(**changes: Any) -> JointResult:
    """The page's threshold: above the limit in the ring, not in the centre, kept back elsewhere."""
    values = (("ring", 1, "none"), ("centre", 0, "none"), ("outer", None, "too_few_organisations"))
    result = JointResult(
        name="overload",
        job="threshold",
        unit="1",
        resolution=Decimal(1),
        outcome="point",
        values=tuple(
            JointValue(labels={"area": area}, key="above", steps=steps, reason=why) for area, steps, why in values
        ),
    )
    return replace(result, **changes)


WINDOWS = [
    rows_of(
        aggregate(
            window_start=START + 8 * HOUR + number * HOUR,
            window_end=START + 9 * HOUR + number * HOUR,
            cells=(
                point("ring", sum_steps=steps, count=count),
                point("centre", sum_steps=9, count=3),
                suppressed("outer"),
            ),
            joint=(overload(),),
        ),
        GROUPS,
    )
    for number, (steps, count) in enumerate([(66, 4), (30, 3)])
]
"""Two hours of one UTC day: the ring's mean of that day is 96 / 7, the mean of its means another number."""
WINDOWS.append(
    rows_of(
        aggregate(
            window_start=START + 10 * HOUR,
            window_end=START + 11 * HOUR,
            cells=(
                suppressed("ring", reason="party_missing", at_fault=("party-2", "party-3")),
                suppressed("centre", reason="no_readings"),
                suppressed("outer"),
            ),
            joint=(overload(outcome="suppressed", reason="party_missing", at_fault=("party-2",), values=()),),
        ),
        GROUPS,
    )
)
"""The third hour has no value, for three different causes; of the fourth there is nothing yet."""
OUTCOMES = {"none": 8, "too_few_organisations": 5, "party_missing": 4, "no_readings": 1}
STATES = {
    "ring": ["none", "none", "fault", "waiting"],
    "centre": ["none", "none", "data", "waiting"],
    "outer": ["policy", "policy", "policy", "waiting"],
}
OF_OVERLOAD = {
    "ring": ["none", "none", "fault", "waiting"],
    "centre": ["none", "none", "fault", "waiting"],
    "outer": ["policy", "policy", "fault", "waiting"],
}


def queries(language: str) -> list[str]:
    """Return the code blocks of a language."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found


def test_sql(tmp_path: Path) -> None:
    """SQLite: values, the day's mean, every due cell, outcomes by reason."""
    with closing(sqlite3.connect(tmp_path / "results.db")) as db:
        store = SqliteStore(
            tmp_path / "results.db", labels=("area",), clock=lambda: 0, entropy=counted("docs"), joint=True
        )
        for rows in WINDOWS:
            store.write(rows)
        store.close()
        values, days, cells, joint, outcomes, states = (db.execute(query).fetchall() for query in queries("sql"))
    assert ("2016-12-01T00:00:00Z", "ring", 16.5) in values
    assert len(values) == 4
    assert days == [("2016-12-01", "centre", 3.0), ("2016-12-01", "ring", 96 / 7)]
    assert len(cells) == 18
    assert [row[1:] for row in joint[:2]] == [
        ("centre", "overload", "above", "0", 0.0),
        ("ring", "overload", "above", "1", 1.0),
    ]
    assert len(joint) == 4
    assert ("2016-12-01T00:00:00Z", "outer", "no2", "suppressed", "too_few_organisations", None) in cells
    assert {reason: number for _, reason, number in outcomes} == OUTCOMES
    for measure, expected in (("no2", STATES), ("overload", OF_OVERLOAD)):
        found = {area: [row[3] for row in states if row[1:3] == (area, measure)] for area in expected}
        assert found == expected
    faults = [row[4:] for row in states if row[2:4] == ("no2", "fault")]
    assert faults == [(REASONS["party_missing"].sentence, "party-2,party-3")]


@pytest.fixture
def bucket(influx: Influx) -> Iterator[str]:
    """Write the windows into a bucket that other tests do not write to."""
    name = "results-page"
    with InfluxDBClient(url=influx.url, token=influx.token, org=influx.org) as client:
        made = client.buckets_api().create_bucket(bucket_name=name, org=influx.org)
        yield _filled(influx, name)
        client.buckets_api().delete_bucket(made)


def _filled(influx: Influx, bucket: str) -> str:
    store = InfluxStore(
        url=influx.url,
        org=influx.org,
        bucket=bucket,
        token=influx.token,
        measurement="beijing_air",
        labels=("area",),
        clock=lambda: WINDOWS[0].last_seal,
        joint=True,
    )
    for rows in WINDOWS:
        assert not store.write(rows).refused
    store.close()
    return bucket


def test_flux(influx: Influx, bucket: str) -> None:
    """InfluxDB 2.x: the same answers."""
    with InfluxDBClient(url=influx.url, token=influx.token, org=influx.org) as client:
        values, days, outcomes, states, joint = (
            [
                record.values
                for table in client.query_api().query(query.replace('"sotto"', f'"{bucket}"'))
                for record in table.records
            ]
            for query in queries("flux")
        )
    assert [row["ring"] for row in values if "ring" in row] == [16.5, 10.0]
    assert {row["area"]: row["mean"] for row in days} == {"ring": 96 / 7, "centre": 3.0}
    assert {row["reason"]: row["_value"] for row in outcomes} == OUTCOMES
    numbers = ("waiting", "none", "data", "policy", "fault")
    assert {area: [numbers[row["_value"]] for row in states if row["area"] == area] for area in STATES} == STATES
    assert [row["ring"] for row in joint if "ring" in row] == [1.0, 1.0]
    assert [row["centre"] for row in joint if "centre" in row] == [0.0, 0.0]


def test_influxql(influx: Influx, bucket: str) -> None:
    """InfluxQL, which 1.x speaks and 2.x too: the same answers."""
    answers = []
    for query in queries("influxql"):
        asked = urllib.parse.urlencode({"db": bucket, "q": query})
        request = urllib.request.Request(  # noqa: S310  loopback
            f"{influx.url}/query?{asked}", headers={"Authorization": f"Token {influx.token}"}
        )
        with urllib.request.urlopen(request, timeout=240) as answer:  # noqa: S310
            answers.append(json.load(answer)["results"][0]["series"])
    values, days, outcomes = answers
    assert [row[1] for row in next(one["values"] for one in values if one["tags"]["area"] == "ring")] == [16.5, 10.0]
    assert {one["tags"]["area"]: one["values"][0][1] for one in days} == {"ring": 96 / 7, "centre": 3.0}
    assert {one["tags"]["reason"]: one["values"][0][1] for one in outcomes} == OUTCOMES


def test_every_reason_that_the_code_gives_is_explained() -> None:
    """A reason that a panel shows has its cause and its sentence, in the code and, the same, on the page."""
    root = Path(__file__).resolve().parents[2]
    files = [path for folder in ("streams", "protocol") for path in (root / folder).rglob("*.py")]
    stops = root / "streams" / "joint" / "run.py"  # a STOP's reasons stay in the log
    code = "\n".join(path.read_text() for path in files if path != stops)
    given = set(re.findall(r'reason="([a-z_]+)"', code)) | {"parties_disagree"}
    given |= set(SHARE_REASONS) | set(JOINT_REASONS)
    assert {"party_missing", "too_few_organisations", "window_over"} <= given
    assert given | {"none"} <= set(REASONS)
    rows = {
        f"| `{word}` | `{reason.cause}` | {reason.sentence} |" for word, reason in REASONS.items() if word != "none"
    }
    assert not [row for row in rows if row not in PAGE]


def test_no_sentence_has_a_number() -> None:
    """How few there were is what the policy hides: sentences are constant."""
    assert not [reason.sentence for reason in REASONS.values() if re.search(r"\d", reason.sentence + reason.short)]
