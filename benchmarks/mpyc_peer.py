"""The operations of `benchmarks.joint` in MPyC, run by it as three processes: `python benchmarks/mpyc_peer.py -M3`.

Party 0 prints {operation: seconds} as JSON. MPyC is much faster with gmpy2 and numpy installed. Inputs are shared
beforehand, and the output is opened within the time, as in ours.
"""

from __future__ import annotations

import importlib
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def measure() -> dict[str, float]:
    """Each operation once to warm up and three times for the median."""
    mpc: Any = importlib.import_module("mpyc.runtime").mpc
    await mpc.start()
    secure = mpc.SecInt(32)
    numbers = random.Random(1)  # noqa: S311  # test data

    def shared(count: int) -> list[Any]:
        mine: list[Any] = mpc.input([secure(numbers.randrange(1 << 20)) for _ in range(count)], senders=0)
        return mine

    x, y = shared(1000), shared(1000)
    some = x[:100]

    async def total() -> None:
        await mpc.output(mpc.sum(x))

    async def products() -> None:
        await mpc.output(mpc.schur_prod(x, y))

    async def comparisons() -> None:
        await mpc.output([a < b for a, b in zip(x, y, strict=True)])

    async def maximum() -> None:
        await mpc.output(mpc.max(some))

    async def median() -> None:
        await mpc.output(mpc.sorted(some)[49:51])

    operations: dict[str, Callable[[], Awaitable[None]]] = {
        "sum of 1,000": total,
        "1,000 products": products,
        "1,000 comparisons": comparisons,
        "maximum of 100": maximum,
        "median of 100": median,
    }
    found = {}
    for name, operation in operations.items():
        await operation()
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            await operation()
            times.append(time.perf_counter() - begin)
        found[name] = sorted(times)[1]
    if mpc.pid == 0:
        print(json.dumps(found), flush=True)
    await mpc.shutdown()
    return found


if __name__ == "__main__":
    importlib.import_module("mpyc.runtime").mpc.run(measure())
