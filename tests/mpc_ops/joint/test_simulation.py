"""What a party receives could have been made by somebody who knows its own shares and the output, and nothing else.

The simulator below plays the two other parties for one party: whatever a protocol makes it expect is drawn at
random, and the last message is the component that, with what the party holds then, gives the output. The party ends
with that output, and its view is one of the same distribution as in a real run.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from mpc_ops import sessions
from mpc_ops.joint import comparing, gates, rounding
from mpc_ops.joint.replicated import Replicated
from mpc_ops.randomness import HASH_SIZE, Randomness, Stream, trial_keys
from mpc_ops.rings import BITS, F61, F127, Z64, Bits
from mpc_ops.rounds import Interactive
from mpc_ops.sessions import HEADER_SIZE, Party, Session, run
from tests.mpc_ops.joint.common import Replicated3, stream
from tests.mpc_ops.joint.counting import LIMIT, distance, words_of

COUNT = 2048

CASES = {
    "product": (Z64, Z64, lambda side, x, y: side.multiply(x, y), (3, -5), -15),
    "product in a field": (F61, F61, lambda side, x, y: side.multiply(x, y), (3, -5), -15),
    "AND": (BITS, BITS, gates.conjunction, (6, 3), 2),
    "less": (Z64, Bits(1), comparing.less, (6, 3), 0),
    "equal": (Z64, Bits(1), comparing.equal, (6, 6), 1),
    "from bit": (Bits(1), F61, lambda side, x, y: gates.from_bit(side, x ^ y, F61), (1, 0), 1),
    "lift": (Z64, F127, lambda side, x, y: rounding.lift(side, x, F127), (-6, 0), -6),
}


def program(party: Party, name: str, shares: Any, held: list[Any]) -> Interactive[Any]:
    """The protocol of a case and its opening; `held` gets the share of the result before it is opened."""
    ring, output, body, _, _ = CASES[name]
    side = Replicated(party, ring)
    share = yield from body(side, *shares)
    held.append(share)
    values = yield from side.over(output).open(share)
    return values


def simulated(session: Session[Any], held: list[Any], ring: Any, result: Any, draws: Stream) -> dict[Any, bytes]:
    """Run one party against random messages: by round and sender, what it got."""
    seen = {}
    while not session.done:
        messages = {}
        for sender, items in session._round.expect.items():
            values = [item.kind.draw(draws, item.shape) for item in items]
            if held:
                share = held[0]
                values = [ring.sub(ring.sub(result, share[0]), share[1])]
            # a header is made from what is known; a party of the same kind writes it
            body = b"".join(item.kind.encode(value) for item, value in zip(items, values, strict=True))
            messages[sender] = header(session, sender) + body
            seen[session.round_number, sender] = body
        session.deliver(messages, bytes(HASH_SIZE))
    return seen


def header(session: Session[Any], sender: int) -> bytes:
    items = session._round.expect[sender]  # the simulator sees what is expected
    return sessions._HEADER.pack(
        sessions._TAG,
        sender,
        session.party.index,
        session.round_number,
        sessions._schema(items),
    )


@pytest.mark.parametrize("party", range(3))
@pytest.mark.parametrize("name", CASES)
def test_a_view_is_simulated_from_shares_and_output(name: str, party: int) -> None:
    """The simulated party ends with the output; counting does not tell its view from a real one."""
    ring, output, _, inputs, expected = CASES[name]
    scheme = Replicated3(ring)
    shares = [scheme.share(ring.element([value] * COUNT), (name, index)) for index, value in enumerate(inputs)]
    result = output.element([expected] * COUNT)
    real: dict[Any, bytes] = {}

    def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
        if receiver == party:
            real[number, sender] = message[HEADER_SIZE:]

    honest = run(lambda p: program(p, name, [s[p.index] for s in shares], []), parties=3, observe=observe)
    assert np.array_equal(honest.results[party], result)

    held: list[Any] = []
    who = Party(index=party, parties=3, randomness=Randomness(trial_keys(3, b"x")[party], context=bytes(HASH_SIZE)))
    # shares of zeros: the simulator does not know the inputs, and one party's shares do not depend on them
    blank = [scheme.share(ring.element([0] * COUNT), ("simulated", index))[party] for index in range(2)]
    session = Session(who, lambda p: program(p, name, blank, held))
    seen = simulated(session, held, output, result, stream((name, party)))
    assert np.array_equal(session.result, result)

    assert seen.keys() == real.keys()
    views = []
    for messages, own in ((real, [s[party] for s in shares]), (seen, blank)):
        parts = [words_of(body, COUNT) for body in messages.values()]
        parts += [words_of(ring.encode(part), COUNT) for share in own for part in share]
        views.append(parts)
    for a, b in zip(*views, strict=True):
        assert distance(a, b) < LIMIT
    for i, j in combinations(range(len(views[0])), 2):
        if len(views[0][i]) == len(views[0][j]):
            for combine in (np.bitwise_xor, np.subtract, np.add):
                assert distance(combine(views[0][i], views[0][j]), combine(views[1][i], views[1][j])) < LIMIT
