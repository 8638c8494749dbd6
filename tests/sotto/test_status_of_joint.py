"""`sotto status` where the task has joint computations: who is needed for them, and what a party cannot see."""

from __future__ import annotations

from typing import Any

import pytest

from sotto.report import report
from tests.protocol.jobs import ENTRIES, MEASURES
from tests.trial import START, make_trial

ENDED = {
    "window": START,
    "ended_at": START,
    "outcome": "done",
    "reason": "none",
    "parties": ["party-1", "party-2"],
    "at_fault": [],
    "verified": None,
    "points": 11,
    "suppressed": 0,
    "suppressed_cells": [],
}


def said(role: str, *, hidden: bool) -> list[str]:
    """What is printed of a page: the window that has ended, and the parties. `hidden`: no measure is released."""
    measures: dict[str, Any] = {
        name: {**measure, "statistics": []} if hidden or name == "no2" else measure
        for name, measure in MEASURES.items()
        if name == "no2" or not hidden
    }
    task = make_trial(labels=["area"], measures=measures, joint=[ENTRIES["threshold"]]).task
    page = {
        "role": role,
        "live": True,
        "enough_parties": 2,
        "windows": [],
        "recent": [ENDED],
        "parties": [{"name": f"party-{n}", "state": "ok", "silent_ms": 0} for n in (1, 2, 3)],
        "kafka": "connected",
        "partitions": {"root": [0]},
        "of_partitions": 1,
        "lag": {"control": 0},
        "healthy": True,
        "unready": {},
    }
    return [line.partition("  ")[2] or line for line in report(page, task=task, now=START)[1:3]]


@pytest.mark.parametrize(
    ("hidden", "words"), [(True, "(joint results need all)"), (False, "(two suffice for sums, joint results need all)")]
)
def test_two_parties_do_not_suffice_for_joint_results(hidden: bool, words: str) -> None:
    """Sums come out with two of three, joint results do not, and a task may have nothing else."""
    for role in ("party", "collector"):
        assert said(role, hidden=hidden)[1] == f"parties: party-1 ok, party-2 ok, party-3 ok {words}"


def test_a_party_says_that_it_does_not_see_joint_results() -> None:
    """Its count is of sums: "0 points" would say that nothing came out of a window whose jobs all did."""
    alone = "done: joint results are seen by the collector alone"
    assert said("party", hidden=True)[0] == f"{alone}, without party-3"
    assert said("party", hidden=False)[0] == f"{alone}; of the sums: 11 points, 0 suppressed, without party-3"
    assert said("collector", hidden=True)[0] == "done: 11 points, 0 suppressed, without party-3"
