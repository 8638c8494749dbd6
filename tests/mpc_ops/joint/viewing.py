"""What each party sees of a protocol, for two inputs with one output, and how far apart that is.

A view is a party's own shares and all messages that it receives, of a few thousand equal instances side by side.
Each message, and each pair of them (their XOR, sum and difference), is counted by its lowest and its highest bits,
and the counts for both inputs are compared. That finds what a party could find with a linear test of two values.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np

from mpc_ops.rounds import Interactive
from mpc_ops.sessions import HEADER_SIZE, run
from tests.mpc_ops.joint.common import AdditiveDealt
from tests.mpc_ops.joint.counting import distance, words_of

COUNT = 2048


def views(scheme: Any, program: Any, inputs: Any) -> list[dict[Any, Any]]:
    """For each party, by message and by share, the words that it sees: the first 8 bytes of each element, or bytes."""
    seen: list[dict[Any, bytes]] = [{} for _ in range(scheme.parties)]

    def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
        if len(message) > HEADER_SIZE:
            seen[receiver][number, sender] = message[HEADER_SIZE:]

    shares = [scheme.share(values, index) for index, values in enumerate(inputs)]
    run(
        lambda party: program(scheme.side(party), *(share[party.index] for share in shares)),
        parties=scheme.parties,
        observe=observe,
    )
    for party, index in product(range(scheme.parties), range(len(shares))):
        parts = shares[index][party]
        for slot, part in enumerate([*parts, scheme.ring.total(parts, 0)]):
            seen[party]["share", index, slot] = scheme.ring.encode(part)
    count = inputs[0].size
    return [{key: words_of(data, count) for key, data in messages.items()} for messages in seen]


def farthest(scheme: Any, program: Any, one: Any, other: Any) -> float:
    """The largest distance over all parties, messages, shares and pairs of them."""
    worst = 0.0
    sides = [views(scheme, program, inputs) for inputs in (one, other)]
    for first, second in list(zip(*sides, strict=True))[: scheme.parties - isinstance(scheme, AdditiveDealt)]:
        assert first.keys() == second.keys()
        worst = max(worst, *(distance(first[key], second[key]) for key in first))
        pairs = [(a, b) for a, b in combinations(first, 2) if len(first[a]) == len(first[b])]
        for a, b in pairs[:: 1 + len(pairs) // 300]:
            for combine in (np.bitwise_xor, np.subtract, np.add):
                worst = max(worst, distance(combine(first[a], first[b]), combine(second[a], second[b])))
    return worst


def opened(program: Any, ring: Any = None) -> Any:
    def whole(side: Any, *shares: Any) -> Interactive[Any]:
        result = yield from program(side, *shares)
        values = yield from (side if ring is None else side.over(ring)).open(result)
        return values

    return whole


def all_equal(ring: Any, *values: int) -> list[Any]:
    return [ring.element(np.full(COUNT, value, dtype=object)) for value in values]
