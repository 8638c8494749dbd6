"""Joint results in the databases: every number exactly, every job with an outcome; nothing changes without jobs."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from contextlib import closing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from protocol.aggregate import Aggregate, JointResult, JointValue, encode
from protocol.errors import ConfigError, WireError
from protocol.joint_outcomes import groups_of
from runtime.fold import Record
from sinks.influx import InfluxStore, points_of
from sinks.metrics import SinkMetrics
from sinks.points import rows_of
from sinks.sqlite import SqliteStore
from sinks.writer import Writer, read
from tests.sinks import made
from tests.trial import START, counted, make_trial

MEASURES = {
    "no2": {"unit": "ug/m3", "range": [0, 1000], "resolution": 1},
    "load": {"unit": "kW", "range": [0, 100], "resolution": Decimal("0.5"), "statistics": []},
    "price": {"unit": "EUR", "range": [0, 10], "resolution": Decimal("0.01"), "statistics": []},
}
JOINT = [
    {"name": "overload", "job": "threshold", "measure": "load", "limit": 1200},
    {"name": "worst", "job": "rank", "measure": "no2", "places": ["max", -1], "reveal": "labels"},
    {"name": "cost", "job": "product", "measures": ["load", "price"]},
]
TRIAL = make_trial("replicated", measures=MEASURES, joint=JOINT)
TASK = TRIAL.task


def value(area: str | None, key: str, steps: int | None, reason: str = "none") -> JointValue:
    return JointValue(labels={} if area is None else {"area": area}, key=key, steps=steps, reason=reason)


def job(number: int, *values: JointValue, reason: str = "none", at_fault: tuple[str, ...] = ()) -> JointResult:
    """Make the result of a job of the task."""
    spec = TASK.joint[number]
    unit, resolution = spec.result(TASK.measures)
    return JointResult(
        name=spec.name,
        job=spec.job,
        unit=unit,
        resolution=resolution,
        outcome="point" if reason == "none" else "suppressed",
        reason=reason,
        at_fault=at_fault,
        values=values,
    )


OVERLOAD = job(
    0, value("ring", "above", 1), value("centre", "above", 0), value("outer", "above", None, "too_few_organisations")
)
WORST = job(1, value("ring", "max", 1), value("outer", "-1", 3))
COST = job(2, value(None, "total", 2**64 + 1))


def window(*joint: JointResult, **changes: Any) -> Aggregate:
    """Make the aggregate of one window of the task."""
    return made.aggregate(task_id=TASK.id, joint=joint, **changes)


TOTAL = float((2**64 + 1) * Fraction(5, 1000))
ALL = window(OVERLOAD, WORST, COST)


def record(aggregate: Aggregate) -> bytes:
    return encode(aggregate, TRIAL.keys["collector"].identity)


def open_sqlite(path: Path, *, joint: bool = True, labels: tuple[str, ...] = ("area",)) -> SqliteStore:
    return SqliteStore(path, labels=labels, clock=lambda: 5, entropy=counted("joint"), joint=joint)


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


# -- rows --------------------------------------------------------------------------------------------------------


@given(
    steps=st.integers(-(2**130), 2**130),
    resolution=st.decimals("0.000001", "1000", allow_nan=False, places=6).filter(bool),
)
def test_a_number_stays_exact_and_its_float_is_the_nearest(steps: int, resolution: Decimal) -> None:
    """As text always, as an integer where 64 bits hold it, as the float that is nearest to the exact value."""
    cost = job(2, value(None, "total", steps))
    result = JointResult(**{**_fields(cost), "resolution": resolution})
    (row,) = rows_of(window(result)).joint
    assert int(row.steps_text) == steps
    assert row.steps == (steps if -(2**63) <= steps < 2**63 else None)
    assert row.value is not None
    exact = steps * Fraction(resolution)
    for other in (math.nextafter(row.value, -math.inf), math.nextafter(row.value, math.inf)):
        assert abs(Fraction(row.value) - exact) <= abs(Fraction(other) - exact)


def _fields(result: JointResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in JointResult.__dataclass_fields__}


def test_a_number_beyond_binary64_has_no_float() -> None:
    """The text has it."""
    (row,) = rows_of(window(job(2, value(None, "total", 10**399)))).joint
    assert (row.value, row.steps, row.steps_text) == (None, None, str(10**399))


def test_every_job_has_an_outcome_and_so_has_every_group_that_stands_by_itself() -> None:
    """A group of a threshold: a value, or its reason. An order is one outcome, whatever labels it names."""
    rows = rows_of(ALL, groups_of(TASK))
    cells = len(ALL.cells)
    assert [(row.measure, dict(row.labels), row.outcome, row.reason) for row in rows.outcomes[cells:]] == [
        ("cost", {}, "point", "none"),
        ("overload", {"area": "centre"}, "point", "none"),
        ("overload", {"area": "outer"}, "suppressed", "too_few_organisations"),
        ("overload", {"area": "ring"}, "point", "none"),
        ("worst", {}, "point", "none"),
    ]
    assert [(row.name, dict(row.labels), row.key, row.steps_text) for row in rows.joint] == [
        ("cost", {}, "total", str(2**64 + 1)),
        ("overload", {"area": "centre"}, "above", "0"),
        ("overload", {"area": "ring"}, "above", "1"),
        ("worst", {"area": "outer"}, "-1", "3"),
        ("worst", {"area": "ring"}, "max", "1"),
    ]


@pytest.mark.parametrize(
    ("reason", "cause"),
    [("no_readings", "data"), ("singular_system", "data"), ("too_few_gateways", "policy"), ("party_missing", "fault")],
)
def test_a_suppressed_job_says_whose_matter_it_is(reason: str, cause: str) -> None:
    """Who is at fault, and no number; for each group that the window's cells show, where groups stand by themselves."""
    failed = window(*(job(number, reason=reason, at_fault=("party-2",)) for number in range(3)))
    rows = rows_of(failed, groups_of(TASK))
    outcomes = rows.outcomes[len(failed.cells) :]
    assert {(row.reason, row.cause, row.at_fault) for row in outcomes} == {(reason, cause, ("party-2",))}
    assert [(row.measure, dict(row.labels)) for row in outcomes] == [
        ("cost", {}),
        ("overload", {"area": "outer"}),
        ("overload", {"area": "ring"}),
        ("worst", {}),
    ]
    assert rows.joint == ()
    without = rows_of(window(job(0, reason=reason), cells=()), groups_of(TASK)).outcomes
    assert [row.labels for row in without] == [()]


