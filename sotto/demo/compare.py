"""The results beside the plain computation: exact, wrong, missing, or hidden with its reason. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sotto.demo.outcomes import Found
from sotto.demo.plain import Due, Expected, Plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Every due cell exactly once. `unexpected` counts outcomes that nobody expects; `wrong_cells` names the wrong."""

    due: int
    exact: int
    wrong: int
    missing: int
    suppressed: Mapping[str, int]
    unexpected: int
    wrong_cells: tuple[Due, ...]
    latency_ms: tuple[int, ...]
    """One for each window: from its last seal to its points in the database."""

    @property
    def hidden(self) -> int:
        """The number of suppressed cells."""
        return sum(self.suppressed.values())

    @property
    def all_right(self) -> bool:
        """Whether every due cell is there and right, and nothing else is."""
        return self.wrong == self.missing == self.unexpected == 0


def compare(plain: Plain, found: Mapping[Due, Found]) -> Tally:
    """Put each due cell into one class.

    A value is exact when count and sum are equal as integers and the floats beside them are the nearest ones. A cell
    that is hidden although it should have a value, or the other way round, or for another reason, is wrong. Outcomes
    of joint computations are not judged.
    """
    exact = missing = 0
    wrong = []
    suppressed: Counter[str] = Counter()
    latency: dict[int, int] = {}
    for due, expected in plain.cells.items():
        one = found.get(due)
        if one is None:
            missing += 1
            continue
        if one.latency_ms is not None:
            latency[due.window] = max(one.latency_ms, latency.get(due.window, 0))
        if one.reason != expected.reason or (one.outcome == "point") != expected.released:
            wrong.append(due)
        elif not expected.released:
            suppressed[one.reason] += 1
        elif _equal(one, expected):
            exact += 1
        else:
            wrong.append(due)
    return Tally(
        due=len(plain.cells),
        exact=exact,
        wrong=len(wrong),
        missing=missing,
        suppressed=dict(sorted(suppressed.items())),
        unexpected=sum(due.measure not in plain.joint for due in found.keys() - plain.cells.keys()),
        wrong_cells=tuple(wrong),
        latency_ms=tuple(latency.values()),
    )


def percentile(values: Sequence[int], part: float) -> int | None:
    """Return the smallest value that at least this part of the values do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    rank = -(-Fraction(part) * len(ordered) // 1)
    return ordered[max(int(rank), 1) - 1]


def _equal(found: Found, expected: Expected) -> bool:
    total = expected.sum_steps * Fraction(expected.resolution)
    return (
        found.count == expected.count
        and found.sum_steps == expected.sum_steps
        and found.sum == float(total)
        and found.mean == float(expected.mean)
    )
