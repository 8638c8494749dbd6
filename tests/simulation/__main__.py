"""`python -m tests.simulation`: many schedules and a table, or one schedule step by step."""

from __future__ import annotations

import argparse
import multiprocessing
import sys

from tests.simulation.campaign import campaign
from tests.simulation.explain import explain
from tests.simulation.run import run_seed, shrink
from tests.simulation.setting import KINDS


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
