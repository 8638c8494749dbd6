"""Who holds what: the sharing schemes over Z/2^64.

A value is the sum modulo 2^64 of `components` numbers, all but the last of them pseudorandom (`mpc_ops.sharing`). A
scheme says which party holds which components. Party numbers are indices into the task's sorted party names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol


class Scheme(Protocol):
    """What the roles need to know of a sharing scheme.

    `enough`: so many parties, whichever they are, hold all components; any `private_against` parties lack one, so
    what they hold is independent of the value. `tolerates_lies`: so many parties may send wrong sums and be noticed,
    when all parties have sent theirs.
    """

    @property
    def name(self) -> str: ...
    @property
    def code(self) -> int: ...
    @property
    def parties(self) -> int: ...
    @property
    def components(self) -> int: ...
    @property
    def enough(self) -> int: ...
    @property
    def private_against(self) -> int: ...
    @property
    def tolerates_lies(self) -> int: ...

    def held_by(self, party: int) -> tuple[int, ...]:
        """Components of one party, ascending. Raises ValueError for a number that is no party."""
        ...

    def holders(self, component: int) -> tuple[int, ...]:
        """Parties that hold one component, ascending. Raises ValueError for a number that is no component."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Assignment:
    """A scheme as a table: row i holds the components of party i."""

    name: str
    code: int
    enough: int
    private_against: int
    tolerates_lies: int
    held: tuple[tuple[int, ...], ...]

    @property
    def parties(self) -> int:
        return len(self.held)

    @property
    def components(self) -> int:
        return 1 + max(map(max, self.held))

    def held_by(self, party: int) -> tuple[int, ...]:
        if not 0 <= party < self.parties:
            raise ValueError(f"party {party} of {self.parties}")
        return self.held[party]

    def holders(self, component: int) -> tuple[int, ...]:
        if not 0 <= component < self.components:
            raise ValueError(f"component {component} of {self.components}")
        return tuple(party for party, held in enumerate(self.held) if component in held)


@cache  # immutable, and asked for by everybody
def scheme(name: str, parties: int) -> Scheme:
    """The scheme of a task.

    "additive": n >= 2 parties, component j at party j; all are needed, n - 1 learn nothing, a lie is not noticed.
    "replicated": 3 parties, party i holds components i and i + 1 (mod 3); two are enough, one learns nothing, and
    each component is held twice, so that with all three a lie of one shows (Araki et al., CCS 2016, section 2).
    Raises ValueError for another name or number of parties.
    """
    if name == "additive":
        if parties < 2:
            raise ValueError("additive sharing needs at least 2 parties")
        return _Assignment(
            name=name,
            code=1,
            enough=parties,
            private_against=parties - 1,
            tolerates_lies=0,
            held=tuple((j,) for j in range(parties)),
        )
    if name == "replicated":
        if parties != 3:
            raise ValueError("replicated sharing needs exactly 3 parties")
        return _Assignment(
            name=name, code=2, enough=2, private_against=1, tolerates_lies=1, held=((0, 1), (1, 2), (0, 2))
        )
    raise ValueError(f"no sharing scheme {name!r}: additive or replicated")
