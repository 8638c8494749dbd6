"""`python -m tests.simulation`: many schedules and a table, or one schedule step by step."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.explain import explain
from tests.simulation.run import run_seed, shrink
from tests.simulation.setting import KINDS

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
_ORDINARY = frozenset({"reads", "marks", "commits", "sends", "reads contributions", "reads control", "comes", "starts"})


def _is_fault(name: str) -> bool:
    what = name.partition(": ")[2]
    return what not in _ORDINARY and not any(word in what for word in _EVERYDAY)


def some(job: tuple[int, int, str | None]) -> Tally:
    """Run the seeds first to last - 1."""
    first, last, kind = job
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


def main() -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count(), help="how many at a time")
    parser.add_argument("--kind", choices=KINDS, help="one configuration only")
    parser.add_argument("--seed", type=int, help="replay one schedule and say what happens, made shorter if it fails")
    given = parser.parse_args()
    if given.seed is None:
        return 1 if campaign(given.first, given.schedules, given.processes, given.kind).violations else 0
    done = run_seed(given.seed, given.kind)
    if done.violation is not None:
        print(f"seed {given.seed} ({done.kind}), {len(done.trace)} steps: {done.violation}\nshorter:\n")
        done = shrink(done)
    print(explain(done))
    return 0 if done.violation is None else 1


if __name__ == "__main__":
    sys.exit(main())
