"""What goes into the spool in one transaction, and what comes back out of it after a restart."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.batcher import Ack
from ingest.shard import Outgoing, SegmentState


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchMark:
    """A batch that was made: what its window's seal, and the search for repeats, need of it after a restart."""

    window: int
    sequence: int
    core: bytes
    rows: int
    fingerprints: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedWindow:
    """A window that was closed for good, for the log. Counts are this gateway's own."""

    window: int
    readings: int
    gaps: int
    late: int
    refused: int
    cold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One transaction. After it is durable, and not before, the messages of `acks` are acknowledged."""

    outgoing: tuple[Outgoing, ...]
    batches: tuple[BatchMark, ...]
    salts: tuple[tuple[int, bytes], ...] = field(repr=False)
    """(window, salt) of windows that had their first reading."""
    sealed: tuple[SealedWindow, ...]
    receipts: tuple[tuple[int, bytes], ...]
    forgotten: tuple[int, ...]
    following: int | None
    contributes_from: int | None
    late: int
    acks: tuple[Ack, ...]

    @property
    def writes(self) -> bool:
        """Tell whether there is something to store, not only messages to acknowledge."""
        return bool(self.outgoing or self.batches or self.salts or self.sealed or self.receipts or self.forgotten)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWindow:
    """An open window that the spool kept."""

    salt: bytes = field(repr=False)
    fingerprints: bytes = field(repr=False)
    rows: int
    segments: tuple[SegmentState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the spool kept. `cold` is True where there was nothing: a first start, or a lost disk."""

    cold: bool
    following: int | None = None
    contributes_from: int | None = None
    late: int = 0
    windows: dict[int, KeptWindow] = field(default_factory=dict)
    receipts: dict[int, bytes] = field(default_factory=dict)
