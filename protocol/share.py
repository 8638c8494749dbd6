"""What an aggregate share holds: a party's sums by cell, and what it does not let out (SPEC 8.5).

Sealed to the collector alone, under HPKE with everything in `info` that must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.body import SealNotes
from protocol.codec import Reader, Writer
from protocol.errors import WireError

REASONS: Final = (
    "no_readings",
    "too_few_organisations",
    "too_few_gateways",
    "too_few_readings",
    "too_many_absent",
    "overflow",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePayload:
    """Cells by their number in the roster's list, each once: released with counts and sums, or suppressed.

    `released` int64[c] ascending, `counts` int64[c], `sums` uint64[held, c]; `notes` says
    what the seals of gateways of the agreed set noted, where they noted anything.
    """

    released: NDArray[np.int64]
    counts: NDArray[np.int64] = field(repr=False)
    sums: NDArray[np.uint64] = field(repr=False)
    suppressed: tuple[tuple[int, str], ...]
    notes: tuple[tuple[str, SealNotes], ...]

    def encode(self) -> bytes:
        writer = Writer().u32(len(self.released)).words(self.released).words(self.counts)
        writer.u8(len(self.sums)).words(self.sums).u32(len(self.suppressed))
        for cell, reason in self.suppressed:
            writer.u32(cell).u8(REASONS.index(reason))
        writer.u16(len(self.notes))
        for gateway, notes in self.notes:
            writer.text(gateway).raw(notes.encode())
        return writer.done()

    @classmethod
    def decode(cls, data: bytes, *, cells: int, held: int) -> SharePayload:
        """Read a payload in which each of `cells` cells occurs once. Raises WireError."""
        reader = Reader(data)
        count = reader.u32()
        released, counts = reader.signed_words(count), reader.signed_words(count)
        if reader.u8() != held:
            raise WireError("other_component")
        sums = reader.unsigned_words(held * count).reshape(held, count)
        suppressed = []
        for _ in range(reader.u32()):
            cell, reason = reader.u32(), reader.u8()
            if reason >= len(REASONS):
                raise WireError("unknown_reason")
            suppressed.append((cell, REASONS[reason]))
        notes = tuple((reader.text(), SealNotes.decode(reader.raw(8))) for _ in range(reader.u16()))
        reader.end()
        places = released.tolist() + [cell for cell, _ in suppressed]
        if sorted(places) != list(range(cells)) or (counts < 1).any():
            raise WireError("not_canonical")
        return cls(released=released, counts=counts, sums=sums, suppressed=tuple(suppressed), notes=notes)


def share_info(
    *, task_hash: bytes, roster_hash: bytes, window: int, digest: bytes, party: int, suite: int, key_id: bytes
) -> bytes:
    """Return HPKE's `info` for a party's aggregate share."""
    writer = Writer().raw(b"sotto/1 aggregate share\0").u8(suite).raw(task_hash, 32).raw(roster_hash, 32)
    return writer.i64(window).raw(digest, 32).u8(party).raw(key_id, 16).done()
