"""A task's jobs as sentences: whoever gives readings to a task can read what becomes of them."""

from __future__ import annotations

from protocol.canonical import decimal_text
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
from protocol.task import Task


def job_in_words(spec: JointSpec, task: Task) -> str:
    """Say what a job shows of each window."""
    groups = " and ".join(spec.labels(task.labels))
    each = f"for each {groups}, " if groups and spec.elementwise else ""
    match spec:
        case ThresholdSpec():
            unit = task.measures[spec.measure].unit
            said = f"{each}whether the {spec.of} of {spec.measure} is above {decimal_text(spec.limit)} {unit}"
        case RankSpec():
            places = ", ".join(map(str, spec.places))
            shown = f"the {groups}" if spec.reveal == "labels" else "the sum"
            said = f"{shown} at these places in the order of the sums of {spec.measure}: {places}"
        case ProductSpec():
            over = f", added up over each {' and '.join(task.labels)}" if task.labels else ""
            said = f"the sum of {spec.measures[0]} x the sum of {spec.measures[1]}{over}: one number"
        case PolynomialSpec():
            terms = [decimal_text(c) + ("", " x", f" x^{n}")[min(n, 2)] for n, c in enumerate(spec.coefficients)]
            said = f"{each}{' + '.join(terms)}, where x is the sum of {spec.measure}"
        case LinearSolveSpec():
            said = f"the solution x of ({', '.join(spec.matrix)}) x = {spec.right}, {_rounded(spec)}"
        case LeastSquaresSpec():
            said = f"the x for which ({', '.join(spec.matrix)}) x is closest to {spec.right}, {_rounded(spec)}"
        case CircuitSpec():
            said = (
                f"{each}what the circuit {spec.file} makes of the sums of {', '.join(spec.uses)}"
                f" (SHA-256 {spec.sha256})"
            )
    return said


def _rounded(spec: LinearSolveSpec | LeastSquaresSpec) -> str:
    unit = "" if spec.unit == "1" else f" {spec.unit}"
    return f"rounded to {decimal_text(spec.resolution)}{unit}"
