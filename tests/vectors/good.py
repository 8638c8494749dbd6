"""The good vectors: what every encoder has to make (SPEC 10)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from mpc_ops.fixedpoint import OutOfRangeError, Quantiser
from mpc_ops.sharing import expand, shard
from protocol import aggregate, control
from protocol.aggregate import Aggregate, Contributor
from protocol.batch import Segment
from protocol.body import CellTable, SealNotes
from protocol.canonical import canonical
from protocol.contribution import BatchSums, Contribution, ContributionBox, FaultSeen, Progress, SealSeen, encode
from protocol.control import AggregateShare, Close, ControlRecord, Entry, Fault, GiveUp, Manifest, Outcome, set_digest
from protocol.hpke import SUITES
from protocol.roster import Cell
from protocol.share import SharePayload, share_info
from protocol.topics import partition_of_segment, partition_of_window
from protocol.windows import start_of
from tests.trial import HOUR, START, Trial, make_trial
from tests.vectors.playing import EPOCH, Encapsulations, a_cell, a_result, a_segment, leaf_of, schemes

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
    return {
        "about": "SPEC 6, 7: a segment of north-1 of two batches and a seal (2 late readings, 3 dropped)",
        "schemes": found,
    }


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
            gateway="north-1",
            contribution=b"\x03" * 32,
            segments=(segment,),
            sealed_at=START,
            late=7,
            cold=False,
            dropped=5,
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


def a_control_record_of_each_kind(trial: Trial, kept: Encapsulations) -> dict[str, ControlRecord]:
    """Return the records by the name of their kind."""
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
        notes=(("north-1", SealNotes(late=2, dropped=3)),),
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
    for kind, record in a_control_record_of_each_kind(trial, kept).items():
        identity = trial.keys[_signer(trial, record)].identity
        value = control.encode(record, task=trial.task, roster=trial.roster, identity=identity)
        assert control.decode(value, task=trial.task, roster=trial.roster) == record
        cases.append({"kind": kind, "signer": _signer(trial, record), "record": value.hex()})
    return {"about": "SPEC 8", "cases": cases}


def an_aggregate(trial: Trial) -> Aggregate:
    """Return an aggregate with a point and a suppressed cell."""
    return a_result(
        trial,
        contributor=Contributor(gateway="north-1", organisation="north", late=0, dropped=3),
        absent=("west-1",),
        cells=(
            a_cell(trial, "outer", "no2", outcome="point", count=4, sum_steps=41),
            a_cell(trial, "outer", "temperature", outcome="suppressed", reason="too_few_organisations"),
        ),
    )


def aggregates() -> Vectors:
    """A signed aggregate."""
    trial = make_trial()
    data = aggregate.encode(an_aggregate(trial), trial.keys["collector"].identity)
    assert aggregate.decode(data, task=trial.task) == an_aggregate(trial)
    return {"about": "SPEC 9", "record": data.decode()}
