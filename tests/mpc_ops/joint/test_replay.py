"""A party that starts again from the log of messages says the same again, to the byte, in every kind of protocol."""

from __future__ import annotations

from typing import Any

import pytest

from mpc_ops.randomness import HASH_SIZE, Randomness, trial_keys
from mpc_ops.sessions import Party, Session, advance_history
from tests.vectors.joint import CASES, SEED, name_of

ALL = [(case, scheme) for case in CASES for scheme in case.schemes if case.name != "division"]


@pytest.mark.parametrize(("case", "scheme"), ALL, ids=[f"{case.name}, {name_of(scheme)}" for case, scheme in ALL])
def test_a_restarted_party_says_the_same_again(case: Any, scheme: Any) -> None:
    """Restarted in the middle, it replays the log's rounds, sends equal bytes, and the run ends as it would have."""
    inputs = case.inputs(scheme.ring)
    shares = [scheme.share(values, index) for index, values in enumerate(inputs)]

    def start(index: int) -> Session[Any]:
        keys = trial_keys(scheme.parties, SEED)[index]
        party = Party(index=index, parties=scheme.parties, randomness=Randomness(keys, context=bytes(HASH_SIZE)))
        return Session(party, lambda p: case.program(scheme.side(p), *(share[p.index] for share in shares)))

    sessions = [start(index) for index in range(scheme.parties)]
    log: list[tuple[dict[int, bytes], bytes]] = []
    restarted = 1
    history = bytes(HASH_SIZE)
    while not all(session.done for session in sessions):
        if len(log) in (1, 5, 11):
            again = start(restarted)
            for incoming, past in log:
                again.deliver(incoming, past)
            assert again.outgoing == sessions[restarted].outgoing
            assert again.round_number == len(log)
            sessions[restarted] = again
        posted = {(s.party.index, to): message for s in sessions for to, message in s.outgoing.items()}
        history = advance_history(history, posted)
        for session in sessions:
            incoming = {sender: message for (sender, to), message in posted.items() if to == session.party.index}
            if session.party.index == restarted:
                log.append((incoming, history))
            if not session.done:
                session.deliver(incoming, history)
    results = [session.result for session in sessions][: 3 if scheme.parties > 3 else scheme.parties]
    assert all((result == results[0]).all() for result in results)
