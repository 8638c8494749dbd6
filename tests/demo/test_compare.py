"""Every due cell lands in one class, and no fault of the results passes for exact."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sotto.demo.compare import compare, percentile
from sotto.demo.plain import Due, Plain
from tests.demo.samples import right


def released(plain: Plain) -> Due:
    return next(due for due, cell in plain.cells.items() if cell.released)


def hidden(plain: Plain) -> Due:
    return next(due for due, cell in plain.cells.items() if not cell.released)


def test_right_results_are_all_exact_or_hidden(plain: Plain) -> None:
    """The classes add up to the cells that are due."""
    tally = compare(plain, right(plain))
    assert (tally.due, tally.exact, tally.wrong, tally.missing) == (576, 566, 0, 0)
    assert tally.suppressed == {"too_few_organisations": 10}
    assert tally.all_right
    assert len(tally.latency_ms) == 48


@pytest.mark.parametrize(
    "change",
    [
        {"sum_steps": 1},
        {"count": 1},
        {"sum": 1e-9},
        {"mean": 1e-9},
        {"count": None, "sum_steps": None, "sum": None, "mean": None},
        {"outcome": "suppressed", "reason": "parties_disagree"},
    ],
)
def test_one_step_more_is_wrong(plain: Plain, change: dict[str, Any]) -> None:
    """An integer or a float that is off by the least, a value that is half there, a value that was kept back."""
    found = right(plain)
    due = released(plain)
    moved = {
        key: getattr(found[due], key) + value if isinstance(value, int | float) else value
        for key, value in change.items()
    }
    found[due] = replace(found[due], **moved)
    tally = compare(plain, found)
    assert (tally.exact, tally.wrong, tally.wrong_cells) == (565, 1, (due,))
    assert not tally.all_right


def test_a_value_that_should_be_hidden_is_wrong(plain: Plain) -> None:
    """A released cell below the minimum is the worst of all errors."""
    found = right(plain)
    due = hidden(plain)
    found[due] = replace(found[due], outcome="point", reason="none", count=2, sum_steps=2)
    assert compare(plain, found).wrong_cells == (due,)


def test_another_reason_than_the_right_one_is_wrong(plain: Plain) -> None:
    """The reason is part of the outcome."""
    found = right(plain)
    due = hidden(plain)
    found[due] = replace(found[due], reason="no_readings")
    assert compare(plain, found).wrong == 1


def test_what_nobody_expects_is_counted(plain: Plain) -> None:
    """A result for a window that is not due shows that something else wrote there."""
    found = right(plain)
    found[Due(0, (("area", "outer"),), "no2")] = found[released(plain)]
    tally = compare(plain, found)
    assert (tally.unexpected, tally.all_right) == (1, False)


@given(data=st.data())
def test_classes_always_add_up(plain: Plain, data: st.DataObject) -> None:
    """Whatever is missing: exact + wrong + missing + hidden is the number of due cells."""
    found = right(plain)
    for due in data.draw(st.sets(st.sampled_from(sorted(found)), max_size=50)):
        del found[due]
    tally = compare(plain, found)
    assert tally.exact + tally.wrong + tally.missing + tally.hidden == tally.due == 576
    assert tally.missing == 576 - len(found)


@pytest.mark.parametrize(
    ("values", "part", "result"), [([], 0.5, None), ([7], 0.95, 7), ([3, 1, 2], 0.5, 2), (range(1, 101), 0.95, 95)]
)
def test_percentiles_are_values_that_occurred(values: list[int], part: float, result: int | None) -> None:
    """The nearest rank, without interpolation."""
    assert percentile(list(values), part) == result


def test_outcomes_of_joint_computations_are_not_judged(plain: Plain) -> None:
    """They are nothing unexpected where the task has them, and they change no class."""
    found = right(plain)
    some = next(iter(found))
    found[Due(some.window, (), "overload")] = replace(found[some], outcome="suppressed", reason="party_missing")
    assert compare(plain, found).unexpected == 1
    assert compare(replace(plain, joint=frozenset({"overload"})), found) == compare(plain, right(plain))
