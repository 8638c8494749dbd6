"""Vectors of a joint run: every record of three parties that multiply two shared numbers, and records to refuse."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc_ops.joint.replicated import Replicated, reveal, share
from mpc_ops.rings import Z64
from mpc_ops.rounds import Array, Interactive, Round
from mpc_ops.sessions import Party
from protocol import control, rounds
from protocol.control import GiveUp
from protocol.errors import WireError
from protocol.hpke import SUITES
from protocol.rounds import Keys, Messages, RoundsRecord, Stop
from streams.joint.keys import PairKeys, PartyKeys, RunPlace, contribution_info
from streams.joint.run import JointRun
from tests.mpc_ops.joint.common import stream
from tests.trial import HOUR, START, Trial, make_trial
from tests.vectors.good import Vectors
from tests.vectors.playing import Encapsulations

FACTORS = [12345, -678]
SHARES = share(Z64, Z64.element(FACTORS), stream("rounds vectors"))
DIGEST = bytes(range(100, 132))


def product(party: Party) -> Interactive[Array]:
    """A share of the product of two numbers, then a round in which nobody sends a message."""
    side = Replicated(party, Z64)
    mine = SHARES[party.index]
    result = yield from side.multiply(mine[:, :1], mine[:, 1:])
    yield Round()
    return result


def place_of(trial: Trial) -> RunPlace:
    return RunPlace(task_hash=trial.task.hash, roster_hash=trial.roster.hash, window=START, digest=DIGEST)


class KnownKeys(PartyKeys):
    """A party's own keys with kept encapsulations."""

    def __init__(self, trial: Trial, party: int, kept: Encapsulations | None = None) -> None:
        names = trial.task.party_names
        self.cards = [trial.cards[name] for name in names]
        self.kept = kept or Encapsulations()
        super().__init__(key=trial.keys[names[party]], cards=self.cards, party=party)

    def seal(self, place: RunPlace, peer: int) -> bytes:
        card = self.cards[peer]
        assert card.suite is not None
        info = contribution_info(place, card, sender=self.party, receiver=peer)
        return self.kept.seal(SUITES[card.suite].name, self.contribution(place, peer), card.public_key(), info)


def sign(record: RoundsRecord, trial: Trial, by: str | None = None) -> bytes:
    """Encode under a key: the party's own, or another role's."""
    key = trial.keys[by or trial.task.party_names[record.party]]
    return rounds.encode(record, task=trial.task, roster=trial.roster, identity=key.identity)


def rounds_run(kept: Encapsulations) -> Vectors:
    """The whole log of one run, with all that its parties know."""
    trial = make_trial()
    place = place_of(trial)
    keys = [KnownKeys(trial, party, kept) for party in range(3)]
    runs = [JointRun(place=place, keys=keys[party], program=product) for party in range(3)]
    log: list[bytes] = []
    messages, histories, refused = [], [], b""
    while written := [record for run in runs for record in run.pending()]:
        for record in written:
            log.append(sign(record, trial))
            for run in runs:
                run.take(record, log[-1])
        following = [record for run in runs for record in run.pending()]
        first = next((record for record in following if isinstance(record, Messages)), None)
        if first is not None:
            histories.append({"before_round": first.number, "history": first.history.hex()})
            stop = Stop(
                window=START,
                party=0,
                digest=DIGEST,
                number=first.number,
                history=first.history,
                reason="check_failed",
                suspects=(1, 2),
            )
            refused = sign(stop, trial)
            for run in runs:
                for receiver, message in sorted(run._outgoing().items()):
                    about = {"round": first.number, "sender": run.party, "receiver": receiver}
                    messages.append({**about, "message": message.hex()})
    pairs = []
    for low, high in ((0, 1), (0, 2), (1, 2)):
        pair: PairKeys = keys[low].pair(place, high, keys[high].seal(place, low))
        pairs.append(
            {
                "pair": [low, high],
                "contributions": [keys[low].contribution(place, high).hex(), keys[high].contribution(place, low).hex()],
                "message_key": pair.message_key.hex(),
                "randomness_key": pair.randomness.hex(),
            }
        )
    results = [run.result for run in runs]
    assert Z64.signed(reveal(Z64, results)) == [FACTORS[0] * FACTORS[1]]
    return {
        "about": "SPEC 8.4: three parties multiply two numbers; shares are u64 by component held, in hexadecimal",
        "window": START,
        "set_digest": DIGEST.hex(),
        "storage": [trial.keys[name].storage.hex() for name in trial.task.party_names],
        "pairs": pairs,
        "shares": [Z64.encode(np.ascontiguousarray(each)).hex() for each in SHARES],
        "histories": histories,
        "messages": messages,
        "log": [raw.hex() for raw in log],
        "results": [Z64.encode(each).hex() for each in results],
        "stop": refused.hex(),
        "bad": _bad(trial, log),
    }


