"""`python -m benchmarks.joint`: joint computation in memory, checked and not, beside MPyC where it is installed.

Ours runs all three parties one after the other in one process, messages encoded and checked as on a transport, so
its time is the CPU of all of them; MPyC runs three processes that talk over loopback. Both reveal the same output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mpc_ops.joint import comparing, ordering, replicated
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.linear import System, solve
from mpc_ops.joint.replicated import Replicated
from mpc_ops.randomness import Stream
from mpc_ops.rings import F61, Z64, Bits, Ring
from mpc_ops.rounds import Array, Interactive
from mpc_ops.sessions import Run, run

PEER = Path(__file__).with_name("mpyc_peer.py")
RUNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is measured: a program on shares, over a ring."""

    name: str
    ring: Ring
    program: Callable[..., Interactive[Array]]
    inputs: Sequence[Array]


def operations() -> list[Operation]:
    """The same work as in `mpyc_peer`, and a linear system, which MPyC's own way solves with more revealed."""
    stream = Stream(bytes(32))
    x, y = (stream.words(1000) >> np.uint64(44) for _ in range(2))
    system = System(size=16, matrix=(1 << 20) - 1, right=(1 << 20) - 1, scale=1000)
    entries = system.field.element(stream.words(272) >> np.uint64(44))
    field = [F61.element(values) for values in (x, y)]
    return [
        Operation(name="sum of 1,000", ring=Z64, program=_total, inputs=[x]),
        Operation(name="1,000 products", ring=F61, program=_products, inputs=field),
        Operation(name="1,000 comparisons", ring=Z64, program=_comparisons, inputs=[x, y]),
        Operation(name="maximum of 100", ring=Z64, program=_maximum, inputs=[x[:100]]),
        Operation(name="median of 100", ring=Z64, program=_median, inputs=[x[:100]]),
        Operation(
            name="16 x 16 linear system",
            ring=system.field,
            program=lambda side, a, b: _solution(side, a, b, system),
            inputs=[entries[:256].reshape(16, 16), entries[256:]],
        ),
    ]


def _total(side: Replicated, x: Array) -> Interactive[Array]:
    result = yield from side.open(side.ring.total(x, 1)[:, None])
    return result


def _products(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    share = yield from side.multiply(x, y)
    result = yield from side.open(share)
    return result


def _comparisons(side: Replicated, x: Array, y: Array) -> Interactive[Array]:
    bits = yield from comparing.less(side, x, y)
    result = yield from side.over(Bits(1)).open(bits)
    return result


def _maximum(side: Replicated, x: Array) -> Interactive[Array]:
    found = yield from ordering.order(side, x, 32)
    result = yield from side.open(found.maximum()[:, None])
    return result


def _median(side: Replicated, x: Array) -> Interactive[Array]:
    found = yield from ordering.order(side, x, 32)
    result = yield from side.open(found.twice_median()[:, None])
    return result


def _solution(side: Replicated, a: Array, b: Array, system: System) -> Interactive[Array]:
    share = yield from solve(side, a, b, system)
    result = yield from side.open(share)
    return result


def measure(operation: Operation, kind: type[Replicated]) -> tuple[float, Run[Any]]:
    """Seconds for all three parties, the median of some runs, and what the run took."""
    stream = Stream(b"\1" * 32)
    shares = [replicated.share(operation.ring, values, stream) for values in operation.inputs]
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        result = run(
            lambda party: operation.program(kind(party, operation.ring), *(share[party.index] for share in shares)),
            parties=3,
        )
        times.append(time.perf_counter() - begin)
    return median(times), result


def peer() -> dict[str, float]:
    """MPyC's seconds by operation; nothing where it is not installed."""
    if find_spec("mpyc") is None:
        return {}
    done = subprocess.run(  # noqa: S603  # our own file
        [sys.executable, str(PEER), "-M3", "--no-log"], capture_output=True, text=True, check=True, timeout=300
    )
    found: dict[str, float] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return found


def main() -> None:
    """Print the table."""
    theirs = peer()
    table = Table(title="Joint computation in memory: ms for three parties, rounds, kB from each party")
    for column in ("operation", "ours", "rounds", "kB", "checked", "rounds", "kB", "MPyC"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    for operation in operations():
        row = [operation.name]
        for kind in (Replicated, Checked):
            seconds, result = measure(operation, kind)
            row += [f"{seconds * 1e3:.2f}", str(result.rounds), f"{max(result.wire) / 1e3:.1f}"]
        row.append(f"{theirs[operation.name] * 1e3:.1f}" if operation.name in theirs else "-")
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
