"""The joint run on disk: each party says these bytes and no others, and nothing else may count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mpc_ops.rings import Z64
from protocol import rounds
from protocol.errors import WireError
from protocol.rounds import Keys, Messages, Stop
from streams.joint.run import JointRun
from tests.trial import make_trial
from tests.vectors.playing import HERE
from tests.vectors.rounds import KnownKeys, place_of, product

VECTORS: Any = json.loads((HERE / "rounds.json").read_text())
TRIAL = make_trial()
LOG = [bytes.fromhex(each) for each in VECTORS["log"]]


def decode(raw: bytes, own: bytes = b"") -> Any:
    return rounds.decode(raw, task=TRIAL.task, roster=TRIAL.roster, own=own)


def encode(record: Any) -> bytes:
    identity = TRIAL.keys[TRIAL.task.party_names[record.party]].identity
    return rounds.encode(record, task=TRIAL.task, roster=TRIAL.roster, identity=identity)


@pytest.mark.parametrize("party", range(3))
def test_a_party_says_what_the_log_holds(party: int) -> None:
    """From its keys and the log so far each record of a party follows, byte for byte, and its result."""
    run = JointRun(place=place_of(TRIAL), keys=KnownKeys(TRIAL, party), program=product)
    for raw in LOG:
        record = decode(raw)
        if record.party == party:
            assert [encode(said) for said in run.pending()] == [raw]
        run.take(record, raw)
    assert Z64.encode(run.result).hex() == VECTORS["results"][party]


def test_records_are_canonical() -> None:
    """A record has one encoding, and each kind is there."""
    records = [*LOG, bytes.fromhex(VECTORS["stop"])]
    assert all(encode(decode(raw)) == raw for raw in records)
    assert {type(decode(raw)) for raw in records} == {Keys, Messages, Stop}


@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: case["name"])
def test_bad_records_are_refused(case: dict[str, Any]) -> None:
    """Whoever can write to `rounds` without a party's key changes nothing; a party's own mistakes do not count."""
    with pytest.raises(WireError) as caught:
        decode(bytes.fromhex(case["record"]))
    assert caught.value.reason == case["reason"]


def test_only_what_one_has_written_oneself_is_believed() -> None:
    """A party that reads back the bytes it wrote needs no signature; for any others it does."""
    spoiled = LOG[0][:-1] + bytes([LOG[0][-1] ^ 1])
    assert decode(spoiled, own=spoiled) == decode(LOG[0])
    for own in (b"", LOG[0]):
        with pytest.raises(WireError) as caught:
            decode(spoiled, own=own)
        assert caught.value.reason == "wrong_signature"
