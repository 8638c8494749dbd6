"""Two jobs of one window, and what the difference of their results would tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streams.joint.plan import plans_of
from streams.policy import Totals
from tests.trial import make_trial

LOAD = {"unit": "kW", "range": [0, 1000], "resolution": 1, "statistics": []}
NO2 = {"unit": "1", "range": [0, 10], "resolution": 1}
EACH: dict[str, Any] = {"name": "each", "job": "polynomial", "measure": "load", "coefficients": [0, 1], "unit": "kW"}
LIMIT: dict[str, Any] = {"name": "each", "job": "threshold", "measure": "load", "limit": 5}


@pytest.mark.parametrize(("fine", "reason"), [(EACH, "too_few_organisations"), (LIMIT, "none")])
def test_what_hides_a_group_hides_the_sums_around_it(fine: dict[str, Any], reason: str) -> None:
    """The sum of all, less the sums of all groups but one, is the one of a single organisation. Bits are no sums."""
    trial = make_trial(
        "replicated",
        measures={"load": LOAD, "no2": NO2},
        policy={"min_organisations": 3},
        joint=[fine, {**EACH, "name": "all", "by": []}],
    )
    each, whole = plans_of(trial.task, trial.roster, {})
    cells = len(trial.roster.cells(trial.task))
    there = np.ones((4, cells), dtype=np.bool_)
    there[1:, each.cells[0, 0, 0]] = False
    totals = Totals(
        counts=np.full(cells, 4, dtype=np.int64),
        sums=np.zeros((2, cells), dtype=np.uint64),
        gateways=there,
        organisations=there,
    )
    assert each.verdict(totals).hidden == ((0, "too_few_organisations"),)
    assert dict(whole.verdict(totals).hidden) == ({} if reason == "none" else {0: reason})
