"""From a task's [[joint]] entry to a job: which cells its columns are, what is added to them, how results read. Pure.

A group is a combination of the labels that a job keeps; a column of a group is a sum over the other labels, made on
shares. Shares hold how far readings are above the measure's minimum, so count x minimum is added, as a constant that
everybody knows. What a job computes on are then steps of the measure's resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint.jobs import Job
from mpc_ops.joint.netlist import Netlist
from protocol.aggregate import JointValue
from protocol.canonical import Json, canonical
from protocol.errors import ConfigError, WireError
from protocol.joint import (
    LONGEST_OUTPUT,
    CircuitSpec,
    JointSpec,
    LeastSquaresSpec,
    LinearSolveSpec,
    PolynomialSpec,
    ProductSpec,
    RankSpec,
    ThresholdSpec,
)
from protocol.roster import LARGEST_RESULT, Roster
from protocol.task import Task
from streams.joint.make import maker, place_of
from streams.joint.policy import Verdict, verdict
from streams.policy import Totals, due_cells

_PARTIES: Final = 3
_REMEDY: Final = (
    "Fewer label values or unknowns, a coarser resolution or a smaller range of the measures, or lower max_gateways"
    " and max_rows ([limits]): a task changed in one of them is another task."
)

Layout: TypeAlias = Literal["by group", "by column", "system"]
"""How the columns of all groups follow each other; a system has all of the matrix first, and then the right side."""
_LAYOUTS: Final[Mapping[type[JointSpec], Layout]] = {
    ProductSpec: "by column",
    LinearSolveSpec: "system",
    LeastSquaresSpec: "system",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One job of a task under one roster.

    `groups`: their label values, in the order of the roster's cells. `elementwise`: each group stands by itself, and
    some can be left out; else the result is of all of them.
    `cells`: numbers of the cells that a column adds up, intp[groups, columns, k]; `shifts`: what is added to a column
    for each reading, in steps, int[columns].
    `others`: what the groups of each other job read that can tell a group's sum (polynomials, circuits).
    """

    name: str
    spec: JointSpec
    labels: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    elementwise: bool
    cells: NDArray[np.intp] = field(repr=False)
    shifts: tuple[int, ...]
    layout: Layout
    make: Callable[[int], Job] = field(repr=False)
    task: Task = field(repr=False)
    due: NDArray[np.bool_] = field(repr=False)
    others: tuple[NDArray[np.intp], ...] = field(default=(), repr=False)

    def job(self, groups: Sequence[int]) -> Job:
        """The job on these groups; all of them, unless `elementwise`."""
        return self.make(len(groups))

    def verdict(self, whole: Totals) -> Verdict:
        """Apply the policy to the groups of an agreed set."""
        shown = isinstance(self.spec, RankSpec) and self.spec.reveal == "values"
        return verdict(
            self.task,
            whole,
            self.read,
            self.due,
            elementwise=self.elementwise,
            shown=shown,
            others=self.others,
        )

    @property
    def read(self) -> NDArray[np.intp]:
        """The cells that each group reads: intp[groups, k]. A cell that is read twice counts once."""
        return np.unique(self.cells, axis=1).reshape(len(self.groups), -1)

    def columns(
        self, sums: NDArray[np.uint64], counts: NDArray[np.int64], groups: Sequence[int], party: int
    ) -> NDArray[np.uint64]:
        """A party's share (2, n) of the columns of some groups, from those of all cells.

        `sums` uint64[2, cells], components ascending, as contributions have them; `counts` int64[cells]. The share
        has the components in the order of `mpc_ops.joint.replicated`: the party's number first, then the next one.
        """
        chosen = self.cells[list(groups)]
        share = in_turn(sums, party)[:, chosen].sum(axis=-1, dtype=np.uint64)
        rows = counts[chosen].sum(axis=-1).astype(np.uint64)
        constants = rows * np.array([shift % 2**64 for shift in self.shifts], dtype=np.uint64)
        slot = -party % _PARTIES  # where component 0 is, which is the constants'
        if slot < len(share):
            share[slot] += constants
        if self.layout == "by column":
            share = np.swapaxes(share, 1, 2)
        if self.layout == "system":
            return np.concatenate([share[:, :, :-1].reshape(2, -1), share[:, :, -1]], axis=1)
        return np.ascontiguousarray(share).reshape(2, -1)

    def values(
        self, groups: Sequence[int], hidden: Sequence[tuple[int, str]], numbers: Sequence[int]
    ) -> tuple[JointValue, ...]:
        """What the numbers of a result are, and which are hidden, in the order of the groups.

        Raises WireError for a number that no honest computation gives.
        """
        if self.elementwise:
            return self._by_group(groups, hidden, numbers)
        if isinstance(self.spec, RankSpec) and self.spec.reveal == "labels":
            return self._ranked(self.spec, numbers)
        return tuple(
            JointValue(labels={}, key=key, steps=steps) for key, steps in zip(self.spec.keys, numbers, strict=True)
        )

    def _by_group(
        self, groups: Sequence[int], hidden: Sequence[tuple[int, str]], numbers: Sequence[int]
    ) -> tuple[JointValue, ...]:
        keys = self.spec.keys or tuple(f"out{number}" for number in range(self.make(1).results))
        steps, reasons = iter(numbers), dict(hidden)
        return tuple(
            JointValue(labels=self._labels_of(group), key=key, steps=None, reason=reasons[group])
            if group in reasons
            else JointValue(labels=self._labels_of(group), key=key, steps=next(steps))
            for group in sorted((*groups, *reasons))
            for key in keys
        )

    def _ranked(self, spec: RankSpec, numbers: Sequence[int]) -> tuple[JointValue, ...]:
        count = len(self.groups)
        if any(not 0 <= number < count for number in numbers):
            raise WireError("unknown_group", "the result of an order is a group that the roster does not have")
        return tuple(
            JointValue(labels=self._labels_of(number), key=key, steps=place_of(place, count) + 1)
            for key, place, number in zip(spec.keys, spec.places, numbers, strict=True)
        )

    def _labels_of(self, group: int) -> dict[str, str]:
        return dict(zip(self.labels, self.groups[group], strict=True))