def _bad(trial: Trial, log: list[bytes]) -> list[dict[str, str]]:
    task, roster = trial.task, trial.roster
    keys, message = (rounds.decode(log[place], task=task, roster=roster) for place in (0, 3))
    assert isinstance(keys, Keys)
    assert isinstance(message, Messages)
    good = log[3]
    (receiver, sealed), *_ = message.sealed
    stop = Stop(
        window=START, party=0, digest=DIGEST, number=1, history=bytes(32), reason="check_failed", suspects=(1, 2)
    )
    other = make_trial(purpose="another")
    cases = {
        "empty": b"",
        "short": good[:-1],
        "long": good + b"\0",
        "trailing content": _again(good[:-64] + b"\0", trial),
        "one contribution": _again(log[0][: -64 - 4 - len(keys.contributions[1])], trial),
        "flipped bit": good[:100] + bytes([good[100] ^ 1]) + good[101:],
        "flipped signature": good[:-3] + bytes([good[-3] ^ 1]) + good[-2:],
        "signed by another party": sign(message, trial, "party-2"),
        "signed by the collector": sign(message, trial, "collector"),
        "a party that does not exist": sign(replace(message, party=7), trial, "party-1"),
        "another task": rounds.encode(message, task=other.task, roster=roster, identity=_identity(trial)),
        "another roster": rounds.encode(
            message, task=task, roster=make_trial(organisations=5).roster, identity=_identity(trial)
        ),
        "outside the task": sign(replace(message, window=START - HOUR), trial),
        "a message to itself": sign(replace(message, sealed=((message.party, sealed),)), trial),
        "a message to nobody": sign(replace(message, sealed=((3, sealed),)), trial),
        "two messages to one": sign(replace(message, sealed=((receiver, sealed), (receiver, sealed))), trial),
        "messages not ascending": sign(replace(message, sealed=((2, sealed), (1, sealed))), trial),
        "suspects not ascending": sign(replace(stop, suspects=(2, 1)), trial),
        "suspects itself": sign(replace(stop, suspects=(0,)), trial),
        "an unknown reason": _again(sign(replace(stop, suspects=()), trial)[:-66] + b"\3\0", trial),
        "a control record": control.encode(
            GiveUp(window=START, party=0), task=task, roster=roster, identity=_identity(trial)
        ),
    }

    def reason(decode: Callable[[], object]) -> str:
        try:
            decode()
        except WireError as error:
            return error.reason
        raise AssertionError("a bad record was accepted")

    return [
        {
            "name": name,
            "record": value.hex(),
            "reason": reason(lambda value=value: rounds.decode(value, task=task, roster=roster)),  # type: ignore[misc]
        }
        for name, value in cases.items()
    ]


def _identity(trial: Trial) -> Ed25519PrivateKey:
    return trial.keys["party-1"].identity


def _again(statement: bytes, trial: Trial) -> bytes:
    """Sign other bytes as party-1 does."""
    return statement + _identity(trial).sign(b"sotto/1 rounds record\0" + hashlib.sha256(statement).digest())
