"""Combining the parties' aggregate shares of one window: compare all that must be equal, then add the components.

A wrong share would make a random number, not a slightly wrong one, so everything is compared first; what contradicts
is suppressed, never shown. With all three replicated shares each component is there twice, and one party that lies is
noticed; with two, or with the additive scheme, a lie cannot be seen, and the result says so (`verified`). A share that
cannot be read at all is none: where two can go on without a third, they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_ops.schemes import Scheme
from mpc_ops.sharing import reveal as add_components
from protocol.body import SealNotes
from protocol.share import SharePayload


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    """Sums over the agreed set: by cell number, counts int64[c] and units int64[c]; reasons of the other cells.

    `parties`: whose shares were used; `unreadable`: whose could not be read.
    """

    parties: tuple[int, ...]
    unreadable: tuple[int, ...]
    cells: NDArray[np.int64]
    counts: NDArray[np.int64] = field(repr=False)
    units: NDArray[np.int64] = field(repr=False)
    suppressed: tuple[tuple[int, str], ...]
    notes: Mapping[str, SealNotes]
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """The shares cannot all be right. `kind` as in `streams.findings`; `suspects`: the fewest among whom a liar is."""

    kind: str
    suspects: tuple[int, ...]


def reveal(scheme: Scheme, shares: Mapping[int, SharePayload | None], *, enough: int) -> Revealed | Contradiction:
    """Combine the shares of parties over one set; None stands for one that could not be read.

    At least `enough` shares must be readable: then the others count as not sent. Raises nothing: whatever the parties
    sent gives a result.
    """
    unreadable = tuple(sorted(party for party, share in shares.items() if share is None))
    payloads = {party: share for party, share in sorted(shares.items()) if share is not None}
    if len(payloads) < enough:
        return Contradiction(kind="unreadable_share", suspects=unreadable)
    odd = odd_ones({party: _public_part(share) for party, share in payloads.items()})
    if odd:
        return Contradiction(kind="other_counts", suspects=odd)
    copies: dict[int, dict[int, NDArray[np.uint64]]] = {}
    for party, share in payloads.items():
        for place, component in enumerate(scheme.held_by(party)):
            copies.setdefault(component, {})[party] = share.sums[place]
    wrong = [held for _, held in sorted(copies.items()) if len({sums.tobytes() for sums in held.values()}) > 1]
    if wrong:
        return Contradiction(kind="other_sums", suspects=liars(wrong) or tuple(payloads))
    assert len(copies) == scheme.components, "internal error: a window ended as a point with too few shares"
    first = next(iter(payloads.values()))
    return Revealed(
        parties=tuple(payloads),
        unreadable=unreadable,
        cells=first.released,
        counts=first.counts,
        units=add_components([next(iter(held.values())) for _, held in sorted(copies.items())]),
        suppressed=first.suppressed,
        notes=_notes([dict(share.notes) for share in payloads.values()]),
        verified=scheme.tolerates_lies > 0 and len(payloads) == scheme.parties,
    )


def _public_part(share: SharePayload) -> bytes:
    """What all parties derive from the same row counts, so that it must be equal: cells, counts, reasons."""
    return b"|".join(
        (share.released.tobytes(), share.counts.tobytes(), repr(sorted(share.suppressed)).encode()),
    )


def _notes(said: Sequence[Mapping[str, SealNotes]]) -> dict[str, SealNotes]:
    """Gateway -> the middle one of what the parties have read in its seal: of three, one alone cannot choose it.

    They are not compared like the counts: a gateway seals its notes to each party, and could make them contradict.
    """
    found = {}
    for gateway in {gateway for notes in said for gateway in notes}:
        known = [notes.get(gateway, SealNotes()) for notes in said]
        found[gateway] = SealNotes(
            late=sorted(one.late for one in known)[len(known) // 2],
            dropped=sorted(one.dropped for one in known)[len(known) // 2],
        )
    return found


def odd_ones(parts: Mapping[int, bytes]) -> tuple[int, ...]:
    """None when all are equal; the one party that differs from all others; or all, when that cannot be told."""
    if len(set(parts.values())) == 1:
        return ()
    if len(parts) > 2:
        for party in parts:
            if len({part for other, part in parts.items() if other != party}) == 1:
                return (party,)
    return tuple(parts)


def liars(wrong: Sequence[Iterable[int]]) -> tuple[int, ...]:
    """The parties one of which accounts for every component whose copies differ, from the holders of each.

    One differing component leaves its two holders; two leave the party that holds both; three no single one.
    """
    suspects = set(wrong[0])
    for held in wrong[1:]:
        suspects &= set(held)
    return tuple(sorted(suspects))
