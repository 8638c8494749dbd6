"""From a [[joint]] entry to what makes its job: ranges from the task's measures and limits, so that nothing overflows.

What the entry alone shows has been checked with the task (`protocol.joint`); here is what needs the roster or a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from mpc_ops.joint.jobs import Circuit, Job, LeastSquares, LinearSolve, Polynomial, Product, Rank, Threshold
from mpc_ops.joint.linear import System
from mpc_ops.joint.netlist import Netlist
from protocol.errors import ConfigError
from protocol.joint import (
    CircuitSpec,
    JointSpec,
    LeastSquaresSpec,
    LinearSolveSpec,
    PolynomialSpec,
    ProductSpec,
    RankSpec,
    ThresholdSpec,
)
from protocol.joint_entry import largest_sum
from protocol.task import Task
from streams.joint.netlists import check_wires

_ANOTHER: Final = "A task that is changed is another task: all have to agree to it."

Maker = Callable[[int], Job]
"""Makes the job on so many groups. Raises ValueError where its numbers could leave what holds them."""


def place_of(place: str | int, count: int) -> int:
    """The place from the top, 0 the highest, of `count` values. A median of an even number is the lower one."""
    if isinstance(place, int):
        return place - 1 if place > 0 else count + place
    return {"max": 0, "min": count - 1, "median": count // 2}[place]


def maker(task: Task, spec: JointSpec, *, groups: int, cells: int, netlist: Netlist | None) -> Maker:
    """What makes the jobs of an entry; each column adds up `cells` cells. `netlist`: that of a circuit.

    Raises ConfigError for what does not suit the roster: a place that there is not, a system that is not square,
    a limit that no sum reaches, wires that do not match.
    """
    match spec:
        case ThresholdSpec():
            make = _threshold(task, spec, cells)
        case PolynomialSpec():
            make = _polynomial(task, spec, cells)
        case RankSpec():
            make = _rank(task, spec, groups, cells)
        case ProductSpec():
            make = _product(task, spec, cells)
        case CircuitSpec():
            assert netlist is not None, "internal error: a circuit without its netlist"
            make = _circuit(spec, netlist)
        case LinearSolveSpec():
            make = _solve(task, spec, groups)
        case LeastSquaresSpec():
            make = _least_squares(task, spec, groups)
    return make


def _threshold(task: Task, spec: ThresholdSpec, cells: int) -> Maker:
    measure = task.measures[spec.measure]
    limit = spec.limit_steps(measure)
    try:
        spec.decides(measure, task.limits, cells)
    except ValueError as error:
        raise ConfigError(f"joint {spec.name}: {error}", remedy=_ANOTHER) from error
    if spec.of == "sum":
        largest = largest_sum(measure, task.limits, cells)
        return lambda count: Threshold(limits=(limit,) * count, largest=largest)
    reach = task.limits.readings * cells * measure.farthest(limit)
    return lambda count: Threshold(limits=(0,) * count, largest=reach)


def _polynomial(task: Task, spec: PolynomialSpec, cells: int) -> Maker:
    measure = task.measures[spec.measure]
    coefficients, largest = spec.whole_coefficients(measure), largest_sum(measure, task.limits, cells)
    return lambda count: Polynomial(coefficients=coefficients, largest=largest, points=count)


def _product(task: Task, spec: ProductSpec, cells: int) -> Maker:
    first, second = (largest_sum(task.measures[name], task.limits, cells) for name in spec.measures)
    return lambda count: Product(pairs=count, first=first, second=second)


def _circuit(spec: CircuitSpec, netlist: Netlist) -> Maker:
    widths = tuple(bits for _, bits in spec.inputs)
    check_wires(spec, netlist)
    return lambda count: Circuit(netlist=netlist, widths=widths, instances=count)


def _rank(task: Task, spec: RankSpec, groups: int, cells: int) -> Maker:
    places = tuple(place_of(place, groups) for place in spec.places)
    missing = [wanted for wanted, place in zip(spec.places, places, strict=True) if not 0 <= place < groups]
    if missing:
        raise ConfigError(
            f"joint {spec.name} asks for place {', '.join(map(str, missing))}, and there are {groups} places: one for"
            " each combination of label values in the roster",
            remedy=f"Places are 1 to {groups} from the top, or -1 to -{groups} from the bottom. {_ANOTHER}",
        )
    largest = largest_sum(task.measures[spec.measure], task.limits, cells)
    what: Literal["values", "indices"] = "indices" if spec.reveal == "labels" else "values"
    return lambda count: Rank(columns=count, largest=largest, places=places, what=what)


def _solve(task: Task, spec: LinearSolveSpec, rows: int) -> Maker:
    matrix, right, scale = _ranges(task, spec)
    if rows != len(spec.matrix):
        raise ConfigError(
            f"joint {spec.name} has {len(spec.matrix)} unknowns, and an equation for each of {rows} label combinations",
            remedy="As many of one as of the other; with more equations than unknowns take least_squares.",
        )
    return lambda count: LinearSolve(system=System(size=count, matrix=matrix, right=right, scale=scale))


def _least_squares(task: Task, spec: LeastSquaresSpec, rows: int) -> Maker:
    matrix, right, scale = _ranges(task, spec)
    size, ridge = len(spec.matrix), spec.ridge_steps(task.measures)
    if rows < size and not ridge:
        raise ConfigError(
            f"joint {spec.name} has {size} unknowns, and {rows} label combinations are too few rows for them",
            remedy="Fewer measures in matrix, more label values, or a ridge above 0.",
        )
    return lambda count: LeastSquares(rows=count, size=size, matrix=matrix, right=right, scale=scale, ridge=ridge)


def _ranges(task: Task, spec: LinearSolveSpec | LeastSquaresSpec) -> tuple[int, int, int]:
    matrix = max(largest_sum(task.measures[name], task.limits) for name in spec.matrix)
    return matrix, largest_sum(task.measures[spec.right], task.limits), spec.scale(task.measures)
