"""Write the test vectors: `make vectors`. A change of any of them is a change of the wire (SPEC, CHANGELOG)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from mpc_ops.fixedpoint import OutOfRangeError, Quantiser
from mpc_ops.sharing import expand, shard
from protocol import aggregate, control
from protocol.aggregate import Aggregate, CellResult, Contributor
from protocol.batch import BatchCore, Epoch, SealCore, Segment, decode_record, sign_record, unsealed
from protocol.body import CellTable
from protocol.canonical import canonical
from protocol.contribution import BatchSums, Contribution, ContributionBox, FaultSeen, Progress, SealSeen, encode
from protocol.control import AggregateShare, Close, ControlRecord, Entry, Fault, GiveUp, Manifest, Outcome, set_digest
from protocol.errors import WireError
from protocol.hpke import SUITES
from protocol.roster import Cell
from protocol.share import SharePayload, share_info
from protocol.topics import partition_of_segment, partition_of_window
from protocol.windows import start_of
from tests.trial import HOUR, START, Trial, make_trial
from tests.vectors.playing import EPOCH, HERE, Encapsulations, KnownSharder, a_segment, leaf_of, rows_of, schemes

Vectors = dict[str, Any]


def quantise() -> Vectors:
    """Readings as JSON numbers and their units; ties go to the even step."""
    cases = []
    for low, high, resolution, scale, offset, readings in (
        ("-40", "60", "0.1", "1", "0", ["3.5", "0.05", "0.15", "0.25", "-0.05", "-0.15", "-40", "60", "60.05", "60.1"]),
        ("-40", "60", "0.1", "1", "0", ["-40.05", "-40.04", "-0.0", "4.799999999", "4.75", "4.85", "1e-300", "1e308"]),
        ("0", "1000", "1", "1", "0", ["0.5", "1.5", "2.5", "999.5", "1000.4", "-0.4", "0", "1000", "38"]),
        ("0", "20000", "100", "1000", "0", ["0.05", "0.15", "0.25", "0.3", "20", "20.0001"]),
        ("0", "10", "0.2", "1", "0", ["0.1", "0.3", "0.5", "0.7", "0.30000000000000004", "9.9"]),
        ("0", "1", "0.01", "0.1", "0.005", ["0", "0.1", "0.05", "9.95"]),
    ):
        quantiser = Quantiser(
            minimum=Decimal(low),
            maximum=Decimal(high),
            resolution=Decimal(resolution),
            scale=Decimal(scale),
            offset=Decimal(offset),
        )
        for reading in readings:
            try:
                unit: int | None = quantiser.exact(float(reading))
            except OutOfRangeError:
                unit = None
            cases.append(
                {
                    "range": [low, high],
                    "resolution": resolution,
                    "scale": scale,
                    "offset": offset,
                    "reading": reading,
                    "unit": unit,
                }
            )
    return {"about": "SPEC 5.1; unit null: refused as out of range", "cases": cases}


def windows() -> Vectors:
    """Starts of windows and partitions."""
    task = make_trial().task
    starts = [
        {"time": time, "size": size, "utc_offset": offset, "start": start_of(time, size, offset)}
        for time in (0, -1, START, START - 1, START + HOUR - 1, START + HOUR)
        for size, offset in ((HOUR, 0), (HOUR, 8 * HOUR), (24 * HOUR, 8 * HOUR), (10_000, 0), (24 * HOUR, -HOUR // 2))
    ]
    partitions = [
        {
            "gateway": gateway,
            "window": window,
            "partitions": number,
            "of_segment": partition_of_segment(task.hash, gateway, window, number),
            "of_window": partition_of_window(task.hash, window, number),
        }
        for gateway in ("north-1", "west-1")
        for window in (START, START + HOUR)
        for number in (1, 3, 12)
    ]
    return {"about": "SPEC 1, 2", "task_hash": task.hash.hex(), "starts": starts, "partitions": partitions}


def agreed() -> Vectors:
    """Canonical documents of task and roster with their hashes."""
    trial = make_trial()
    return {
        "about": "SPEC 3, 4: canonical documents and what they hash to",
        "task": canonical(trial.task.document()).decode(),
        "task_hash": trial.task.hash.hex(),
        "task_id": trial.task.id,
        "roster": canonical(trial.roster.document()).decode(),
        "roster_hash": trial.roster.hash.hex(),
        "cells": [[list(cell.labels), cell.measure] for cell in trial.roster.cells(trial.task)],
    }


def sharing() -> Vectors:
    """Seeds, what they expand to, and the explicit component."""
    values = np.array([0, 1, 4, 2**52, 2**63, 2**64 - 1], dtype=np.uint64)
    seeds = [bytes(range(32)), b"\xff" * 32]
    return {
        "about": "SPEC 5.2: components of values under seeds",
        "values": [str(value) for value in values],
        "seeds": [seed.hex() for seed in seeds],
        "expanded": [[str(word) for word in expand(seed, len(values))] for seed in seeds],
        "explicit": [str(word) for word in shard(values, seeds)[-1]],
    }


def batches(kept: Encapsulations) -> Vectors:
    """Records of every party in every scheme, and the contributions that they become."""
    found = {}
    for name, trial in schemes().items():
        (first, second), seal = a_segment(trial, kept)
        found[name] = {
            "window": START,
            "partition": first[0].partition,
            "records": [
                {
                    "party": record.party,
                    "kind": kind,
                    "record": record.value.hex(),
                    "contribution": leaf_of(trial, record.party)
                    .contribute(record.value, partition=record.partition)
                    .value.hex(),
                }
                for kind, records in (("batch", first), ("batch", second), ("seal", seal))
                for record in records
            ],
        }
    return {"about": "SPEC 6, 7: a segment of north-1 of two batches and a seal (2 late readings)", "schemes": found}


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


def contributions() -> Vectors:
    """Contributions of each kind: content, and sealed under a party's storage secret."""
    trial = make_trial()
    key = trial.keys["party-1"]
    box = ContributionBox(storage=key.storage, task_hash=trial.task.hash, party=0)
    segment = Segment(epoch=EPOCH, batches=2, cores=b"\x01" * 32)
    items: dict[str, Contribution] = {
        "batch": BatchSums(
            gateway="north-1",
            epoch=EPOCH,
            sequence=3,
            core_hash=b"\x02" * 32,
            table=CellTable(cells=(Cell(("centre",), 0), Cell(("ring",), 1)), rows=np.array([2, 1], dtype=np.int64)),
            sums=np.array([[1, 2], [2**64 - 1, 2**63]], dtype=np.uint64),
        ),
        "seal": SealSeen(
            gateway="north-1", contribution=b"\x03" * 32, segments=(segment,), sealed_at=START, late=7, cold=False
        ),
        "fault": FaultSeen(gateway="north-1", reason="unequal_copies"),
        "progress": Progress(partition=2, offset=2**40),
    }
    return {
        "about": "SPEC 7: by party-1",
        "storage": key.storage.hex(),
        "cases": [
            {"kind": kind, "content": encode(item).hex(), "record": box.seal(item, START).hex()}
            for kind, item in items.items()
        ],
    }


