"""One party's fold of a joint run: the same end in every order, nothing twice, nothing from another past."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint.checked import Checked
from mpc_ops.joint.replicated import reveal, share
from mpc_ops.randomness import Stream
from mpc_ops.rings import F61
from mpc_ops.rounds import Array, Interactive, Round
from mpc_ops.sessions import Party
from protocol.rounds import Keys, Messages
from tests.streams.rounds_log import RoundsLog, keys_of

VALUES = F61.element([3, -4, 5])
SHARES = share(F61, VALUES, Stream(bytes(32)))


def squares(party: Party) -> Interactive[Array]:
    """A few checked rounds: x^2, then x^4, which nobody opens."""
    side = Checked(party, F61)
    for_now = SHARES[party.index]
    for _ in range(2):
        for_now = yield from side.multiply(for_now, for_now)
    yield from side.verify()
    yield Round()
    return for_now


def masks(seen: dict[int, list[bytes]]) -> Any:
    """A program that notes what it draws in each round, and sends it on as a value would be."""

    def program(party: Party) -> Interactive[None]:
        for _ in range(4):
            seen.setdefault(party.index, []).append(party.stream(party.index, (party.index + 1) % 3).words(4).tobytes())
            yield Round()

    return program


def revealed(runs: Any) -> list[int]:
    return [int(value) for value in F61.signed(reveal(F61, [run.result for run in runs]))]


FOURTH = [81, 256, 625]


def test_three_parties_end_with_shares_of_the_result() -> None:
    """What a party has at the end is a share: alone it is not the result, with the others' it is."""
    runs = RoundsLog(squares).start().finish()
    assert all(run.done and run.stopped is None and run.waits_for == () for run in runs)
    assert revealed(runs) == FOURTH
    for run in runs:
        assert run.result.shape == (2, 3)
        assert not np.isin(run.result, F61.element(FOURTH)).any()


@pytest.mark.parametrize("seed", range(25))
def test_any_order_repeats_and_restarts_end_alike(seed: int) -> None:
    """Whoever reads late, writes twice or starts again in any round changes nothing: one history, one result."""
    log = RoundsLog(squares).start()
    log.disorder(random.Random(seed), 150)
    runs = log.finish()
    assert revealed(runs) == FOURTH
    quiet = [record for record in map(log.decode, log.log) if isinstance(record, Messages)]
    said: dict[tuple[int, int], set[bytes]] = {}
    for record, raw in ((log.decode(raw), raw) for raw in log.log):
        if isinstance(record, Messages):
            said.setdefault((record.party, record.number), set()).add(raw)
    assert {record.number for record in quiet} == set(range(max(record.number for record in quiet) + 1))
    assert all(len(texts) == 1 for texts in said.values()), "a round was said in two ways"


def test_a_restart_in_any_round_says_the_same_bytes() -> None:
    """A party that lost its last record, and all it knew, writes that record again byte for byte."""
    log = RoundsLog(squares).start().finish() and None
    whole = RoundsLog(squares).start()
    whole.finish()
    log = whole.log
    assert log
    for cut in range(len(log)):
        record = whole.decode(log[cut])
        again = RoundsLog(squares, trial=whole.trial)
        again.start()
        again.log = log[:cut]
        again.catch_up(record.party)
        (said,) = again.runs[record.party].pending()
        if isinstance(record, Keys):
            assert isinstance(said, Keys)
            for place, peer in enumerate(again.runs[record.party]._keys.peers):
                theirs = keys_of(whole.trial, peer)
                opened = {theirs.open(whole.place, record.party, each.contributions[place]) for each in (record, said)}
                assert len(opened) == 1, "another contribution"
        else:
            assert again.encode(said) == log[cut]


def test_nothing_is_written_that_stands_in_the_log() -> None:
    """A party that starts again and reads the log has nothing to say until its own record is missing."""
    log = RoundsLog(squares).start()
    while True:
        for party in range(3):
            log.restart(party)
            log.catch_up(party)
        if not sum(len(log.write(party)) for party in range(3)):
            break
        for party in range(3):
            log.restart(party)
            before = len(log.log)
            log.catch_up(party)
            if not log.runs[party].waits_for:
                continue
            assert party not in log.runs[party].waits_for or log.runs[party].pending()
            assert len(log.log) == before
    assert revealed(log.runs) == FOURTH
    senders = [(type(r).__name__, r.party, getattr(r, "number", None)) for r in map(log.decode, log.log)]
    assert len(senders) == len(set(senders))


def test_waits_for_names_who_is_missing() -> None:
    """The parties without a record in the open round, this one among them."""
    log = RoundsLog(squares).start()
    assert log.runs[0].waits_for == (0, 1, 2)
    assert log.runs[0].round_number is None
    log.write(1)
    log.catch_up(0)
    assert log.runs[0].waits_for == (0, 2)
    log.write(0)
    log.write(2)
    log.catch_up(0)
    assert (log.runs[0].round_number, log.runs[0].waits_for) == (0, (0, 1, 2))


def test_another_past_draws_other_masks() -> None:
    """Two logs that differ in one keys record, or one message, share no mask from there on; two sets share none."""
    seen: list[dict[int, list[bytes]]] = [{}, {}, {}]
    first = RoundsLog(masks(seen[0])).start()
    first.finish()
    fork = RoundsLog(masks(seen[1]), trial=first.trial).start()  # its keys records are sealed anew
    fork.finish()
    other = RoundsLog(masks(seen[2]), trial=first.trial, digest=bytes(32)).start()
    other.finish()
    drawn = [words for each in seen for party in each for words in each[party]]
    # Two parties hold each key, and draw the same from it in the run in which they are; nobody else ever does.
    assert len(drawn) == 3 * 3 * 4
    assert len(set(drawn)) == 3 * 3 * 4
