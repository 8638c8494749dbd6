"""One aggregate as rows for a database: results, outcomes, contributors. Pure, and the same whatever the database.

Three series, because they answer three questions: *what came out* (a row only where a value was released), *what became
of every cell that was due* (a row for each, with the reason where there is no value), *who took part*. A cell that was
suppressed has an outcome and nothing else: neither values nor the small counts that made the policy say no.

Numbers stay exact as far as a database can carry them: `count` and `sum_steps` are integers, and the floats beside them
are made here, once, each the binary64 number nearest to the exact value (from a `Fraction`: nothing is rounded twice).

A task with joint computations has a fourth series, of their numbers (`sinks.joint`).

The same aggregate always gives the same rows in the same order: writing twice overwrites and adds nothing.
"""

from __future__ import annotations

from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING

from protocol.errors import ConfigError, WireError
from sinks.joint import RESERVED as RESERVED_WITH_JOINT
from sinks.joint import check_joint, numbers_of, outcomes_of
from sinks.rows import Contributing, Labels, Outcome, Result, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.aggregate import Aggregate, CellResult, Contributor
    from protocol.task import Task

RESERVED = frozenset(
    {
        "absent",
        "at_fault",
        "cause",
        "complete",
        "count",
        "dropped",
        "gateways",
        "labels",
        "last_seal",
        "late",
        "latency_ms",
        "mean",
        "measure",
        "organisation",
        "organisations",
        "outcome",
        "reason",
        "resolution",
        "revealed_at",
        "revision",
        "sentence",
        "sum",
        "sum_steps",
        "task",
        "time",
        "unit",
        "verified",
        "window",
        "window_end",
        "window_start",
        "written_at",
    }
)
"""What tags, fields and columns are called here; a label of the same name would hide one of them."""


def rows_of(aggregate: Aggregate, groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})) -> Rows:
    """The rows of one aggregate; WireError where it contradicts itself, so that no row is written over another.

    `groups`: as `protocol.joint_outcomes.groups_of` says of the task.
    """
    cells = sorted(aggregate.cells, key=_place)
    places = [_place(cell) for cell in cells]
    if len(set(places)) < len(places):
        raise WireError("repeated_cell", "the aggregate names a cell twice")
    return Rows(
        task=aggregate.task,
        revision=aggregate.revision,
        window_start=aggregate.window_start,
        window_end=aggregate.window_end,
        verified=aggregate.verified,
        organisations=aggregate.organisations,
        gateways=aggregate.gateways,
        absent=len(aggregate.absent),
        late=sum(one.late for one in aggregate.contributors) if aggregate.contributors else None,
        dropped=sum(one.dropped for one in aggregate.contributors) if aggregate.contributors else None,
        last_seal=aggregate.last_seal,
        revealed_at=aggregate.revealed_at,
        results=tuple(_result(cell) for cell in cells if cell.outcome == "point"),
        outcomes=(*(_outcome(cell) for cell in cells), *outcomes_of(aggregate, groups)),
        contributors=_contributors(aggregate.contributors),
        joint=numbers_of(aggregate.joint),
    )


def check_shape(aggregate: Aggregate, task: Task) -> None:
    """Refuse what is signed and yet cannot be a window of this task: a collector of another version, or a faulty one.

    `decode` vouches for the signature and the task id; here every value that becomes a tag, a column or a number is
    checked, so that one such record neither stops the stream nor makes a series that nobody expects. Raises WireError.
    """
    whole = (
        aggregate.revision,
        aggregate.organisations,
        aggregate.gateways,
        aggregate.last_seal,
        aggregate.revealed_at,
    )
    noted = [number for one in aggregate.contributors for number in (one.late, one.dropped)]
    numbers = (*whole, aggregate.window_start, aggregate.window_end, *noted)
    names = (*aggregate.absent, *(one.organisation for one in aggregate.contributors))
    if any(type(number) is not int for number in numbers) or type(aggregate.verified) is not bool:
        raise WireError("not_an_aggregate")
    if any(type(name) is not str for name in names):
        raise WireError("not_an_aggregate")
    start = aggregate.window_start
    if aggregate.task != task.name or not task.has_window(start) or aggregate.window_end != task.window_end(start):
        raise WireError("other_window", "the aggregate is of a window that the task does not have")
    for cell in aggregate.cells:
        measure = task.measures.get(cell.measure)
        texts = (*cell.labels.values(), cell.outcome, cell.reason, *cell.at_fault)
        if any(type(text) is not str for text in texts) or cell.outcome not in ("point", "suppressed"):
            raise WireError("not_an_aggregate")
        if measure is None or set(cell.labels) != set(task.labels):
            raise WireError("unknown_cell", "the aggregate has a cell that the task does not have")
        if (cell.unit, cell.resolution) != (measure.unit, measure.resolution):
            raise WireError("unknown_cell", "a cell has another unit or resolution than the task")
    check_joint(aggregate.joint, task)


def check_labels(labels: Iterable[str], *, joint: bool = False) -> None:
    """Refuse a task whose label keys would hide a tag, field or column of ours. `joint`: it has joint computations."""
    reserved = RESERVED | RESERVED_WITH_JOINT if joint else RESERVED
    if taken := sorted(reserved.intersection(labels)):
        raise ConfigError(
            f'the label "{taken[0]}" has the name of a column of the results',
            where="task.toml: labels",
            remedy="The sink cannot write this task. Names that are taken: " + ", ".join(sorted(reserved)) + ".",
        )


def series_name(task: str) -> str:
    """The name of a task's series: revisions keep the task's name, so dashboards outlive them."""
    return task.replace("-", "_")


def _place(cell: CellResult) -> tuple[Labels, str]:
    return tuple(sorted(cell.labels.items())), cell.measure


def _result(cell: CellResult) -> Result:
    if cell.count is None or cell.sum_steps is None:
        raise WireError("point_without_value", "the aggregate calls a cell a point and gives no value")
    labels, measure = _place(cell)
    total = cell.sum_steps * Fraction(cell.resolution)
    try:
        nearest = float(total)
        mean = float(total / cell.count) if cell.count else None
    except OverflowError as error:
        raise WireError("beyond_binary64", "a sum of the aggregate is beyond what a float can carry") from error
    return Result(
        labels=labels,
        measure=measure,
        unit=cell.unit,
        resolution=cell.resolution,
        count=cell.count,
        sum_steps=cell.sum_steps,
        sum=nearest,
        mean=mean,
    )


def _outcome(cell: CellResult) -> Outcome:
    labels, measure = _place(cell)
    return Outcome(
        labels=labels, measure=measure, outcome=cell.outcome, reason=cell.reason, at_fault=tuple(sorted(cell.at_fault))
    )


def _contributors(contributors: Iterable[Contributor]) -> tuple[Contributing, ...]:
    gateways: dict[str, list[Contributor]] = {}
    for one in contributors:
        gateways.setdefault(one.organisation, []).append(one)
    return tuple(
        Contributing(
            organisation=name,
            gateways=len(own),
            late=sum(one.late for one in own),
            dropped=sum(one.dropped for one in own),
        )
        for name, own in sorted(gateways.items())
    )
