"""What the collector says of a window that has ended: page, metric and database count the same results."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from prometheus_client import CollectorRegistry

from protocol.aggregate import Aggregate, JointResult, JointValue
from protocol.joint_outcomes import groups_of
from protocol.topics import Topics
from sinks.points import rows_of
from streams.collect import CollectorRole, _ended, _told
from tests.sinks import made
from tests.trial import START, make_trial

AREAS = ("centre", "outer", "ring")
MEASURES = {
    "no2": {"unit": "ug/m3", "range": [0, 1000], "resolution": 1},
    "load": {"unit": "kW", "range": [0, 100], "resolution": 1, "statistics": []},
}
JOBS: list[dict[str, Any]] = [
    {"name": "overload", "job": "threshold", "measure": "load", "limit": 1200},
    {"name": "cost", "job": "product", "measures": ["load", "no2"]},
]
TRIAL = make_trial(measures=MEASURES, joint=JOBS)
TASK = TRIAL.task


def result(number: int, *values: tuple[dict[str, str], str], reason: str = "none") -> JointResult:
    """Make the result of a job: (labels, reason) for each value."""
    spec = TASK.joint[number]
    unit, resolution = spec.result(TASK.measures)
    outcome: Literal["point", "suppressed"] = "point" if reason == "none" else "suppressed"
    return JointResult(
        name=spec.name,
        job=spec.job,
        unit=unit,
        resolution=resolution,
        outcome=outcome,
        reason=reason,
        values=tuple(
            JointValue(labels=labels, key="k", steps=1 if why == "none" else None, reason=why) for labels, why in values
        ),
    )


def window(*joint: JointResult) -> Aggregate:
    """Make a window with a cell for each area, all with a value, and these results."""
    return made.aggregate(task_id=TASK.id, cells=tuple(made.point(area) for area in AREAS), joint=joint)


SOME = result(0, *(({"area": area}, "none" if area == "ring" else "too_few_gateways") for area in AREAS))
NONE = result(0, *(({"area": area}, "too_few_gateways") for area in AREAS))
LOST = result(0, reason="party_missing")
COST = result(1, ({}, "none"))


@pytest.mark.parametrize(
    ("joint", "points", "suppressed", "told"),
    [
        (SOME, 3 + 1 + 1, 2, "1 of 3"),
        (NONE, 3 + 1, 3, "too_few_gateways"),
        (LOST, 3 + 1, 3, "party_missing"),
    ],
)
def test_page_metric_and_database_count_the_same_results(
    joint: JointResult, points: int, suppressed: int, told: str
) -> None:
    """The attack on a reader: "2 points" on one page, "0 points" on the next. Each group of a threshold is a result."""
    aggregate, groups, registry = window(joint, COST), groups_of(TASK), CollectorRegistry()
    role = CollectorRole(
        task=TASK,
        roster=TRIAL.roster,
        topics=Topics.of(TASK, ""),
        key=TRIAL.keys["collector"],
        registry=registry,
    )
    role.tell(aggregate, START)
    counted = {"point": 0.0, "suppressed": 0.0}
    for family in registry.collect():
        if family.name in ("sotto_collector_cells", "sotto_collector_joint_results"):
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    counted[sample.labels["outcome"]] += sample.value
    rows = rows_of(aggregate, groups).outcomes
    ended = _ended(aggregate, role.outcomes(aggregate), TASK)
    assert (ended.points, ended.suppressed) == (points, suppressed)
    assert (counted["point"], counted["suppressed"]) == (points, suppressed)
    assert (sum(row.outcome == "point" for row in rows), len(rows)) == (points, points + suppressed)
    assert _told([one for one in role.outcomes(aggregate) if one.name == "overload"]) == told
    assert {(one["labels"]["area"], one["measure"]) for one in ended.named} == {  # type: ignore[index]  # as JSON has it
        (dict(row.labels)["area"], row.measure) for row in rows if row.outcome != "point"
    }
