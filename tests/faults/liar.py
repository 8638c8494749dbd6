"""A party that lies: `python -m tests.faults.liar one|all party FILE ...` adds 1 to its aggregate shares.

`one`: to one of the components that it holds, `all`: to each of them. Everything else is `sotto party`, so its
signatures and its set are right, and only the other parties' shares can show the lie.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from protocol.share import SharePayload
from sotto import cli
from streams.root_fold import Seat


def lie(components: int) -> None:
    """Make every party of this process add 1 to each cell of its first `components` components."""
    honest = Seat.seal_share

    def seal_share(self: Seat, payload: SharePayload, window: int, digest: bytes) -> tuple[bytes, bytes]:
        sums = payload.sums.copy()
        sums[:components] += np.uint64(1)
        return honest(self, replace(payload, sums=sums), window, digest)

    Seat.seal_share = seal_share  # type: ignore[method-assign]


if __name__ == "__main__":
    lie({"one": 1, "all": sys.maxsize}[sys.argv.pop(1)])
    cli.main()
