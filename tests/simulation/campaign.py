"""Many schedules over several processes, and the table of what they came to."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.run import run_seed

_CHUNK = 250


@dataclass
class Tally:
    """What many schedules came to."""

    kinds: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    windows: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in what another process did."""
        self.kinds += other.kinds
        self.steps += other.steps
        self.windows += other.windows
        self.faults += other.faults
        self.violations += other.violations


_EVERYDAY = ("speaks", "receives", "stores", "ticks", "acknowledges", "hears", "does all", "publishes")
_ORDINARY = frozenset(
    {
        "reads",
        "marks",
        "commits",
        "sends",
        "reads contributions",
        "reads control",
        "comes",
        "starts",
        "shares",
        "has a history",
    }
)


def _is_fault(name: str) -> bool:
    what = name.partition(": ")[2]
    return what not in _ORDINARY and not any(word in what for word in _EVERYDAY)


def some(job: tuple[int, int, str | None]) -> Tally:
    """Run the seeds first to last - 1."""
    first, last, kind = job
    gc.collect()
    gc.freeze()  # what is remembered from schedule to schedule need not be looked through
    gc.set_threshold(20_000, 20)
    tally = Tally()
    for seed in range(first, last):
        done = run_seed(seed, kind)
        tally.kinds[done.kind] += 1
        tally.steps += len(done.trace)
        for name, *_ in done.trace:
            if _is_fault(name):
                tally.faults[name] += 1
        if done.violation is not None:
            tally.violations.append((seed, done.kind, done.violation))
            continue
        for published in done.world.oracle.aggregates.values():
            (cell,) = published.aggregate.cells
            verified = ", verified" if published.aggregate.verified else ""
            tally.windows[cell.reason if cell.outcome == "suppressed" else f"exact point{verified}"] += 1
    return tally


def campaign(first: int, schedules: int, processes: int, kind: str | None, *, quiet: bool = False) -> Tally:
    """Run many seeds over some processes."""
    jobs = [(at, min(at + _CHUNK, first + schedules), kind) for at in range(first, first + schedules, _CHUNK)]
    total, begun, told = Tally(), time.monotonic(), time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for part in pool.imap_unordered(some, jobs):
            total.add(part)
            for seed, name, violation in part.violations:
                print(f"VIOLATION seed {seed} ({name}): {violation}", flush=True)
            if not quiet and time.monotonic() - told > 30:
                told = time.monotonic()
                done = total.kinds.total()
                print(f"{done} schedules, {done / (told - begun):.0f} per second", flush=True)
    _table(total, time.monotonic() - begun)
    return total


def _table(total: Tally, seconds: float) -> None:
    done = total.kinds.total()
    print(f"\n{done} schedules, {total.steps} steps, {seconds:.0f} s, {done / seconds:.0f} schedules per second")
    for title, counts in (("by kind", total.kinds), ("windows", total.windows), ("faults", total.faults)):
        print(f"\n{title}")
        for name, count in counts.most_common():
            print(f"  {count:>12,}  {name}")
    print(f"\nviolations: {len(total.violations)}")
