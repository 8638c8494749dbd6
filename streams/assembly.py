"""What one party holds of one window: from the leaf's records to whole contributions.

A gateway's contribution is held in full when there is one seal and, for each segment that it names, exactly the
batches 0..n-1 whose core hashes give the seal's hash; otherwise it does not exist. Batches are added up as they come
and not kept, so a window costs its cells, not its readings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from protocol.batch import Epoch, cores_hash
from protocol.body import SealNotes
from protocol.contribution import BatchSums, FaultSeen, SealSeen
from protocol.control import Entry, Fault
from protocol.roster import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSums:
    """Rows and sums of shares by cell: `cells` intp[m] ascending (numbers in the roster), int64[m], uint64[held, m]."""

    cells: NDArray[np.intp]
    rows: NDArray[np.int64] = field(repr=False)
    sums: NDArray[np.uint64] = field(repr=False)


def nothing(held: int) -> CellSums:
    """The sums of no rows."""
    return CellSums(
        cells=np.empty(0, dtype=np.intp), rows=np.empty(0, dtype=np.int64), sums=np.empty((held, 0), dtype=np.uint64)
    )


def add_up(parts: Sequence[CellSums]) -> CellSums:
    """Add sums by cell; components wrap modulo 2^64. At least one part; the cells of each ascend, each once."""
    parts = [part for part in parts if len(part.cells)] or parts[:1]
    first = parts[0]
    if all(np.array_equal(part.cells, first.cells) for part in parts[1:]):
        rows, sums = first.rows, first.sums
        for part in parts[1:]:
            rows, sums = rows + part.rows, sums + part.sums
        return CellSums(cells=first.cells, rows=rows, sums=sums)
    cells, place = np.unique(np.concatenate([part.cells for part in parts]), return_inverse=True)
    rows = np.zeros(len(cells), dtype=np.int64)
    np.add.at(rows, place, np.concatenate([part.rows for part in parts]))
    held = parts[0].sums.shape[0]
    sums = np.zeros((held, len(cells)), dtype=np.uint64)
    for number in range(held):
        np.add.at(sums[number], place, np.concatenate([part.sums[number] for part in parts]))
    return CellSums(cells=cells, rows=rows, sums=sums)


@dataclass(slots=True)
class _Segment:
    """The batches of one epoch: their core hashes by sequence, and the sums so far."""

    cores: dict[int, bytes] = field(default_factory=dict)
    sums: CellSums | None = field(default=None, repr=False)


@dataclass(slots=True)
class _Gateway:
    seal: SealSeen | None = None
    segments: dict[Epoch, _Segment] = field(default_factory=dict)
    whole: CellSums | None = field(default=None, repr=False)
    fault: str | None = None


class Assembly:
    """One window. `cells` numbers the roster's cells; `held` is how many components this party holds."""

    def __init__(self, *, cells: Mapping[Cell, int], held: int, max_rows: int) -> None:
        self._cells = cells
        self._held = held
        self._max_rows = max_rows
        self._gateways: dict[str, _Gateway] = {}

    def add(self, contribution: BatchSums | SealSeen | FaultSeen) -> None:
        """Take one record. What was there before is ignored; what contradicts it is the gateway's fault."""
        gateway = self._gateways.setdefault(contribution.gateway, _Gateway())
        match contribution:
            case FaultSeen():
                self._blame(gateway, contribution.reason)
            case SealSeen():
                self._seal(gateway, contribution)
            case BatchSums():
                self._batch(gateway, contribution)

    def answered(self, gateway: str) -> bool:
        """Tell whether there is nothing more to wait for from this gateway: held in full, cold, or at fault."""
        return self.state(gateway) not in ("silent", "incomplete")

    def state(self, gateway: str) -> str:
        """One of silent, incomplete, complete, cold, fault."""
        known = self._gateways.get(gateway)
        if known is None:
            return "silent"
        if known.fault is not None:
            return "fault"
        if known.seal is not None and known.seal.cold:
            return "cold"
        return "incomplete" if known.whole is None else "complete"

    def entries(self) -> tuple[Entry, ...]:
        """The contributions held in full, for a manifest."""
        return tuple(
            Entry(gateway=name, contribution=known.seal.contribution)
            for name, known in sorted(self._gateways.items())
            if known.seal is not None and known.whole is not None and known.fault is None
        )

    def faults(self) -> tuple[Fault, ...]:
        """The gateways that this party refuses, for a manifest."""
        return tuple(
            Fault(gateway=name, reason=known.fault)
            for name, known in sorted(self._gateways.items())
            if known.fault is not None
        )

    def last_seal(self) -> int:
        """The latest time of the seals of `entries`, by the gateways' clocks; 0 without any."""
        seals = [known.seal.sealed_at for known in self._gateways.values() if known.seal and known.whole is not None]
        return max(seals, default=0)

    def contents(self, entries: Sequence[Entry]) -> dict[str, CellSums] | None:
        """Gateway -> sums of exactly these contributions, or None where one is not held in full.

        A gateway that contradicted itself only after its contribution was whole still has that contribution: this party
        may have signed for it already, and others hold the same.
        """
        found = {}
        for entry in entries:
            known = self._gateways.get(entry.gateway)
            if known is None or known.seal is None or known.whole is None:
                return None
            if known.seal.contribution != entry.contribution:
                return None
            found[entry.gateway] = known.whole
        return found

    def notes(self, gateway: str) -> SealNotes:
        """What the gateway's seal noted of readings of earlier windows."""
        known = self._gateways.get(gateway)
        if known is None or known.seal is None:
            return SealNotes()
        return SealNotes(late=known.seal.late, dropped=known.seal.dropped)

    def _seal(self, gateway: _Gateway, seal: SealSeen) -> None:
        """A cold seal says that there is no contribution: it contradicts none, and gives way to one (SPEC 6.4)."""
        if gateway.seal is None or (gateway.seal.cold and not seal.cold):
            gateway.seal = seal
            self._complete(gateway)
        elif not seal.cold and gateway.seal.contribution != seal.contribution:
            self._blame(gateway, "two_seals")

    def _batch(self, gateway: _Gateway, batch: BatchSums) -> None:
        if gateway.fault is not None:
            return
        segment = gateway.segments.setdefault(batch.epoch, _Segment())
        known = segment.cores.get(batch.sequence)
        if known is not None:
            if known != batch.core_hash:
                self._blame(gateway, "two_cores")
            return  # had before: a reading counts once
        segment.cores[batch.sequence] = batch.core_hash
        if gateway.whole is not None:
            # a batch beyond those that the seal counted, or of an epoch of which it does not know
            self._blame(gateway, "not_canonical" if self._named(gateway, batch.epoch) else "two_seals")
            return
        try:
            numbers = [self._cells[cell] for cell in batch.cells]
        except KeyError:
            self._blame(gateway, "unknown_cell")
            return
        part = CellSums(cells=np.array(numbers, dtype=np.intp), rows=batch.rows, sums=batch.sums)
        segment.sums = part if segment.sums is None else add_up([segment.sums, part])
        if (segment.sums.rows > self._max_rows).any():
            self._blame(gateway, "too_many_rows")
            return
        self._complete(gateway)

    @staticmethod
    def _named(gateway: _Gateway, epoch: Epoch) -> bool:
        return gateway.seal is not None and any(segment.epoch == epoch for segment in gateway.seal.segments)

    def _complete(self, gateway: _Gateway) -> None:
        """Find out whether the seal's segments are all there; if so, add them up and drop the parts."""
        seal = gateway.seal
        if seal is None or seal.cold or gateway.fault is not None or gateway.whole is not None:
            return
        if gateway.segments.keys() - {segment.epoch for segment in seal.segments}:
            # Another device uses the key, or the gateway has lost its state: these readings would be missing.
            self._blame(gateway, "two_seals")
            return
        parts = []
        for named in seal.segments:
            segment = gateway.segments.get(named.epoch)
            if segment is None or len(segment.cores) < named.batches:
                return
            if max(segment.cores) >= named.batches:
                self._blame(gateway, "not_canonical")
                return
            if cores_hash(b"".join(segment.cores[number] for number in range(named.batches))) != named.cores:
                self._blame(gateway, "two_cores")
                return
            if segment.sums is not None:
                parts.append(segment.sums)
        whole = add_up(parts) if parts else nothing(self._held)
        if (whole.rows > self._max_rows).any():
            self._blame(gateway, "too_many_rows")
            return
        gateway.whole = whole
        for segment in gateway.segments.values():
            segment.sums = None

    @staticmethod
    def _blame(gateway: _Gateway, reason: str) -> None:
        if gateway.fault is None:
            gateway.fault = reason
        for segment in gateway.segments.values():
            segment.sums = None


class Assemblies:
    """The assemblies of one root: one for each window of which something is kept, made when it is asked for."""

    def __init__(self, *, cells: Mapping[Cell, int], held: int, max_rows: int) -> None:
        self._make = partial(Assembly, cells=cells, held=held, max_rows=max_rows)
        self._windows: dict[int, Assembly] = {}

    def of(self, window: int) -> Assembly:
        """What is held of this window."""
        if window not in self._windows:
            self._windows[window] = self._make()
        return self._windows[window]

    def get(self, window: int) -> Assembly | None:
        """Likewise; None where nothing is."""
        return self._windows.get(window)

    def forget(self, window: int) -> None:
        """Drop a window that has ended."""
        self._windows.pop(window, None)

    def forget_below(self, over: int) -> None:
        """Drop the windows that start before `over`."""
        for window in [window for window in self._windows if window < over]:
            del self._windows[window]