def _control_records(trial: Trial, kept: Encapsulations) -> dict[str, ControlRecord]:
    task, roster = trial.task, trial.roster
    entries = tuple(Entry(gateway=name, contribution=bytes([i]) * 32) for i, name in enumerate(sorted(roster.gateways)))
    digest = set_digest(
        task_hash=task.hash, roster_hash=roster.hash, window=START, entries=entries[:3], parties=(0, 1, 2)
    )
    payload = SharePayload(
        released=np.array([0, 2, 3, 4, 5], dtype=np.int64),
        counts=np.array([4, 4, 3, 4, 12], dtype=np.int64),
        sums=np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 2**64 - 1]], dtype=np.uint64),
        suppressed=((1, "too_few_organisations"),),
        late=(("north-1", 2),),
    )
    card = trial.cards["collector"]
    suite = SUITES[task.scheme.sealing]
    info = share_info(
        task_hash=task.hash,
        roster_hash=roster.hash,
        window=START,
        digest=digest,
        party=1,
        suite=suite.code,
        key_id=card.key_id,
    )
    sealed = kept.seal(suite.name, payload.encode(), card.public_key(), info)
    return {
        "manifest": Manifest(
            window=START,
            party=0,
            floor=START,
            last_seal=START + HOUR + 600_000,
            entries=entries[:3],
            faults=(Fault(gateway=entries[3].gateway, reason="two_seals"),),
        ),
        "close": Close(window=START, party=1, phase=1),
        "give-up": GiveUp(window=START, party=2),
        "aggregate share": AggregateShare(
            window=START, party=1, floor=START - HOUR, digest=digest, key_id=card.key_id, sealed=sealed
        ),
        "outcome": Outcome(window=START, floor=START + HOUR, digest=b"\x09" * 32),
    }


