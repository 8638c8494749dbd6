"""A task with labels and measures that suit every job, and an entry for each job."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from protocol.measure import Measure
from tests.trial import make_trial, task_document

MEASURES: dict[str, dict[str, Any]] = {
    "no2": {"unit": "ug/m3", "range": [-100, 1000], "resolution": 1},
    "so2": {"unit": "ug/m3", "range": [0, 500], "resolution": 1},
    "price": {"unit": "EUR", "range": [0, 100], "resolution": Decimal("0.01")},
    "wind": {"unit": "m/s", "range": [0, 60], "resolution": Decimal("0.1")},
}

ENTRIES: dict[str, dict[str, Any]] = {
    "threshold": {"name": "high", "job": "threshold", "measure": "no2", "limit": Decimal("1200.5")},
    "rank": {"name": "worst", "job": "rank", "measure": "no2", "places": ["max", "median", -2], "reveal": "labels"},
    "product": {"name": "cost", "job": "product", "measures": ["no2", "price"]},
    "polynomial": {
        "name": "wear",
        "job": "polynomial",
        "measure": "wind",
        "coefficients": [0, Decimal("1.5"), 2],
        "unit": "1",
    },
    "linear_solve": {
        "name": "mix",
        "job": "linear_solve",
        "matrix": ["no2", "so2"],
        "right": "price",
        "resolution": Decimal("0.001"),
        "unit": "1",
    },
    "least_squares": {
        "name": "fit",
        "job": "least_squares",
        "matrix": ["no2", "so2"],
        "right": "price",
        "resolution": Decimal("0.01"),
        "unit": "1",
    },
    "circuit": {
        "name": "cipher",
        "job": "circuit",
        "file": "aes_128.txt",
        "sha256": "a1" * 32,
        "inputs": [["no2", 32], ["so2", 32]],
    },
}


def document_with(*joint: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a task file's content with these entries."""
    trial = make_trial()
    more: dict[str, Any] = {"labels": ["area", "kind"], "measures": MEASURES, "limits": {"max_rows": 1000}}
    if joint:
        more["joint"] = list(joint)
    return task_document("replicated", "x25519", trial.keys, trial.task.party_names, **{**more, **changes})


def measure(name: str) -> Measure:
    """Return one of the measures."""
    return Measure.model_validate(MEASURES[name])
