"""Interleaved pairs: two ways to do the same work, run in turn, compared as ratios of CPU time.

Machines differ and are shared; a ratio of two neighbouring runs in one process moves less than either time. CPU time of
the process, not time on the wall: another process that takes the core away is nobody's cost here.
"""

from __future__ import annotations

import cProfile
import gc
import io
import pstats
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

Run: TypeAlias = Callable[[], object]
Way: TypeAlias = Callable[[], Run]
"""Prepares one run, untimed (a fresh object without caches from the run before), and returns what is timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Seconds of CPU of each pair: `ours` against `plain`, for `readings` readings."""

    name: str
    readings: int
    ours: tuple[float, ...]
    plain: tuple[float, ...]
    aim: float | None

    @property
    def ratios(self) -> list[float]:
        """One ratio for each pair."""
        return [a / b for a, b in zip(self.ours, self.plain, strict=True)]

    @property
    def above_aim(self) -> bool:
        """Whether the median misses the aim; never true where there is none."""
        return self.aim is not None and median(self.ratios) > self.aim

    def nanoseconds(self) -> tuple[float, float]:
        """Median time per reading: (ours, plain)."""
        return median(self.ours) / self.readings * 1e9, median(self.plain) / self.readings * 1e9


def compare(name: str, *, ours: Way, plain: Way, readings: int, pairs: int, aim: float | None = None) -> Comparison:
    """Run both ways `pairs` times, in turn, after one run of each that does not count."""
    _seconds(ours), _seconds(plain)
    times = [(_seconds(ours), _seconds(plain)) for _ in range(pairs)]
    first, second = zip(*times, strict=True)
    return Comparison(name=name, readings=readings, ours=first, plain=second, aim=aim)


def _seconds(way: Way) -> float:
    run = way()
    gc.collect()
    start = time.process_time()
    run()
    return time.process_time() - start


def profile(way: Way, *, seconds: float = 0.5, lines: int = 12) -> str:
    """Return the functions in which runs of this way spend their own time, most expensive first."""
    profiler = cProfile.Profile()
    runs, end = 0, time.process_time() + seconds
    while runs == 0 or time.process_time() < end:
        run = way()
        profiler.enable()
        run()
        profiler.disable()
        runs += 1
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(lines)
    body = text.getvalue().splitlines()
    start = next(number for number, line in enumerate(body) if line.lstrip().startswith("ncalls"))
    return "\n".join([f"   ({runs} runs)", *(line for line in body[start:] if line.strip())])
