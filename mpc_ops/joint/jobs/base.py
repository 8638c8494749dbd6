"""What a job is, and what becomes of its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mpc_ops.joint.checked import Checked
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rings import Ring
from mpc_ops.rounds import Array, Interactive

LARGEST = 1 << 63
"""What a column's values must stay below, with either sign."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A share (2, n) of a result: checked as far as its side checks, and not opened."""

    ring: Ring
    values: Array = field(repr=False)


class Job(Protocol):
    """What a job offers: it is made for n columns, and run on a share (2, n) of them over Z/2^64."""

    @property
    def ring(self) -> Ring:
        """What the result is over."""
        ...

    @property
    def elements(self) -> int:
        """How many elements of `ring` the result is."""
        ...

    @property
    def results(self) -> int:
        """How many whole numbers they stand for."""
        ...

    def shares(self, side: Replicated, columns: Array) -> Interactive[Shared]:
        """A share of the result.

        A job that opens masked numbers on its way tests first, on shares, that all columns are in their ranges.
        Raises what the protocols raise, at all parties alike: CheckFailedError, RangeError, SingularError,
        QuotientError.
        Raises ValueError for another number of columns.
        """
        ...

    def read(self, values: Array) -> list[int]:
        """The whole numbers that revealed elements stand for."""
        ...


def numbers(job: Job, values: Array) -> list[int]:
    """The whole numbers of a revealed result. Raises ValueError where these are not as many elements as it has."""
    if values.shape != (job.elements,):
        raise ValueError(f"the result has {job.elements} elements, not {values.shape}")
    return job.read(values)


def opened(side: Replicated, job: Job, columns: Array) -> Interactive[list[int]]:
    """The result told to all parties: for examples, tests and benchmarks. Rounds: one more."""
    share = yield from job.shares(side, columns)
    values = yield from side.over(share.ring).open(share.values)
    return numbers(job, values)


def checked(side: Replicated, ring: Ring, values: Array) -> Interactive[Shared]:
    """A result that may leave the parties: what it depends on is checked first, where the side can."""
    if isinstance(side, Checked):
        yield from side.verify()
    return Shared(ring, values)


def exactly(columns: Array, count: int) -> Array:
    """The columns, if they are as many. Raises ValueError."""
    if columns.shape != (2, count):
        raise ValueError(f"the job takes {count} columns, not {columns.shape[1:]}")
    return columns


def bounded(largest: int, most: int, what: str) -> None:
    """Raises ValueError where a range reaches too far."""
    if largest >= most:
        raise ValueError(f"{what} may reach {largest}, which is not below {most}")
