"""What a party receives could have been made by somebody who knows its own shares and the output, and nothing else.

The simulator plays the other parties for one party. It draws at random whatever the protocol makes the party expect,
and for each opening it decides beforehand what is to be seen, its `script`: noise where the protocol opens what is
masked, an order drawn at random where a sort opens one, at the end the output. The message is then what gives that with
the shares that the party holds. The party ends with the output, and its view (shares, messages, opened values) is of
the same distribution as in a real run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from mpc_ops import sessions
from mpc_ops.joint.additive import Additive
from mpc_ops.joint.decoding import interpolation
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.shamir import Shamir
from mpc_ops.randomness import HASH_SIZE, Randomness, Stream, trial_keys
from mpc_ops.rings import F61, Z64, Ring
from mpc_ops.rounds import Array, Interactive, Item, Received, Round, Sent
from mpc_ops.sessions import HEADER_SIZE, Party, Session, run
from tests.mpc_ops.joint.common import AdditiveDealt, Replicated3, Shamir5, stream
from tests.mpc_ops.joint.counting import distance, words_of

COUNT = 2048

Script = Callable[[Ring, tuple[int, ...]], Array]
"""What the next opening shows: values of a ring, in a shape."""


@dataclass(frozen=True, slots=True)
class Shown(Item):
    """What the simulator sends, where it does not draw it."""

    values: Any = field(default=None, repr=False)


def _told(side: Any, share: Array, values: dict[int, Array]) -> Interactive[None]:
    """A round of an opening: one's own message goes out as ever, the others' are given."""
    receivers = [side.after] if isinstance(side, Replicated) else [*values]
    send = {peer: (Sent(side.ring, share[0]),) for peer in receivers}
    received: Received = yield Round(
        send=send,
        expect={peer: (Shown(side.ring, share.shape[1:], part),) for peer, part in values.items()},
    )
    assert set(received) == set(values)


@dataclass(frozen=True, slots=True)
class WatchedReplicated(Replicated):
    """Notes what is opened."""

    seen: list[Array] = field(kw_only=True)

    def over(self, ring: Ring) -> WatchedReplicated:
        return WatchedReplicated(self.party, ring, seen=self.seen)

    def open(self, share: Array) -> Interactive[Array]:
        values = yield from Replicated.open(self, share)
        self.seen.append(values)
        return values


@dataclass(frozen=True, slots=True)
class SimulatedReplicated(Replicated):
    """Openings give what the script says."""

    script: Script = field(kw_only=True)

    def over(self, ring: Ring) -> SimulatedReplicated:
        return SimulatedReplicated(self.party, ring, script=self.script)

    def open(self, share: Array) -> Interactive[Array]:
        values = self.script(self.ring, share.shape[1:])
        missing = self.ring.sub(self.ring.sub(values, share[0]), share[1])
        yield from _told(self, share, {self.before: missing})
        return values


@dataclass(frozen=True, slots=True)
class SimulatedShamir(Shamir):
    """The others' shares lie on a random polynomial through the output and the share that the party holds."""

    script: Script = field(kw_only=True)

    def open(self, share: Array) -> Interactive[Array]:
        values = self.script(F61, share.shape[1:])
        me, n, t = self.party.index, self.party.parties, self.threshold
        others = [peer for peer in range(n) if peer != me]
        free = {peer: F61.draw(stream((peer, "free")), values.shape) for peer in others[: t - 1]}
        known = {0: values, me + 1: share[0]} | {peer + 1: part for peer, part in free.items()}
        weights = interpolation(list(known), [peer + 1 for peer in others], F61.order)
        parts = {}
        for peer, row in zip(others, weights, strict=True):
            terms = [F61.mul(part, F61.element(w)) for w, part in zip(row, known.values(), strict=True)]
            parts[peer] = F61.total(np.stack(terms), 0)
        yield from _told(self, share, parts)
        return values


