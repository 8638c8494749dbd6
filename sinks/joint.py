"""Joint results as rows: one for each number that a joint computation gave, and what became of what was due of it.

The exact number is `steps` times `resolution`. Steps may have more digits than any column of integers holds (a product
of sums, an output of a circuit), so they are kept as text as well, and the float beside them is the nearest one, made
here once; it is missing where the number is beyond binary64.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from protocol.errors import WireError
from sinks.rows import JointNumber, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.aggregate import Aggregate, CellResult, JointResult, JointValue
    from protocol.task import Task
    from sinks.rows import Labels

RESERVED: Final = frozenset({"key", "name", "steps", "steps_text", "value"})
"""What only the rows of joint results have: taken where the task has joint computations."""

_INTEGERS: Final = range(-(2**63), 2**63)
_KEY: Final = re.compile(r"-?[a-z0-9_]{1,80}")


def numbers_of(results: Iterable[JointResult]) -> tuple[JointNumber, ...]:
    """All numbers, by name, labels, key. Raises WireError where one is there twice, so that none hides another."""
    rows = [_number(one, value) for one in results for value in one.values if _given(one, value)]
    rows.sort(key=lambda row: (row.name, row.labels, row.key))
    if len({(row.name, row.labels, row.key) for row in rows}) < len(rows):
        raise WireError("repeated_cell", "the aggregate has a number of a joint result twice")
    return tuple(rows)


def groups_of(task: Task) -> dict[str, tuple[str, ...]]:
    """The label keys of the groups of each joint computation whose groups stand each by itself."""
    return {spec.name: spec.labels(task.labels) for spec in task.joint if spec.elementwise}


def outcomes_of(aggregate: Aggregate, groups: Mapping[str, tuple[str, ...]]) -> tuple[Outcome, ...]:
    """One outcome for each group of a computation that `groups` has, else one for the whole; by name and labels."""
    rows = [row for one in aggregate.joint for row in _outcomes(one, groups.get(one.name), aggregate.cells)]
    rows.sort(key=lambda row: (row.measure, row.labels))
    if len({(row.measure, row.labels) for row in rows}) < len(rows):
        raise WireError("repeated_cell", "the aggregate has two outcomes of one joint computation")
    return tuple(rows)


def check_joint(results: Iterable[JointResult], task: Task) -> None:
    """Refuse what cannot be a tag. Raises WireError. `decode` has checked that these are the task's jobs."""
    for one in results:
        for value in one.values:
            if not set(value.labels) <= set(task.labels) or not _KEY.fullmatch(value.key):
                raise WireError("unknown_cell", "a joint result has a number that the task does not have")


def _given(result: JointResult, value: JointValue) -> bool:
    """A number that stands in a suppressed result is shown to nobody."""
    if result.outcome != "point" or value.reason != "none":
        return False
    if value.steps is None:
        raise WireError("point_without_value", "the aggregate calls a joint result a point and gives no number")
    return True


def _number(result: JointResult, value: JointValue) -> JointNumber:
    steps = value.steps
    assert steps is not None, "internal error: `_given` has looked"
    return JointNumber(
        labels=tuple(sorted(value.labels.items())),
        name=result.name,
        key=value.key,
        unit=result.unit,
        resolution=result.resolution,
        steps=steps if steps in _INTEGERS else None,
        steps_text=str(steps),
        value=_nearest(steps * Fraction(result.resolution)),
    )


def _nearest(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None


def _outcomes(result: JointResult, keys: tuple[str, ...] | None, cells: Iterable[CellResult]) -> Iterable[Outcome]:
    reasons: dict[Labels, set[str]] = {}
    if keys is None:
        reasons[()] = {result.reason}
    elif result.outcome == "point":
        for value in result.values:
            reasons.setdefault(tuple(sorted(value.labels.items())), set()).add(value.reason)
    else:
        # What is suppressed as a whole names no group: they are those of the window's cells.
        labels_of_groups = {tuple(sorted((key, cell.labels[key]) for key in keys)) for cell in cells}
        reasons = {labels: {result.reason} for labels in labels_of_groups or {()}}
    for labels, given in reasons.items():
        if len(given) > 1:
            raise WireError("repeated_cell", "a group of a joint result is there as a value and as suppressed")
        (reason,) = given
        yield Outcome(
            labels=labels,
            measure=result.name,
            outcome="point" if reason == "none" else "suppressed",
            reason=reason,
            at_fault=tuple(sorted(result.at_fault)),
        )
