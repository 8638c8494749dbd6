"""Whether shared numbers lie in their declared ranges: who shares them may lie about that, and no party sees it.

What is opened on the way of a protocol is hidden by masks that are as long as the declared ranges need. Beyond these
they hide nothing, so this one bit is opened first: that all numbers are in range. All that it takes are most
significant bits (`mpc_ops.joint.comparing.sign`), which are right for every element of Z/2^64. With y = x + l as an
unsigned word, x lies in [-l, l] just where y <= 2 l, and l - x = 2 l - y:

    2 l < 2^63     neither of y and 2 l - y has the top bit
    otherwise      not both of them have it
"""

from __future__ import annotations

import numpy as np

from mpc_ops.joint import comparing
from mpc_ops.joint.base import plus
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.comparing import sign
from mpc_ops.joint.gates import all_along, conjunction
from mpc_ops.joint.replicated import Replicated, needed
from mpc_ops.rings import Z64, Bits
from mpc_ops.rounds import Array, Interactive


class RangeError(ValueError):
    """A number is outside its declared range: that one is, is all that was revealed. Who shared it has lied."""


def rounds(count: int) -> int:
    """How many rounds `within` takes for `count` numbers, unchecked."""
    return comparing.rounds() + 1 + (count - 1).bit_length() + 1 if count else 0


def within(side: Replicated, x: Array, largest: list[int]) -> Interactive[None]:
    """Test -l <= x <= l for a share (2, n) of any words and the n public l = `largest` below 2^63.

    Rounds: `rounds`, and `AND_ROUNDS` where it is checked. May run beside what opens nothing that depends on ranges.
    Raises RangeError at all parties alike, ValueError for other limits than these.
    """
    needed(side, Z64)
    if x.shape != (2, len(largest)) or not all(0 <= one < 1 << 63 for one in largest):
        raise ValueError(f"{x.shape[1:]} numbers, {len(largest)} limits: one below 2^63 for each")
    if not largest:
        return
    # its own journal, so that what runs beside it need not wait
    alone = Checked(side.party, side.ring) if isinstance(side, Checked) else side
    single = alone.over(Bits(1))
    limits = alone.public(np.array(largest, dtype=np.uint64))
    tops = yield from sign(alone, np.stack([limits + x, limits - x], axis=1))
    narrow = np.array([2 * one < 1 << 63 for one in largest], dtype=np.uint64)
    first, second = (plus(single, tops[:, which], narrow) for which in range(2))
    both = yield from conjunction(alone, first, second, 1)
    inside = yield from all_along(alone, plus(single, both, narrow ^ np.uint64(1)), 1)
    opened = yield from single.open(inside[:, None])
    if not opened[0]:
        raise RangeError("a number is outside its declared range")
