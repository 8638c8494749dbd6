"""What an aggregate share holds: a party's sums by cell, its shares of jobs' results, what it keeps back (SPEC 8.3).

Sealed to the collector alone, under HPKE with everything in `info` that must agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
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

PARTIES: Final = 3
"""Jobs run among three replicated parties, and no others."""
JOINT_REASONS: Final = ("none", *REASONS, "party_missing", "parties_disagree", "singular_system", "out_of_range")
"""Of a job; "none" where there is a result. What is hidden of a result has one of REASONS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointShare:
    """A party's share of a job's result, or the reason for which it has none.

    `groups` ascending: numbers of those that the result is of; `hidden`: those that the policy keeps back.
    `data`: ring elements, held x n, as the job's ring writes them. With a reason all three are empty.
    `suspects` ascending: numbers of parties that the run found at fault; none where there is a result.
    """

    reason: str = "none"
    suspects: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    hidden: tuple[tuple[int, str], ...] = ()
    data: bytes = field(default=b"", repr=False)

    def write(self, writer: Writer) -> None:
        writer.u8(JOINT_REASONS.index(self.reason)).u8(len(self.suspects)).raw(bytes(self.suspects))
        writer.u32(len(self.groups))
        for group in self.groups:
            writer.u32(group)
        writer.u32(len(self.hidden))
        for group, reason in self.hidden:
            writer.u32(group).u8(REASONS.index(reason))
        writer.blob(self.data)

    @classmethod
    def read(cls, reader: Reader, *, held: int) -> JointShare:
        """Take a share off a payload. Whether groups and elements are those of the job is the caller's to check."""
        reason = _reason(reader, JOINT_REASONS)
        suspects = tuple(reader.raw(reader.u8()))
        groups = tuple(reader.u32() for _ in range(reader.u32()))
        hidden = tuple((reader.u32(), _reason(reader, REASONS)) for _ in range(reader.u32()))
        data = reader.blob()
        if any(party >= PARTIES for party in suspects):
            raise WireError("unknown_party")
        places = [group for group, _ in hidden]
        if not (_rises(suspects) and _rises(groups) and _rises(places)) or set(groups) & set(places):
            raise WireError("not_canonical")
        if len(data) % held or (suspects if reason == "none" else groups or hidden or data):
            raise WireError("not_canonical")
        return cls(reason=reason, suspects=suspects, groups=groups, hidden=hidden, data=data)


def _reason(reader: Reader, reasons: Sequence[str]) -> str:
    number = reader.u8()
    if number >= len(reasons):
        raise WireError("unknown_reason")
    return reasons[number]


def _rises(numbers: Sequence[int]) -> bool:
    return all(first < second for first, second in pairwise(numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePayload:
    """Cells by their number in the roster's list, each that is due once: released with counts and sums, or suppressed.

    `released` int64[c] ascending, `counts` int64[c], `sums` uint64[held, c]; `notes` says
    what the seals of gateways of the agreed set noted, where they noted anything.
    `joint`: one for each job of the task, in the task's order.
    """

    released: NDArray[np.int64]
    counts: NDArray[np.int64] = field(repr=False)
    sums: NDArray[np.uint64] = field(repr=False)
    suppressed: tuple[tuple[int, str], ...]
    notes: tuple[tuple[str, SealNotes], ...]
    joint: tuple[JointShare, ...] = ()

    def encode(self) -> bytes:
        writer = Writer().u32(len(self.released)).words(self.released).words(self.counts)
        writer.u8(len(self.sums)).words(self.sums).u32(len(self.suppressed))
        for cell, reason in self.suppressed:
            writer.u32(cell).u8(REASONS.index(reason))
        writer.u16(len(self.notes))
        for gateway, notes in self.notes:
            writer.text(gateway).raw(notes.encode())
        for share in self.joint:
            share.write(writer)
        return writer.done()

    @classmethod
    def decode(cls, data: bytes, *, due: Sequence[int], held: int, joint: int = 0) -> SharePayload:
        """Read a payload in which each cell of `due` (ascending) occurs once, and `joint` jobs. Raises WireError."""
        reader = Reader(data)
        count = reader.u32()
        released, counts = reader.signed_words(count), reader.signed_words(count)
        if reader.u8() != held:
            raise WireError("other_component")
        sums = reader.unsigned_words(held * count).reshape(held, count)
        suppressed = []
        for _ in range(reader.u32()):
            suppressed.append((reader.u32(), _reason(reader, REASONS)))
        notes = tuple((reader.text(), SealNotes.decode(reader.raw(8))) for _ in range(reader.u16()))
        shares = tuple(JointShare.read(reader, held=held) for _ in range(joint))
        reader.end()
        places = released.tolist() + [cell for cell, _ in suppressed]
        if sorted(places) != list(due) or (counts < 1).any():
            raise WireError("not_canonical")
        return cls(released=released, counts=counts, sums=sums, suppressed=tuple(suppressed), notes=notes, joint=shares)


def share_info(
    *, task_hash: bytes, roster_hash: bytes, window: int, digest: bytes, party: int, suite: int, key_id: bytes
) -> bytes:
    """Return HPKE's `info` for a party's aggregate share."""
    writer = Writer().raw(b"sotto/1 aggregate share\0").u8(suite).raw(task_hash, 32).raw(roster_hash, 32)
    return writer.i64(window).raw(digest, 32).u8(party).raw(key_id, 16).done()