def in_turn(share: NDArray[np.uint64], party: int) -> NDArray[np.uint64]:
    """From components in ascending order to a party's own order: its number first. Only the last party's differs."""
    return share[::-1] if party == _PARTIES - 1 else share


def plans_of(task: Task, roster: Roster, netlists: Mapping[str, Netlist]) -> tuple[Plan, ...]:
    """Return the plans of the task's jobs, in its order; `netlists` by name of the job.

    Raises ConfigError for what only the roster or the netlist shows: a system that is not square, a place that there
    is not, ranges that no field holds, wires that do not match, circuits whose outputs are too long for a result.
    """
    alone = [_plan(task, roster, spec, netlists) for spec in task.joint]
    telling = [plan for plan in alone if isinstance(plan.spec, PolynomialSpec | CircuitSpec)]
    plans = tuple(replace(one, others=tuple(plan.read for plan in telling if plan is not one)) for one in alone)
    circuits = [plan for plan in plans if isinstance(plan.spec, CircuitSpec)]
    for plan in circuits:
        if any(wires > LONGEST_OUTPUT for wires in netlists[plan.name].outputs):
            raise ConfigError(
                f"joint {plan.name}: an output of its circuit has more than {LONGEST_OUTPUT} wires",
                remedy="A value has at most that many bits. Divide the output in the netlist's third line.",
            )
    outputs = sum(len(plan.groups) * _value_size(plan, roster, netlists[plan.name]) for plan in circuits)
    size = roster.result_size(task) + outputs
    if size > LARGEST_RESULT:
        raise ConfigError(
            f"with the outputs of {', '.join(plan.name for plan in circuits)} the results of a window can take"
            f" {size / 1e6:.1f} MB: one record of Kafka holds {LARGEST_RESULT / 1e6:g} MB",
            remedy="Fewer label values, or fewer outputs: one of 64 wires is shorter than 64 of one wire.",
        )
    return plans


def _value_size(plan: Plan, roster: Roster, netlist: Netlist) -> int:
    """Bytes of JSON that a group of a circuit is at most in a window's aggregate."""
    longest: Json = {label: max(roster.labels[label], key=lambda text: len(canonical(text))) for label in plan.labels}
    values: list[Json] = [
        {"labels": longest, "key": f"out{number}", "steps": str(2**wires - 1)}
        for number, wires in enumerate(netlist.outputs)
    ]
    return sum(len(canonical(value)) + 1 for value in values)


def _plan(task: Task, roster: Roster, spec: JointSpec, netlists: Mapping[str, Netlist]) -> Plan:
    labels = spec.labels(task.labels)
    cells = _cells_of(task, roster, labels, spec.columns)
    make = maker(task, spec, groups=len(cells), cells=cells.shape[2], netlist=netlists.get(spec.name))
    plan = Plan(
        name=spec.name,
        spec=spec,
        labels=labels,
        groups=tuple(product(*(sorted(roster.labels[label]) for label in labels))),
        elementwise=spec.elementwise,
        cells=cells,
        shifts=_shifts(task, spec),
        layout=_LAYOUTS.get(type(spec), "by group"),
        make=make,
        task=task,
        due=due_cells(task, roster),
    )
    try:
        make(len(plan.groups))
    except ValueError as error:
        raise ConfigError(f"joint {spec.name} cannot be computed: {error}", remedy=_REMEDY) from error
    return plan


def _cells_of(task: Task, roster: Roster, labels: Sequence[str], names: Sequence[str]) -> NDArray[np.intp]:
    """Numbers of the cells, as `Roster.cells` counts them: intp[groups, columns, k]."""
    sizes = [len(roster.labels[label]) for label in task.labels]
    measures = len(task.measure_names)
    grid = np.arange(int(np.prod(sizes, dtype=np.intp)) * measures, dtype=np.intp).reshape(*sizes, measures)
    grid = np.moveaxis(grid, [task.labels.index(label) for label in labels], range(len(labels)))
    groups = int(np.prod(grid.shape[: len(labels)], dtype=np.intp))
    table = grid.reshape(groups, -1, measures)
    return np.stack([table[:, :, task.measure_names.index(name)] for name in names], axis=1)


def _shifts(task: Task, spec: JointSpec) -> tuple[int, ...]:
    """The minimum of each column's measure; a mean is above a limit where the sum of (reading - limit) is above 0."""
    shifts = tuple(task.measures[name].minimum_steps for name in spec.columns)
    if isinstance(spec, ThresholdSpec) and spec.of == "mean":
        return (shifts[0] - spec.limit_steps(task.measures[spec.measure]),)
    return shifts
