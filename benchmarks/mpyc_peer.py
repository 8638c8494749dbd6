"""The operations of `benchmarks.joint` in MPyC, which runs it as three processes: `python benchmarks/mpyc_peer.py -M3`.

MPyC's vectorised forms (`np_less`, `np_amax`, `np_sort`, ..), which are faster than those on lists. Inputs are shared
beforehand, outputs are opened within the time, as in ours; the time is that of the slowest party. Party 0 prints
{"seconds", "opened"} by operation, as JSON.

MPyC solves linear systems in its demo "ridgeregression": with the matrix masked on one side, and det A and det A x
opened, from which all see x as fractions. For what ours opens, x rounded, the quotients are computed in fixed point.

SOTTO_BENCH_INPUTS names a file with the numbers, SOTTO_BENCH_RUNS is how often each is measured; SOTTO_BENCH_LONG=1
measures that quotient too, once: it takes about a minute.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

SUM, PRODUCTS, COMPARISONS = "sum of 1,000", "1,000 products", "1,000 comparisons"
MAXIMUM, MEDIAN, LINEAR = "maximum of 100", "median of 100", "16 x 16 linear system"
FRACTIONS = "16 x 16 linear system, opened as fractions"
DETERMINANT_BITS = 370
SCALE = 1000


async def measure() -> None:
    """Each operation once to warm up, then as often as asked for."""
    mpc: Any = importlib.import_module("mpyc.runtime").mpc
    await mpc.start()
    given = json.loads(Path(os.environ["SOTTO_BENCH_INPUTS"]).read_text())
    runs = int(os.environ["SOTTO_BENCH_RUNS"])
    secure = mpc.SecInt(32)
    x, y = (mpc.input(secure.array(np.array(given[name], dtype=object)), senders=0) for name in ("x", "y"))
    some = x[:100]
    entries = mpc.SecInt(DETERMINANT_BITS)
    system = mpc.input(entries.array(np.array(given["system"], dtype=object)), senders=0)
    fixed = mpc.SecFxp(2 * DETERMINANT_BITS, DETERMINANT_BITS)
    whole = mpc.SecInt(DETERMINANT_BITS, p=fixed.field.modulus)
    same = mpc.input(whole.array(np.array(given["system"], dtype=object)), senders=0)

    async def middle() -> int:
        ordered = mpc.np_sort(some)
        return int(await mpc.output(ordered[49] + ordered[50]))

    async def fractions() -> list[int]:
        numerators, det = await solve(mpc, entries, system)
        opened = await mpc.output([*mpc.np_tolist(numerators), det])
        *above, below = (int(value) for value in opened)
        return [(2 * SCALE * value + below) // (2 * below) for value in above]

    async def rounded() -> list[int]:
        numerators, det = await solve(mpc, whole, same)
        above, below = fixed.array(await mpc.gather(numerators)), fixed(await mpc.gather(det))
        quotients = mpc.np_multiply(above, 1 / below) * SCALE + 0.5
        opened = await mpc.output(mpc.np_trunc(quotients), raw=True)
        return [int(value) for value in opened]

    operations: dict[str, Callable[[], Awaitable[Any]]] = {
        SUM: lambda: mpc.output(mpc.np_sum(x)),
        PRODUCTS: lambda: mpc.output(x * y),
        COMPARISONS: lambda: mpc.output(x < y),
        MAXIMUM: lambda: mpc.output(mpc.np_amax(some)),
        MEDIAN: middle,
        LINEAR: rounded,
        FRACTIONS: fractions,
    }
    if os.environ["SOTTO_BENCH_LONG"] != "1":
        del operations[LINEAR]
    found = {}
    for name, operation in operations.items():
        times: list[float] = []
        opened: Any = None
        for _ in range(1 if name == LINEAR else 1 + runs):
            await mpc.barrier()
            begin = time.monotonic()
            opened = await operation()
            times.append(max(await mpc.transfer(time.monotonic() - begin)))
        found[name] = {"seconds": median(times[1:] or times), "opened": [int(value) for value in np.atleast_1d(opened)]}
    if mpc.pid == 0:
        print(json.dumps(found), flush=True)
    await mpc.shutdown()


async def solve(mpc: Any, kind: Any, system: Any) -> tuple[Any, Any]:  # noqa: ANN401  # MPyC has no types
    """Shares of det A x and of det A, both whole numbers: the demo's `linear_solve`, in MPyC's arrays."""
    size, field = len(system), kind.field
    lower, upper = np.eye(size, dtype=object), np.zeros((size, size), dtype=object)
    lower[np.tril_indices(size, -1)] = mpc._np_randoms(field, size * (size - 1) // 2).value
    upper[np.triu_indices(size)] = mpc._np_randoms(field, size * (size + 1) // 2).value
    det_mask = mpc.prod([kind(field(value)) for value in np.diag(upper)])
    masked = (kind.array(field.array(lower)) @ kind.array(field.array(upper))) @ system
    opened = await mpc.output(masked[:, :size], raw=True)
    det = np.linalg.det(opened) / det_mask
    return mpc.np_flatten((np.linalg.inv(opened) @ masked[:, size:]) * det), det


if __name__ == "__main__":
    importlib.import_module("mpyc.runtime").mpc.run(measure())
