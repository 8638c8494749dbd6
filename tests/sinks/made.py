"""Aggregates for tests of the sink: one window with a point, a suppressed cell and two organisations."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from protocol.aggregate import Aggregate, CellResult, Contributor, encode
from protocol.task import Task
from tests.trial import HOUR, START, make_trial

TRIAL = make_trial()
TASK: Task = TRIAL.task


def point(area: str = "ring", measure: str = "no2", **changes: Any) -> CellResult:
    """Make a released cell."""
    cell: dict[str, Any] = {
        "labels": {"area": area},
        "measure": measure,
        "unit": "ug/m3",
        "resolution": Decimal(1),
        "outcome": "point",
        "count": 4,
        "sum_steps": 66,
    }
    return CellResult(**{**cell, **changes})


def suppressed(
    area: str = "outer", measure: str = "no2", reason: str = "too_few_organisations", **changes: Any
) -> CellResult:
    """Make a cell that was not released."""
    return CellResult(
        labels={"area": area},
        measure=measure,
        unit="ug/m3",
        resolution=Decimal(1),
        outcome="suppressed",
        reason=reason,
        **changes,
    )


def aggregate(**changes: Any) -> Aggregate:
    """Make the aggregate of one window."""
    made: dict[str, Any] = {
        "task": TASK.name,
        "revision": TASK.revision,
        "task_id": TASK.id,
        "roster": 1,
        "window_start": START,
        "window_end": START + HOUR,
        "verified": True,
        "parties": TASK.party_names,
        "contributors": (
            Contributor(gateway="north-1", organisation="north", late=2, dropped=40),
            Contributor(gateway="north-2", organisation="north", late=1, dropped=2),
            Contributor(gateway="west-1", organisation="west", late=0),
        ),
        "organisations": 2,
        "gateways": 3,
        "absent": ("east-1",),
        "last_seal": START + HOUR + 600_000,
        "revealed_at": START + HOUR + 600_050,
        "cells": (point(), suppressed()),
    }
    return Aggregate(**{**made, **changes})


def record(made: Aggregate | None = None) -> bytes:
    """Sign an aggregate as the collector does."""
    return encode(made or aggregate(), TRIAL.keys["collector"].identity)
