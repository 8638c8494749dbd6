"""`python -m benchmarks.joint`: joint computation beside MPyC, in memory and over Kafka.

In memory ours runs all three parties one after the other in one process, messages encoded and checked as on a
transport, so its time is the CPU of all of them. Over Kafka and in MPyC three processes talk, over loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks import joint_kafka
from benchmarks.joint_party import SIDES
from benchmarks.joint_work import COMPARISONS, LINEAR, MAXIMUM, MEDIAN, Operation, numbers, opened, operations
from benchmarks.mpyc_peer import FRACTIONS
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rounds import Array
from mpc_ops.sessions import Run, run

PEER = Path(__file__).with_name("mpyc_peer.py")
RUNS, QUICK_RUNS = 7, 1
AIM_OVER_KAFKA = (COMPARISONS, MAXIMUM, MEDIAN)

NOTES = """\
Milliseconds, the median of some runs, all three parties. MPyC 0.11 is measured in the same run, on the same numbers,
and reveals the same. "x": how many times longer MPyC takes; below 1 it is ahead. kB: what the busiest party sends.
  unchecked  private against one party that follows the protocol, as is MPyC (Shamir, threshold 1 of 3)
  checked    a party that lies is noticed before anything is opened; MPyC has nothing like it
Ours computes with 64 bits, where it sorts with 32; MPyC with 32. In memory ours is one process that does the work of
all three parties in turn. Over Kafka three processes take part in runs as parties do on the stream, with sealed
messages in signed records, from the keys to the opened result, around a bare consumer and producer: a runner adds its
own time. The broker is warm, as one that has been running for an hour: a round takes 2 ms then, 8 after a start.
The linear system: ours opens x, rounded; so does MPyC here, by its division of fixed-point numbers (once, and not
with --quick; off by one at times). "Opened as fractions" is how MPyC's demo solves systems: everybody learns
the determinant and x as fractions, which ours never shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What MPyC took, in seconds, and what it opened."""

    seconds: float
    opened: tuple[int, ...]


def measure(operation: Operation, kind: type[Replicated], runs: int) -> tuple[float, Run[Array]]:
    """Seconds for all three parties, and what a run took. Raises ValueError for a wrong result."""
    shares = operation.shares()
    times = []
    for _ in range(1 + runs):
        begin = time.monotonic()
        result = run(lambda party: operation.program(kind(party, operation.ring), *shares[party.index]), parties=3)
        times.append(time.monotonic() - begin)
        if any(opened(operation, value) != operation.expected for value in result.results):
            raise ValueError(f"{operation.name}: a party has opened another result")
    return median(times[1:]), result


def peer(runs: int, *, long: bool) -> dict[str, Theirs]:
    """MPyC by operation; nothing where it is not installed. Raises ValueError for a wrong result."""
    if find_spec("mpyc") is None:
        return {}
    x, y, system = numbers()
    with tempfile.TemporaryDirectory(prefix="sotto-bench-") as directory:
        inputs = Path(directory) / "inputs.json"
        inputs.write_text(json.dumps({"x": x.tolist(), "y": y.tolist(), "system": system.tolist()}))
        given = {"SOTTO_BENCH_INPUTS": str(inputs), "SOTTO_BENCH_RUNS": str(runs), "SOTTO_BENCH_LONG": str(int(long))}
        done = subprocess.run(  # noqa: S603  # our own file
            [sys.executable, str(PEER), "-M3", "--no-log"],
            env=os.environ | given,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    said = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    theirs = {name: Theirs(seconds=each["seconds"], opened=tuple(each["opened"])) for name, each in said.items()}
    expected = {operation.name: operation.expected for operation in operations()}
    expected[FRACTIONS] = expected[LINEAR]
    for name, each in theirs.items():
        off = max(abs(a - b) for a, b in zip(each.opened, expected[name], strict=True))
        if off > (name == LINEAR):
            raise ValueError(f"{name}: MPyC has opened another result")
    return theirs


def _table(title: str) -> Table:
    table = Table(title=title)
    for column in ("operation", "unchecked", "rounds", "kB", "x", "checked", "rounds", "kB", "x", "MPyC"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    return table


def _row(table: Table, name: str, ours: list[tuple[float, int, int]], theirs: Theirs | None) -> list[float]:
    """Add a row: (seconds, rounds, bytes) for each scheme. Returns how many times longer MPyC takes."""
    row, ratios = [name], []
    for seconds, rounds, size in ours:
        ratio = "-"
        if theirs is not None:
            ratios.append(theirs.seconds / seconds)
            ratio = f"{ratios[-1]:.2f}"
        row += [f"{seconds * 1e3:.1f}", str(rounds), f"{size / 1e3:.1f}", ratio]
    table.add_row(*row, "-" if theirs is None else f"{theirs.seconds * 1e3:.1f}")
    return ratios


def _in_memory(theirs: dict[str, Theirs], runs: int) -> tuple[Table, list[str]]:
    table, behind = _table("Joint computation in memory"), []
    for operation in operations():
        ours = []
        for kind in SIDES.values():
            seconds, result = measure(operation, kind, runs)
            ours.append((seconds, result.rounds, max(result.wire)))
        ratios = _row(table, operation.name, ours, theirs.get(operation.name))
        behind += [f"{operation.name} in memory, {scheme}" for scheme in _behind(ratios)]
    if FRACTIONS in theirs:
        table.add_row(FRACTIONS, *["-"] * 8, f"{theirs[FRACTIONS].seconds * 1e3:.1f}")
    return table, behind


def _over_kafka(theirs: dict[str, Theirs], runs: int) -> tuple[Table, list[str]] | None:
    found = joint_kafka.measure(runs)
    if not found:
        return None
    table, behind = _table("Joint computation over Kafka, MPyC over loopback"), []
    for operation in operations():
        ours = [found[operation.name, scheme] for scheme in SIDES]
        rows = [(each.seconds, each.rounds, each.size) for each in ours]
        ratios = _row(table, operation.name, rows, theirs.get(operation.name))
        if operation.name in AIM_OVER_KAFKA:
            behind += [f"{operation.name} over Kafka, {scheme}" for scheme in _behind(ratios)]
    return table, behind


def _behind(ratios: list[float]) -> Iterator[str]:
    return (scheme for scheme, ratio in zip(SIDES, ratios, strict=False) if ratio < 1)


def report(console: Console, *, quick: bool) -> None:
    """Measure and print."""
    runs = QUICK_RUNS if quick else RUNS
    theirs = peer(runs, long=not quick)
    if not theirs:
        console.print("MPyC is not installed (`make venv` does it): nothing to compare with", highlight=False)
    table, behind = _in_memory(theirs, runs)
    console.print(table)
    over_kafka = _over_kafka(theirs, runs)
    if over_kafka is None:
        console.print("Kafka is not installed (`make servers` does it): nothing over Kafka", highlight=False)
    else:
        console.print(over_kafka[0])
        behind += over_kafka[1]
    console.print(NOTES, highlight=False, markup=False)
    if behind:
        console.print(f"\nbehind MPyC, where the aim is to be ahead: {'; '.join(behind)}", highlight=False)


if __name__ == "__main__":
    report(Console(width=120), quick="--quick" in sys.argv)
