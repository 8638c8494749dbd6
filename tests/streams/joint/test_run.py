"""One party's fold of a joint run: the same end in every order, nothing twice, nothing from another past."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint.checked import Checked
from mpc_ops.joint.jobs import Job, LeastSquares, LinearSolve, Rank, numbers
from mpc_ops.joint.linear import System
from mpc_ops.joint.replicated import reveal, share
from mpc_ops.randomness import Stream
from mpc_ops.rings import F61, Z64
from mpc_ops.rounds import Array, Interactive, Round
from mpc_ops.sessions import Party
from protocol.rounds import Keys, Messages, Stop
from streams.joint.run import CONTRADICTED, JointRun, Stopped, window_program
from tests.streams.joint.rounds_log import RoundsLog, keys_of
from tests.trial import HOUR, START

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
    said: dict[tuple[int, int], set[bytes]] = {}
    for raw in log.log:
        record = log.decode(raw)
        if isinstance(record, Messages):
            said.setdefault((record.party, record.number), set()).add(raw)
    assert all(len(texts) == 1 for texts in said.values()), "a round was said in two ways"


def test_a_restart_in_any_round_says_the_same_bytes() -> None:
    """A party that lost its last record, and all it knew, says it again: rounds byte for byte, keys in content."""
    whole = RoundsLog(squares).start()
    whole.finish()
    for cut, raw in enumerate(whole.log):
        record = whole.decode(raw)
        again = RoundsLog(squares, trial=whole.trial).start()
        again.log = whole.log[:cut]
        again.catch_up(record.party)
        (said,) = again.runs[record.party].pending()
        if not isinstance(record, Keys):
            assert again.encode(said) == raw
            continue
        assert isinstance(said, Keys)
        for place, peer in enumerate(keys_of(whole.trial, record.party).peers):
            theirs = keys_of(whole.trial, peer)
            opened = {theirs.open(whole.place, record.party, each.contributions[place]) for each in (record, said)}
            assert len(opened) == 1


def test_nothing_is_written_that_stands_in_the_log() -> None:
    """A party that has just written and starts again has nothing to say: not even keys, which it would seal anew."""
    log = RoundsLog(squares).start()
    written = 1
    while written:
        written = 0
        for party in range(3):
            log.catch_up(party)
            written += len(log.write(party))
            log.restart(party)
            log.catch_up(party)
            if log.runs[party].waits_for and party not in log.runs[party].waits_for:
                assert log.runs[party].pending() == []
    assert revealed(log.runs) == FOURTH
    said = [(type(r).__name__, r.party, getattr(r, "number", None)) for r in map(log.decode, log.log)]
    assert len(said) == len(set(said))


def test_what_is_pending_is_the_same_when_asked_again() -> None:
    """A write that failed is written again as it was: the keys too are sealed once."""
    log = RoundsLog(squares).start()
    assert log.encode(log.runs[0].pending()[0]) == log.encode(log.runs[0].pending()[0])


def test_waits_for_names_who_is_missing() -> None:
    """The parties without a record in the open round, this one among them."""
    log = RoundsLog(squares).start()
    seen = [(log.runs[0].round_number, log.runs[0].waits_for)]
    for party in (1, 0, 2):
        log.write(party)
        log.catch_up(0)
        seen.append((log.runs[0].round_number, log.runs[0].waits_for))
    assert seen == [(None, (0, 1, 2)), (None, (0, 2)), (None, (2,)), (0, (0, 1, 2))]


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


def spoil(log: RoundsLog, record: Any) -> None:
    """Append a record that its party has signed."""
    log.log.append(log.encode(record))


@pytest.mark.parametrize("kind", ["keys", "round", "stop"])
@pytest.mark.parametrize(
    "changes",
    [{"digest": bytes(32)}, {"window": START + HOUR}, {"number": 0}, {"number": 7}, {"history": bytes(32)}],
    ids=["other set", "other window", "past round", "later round", "other history"],
)
def test_what_names_another_run_or_round_does_not_count(changes: dict[str, Any], kind: str) -> None:
    """A signed record of another set, window, round or history is passed over, and the run ends well."""
    log = opened_rounds(1)
    said = said_by(log, 1)
    record: Any = {"keys": log.decode(log.log[1]), "round": said, "stop": stop_of(said)}[kind]
    spoil(log, replace(record, **{name: value for name, value in changes.items() if hasattr(record, name)}))
    for run in log.finish():
        assert run.ignored == 1
    assert revealed(log.runs) == FOURTH
    log.restart(2)
    assert revealed(log.finish()) == FOURTH


def stop_of(record: Any) -> Stop:
    """A stop in place of a round record."""
    return Stop(
        window=record.window,
        party=record.party,
        digest=record.digest,
        number=record.number,
        history=record.history,
        reason="check_failed",
        suspects=tuple(party for party in range(3) if party != record.party),
    )


def opened_rounds(rounds: int) -> RoundsLog:
    """A log whose parties have all read that so many rounds have ended."""
    log = RoundsLog(squares).start()
    for _ in range(1 + rounds):
        log.step()
    for party in range(3):
        log.catch_up(party)
    assert {run.round_number for run in log.runs} == {rounds}
    return log


def said_by(log: RoundsLog, party: int) -> Messages:
    """What a party has to say in the open round."""
    (said,) = log.runs[party].pending()
    assert isinstance(said, Messages)
    return said


def test_a_stop_ends_the_run_for_all() -> None:
    """One party's stop in the open round: nobody has a result, whatever is said later; after a restart too.

    Who only heard it suspects the one that stopped as well: it may have done so for nothing.
    """
    log = opened_rounds(2)
    said = said_by(log, 1)
    spoil(log, stop_of(said))
    log.made[1] = log.made[0]
    for party in (0, 2, 0):
        log.catch_up(party)
        run = log.runs[party]
        assert run.stopped == Stopped(
            reason="check_failed", suspects=tuple(other for other in range(3) if other != party)
        )
        assert (run.done, run.pending(), run.waits_for) == (False, [], ())
        with pytest.raises(ValueError, match="not ended"):
            _ = run.result
        log.restart(party)


def test_a_second_record_does_not_count() -> None:
    """A party that has spoken in a round cannot stop in it any more, nor say something else."""
    log = opened_rounds(1)
    said = said_by(log, 1)
    spoil(log, said)
    spoil(log, stop_of(said))
    spoil(log, replace(said, sealed=said.sealed[:1]))
    assert revealed(log.finish()) == FOURTH


def test_its_own_other_words_silence_a_party() -> None:
    """A record in its name that it has not said: its key is in other hands, and it adds nothing to that."""
    log = opened_rounds(1)
    said = said_by(log, 1)
    spoil(log, replace(said, sealed=((0, bytes(40)),)))
    log.finish()
    run = log.runs[1]
    assert run.stopped == Stopped(reason=CONTRADICTED, suspects=(1,))
    assert run.pending() == []
    assert not any(each.done for each in log.runs)


@pytest.mark.parametrize("how", ["shorter", "longer", "nothing", "for another round", "in the last round"])
def test_a_message_that_is_not_what_it_must_be_stops_the_run(how: str) -> None:
    """Its receiver says so in the next round, and names the sender; nobody has a result."""

    class Odd(JointRun[Any]):
        def _outgoing(self) -> dict[int, bytes]:
            honest = super()._outgoing()
            last = self.round_number is not None and not honest and how == "in the last round"
            if last and self._session is not None and not self._session.awaited:
                return {0: b"one word more"}
            if self.round_number != 1:
                return honest
            changes = {
                "shorter": lambda message: message[:-1],
                "longer": lambda message: message + b"\0",
                "for another round": lambda message: message[:4] + b"\7" + message[5:],
            }
            if how == "nothing":
                return {}
            return {to: changes.get(how, bytes)(message) for to, message in honest.items()}

    log = RoundsLog(squares)
    log.made[1] = lambda: Odd(place=log.place, keys=keys_of(log.trial, 1), program=squares)
    log.start().finish()
    accusers = [run for run in log.runs if run.stopped == Stopped(reason="wrong_message", suspects=(1,))]
    assert accusers
    assert len([run for run in log.runs if run.done]) < 3


def test_a_job_without_a_solution_costs_that_job_alone() -> None:
    """A singular system, one out of range, one that works and one that was refused before, side by side."""
    system = LinearSolve(system=System(size=1, matrix=1 << 50, right=1 << 50, scale=1000))
    shares = share(Z64, Z64.element([0, 5, 1, 1 << 50, 2, 7]), Stream(bytes(32)))
    jobs = [(system, lambda party, at=at: shares[party][:, at : at + 2]) for at in (0, 2, 4)]
    runs = RoundsLog(window_program([*jobs, (None, lambda _: shares[0])])).start().finish()
    assert {tuple(end.reason for end in run.result) for run in runs} == {
        ("singular_system", "out_of_range", "none", "none")
    }
    ends = [run.result[2].shared for run in runs]
    assert numbers(system, reveal(system.ring, [end.values for end in ends])) == [3500]
    assert all(run.result[3].shared is None for run in runs)


def test_a_job_whose_columns_leave_their_ranges_costs_that_job_alone() -> None:
    """What a gateway may have lied about ends an order or a system alike at all parties; nobody is suspected."""
    order = Rank(columns=2, largest=10, places=(0,), what="values")
    system = LinearSolve(system=System(size=1, matrix=10, right=10, scale=1))
    fit = LeastSquares(rows=1, size=1, matrix=10, right=10, scale=1)
    cases: list[tuple[Job, list[int]]] = [
        (order, [3, 11]),
        (order, [-(1 << 63), 5]),
        (system, [(1 << 63) - 1, 4]),
        (fit, [2, -11]),
        (order, [3, 10]),
    ]
    shares = share(Z64, Z64.element([value for _, values in cases for value in values]), Stream(bytes(32)))
    jobs = [(job, lambda party, at=at: shares[party][:, 2 * at : 2 * at + 2]) for at, (job, _) in enumerate(cases)]
    runs = RoundsLog(window_program(jobs)).start().finish()
    assert {tuple(end.reason for end in run.result) for run in runs} == {("overflow",) * 4 + ("none",)}
    assert all(end.shared is None for run in runs for end in run.result[:4])
    ends = [run.result[4].shared for run in runs]
    assert numbers(order, reveal(order.ring, [end.values for end in ends])) == [10]
