"""Rows of one window and one source into columns: quantised, within the range, without repeats. All in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.decode import Row, SourceDecoder
from ingest.repeats import SIZE, Repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """n readings that count: numbers of their cells (intp[n]), units (uint64[n]), fingerprints (16 n bytes)."""

    cells: NDArray[np.intp] = field(repr=False)
    units: NDArray[np.uint64] = field(repr=False)
    fingerprints: bytes = field(repr=False)
    readings: tuple[int, ...]
    """For each measure of the source."""
    gaps: int
    out_of_range: int
    repeats: int
    refused: NDArray[np.bool_] = field(repr=False)
    """For each row whether a value of it was out of range: then its time is not believed either."""


def columns(rows: Sequence[Row], source: SourceDecoder, repeats: Repeats) -> Columns:
    """Quantise the rows of one window and one source; `repeats` learns what was new."""
    sensors, bases, times, values = zip(*rows, strict=True)
    table = np.array(values, dtype=np.float64).reshape(len(rows), -1)
    base = np.array(bases, dtype=np.intp)
    time = np.array(times, dtype=np.int64)
    numbers = {sensor: number for number, sensor in enumerate(dict.fromkeys(sensors))}
    sensor = np.fromiter(map(numbers.__getitem__, sensors), dtype=np.intp, count=len(sensors))
    cells, units, fingerprints, counts = [], [], [], []
    repeated = 0
    refused = np.zeros(table.shape, dtype=np.bool_)
    for number, (measure, offset, quantiser) in enumerate(
        zip(source.measures, source.offsets, source.quantisers, strict=True)
    ):
        column = np.ascontiguousarray(table[:, number])
        unit, ok = quantiser.quantise(column)
        there = np.flatnonzero(ok)
        refused[:, number] = ~ok & ~np.isnan(column)
        if source.timed and len(there):
            streams = [repeats.stream(source.name, name, measure) for name in numbers]
            prints = repeats.fingerprints(streams, sensor[there], time[there], column[there])
            new = repeats.new(prints)
            if not new.all():
                prints = np.frombuffer(prints, dtype=f"V{SIZE}")[new].tobytes()
                repeated += int(len(new) - np.count_nonzero(new))
                there = there[new]
            fingerprints.append(prints)
        cells.append(base[there] + offset)
        units.append(unit[there])
        counts.append(len(there))
    return Columns(
        cells=np.concatenate(cells),
        units=np.concatenate(units),
        fingerprints=b"".join(fingerprints),
        readings=tuple(counts),
        gaps=int(np.count_nonzero(np.isnan(table))),
        out_of_range=int(np.count_nonzero(refused)),
        repeats=repeated,
        refused=np.asarray(refused.any(axis=1)),
    )
