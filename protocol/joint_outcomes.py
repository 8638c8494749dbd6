"""What became of what was due of joint computations: one outcome for each group that stands by itself, or for the job.

Whoever counts or stores results counts these: a page, a metric and a database must not tell different numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from protocol.aggregate import Aggregate, CellResult, JointResult
from protocol.errors import WireError
from protocol.task import Task

Group: TypeAlias = tuple[tuple[str, str], ...]
"""Label keys and values, sorted by key; none for what is of all groups together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointOutcome:
    """`name`: of the computation. `reason`: "none" where there is a value. `at_fault`: parties, sorted."""

    name: str
    labels: Group
    reason: str
    at_fault: tuple[str, ...]

    @property
    def point(self) -> bool:
        """Whether there is a value."""
        return self.reason == "none"


def groups_of(task: Task) -> dict[str, tuple[str, ...]]:
    """The label keys of the groups of each joint computation whose groups stand each by itself."""
    return {spec.name: spec.labels(task.labels) for spec in task.joint if spec.elementwise}


def joint_outcomes(aggregate: Aggregate, groups: Mapping[str, tuple[str, ...]]) -> tuple[JointOutcome, ...]:
    """One outcome for each group of a computation that `groups` has, else one for the whole; by name and labels.

    Raises WireError where an aggregate contradicts itself.
    """
    found = [one for result in aggregate.joint for one in _outcomes(result, groups.get(result.name), aggregate.cells)]
    found.sort(key=lambda one: (one.name, one.labels))
    if len({(one.name, one.labels) for one in found}) < len(found):
        raise WireError("repeated_cell", "the aggregate has two outcomes of one joint computation")
    return tuple(found)


def _outcomes(result: JointResult, keys: tuple[str, ...] | None, cells: Iterable[CellResult]) -> Iterable[JointOutcome]:
    reasons: dict[Group, set[str]] = {}
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
        yield JointOutcome(name=result.name, labels=labels, reason=reason, at_fault=tuple(sorted(result.at_fault)))
