"""Rows are the aggregate, exactly, and nothing of what was suppressed."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConfigError, WireError
from sinks.points import check_labels, rows_of, series_name
from tests.sinks.made import aggregate, point, suppressed


@given(
    steps=st.integers(-(2**63), 2**63 - 1),
    count=st.integers(1, 2**40),
    resolution=st.decimals("0.000001", "1000", allow_nan=False, places=6).filter(bool),
)
def test_integers_are_kept_and_floats_are_the_nearest_to_the_exact_value(
    steps: int, count: int, resolution: Decimal
) -> None:
    """`sum_steps` and `count` are untouched; no float lies nearer to the exact sum, or the exact mean, than ours."""
    (row,) = rows_of(aggregate(cells=(point(count=count, sum_steps=steps, resolution=resolution),))).results
    assert (row.count, row.sum_steps) == (count, steps)
    total = steps * Fraction(resolution)
    assert row.mean is not None
    for exact, made in ((total, row.sum), (total / count, row.mean)):
        for other in (math.nextafter(made, -math.inf), math.nextafter(made, math.inf)):
            assert abs(Fraction(made) - exact) <= abs(Fraction(other) - exact)


def test_decimal_resolution_gives_the_decimal_that_people_expect() -> None:
    """41 steps of 0.1 are 4.1, not 4.1000000000000005."""
    (row,) = rows_of(aggregate(cells=(point(count=10, sum_steps=41, resolution=Decimal("0.1")),))).results
    assert (row.sum, row.mean) == (4.1, 0.41)


def test_each_due_cell_has_one_outcome_and_only_points_have_values() -> None:
    """Invariant 6: a cell is a point, or a reason without numbers."""
    rows = rows_of(aggregate(cells=(suppressed("outer"), point("ring"), suppressed("centre", reason="no_readings"))))
    assert [(row.labels, row.outcome, row.reason) for row in rows.outcomes] == [
        ((("area", "centre"),), "suppressed", "no_readings"),
        ((("area", "outer"),), "suppressed", "too_few_organisations"),
        ((("area", "ring"),), "point", "none"),
    ]
    assert [row.labels for row in rows.results] == [(("area", "ring"),)]
    assert not [name for name in type(rows.outcomes[0]).__dataclass_fields__ if "count" in name or "sum" in name]


def test_counts_in_a_suppressed_cell_go_nowhere() -> None:
    """A collector that should leave a small count in a suppressed cell does not get it into the database through us."""
    rows = rows_of(aggregate(cells=(suppressed(count=2, sum_steps=987_654),)))
    assert rows.results == ()
    assert "987654" not in repr(rows)


def test_rows_do_not_depend_on_the_order_of_the_record() -> None:
    """The same content gives the same rows in the same order."""
    cells = [point(area, measure) for area in ("ring", "outer", "centre") for measure in ("no2", "co")]
    rows = rows_of(aggregate(cells=tuple(cells)))
    for seed in range(5):
        Random(seed).shuffle(cells)
        assert rows_of(aggregate(cells=tuple(cells), contributors=aggregate().contributors[::-1])) == rows


def test_contributors_are_organisations_never_gateways() -> None:
    """Gateways of one organisation are one row: no device becomes a series."""
    rows = rows_of(aggregate())
    assert [dataclasses.astuple(row) for row in rows.contributors] == [("north", 2, 3, 42), ("west", 1, 0, 0)]
    assert (rows.late, rows.dropped, rows.absent) == (3, 42, 1)


def test_a_task_that_hides_names_shows_numbers_only() -> None:
    """With contributors = "number" there are no rows, and what was lost is unknown rather than zero."""
    rows = rows_of(aggregate(contributors=(), absent=()))
    assert (rows.contributors, rows.late, rows.dropped, rows.organisations, rows.gateways) == ((), None, None, 2, 3)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ((point(), point(sum_steps=67)), "repeated_cell"),
        ((point(), suppressed("ring")), "repeated_cell"),
        ((point(sum_steps=None),), "point_without_value"),
        ((point(count=None),), "point_without_value"),
        ((point(sum_steps=2**62, resolution=Decimal("1e300")),), "beyond_binary64"),
    ],
)
def test_an_aggregate_that_contradicts_itself_is_refused(cells: tuple[object, ...], reason: str) -> None:
    """Nothing is written where one row would overwrite another, or a point has no value."""
    with pytest.raises(WireError) as caught:
        rows_of(aggregate(cells=cells))
    assert caught.value.reason == reason


def test_a_label_named_like_a_column_is_refused_before_anything_is_written() -> None:
    """A label "mean" would hide the mean."""
    check_labels(["area", "district"])
    with pytest.raises(ConfigError, match="mean"):
        check_labels(["area", "mean"])


def test_series_keep_the_tasks_name() -> None:
    """Hyphens are awkward in Flux and SQL."""
    assert series_name("beijing-air") == "beijing_air"