def test_a_number_in_a_suppressed_result_goes_nowhere() -> None:
    """Should a collector leave one there, it does not get into the database through us."""
    rows = rows_of(window(job(0, value("ring", "above", 987_654), reason="parties_disagree")))
    assert rows.joint == ()
    assert "987654" not in repr(rows)


@pytest.mark.parametrize(
    "result",
    [
        job(0, value("ring", "above", 1), value("ring", "above", 0)),
        job(0, value("ring", "above", 1), value("ring", "above", None, "no_readings")),
        job(2, value(None, "total", None)),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(result: JointResult) -> None:
    """Nothing is written where one row would overwrite another, or a point has no number."""
    with pytest.raises(WireError):
        rows_of(window(result), groups_of(TASK))


@pytest.mark.parametrize(
    "bad", [value("ring", "a b", 1), value("ring", "", 1), JointValue(labels={"town": "x"}, key="above", steps=1)]
)
def test_what_cannot_be_a_tag_is_refused(bad: JointValue) -> None:
    """A key or a label that the task cannot have."""
    with pytest.raises(WireError, match="that the task does not have"):
        read(record(window(job(0, bad), WORST, COST)), TASK)


def test_jobs_that_the_task_does_not_have_are_refused() -> None:
    """Missing ones as well: every result that was due is there."""
    assert read(record(ALL), TASK) == rows_of(ALL, groups_of(TASK))
    for joint in ((), (OVERLOAD, COST), (OVERLOAD, COST, WORST)):
        with pytest.raises(WireError):
            read(record(window(*joint)), TASK)


# -- stores ------------------------------------------------------------------------------------------------------


def test_the_lines_of_influxdb() -> None:
    """Tags, integers where they fit, the text always, the nearest float."""
    lines = [point.to_line_protocol() for point, _ in points_of(rows_of(ALL, groups_of(TASK)), "air", now=0)]  # type: ignore[no-untyped-call]  # influxdb-client has no types
    assert [line for line in lines if line.startswith("air_joint,")] == [
        "air_joint,key=total,name=cost,unit=kW.EUR,window=1h"
        f' steps_text="{2**64 + 1}",value={TOTAL!r},verified=1i {START}',
        *(
            f"air_joint,area={area},key={key},name={name},unit=1,window=1h"
            f' steps={steps}i,steps_text="{steps}",value={steps},verified=1i {START}'
            for name, area, key, steps in (
                ("overload", "centre", "above", 0),
                ("overload", "ring", "above", 1),
                ("worst", "outer", "-1", 3),
                ("worst", "ring", "max", 1),
            )
        ),
    ]
    outcomes = [line.split(" ")[0] for line in lines if line.startswith("air_outcome,") and "measure=no2" not in line]
    assert outcomes == [
        "air_outcome,cause=none,measure=cost,outcome=point,reason=none,window=1h",
        "air_outcome,area=centre,cause=none,measure=overload,outcome=point,reason=none,window=1h",
        "air_outcome,area=outer,cause=policy,measure=overload,outcome=suppressed,reason=too_few_organisations,window=1h",
        "air_outcome,area=ring,cause=none,measure=overload,outcome=point,reason=none,window=1h",
        "air_outcome,cause=none,measure=worst,outcome=point,reason=none,window=1h",
    ]


def test_the_table_of_sqlite(tmp_path: Path) -> None:
    """Exact as text, overwritten and never doubled, with its outcomes among those of cells."""
    path = tmp_path / "results.db"
    for _ in range(2):
        store = open_sqlite(path)
        assert store.write(rows_of(ALL, groups_of(TASK))).points == 2 + 1 + 2 + 5 + 5
        store.close()
    query = (
        "SELECT name, area, key, steps, steps_text, value, unit, resolution, verified FROM joint ORDER BY name, area"
    )
    assert ask(path, query) == [
        ("cost", None, "total", None, str(2**64 + 1), TOTAL, "kW.EUR", "0.005", 1),
        ("overload", "centre", "above", 0, "0", 0.0, "1", "1", 1),
        ("overload", "ring", "above", 1, "1", 1.0, "1", "1", 1),
        ("worst", "outer", "-1", 3, "3", 3.0, "1", "1", 1),
        ("worst", "ring", "max", 1, "1", 1.0, "1", "1", 1),
    ]
    assert ask(path, "SELECT measure, area, cause FROM cells WHERE measure <> 'no2' ORDER BY measure, area") == [
        ("cost", None, "none"),
        ("overload", "centre", "none"),
        ("overload", "outer", "policy"),
        ("overload", "ring", "none"),
        ("worst", None, "none"),
    ]


def test_a_task_without_jobs_has_the_file_that_it_had(tmp_path: Path) -> None:
    """No table more, and labels may have the names that only joint results take."""
    store = open_sqlite(tmp_path / "results.db", joint=False, labels=("area", "name"))
    store.write(rows_of(made.aggregate()))
    store.close()
    tables = {name for (name,) in ask(tmp_path / "results.db", "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"results", "outcomes", "contributors", "reasons", "about"}


def test_a_later_revision_may_have_jobs(tmp_path: Path) -> None:
    """The file of a task without them gets the table when it is opened again."""
    open_sqlite(tmp_path / "results.db", joint=False).close()
    store = open_sqlite(tmp_path / "results.db")
    store.write(rows_of(ALL, groups_of(TASK)))
    store.close()
    assert ask(tmp_path / "results.db", "SELECT count(*) FROM joint") == [(5,)]


@pytest.mark.parametrize("label", ["key", "name", "steps", "steps_text", "value"])
def test_a_label_named_like_a_column_of_joint_results_is_refused(tmp_path: Path, label: str) -> None:
    """It would hide one of them; by both stores."""
    with pytest.raises(ConfigError, match=label):
        open_sqlite(tmp_path / "results.db", labels=("area", label))
    with pytest.raises(ConfigError, match=label):
        InfluxStore(
            url="http://localhost:1",
            org="o",
            bucket="b",
            token="t",
            measurement="m",
            labels=(label,),
            clock=lambda: 0,
            joint=True,
        )


def test_what_was_written_is_told_with_its_joint_results(tmp_path: Path) -> None:
    """/status: outcomes with a value, those of joint computations too, and reasons of the others."""

    class Still:
        def wall(self) -> int:
            return START

        def monotonic(self) -> float:
            return 0.0

    writer = Writer(
        task=TASK,
        store=open_sqlite(tmp_path / "results.db"),
        metrics=SinkMetrics(CollectorRegistry(), TASK),
        clock=Still(),
    )
    row = Record(topic="aggregates", partition=0, offset=0, key=None, value=record(ALL), timestamp=0)
    asyncio.run(writer.write(row, 0))
    writer.close()
    (told,) = writer.recent
    assert (told["points"], told["suppressed"]) == (1 + 4, {"too_few_organisations": 1 + 1})
