"""What a database gets of one window: the rows of each series. Made by `sinks.points`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.reasons import Cause, reason_of
from protocol.units import format_duration

if TYPE_CHECKING:
    from decimal import Decimal

Labels = tuple[tuple[str, str], ...]
"""Label keys and values, sorted by key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A released value. `sum_steps` counts steps of `resolution`, exactly; `mean` is None where nothing was counted."""

    labels: Labels
    measure: str
    unit: str
    resolution: Decimal
    count: int
    sum_steps: int
    sum: float
    mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one cell that was due; `reason` is "none" for a point, `at_fault` names parties.

    Of a joint computation: `measure` is its name, and the labels those of a group, or none.
    """

    labels: Labels
    measure: str
    outcome: str
    reason: str
    at_fault: tuple[str, ...]

    @property
    def cause(self) -> Cause:
        """Whose matter it is: "none" for a point, else data, policy or fault."""
        return reason_of(self.reason).cause


@dataclass(frozen=True, slots=True, kw_only=True)
class JointNumber:
    """One number of a joint result, exactly: `steps_text` steps of `resolution`.

    `steps` is None where 64 bits do not hold it, `value` where it is beyond binary64.
    """

    labels: Labels
    name: str
    key: str
    unit: str
    resolution: Decimal
    steps: int | None
    steps_text: str
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributing:
    """One organisation in the agreed set: its gateways that took part, and its readings that could not count.

    `late` ones came after their window had been sealed, `dropped` ones were given up in a full spool.
    """

    organisation: str
    gateways: int
    late: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All rows of one window, with what they have in common. Times are integer milliseconds.

    `organisations`, `gateways` and `absent` count the agreed set of the whole window, never of one cell. `late` and
    `dropped` are None where the task keeps from the collector who took part. `last_seal` is 0 where unknown.
    """

    task: str
    revision: int
    window_start: int
    window_end: int
    verified: bool
    organisations: int
    gateways: int
    absent: int
    late: int | None
    dropped: int | None
    last_seal: int
    revealed_at: int
    results: tuple[Result, ...]
    outcomes: tuple[Outcome, ...]
    contributors: tuple[Contributing, ...]
    joint: tuple[JointNumber, ...] = ()

    @property
    def window(self) -> str:
        """The size of the window as people write it, such as "1h"."""
        return format_duration(self.window_end - self.window_start)
