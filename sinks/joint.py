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
from protocol.joint_outcomes import joint_outcomes
from sinks.rows import JointNumber, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.aggregate import Aggregate, JointResult, JointValue
    from protocol.task import Task

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


def outcomes_of(aggregate: Aggregate, groups: Mapping[str, tuple[str, ...]]) -> tuple[Outcome, ...]:
    """The outcomes of joint computations as rows; `groups` as `groups_of` says. Raises WireError."""
    return tuple(
        Outcome(
            labels=one.labels,
            measure=one.name,
            outcome="point" if one.point else "suppressed",
            reason=one.reason,
            at_fault=one.at_fault,
        )
        for one in joint_outcomes(aggregate, groups)
    )


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
