"""What goes into the spool in one transaction, and what comes back out of it after a restart."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.batcher import Ack
from ingest.shard import Outgoing, SegmentState


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchMark:
    """A batch that was made: what its window's seal, and the search for repeats, need of it after a restart."""

    window: int
    sequence: int
    core: bytes
    rows: NDArray[np.int64] = field(repr=False)
    """For each cell of the roster."""
    fingerprints: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedWindow:
    """A window that was closed for good. Counts are this gateway's own; `late` and `dropped` are its seal's notes."""

    window: int
    readings: int
    gaps: int
    late: int
    dropped: int
    refused: int
    cold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A window with batches that Kafka has not confirmed, as the spool knows it.

    `stored_at`: when the oldest of them was stored (ms). `readings`, and the notes of its seal, are 0 while it is open.
    """

    window: int
    stored_at: int
    readings: int
    late: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A window whose records leave the spool unsent, and how many readings are lost with it."""

    window: int
    readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One transaction. After it is durable, and not before, the messages of `acks` are acknowledged."""

    outgoing: tuple[Outgoing, ...]
    batches: tuple[BatchMark, ...]
    salts: tuple[tuple[int, bytes], ...] = field(repr=False)
    """(window, salt) of windows that had their first reading."""
    counted: tuple[tuple[int, int, int], ...]
    """(window, gaps, refused) of open windows that had new ones."""
    sealed: tuple[SealedWindow, ...]
    receipts: tuple[tuple[int, bytes], ...]
    forgotten: tuple[int, ...]
    following: int | None
    contributes_from: int | None
    late: int
    dropped: int
    acks: tuple[Ack, ...]
    given_up: tuple[GivenUp, ...] = ()
    noted: bool = False
    """`late` or `dropped` is not what it was: their messages are acknowledged, so the count has to be durable too."""

    @property
    def writes(self) -> bool:
        """Tell whether there is something to store, not only messages to acknowledge."""
        return bool(
            self.outgoing
            or self.batches
            or self.salts
            or self.counted
            or self.sealed
            or self.receipts
            or self.forgotten
            or self.given_up
            or self.noted
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWindow:
    """An open window that the spool kept. `given_up`: it was dropped, and what still comes for it is only counted."""

    salt: bytes = field(repr=False)
    fingerprints: bytes = field(repr=False)
    rows: NDArray[np.int64] = field(repr=False)
    """For each cell of the roster."""
    segments: tuple[SegmentState, ...]
    gaps: int = 0
    refused: int = 0
    given_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the spool kept. `cold` is True where there was nothing: a first start, or a lost disk."""

    cold: bool
    following: int | None = None
    contributes_from: int | None = None
    late: int = 0
    dropped: int = 0
    windows: dict[int, KeptWindow] = field(default_factory=dict)
    receipts: dict[int, bytes] = field(default_factory=dict)
