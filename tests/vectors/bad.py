"""The bad vectors: what every decoder has to refuse, with the reason (SPEC 10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol import aggregate, control
from protocol.batch import BatchCore, Epoch, SealCore, Segment, decode_record, sign_record, unsealed
from protocol.control import Close, ControlRecord, Entry, Fault, Manifest
from protocol.errors import WireError
from protocol.topics import partition_of_segment
from tests.trial import HOUR, START, Trial, make_trial
from tests.vectors.good import Vectors, a_control_record_of_each_kind, an_aggregate, batches
from tests.vectors.playing import EPOCH, Encapsulations, KnownSharder, a_segment, leaf_of, rows_of


def _other_partition(trial: Trial, window: int) -> int:
    return (partition_of_segment(trial.task.hash, "north-1", window, trial.roster.partitions) + 1) % 3


def batches_bad(kept: Encapsulations) -> Vectors:
    """Records that must be refused, or that are a fault of the gateway that signed them."""
    trial = make_trial()
    (first, second), seal = a_segment(trial, kept)
    good, other = first[0].value, first[1].value
    partition = first[0].partition
    key = trial.keys["north-1"]
    record = decode_record(good)

    def resigned(signer: str, **changes: Any) -> bytes:
        parts = {
            "party": record.party,
            "key_id": record.key_id,
            "salt": record.salt,
            "encapsulation": record.encapsulation,
            "ciphertext": record.ciphertext,
        }
        core = changes.pop("core", record.core)
        return sign_record(core, **{**parts, **changes}, identity=trial.keys[signer].identity).encode()

    def with_place(**changes: Any) -> BatchCore:
        assert isinstance(record.core, BatchCore)
        return replace(record.core, place=replace(record.core.place, **changes))

    elsewhere = make_trial(purpose="another task")
    foreign = KnownSharder(elsewhere, "north-1", kept).batch(
        window=START, rows=rows_of(elsewhere, {("ring", 0): [1]}), sequence=0
    )[0]
    replayed = KnownSharder(trial, "north-1", kept).batch(
        window=START + HOUR, rows=rows_of(trial, {("ring", 0): [1]}), sequence=0
    )[0][0]
    assert isinstance(record.core, BatchCore)
    commitments = list(record.core.commitments)
    cases = {
        "empty": (b"", "refused"),
        "short by one byte": (good[:-1], "refused"),
        "header alone": (good[:200], "refused"),
        "a byte too long": (good + b"\0", "refused"),
        "two records in one": (good + good, "refused"),
        "not ours": (b"{}" + good[2:], "refused"),
        "other protocol version": (good[:2] + b"\x02" + good[3:], "refused"),
        "other kind": (good[:3] + b"\x07" + good[4:], "refused"),
        "unknown flag": (good[:4] + b"\x02" + good[5:], "refused"),
        "a bit flipped in the task hash": (_flip(good, 10), "refused"),
        "a bit flipped in the window": (_flip(good, good.index(b"north-1") + 7 + 24), "refused"),
        "a bit flipped in the ciphertext": (_flip(good, len(good) - 100), "refused"),
        "a bit flipped in the encapsulation": (_flip(good, good.index(record.encapsulation) + 1), "refused"),
        "a bit flipped in the signature": (_flip(good, len(good) - 1), "refused"),
        "another party's record": (other, "refused"),
        "another task": (foreign[0].value, "refused"),
        "another roster": (resigned("north-1", core=with_place(roster_hash=bytes(32))), "refused"),
        "another scheme": (resigned("north-1", core=with_place(scheme=1)), "refused"),
        "another partition": (
            resigned("north-1", core=with_place(partition=_other_partition(trial, START))),
            "refused",
        ),
        "outside the task": (resigned("north-1", core=with_place(window=START - HOUR)), "refused"),
        "between two windows": (resigned("north-1", core=with_place(window=START + 1)), "refused"),
        "unknown gateway": (resigned("north-1", core=with_place(gateway="nobody-1")), "refused"),
        "signed by another gateway": (resigned("west-1"), "refused"),
        "sealed to another key": (resigned("north-1", key_id=bytes(16)), "refused"),
        "no body": (
            resigned("north-1", encapsulation=b"", ciphertext=b"", key_id=bytes(16), salt=bytes(32)),
            "refused",
        ),
        "signed again by another gateway as its own": (
            resigned("west-1", core=with_place(gateway="west-1", partition=_partition(trial, "west-1", START))),
            "fault",
        ),
        "under another sequence": (resigned("north-1", core=replace(record.core, sequence=1)), "fault"),
        "under another epoch": (resigned("north-1", core=with_place(epoch=Epoch(counter=1, nonce=bytes(16)))), "fault"),
        "replayed as another window": (
            resigned(
                "north-1", core=with_place(window=START + HOUR, partition=_partition(trial, "north-1", START + HOUR))
            ),
            "fault",
        ),
        "commitments exchanged": (
            resigned("north-1", core=replace(record.core, commitments=tuple(reversed(commitments)))),
            "fault",
        ),
        "a commitment missing": (resigned("north-1", core=replace(record.core, commitments=())), "fault"),
        "another salt": (resigned("north-1", salt=bytes(31) + b"\1"), "fault"),
        "the ciphertext of the next batch": (
            resigned("north-1", ciphertext=decode_record(second[0].value).ciphertext),
            "fault",
        ),
        "the body of another party": (resigned("north-1", ciphertext=decode_record(other).ciphertext), "fault"),
    }
    sealed = decode_record(seal[0].value)
    twisted = replace(sealed.core, segments=(Segment(epoch=EPOCH, batches=0, cores=bytes(32)),))  # type: ignore[call-arg]
    cases["a seal of an empty segment"] = (
        sign_record(
            twisted, party=0, key_id=bytes(16), salt=bytes(32), encapsulation=b"", ciphertext=b"", identity=key.identity
        ).encode(),
        "refused",
    )
    cases["sealed at an impossible time"] = (
        unsealed(
            SealCore(place=sealed.core.place, sealed_at=2**62, cold=False, segments=()), party=0, identity=key.identity
        ).encode(),
        "refused",
    )
    assert isinstance(sealed.core, SealCore)
    cases["a cold seal with a body"] = (
        resigned("north-1", core=replace(sealed.core, cold=True, segments=())),
        "refused",
    )
    leaf = leaf_of(trial, first[0].party)
    written = []
    for name, (value, outcome) in cases.items():
        place = _received_on(value, partition)
        try:
            contributed = leaf.contribute(value, partition=place)
            assert contributed.fault is not None, f"{name}: taken for good"
            got, reason = "fault", contributed.fault
        except WireError as error:
            got, reason = "refused", error.reason
        assert got == outcome, f"{name}: {got} {reason}"
        written.append({"name": name, "partition": place, "record": value.hex(), "outcome": outcome, "reason": reason})
    wrong_place = {
        "name": "received on another partition",
        "partition": (partition + 1) % 3,
        "record": good.hex(),
        "outcome": "refused",
        "reason": "other_partition",
    }
    return {
        "about": f"SPEC 6: to {first[0].party} of the scheme replicated; `later` has another window's batch 0",
        "cases": [*written, wrong_place],
        "later": replayed.value.hex(),
    }


def _received_on(value: bytes, partition: int) -> int:
    try:
        return decode_record(value).core.place.partition
    except WireError:
        return partition


def _partition(trial: Trial, gateway: str, window: int) -> int:
    return partition_of_segment(trial.task.hash, gateway, window, trial.roster.partitions)


def _flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def controls_bad(kept: Encapsulations) -> Vectors:
    """Control records that must be refused."""
    trial = make_trial()
    records = a_control_record_of_each_kind(trial, kept)

    def signed(record: ControlRecord, by: str, where: Trial = trial) -> bytes:
        return control.encode(record, task=where.task, roster=where.roster, identity=trial.keys[by].identity)

    manifest = records["manifest"]
    assert isinstance(manifest, Manifest)
    good = signed(manifest, "party-1")
    other_roster = make_trial(organisations=5)
    cases = {
        "empty": b"",
        "short": good[:-1],
        "long": good + b"\0",
        "trailing content": _resign(good[:-64] + b"\0", trial, "party-1"),
        "flipped bit": _flip(good, 90),
        "flipped signature": _flip(good, len(good) - 3),
        "signed by another party": signed(manifest, "party-2"),
        "signed by the collector": signed(manifest, "collector"),
        "an outcome signed by a party": signed(records["outcome"], "party-1"),
        "a party that does not exist": signed(replace(manifest, party=7), "party-1"),
        "another task": signed(manifest, "party-1", make_trial(purpose="another")),
        "another roster": control.encode(
            manifest, task=trial.task, roster=other_roster.roster, identity=trial.keys["party-1"].identity
        ),
        "outside the task": signed(replace(manifest, window=START - HOUR), "party-1"),
        "entries not sorted": signed(replace(manifest, entries=tuple(reversed(manifest.entries))), "party-1"),
        "an entry twice": signed(replace(manifest, entries=manifest.entries[:1] * 2), "party-1"),
        "an unknown gateway": signed(
            replace(manifest, entries=(Entry(gateway="nobody-1", contribution=bytes(32)),)), "party-1"
        ),
        "an entry that is a fault as well": signed(
            replace(manifest, faults=(Fault(gateway=manifest.entries[0].gateway, reason="two_seals"),)), "party-1"
        ),
        "phase 3": _resign(signed(Close(window=START, party=0, phase=1), "party-1")[:-65] + b"\3", trial, "party-1"),
        "a batch": bytes.fromhex(batches(kept)["schemes"]["replicated"]["records"][0]["record"]),
    }
    return {
        "about": "SPEC 8: none of these may count",
        "cases": [
            {
                "name": name,
                "record": value.hex(),
                "reason": _reason(lambda v=value: control.decode(v, task=trial.task, roster=trial.roster)),
            }  # type: ignore[misc]
            for name, value in cases.items()
        ],
    }


def _resign(statement: bytes, trial: Trial, by: str) -> bytes:
    return statement + trial.keys[by].identity.sign(b"sotto/1 control record\0" + statement)


def _reason(read: Callable[[], object]) -> str:
    try:
        read()
    except WireError as error:
        return error.reason
    raise AssertionError("internal error: a bad vector was read")


def aggregates_bad() -> Vectors:
    """Aggregates that must be refused."""
    trial = make_trial()
    made = an_aggregate(trial)
    data = aggregate.encode(made, trial.keys["collector"].identity)
    cases = {
        "not JSON": b"{",
        "not an object": b"[]",
        "signed by a party": aggregate.encode(made, trial.keys["party-1"].identity),
        "another task": aggregate.encode(
            replace(made, task_id="sotto-task:" + "a" * 26), trial.keys["collector"].identity
        ),
        "a changed sum": data.replace(b'"sum_steps":"41"', b'"sum_steps":"42"'),
        "a sum as a number": data.replace(b'"sum_steps":"41"', b'"sum_steps":41'),
        "spaces": data.replace(b'"cells":[', b'"cells": ['),
        "one key more": data.replace(b'{"aggregate"', b'{"a":1,"aggregate"'),
        "trailing": data + b"\n",
    }
    return {
        "about": "SPEC 9: none of these may be written to a sink",
        "cases": [
            {
                "name": name,
                "record": value.decode(),
                "reason": _reason(lambda v=value: aggregate.decode(v, task=trial.task)),
            }  # type: ignore[misc]
            for name, value in cases.items()
        ],
    }