@dataclass(frozen=True, slots=True)
class SimulatedAdditive(Additive):
    """The others' summands are random but for their sum."""

    script: Script = field(kw_only=True)

    def open(self, share: Array) -> Interactive[Array]:
        values = self.script(Z64, share.shape[1:])
        first, *others = [peer for peer in range(self.parties) if peer != self.party.index]
        parts = {peer: Z64.draw(stream((peer, "free")), values.shape) for peer in others}
        parts[first] = Z64.sub(Z64.sub(values, share[0]), Z64.total(np.stack([*parts.values()]), 0))
        yield from _told(self, share, parts)
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`body` ends with what it opens last: `output`. `script` gives what it opens, in order, from the output alone."""

    scheme: Any
    body: Callable[..., Interactive[Any]]
    inputs: tuple[Array, ...]
    output: Array
    script: Callable[[Stream, Array], Iterator[Array]] = lambda draws, output: iter([output])


def opened(body: Callable[..., Interactive[Array]], ring: Ring | None = None) -> Callable[..., Interactive[Array]]:
    def whole(side: Any, *shares: Array) -> Interactive[Array]:
        share = yield from body(side, *shares)
        values = yield from (side if ring is None else side.over(ring)).open(share)
        return values

    return whole


def simple(scheme: Any, body: Any, inputs: tuple[int, ...], output: int, over: Ring | None = None) -> Case:
    """Nothing is opened but the output."""
    ring = over or scheme.ring
    return Case(
        scheme=scheme,
        body=opened(body, over),
        inputs=tuple(scheme.ring.element([value] * COUNT) for value in inputs),
        output=ring.element([output] * COUNT),
    )


def simulated(session: Session[Any], draws: Stream) -> dict[Any, bytes]:
    """Run one party: by round and sender, what it got."""
    seen = {}
    while not session.done:
        messages = {}
        for sender, items in session._round.expect.items():
            values = [
                item.values if isinstance(item, Shown) else item.kind.draw(draws, item.shape)  # type: ignore[attr-defined]
                for item in items
            ]
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


def simulated_side(scheme: Any, party: Party, script: Script) -> Any:
    if isinstance(scheme, Shamir5):
        return SimulatedShamir(party, scheme.threshold, script=script)
    if isinstance(scheme, AdditiveDealt):
        return SimulatedAdditive(party, dealer=True, script=script)
    return SimulatedReplicated(party, scheme.ring, script=script)


def low_words(values: Array) -> Any:
    """The lowest 64 bits of each."""
    return np.ascontiguousarray(values).reshape(-1).view("<u8").reshape(values.size, -1)[:, 0]


def farthest(case: Case, party: int, write: Callable[[Stream, Array], Iterator[Array]] | None = None) -> float:
    """The largest distance between what the party sees in a real run and what it is sent by a simulator.

    `write` stands for the case's own script.
    """
    scheme, ring, parties = case.scheme, case.scheme.ring, case.scheme.parties
    shares = [scheme.share(values, ("real", index)) for index, values in enumerate(case.inputs)]
    real: dict[Any, bytes] = {}

    def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
        if receiver == party:
            real[number, sender] = message[HEADER_SIZE:]

    shown: dict[bool, list[Array]] = {False: [], True: []}  # by whether it is simulated: what was opened

    def side(p: Party) -> Any:
        watched = type(scheme) is Replicated3 and p.index == party
        return WatchedReplicated(p, ring, seen=shown[False]) if watched else scheme.side(p)

    honest = run(lambda p: case.body(side(p), *(s[p.index] for s in shares)), parties=parties, observe=observe)
    assert np.array_equal(honest.results[party], case.output)

    openings = (write or case.script)(stream((party, "script")), case.output)

    def script(over: Ring, shape: tuple[int, ...]) -> Array:
        values = next(openings)
        assert values.shape == shape, (len(shown[True]), values.shape, shape)
        shown[True].append(values)
        return values

    keys = trial_keys(parties, b"x")[party]
    who = Party(index=party, parties=parties, randomness=Randomness(keys, context=bytes(HASH_SIZE)))
    # shares of zeros: the simulator does not know the inputs, and one party's shares do not depend on them
    zeros = [np.zeros_like(values) for values in case.inputs]
    blank = [scheme.share(values, ("simulated", index))[party] for index, values in enumerate(zeros)]
    session = Session(who, lambda p: case.body(simulated_side(scheme, p, script), *blank))
    seen = simulated(session, stream(("simulator", party)))
    assert np.array_equal(session.result, case.output)
    assert next(openings, None) is None

    assert seen.keys() == real.keys()
    count = len(case.output)
    views = []
    for messages, own, values in ((real, [s[party] for s in shares], shown[False]), (seen, blank, shown[True])):
        parts = [words_of(messages[key], count) for key in sorted(messages)]
        parts += [words_of(ring.encode(part), count) for share in own for part in share]
        parts += [low_words(opening) for opening in values] if shown[False] else []
        views.append(parts)
    assert len(views[0]) == len(views[1])
    worst = max(distance(a, b) for a, b in zip(*views, strict=True))
    pairs = [(i, j) for i, j in combinations(range(len(views[0])), 2) if len(views[0][i]) == len(views[0][j])]
    for i, j in pairs[:: 1 + len(pairs) // 200]:
        for combine in (np.bitwise_xor, np.subtract, np.add):
            worst = max(worst, distance(combine(views[0][i], views[0][j]), combine(views[1][i], views[1][j])))
    return worst