def _signer(trial: Trial, record: ControlRecord) -> str:
    return "collector" if isinstance(record, Outcome) else trial.task.party_names[record.party]


def controls(kept: Encapsulations) -> Vectors:
    """Control records of each kind."""
    trial = make_trial()
    cases = []
    for kind, record in _control_records(trial, kept).items():
        identity = trial.keys[_signer(trial, record)].identity
        value = control.encode(record, task=trial.task, roster=trial.roster, identity=identity)
        assert control.decode(value, task=trial.task, roster=trial.roster) == record
        cases.append({"kind": kind, "signer": _signer(trial, record), "record": value.hex()})
    return {"about": "SPEC 8", "cases": cases}


def controls_bad(kept: Encapsulations) -> Vectors:
    """Control records that must be refused."""
    trial = make_trial()
    records = _control_records(trial, kept)

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


def an_aggregate(trial: Trial) -> Aggregate:
    """Return an aggregate with a point and a suppressed cell."""
    task = trial.task
    no2, temperature = (task.measures[name] for name in task.measure_names)
    return Aggregate(
        task=task.name,
        revision=task.revision,
        task_id=task.id,
        roster=1,
        window_start=START,
        window_end=START + HOUR,
        verified=True,
        parties=task.party_names,
        contributors=(Contributor(gateway="north-1", organisation="north", late=0),),
        organisations=1,
        gateways=1,
        absent=("west-1",),
        last_seal=START + HOUR + 600_000,
        revealed_at=START + HOUR + 600_084,
        cells=(
            CellResult(
                labels={"area": "outer"},
                measure="no2",
                unit=no2.unit,
                resolution=no2.resolution,
                outcome="point",
                count=4,
                sum_steps=41,
            ),
            CellResult(
                labels={"area": "outer"},
                measure="temperature",
                unit=temperature.unit,
                resolution=temperature.resolution,
                outcome="suppressed",
                reason="too_few_organisations",
            ),
        ),
    )


def aggregates() -> Vectors:
    """A signed aggregate."""
    trial = make_trial()
    data = aggregate.encode(an_aggregate(trial), trial.keys["collector"].identity)
    assert aggregate.decode(data, task=trial.task) == an_aggregate(trial)
    return {"about": "SPEC 9", "record": data.decode()}


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


def every_file() -> Iterator[tuple[str, Vectors]]:
    """Return all vectors by file name, and last the encapsulations that they were made with."""
    kept = Encapsulations()
    yield "quantise.json", quantise()
    yield "windows.json", windows()
    yield "agreed.json", agreed()
    yield "sharing.json", sharing()
    yield "shares.json", batches(kept)
    yield "shares_bad.json", batches_bad(kept)
    yield "contributions.json", contributions()
    yield "control.json", controls(kept)
    yield "control_bad.json", controls_bad(kept)
    yield "aggregate.json", aggregates()
    yield "aggregate_bad.json", aggregates_bad()
    yield "encapsulations.json", kept.used


def text_of(vectors: Vectors) -> str:
    """Return a file's text."""
    return json.dumps(vectors, indent=1, ensure_ascii=False) + "\n"


def main(directory: Path = HERE) -> None:
    """Write all files."""
    for name, vectors in every_file():
        (directory / name).write_text(text_of(vectors))


if __name__ == "__main__":
    main()
