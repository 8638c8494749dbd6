"""The roles of the vectors: a task, a gateway whose HPKE encapsulations are known bytes, parties, a collector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ingest.shard import Outgoing, Rows, SegmentKey, SegmentState, Sharder
from protocol.aggregate import Aggregate, CellResult, Contributor, JointResult
from protocol.batch import Epoch, Place
from protocol.body import SealNotes, segment_info
from protocol.hpke import SUITES, PublicKey
from protocol.roster import Cell
from protocol.topics import Topics
from streams.leaf import Leaf
from tests.trial import HOUR, START, Trial, counted, make_trial

HERE = Path(__file__).parent
ENCAPSULATIONS = HERE / "encapsulations.json"
EPOCH = Epoch(counter=1_480_521_600_123, nonce=bytes(range(16)))


class Encapsulations:
    """HPKE outputs by what went in: they are inputs of the vectors, since HPKE draws its own randomness."""

    def __init__(self) -> None:
        self.known: dict[str, str] = json.loads(ENCAPSULATIONS.read_text()) if ENCAPSULATIONS.exists() else {}
        self.used: dict[str, str] = {}

    def seal(self, suite: str, plaintext: bytes, public: PublicKey, info: bytes) -> bytes:
        """Return the kept encapsulation of these inputs; a new one is made where none is kept."""
        name = hashlib.sha256(info + b"\0" + plaintext).hexdigest()
        if name not in self.known:
            self.known[name] = SUITES[suite].seal(plaintext, public, info).hex()
        self.used[name] = self.known[name]
        return bytes.fromhex(self.known[name])


class KnownSharder(Sharder):
    """The gateway's own sharder with kept encapsulations."""

    def __init__(self, trial: Trial, gateway: str, kept: Encapsulations, epoch: Epoch = EPOCH) -> None:
        super().__init__(
            task=trial.task,
            roster=trial.roster,
            key=trial.keys[gateway],
            cards=trial.cards,
            entropy=counted(gateway),
            epoch=epoch,
        )
        self._trial = trial
        self._gateway = gateway
        self._kept = kept

    def encapsulate(self, place: Place, party: int, secret: bytes) -> SegmentKey:
        task = self._trial.task
        card = self._trial.cards[task.party_names[party]]
        suite = SUITES[task.scheme.sealing]
        info = segment_info(
            place,
            suite=suite.code,
            identity=self._trial.keys[self._gateway].public_identity,
            party=party,
            key_id=card.key_id,
        )
        return SegmentKey(secret, self._kept.seal(suite.name, secret, card.public_key(), info))


def rows_of(trial: Trial, readings: Mapping[tuple[str, int], list[int]]) -> Rows:
    """Return rows from units by (area, number of the measure)."""
    cells = tuple(Cell((area,), measure) for area, measure in readings)
    counts = [len(units) for units in readings.values()]
    return Rows(
        cells=cells,
        cell_ids=np.repeat(np.arange(len(cells)), counts).astype(np.intp),
        units=np.array([unit for units in readings.values() for unit in units], dtype=np.uint64),
    )


READINGS: dict[tuple[str, int], list[int]] = {
    ("outer", 0): [4],
    ("centre", 0): [38, 33, 0],
    ("centre", 1): [435],
}


def a_segment(trial: Trial, kept: Encapsulations) -> tuple[list[list[Outgoing]], list[Outgoing]]:
    """Return two batches of north-1 and their seal, each with one record for each party."""
    sharder = KnownSharder(trial, "north-1", kept)
    first, one = sharder.batch(window=START, rows=rows_of(trial, READINGS), sequence=0)
    second, two = sharder.batch(window=START, rows=rows_of(trial, {("ring", 1): [1000, 0]}), sequence=1)
    state = SegmentState(epoch=EPOCH, batches=2, cores=one + two)
    notes = SealNotes(late=2, dropped=3)
    seal = sharder.seal(window=START, segments=[state], sealed_at=START + 4_200_000, notes=notes)
    return [first, second], seal


def leaf_of(trial: Trial, party: str) -> Leaf:
    """Return the leaf of a party."""
    return Leaf(task=trial.task, roster=trial.roster, key=trial.keys[party], topics=Topics.of(trial.task))


def schemes() -> dict[str, Trial]:
    """Return the trials of the vectors by name."""
    return {
        "replicated": make_trial("replicated", 3),
        "additive-2": make_trial("additive", 2),
        "additive-3": make_trial("additive", 3),
        "replicated-mlkem768": make_trial("replicated", 3, suite="mlkem768-x25519"),
    }


def a_result(
    trial: Trial,
    *,
    contributor: Contributor,
    absent: tuple[str, ...] = (),
    cells: tuple[CellResult, ...],
    joint: tuple[JointResult, ...] = (),
) -> Aggregate:
    """Return an aggregate of the first window, from one contributor."""
    task = trial.task
    return Aggregate(
        task=task.name,
        revision=task.revision,
        task_id=task.id,
        roster=1,
        window_start=START,
        window_end=START + HOUR,
        verified=True,
        parties=task.party_names,
        contributors=(contributor,),
        organisations=1,
        gateways=1,
        absent=absent,
        last_seal=START + HOUR + 600_000,
        revealed_at=START + HOUR + 600_084,
        cells=cells,
        joint=joint,
    )


def a_cell(trial: Trial, area: str, measure: str, **outcome: Any) -> CellResult:
    """Return what became of one cell."""
    of = trial.task.measures[measure]
    return CellResult(labels={"area": area}, measure=measure, unit=of.unit, resolution=of.resolution, **outcome)
