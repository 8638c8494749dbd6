"""The contract of protocols: rounds, messages and their checks, composition, randomness from the past."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_ops.joint.base import exchange, pass_on
from mpc_ops.randomness import HASH_SIZE, Randomness, trial_keys
from mpc_ops.rings import BITS, F61, F127, Z64, Bits
from mpc_ops.rounds import Interactive, MessageError, Round, together
from mpc_ops.sessions import HEADER_SIZE, Party, Session, advance_history, run


def gossip(party: Party, rounds: int, ring: Any = Z64, size: int = 3) -> Interactive[list[int]]:
    """Each party tells the next one a number that grows with each round."""
    heard = []
    for number in range(rounds):
        values = ring.element([100 * party.index + number] * size)
        received = yield from pass_on(
            ring, to=(party.index + 1) % party.parties, values=values, source=(party.index - 1) % party.parties
        )
        heard.append(int(received[0]))
    return heard


def test_rounds_and_bytes_are_counted() -> None:
    """Two rounds of three words each: 48 bytes and two headers from every party."""
    result = run(lambda party: gossip(party, 2), parties=3)
    assert result.results == ([200, 201], [0, 1], [100, 101])
    assert (result.rounds, result.messages) == (2, 6)
    assert result.sent == (48, 48, 48)
    assert result.wire == tuple(48 + 2 * HEADER_SIZE for _ in range(3))


def test_side_by_side_is_one_round() -> None:
    """Protocols of 1, 3, 0 and 2 rounds together take 3, and each hears its own numbers, of its own kind."""

    def program(party: Party) -> Interactive[Any]:
        return together(
            gossip(party, 1),
            gossip(party, 3, F61, 1),
            gossip(party, 0),
            gossip(party, 2, Bits(16), 5),
            gossip(party, 1),
        )

    result = run(program, parties=3)
    assert result.rounds == 3
    assert result.results[1] == ([0], [0, 1, 2], [], [0, 1], [0])
    assert result.sent == (2 * 24 + 3 * 8 + 2 * 10,) * 3


def test_nothing_together_takes_no_round() -> None:
    """An empty composition ends at once."""
    assert run(lambda party: together(), parties=2).rounds == 0


def test_a_nested_composition_ends_with_its_parts() -> None:
    """Compositions compose: what one protocol does after another runs beside what others do meanwhile."""

    def program(party: Party) -> Interactive[Any]:
        def twice() -> Interactive[Any]:
            first = yield from together(gossip(party, 1), gossip(party, 1))
            second = yield from gossip(party, 1)
            return first, second

        return together(twice(), gossip(party, 2))

    result = run(program, parties=2)
    assert result.rounds == 2
    assert result.results[0] == ((([100], [100]), [100]), [100, 101])


BAD = {
    "missing": lambda m: None,
    "shorter than a header": lambda m: m[:15],
    "not a joint message": lambda m: b"\0" + m[1:],
    "of another sender": lambda m: m[:2] + b"\2" + m[3:],
    "to another receiver": lambda m: m[:3] + b"\0" + m[4:],
    "of another round": lambda m: m[:4] + b"\1" + m[5:],
    "arrays of other kinds": lambda m: m[:8] + b"\0" + m[9:],
    "wrong size": lambda m: m + b"\0",
    "not an element": lambda m: m[:-1] + b"\xff",
}


@pytest.mark.parametrize("reason", BAD)
def test_wrong_messages_are_errors(reason: str) -> None:
    """Whatever is wrong with a message, its receiver says what, and from whom, and computes nothing."""

    def tamper(number: int, sender: int, receiver: int, message: bytes) -> bytes | None:
        return BAD[reason](message) if (number, sender) == (0, 1) else message

    with pytest.raises(MessageError, match=reason) as caught:
        run(lambda party: gossip(party, 2, F61), parties=3, tamper=tamper)
    assert (caught.value.sender, caught.value.round_number) == (1, 0)


def test_a_message_of_another_shape_is_an_error() -> None:
    """Equal sizes do not help: (2, 3) is not (3, 2)."""

    def program(party: Party) -> Interactive[Any]:
        values = Z64.element(np.zeros((2, 3) if party.index else (3, 2), dtype=np.uint64))
        return pass_on(Z64, to=1 - party.index, values=values, source=1 - party.index)

    with pytest.raises(MessageError, match="other kinds or shapes"):
        run(program, parties=2)


def test_a_message_that_nobody_expects_is_an_error() -> None:
    """Also to a party that has ended."""
    session = Session(party(0, 3), lambda party: gossip(party, 1))
    with pytest.raises(MessageError, match="nothing is expected"):
        session.deliver({1: b"", 2: b""}, bytes(HASH_SIZE))

    def program(party: Party) -> Interactive[None]:
        if party.index == 0:
            yield from gossip(party, 1)

    with pytest.raises(MessageError):
        run(program, parties=2)


def party(index: int, parties: int, context: bytes = bytes(HASH_SIZE)) -> Party:
    return Party(index=index, parties=parties, randomness=Randomness(trial_keys(parties, b"")[index], context=context))


def masks(party: Party) -> Interactive[list[Any]]:
    """Two rounds of masks, exchanged."""
    drawn = []
    for _ in range(2):
        drawn.append(party.stream(0, 1).words(4))
        yield from exchange(Z64, party, drawn[-1], range(party.parties))
    return drawn


def test_the_same_past_gives_the_same_bytes() -> None:
    """A party that starts again sends what it sent before; two parties draw the same from the key that they share."""
    sent: list[list[bytes]] = [[], []]
    for attempt in sent:
        run(masks, parties=2, observe=lambda *message: attempt.append(message[3]))  # noqa: B023  # run at once
    assert sent[0] == sent[1]
    a, b = run(masks, parties=2).results
    assert np.array_equal(a, b)
    assert not np.array_equal(a[0], a[1])


def test_another_past_gives_another_mask() -> None:
    """Another context changes every mask; another history each one after it: no mask covers two values."""
    session = Session(party(0, 2), masks)
    other = Session(party(0, 2), masks)
    fork = Session(party(0, 2, context=b"\1" * HASH_SIZE), masks)
    assert session.outgoing == other.outgoing
    assert session.outgoing != fork.outgoing
    incoming = Session(party(1, 2), masks).outgoing[0]
    session.deliver({1: incoming}, advance_history(bytes(HASH_SIZE), {(1, 0): incoming}))
    other.deliver({1: incoming}, advance_history(bytes(HASH_SIZE), {(1, 0): incoming + b"\0"}))
    assert session.outgoing[1][:HEADER_SIZE] == other.outgoing[1][:HEADER_SIZE]
    assert session.outgoing != other.outgoing


def test_streams_belong_to_their_holders() -> None:
    """Own, pairwise and common streams differ, and a party has none that it is no holder of."""
    me = party(0, 3)
    streams = [me.stream(*who).words(2).tolist() for who in ((0,), (0, 1), (0, 2), (0, 1, 2))]
    assert len({tuple(words) for words in streams}) == 4
    with pytest.raises(KeyError, match=r"\[1, 2\]"):
        me.stream(1, 2)


def test_keys_and_contexts_have_a_size() -> None:
    """A short key is a mistake of the caller, not a weak mask."""
    with pytest.raises(ValueError, match="32 bytes"):
        Randomness({frozenset({0}): b"short"}, context=bytes(HASH_SIZE))
    with pytest.raises(ValueError, match="32 bytes"):
        Randomness({}, context=b"")
    with pytest.raises(ValueError, match="32 bytes"):
        Randomness({}, context=bytes(HASH_SIZE)).advance(1, b"")


def test_a_result_before_the_end_is_an_error() -> None:
    """And a delivery after it."""
    session = Session(party(0, 2), lambda party: gossip(party, 1))
    with pytest.raises(ValueError, match="not ended"):
        _ = session.result
    assert session.awaited == {1}
    session.deliver({1: Session(party(1, 2), lambda party: gossip(party, 1)).outgoing[0]}, bytes(HASH_SIZE))
    assert session.result == [100]
    with pytest.raises(MessageError, match="has ended"):
        session.deliver({}, bytes(HASH_SIZE))


def test_a_round_without_messages_is_a_round() -> None:
    """So all parties count alike."""

    def program(party: Party) -> Interactive[int]:
        yield Round()
        return party.index

    assert run(program, parties=2).rounds == 1


def test_a_message_can_be_checked_before_the_round_is_complete() -> None:
    """So that the first valid record counts: a bad one changes nothing, and a good one is still taken after it."""
    session = Session(party(0, 2), lambda party: gossip(party, 1))
    good = Session(party(1, 2), lambda party: gossip(party, 1)).outgoing[0]
    session.check(1, good)
    for sender, message, reason in ((1, good[:-1], "wrong size"), (0, good, "nothing is expected")):
        with pytest.raises(MessageError, match=reason):
            session.check(sender, message)
    with pytest.raises(MessageError, match="wrong size"):
        session.deliver({1: good + b"\0"}, bytes(HASH_SIZE))
    session.deliver({1: good}, bytes(HASH_SIZE))
    assert session.result == [100]


@given(st.data())
def test_whatever_arrives_is_a_message_or_an_error(data: st.DataObject) -> None:
    """Random bytes, and random changes of a right message, raise MessageError or nothing; nothing else happens."""
    ring = data.draw(st.sampled_from([Z64, F61, F127, BITS, Bits(1), Bits(4)]))
    size = data.draw(st.integers(0, 9))
    session = Session(party(0, 2), lambda party: gossip(party, 1, ring, size) if size else nothing(party))
    good = bytearray(
        Session(party(1, 2), lambda party: gossip(party, 1, ring, size) if size else nothing(party)).outgoing[0]
    )
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=3)):
        good[place] = value
    cut = data.draw(st.integers(0, len(good)))
    for message in (bytes(good), bytes(good[:cut]), data.draw(st.binary(max_size=40))):
        with contextlib.suppress(MessageError):
            session.check(1, message)


def nothing(party: Party) -> Interactive[list[int]]:
    """An empty array is a message too."""
    values = Z64.element([])
    yield from pass_on(Z64, to=1 - party.index, values=values, source=1 - party.index)
    return []
