"""What both benchmarks work on: one trial, one gateway, and a window's worth of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.plain import Envelope
from ingest.gateway import Seals
from ingest.shard import Outgoing, Rows, SegmentState, Sharder
from mpc_ops.schemes import scheme
from protocol.batch import Epoch, Place
from protocol.keys import Entropy
from protocol.topics import partition_of_segment
from tests.trial import START, Trial, make_trial

GATEWAY = "north-1"
EPOCH = Epoch(counter=1, nonce=bytes(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One segment: `batches` batches of `rows` rows each, of one gateway, for the parties of a scheme."""

    trial: Trial
    rows: int
    batches: int
    entropy: Entropy

    @property
    def readings(self) -> int:
        """Readings of the segment."""
        return self.rows * self.batches

    def sharder(self) -> Sharder:
        """Return a gateway's sharder that has sealed no segment key yet."""
        return Sharder(
            task=self.trial.task,
            roster=self.trial.roster,
            key=self.trial.keys[GATEWAY],
            cards=self.trial.cards,
            entropy=self.entropy,
            epoch=EPOCH,
        )

    def envelope(self) -> Envelope:
        """Return the envelope of sealed plaintext, its segment key already there."""
        task, roster = self.trial.task, self.trial.roster
        place = Place(
            task_hash=task.hash,
            roster_hash=roster.hash,
            scheme=scheme(task.scheme.name, len(task.party)).code,
            gateway=GATEWAY,
            epoch=EPOCH,
            window=START,
            partition=partition_of_segment(task.hash, GATEWAY, START, roster.partitions),
        )
        return Envelope(
            place=place,
            key=self.trial.keys[GATEWAY],
            segment_key=self.entropy(32),
            encapsulation=self.entropy(80),
            entropy=self.entropy,
        )

    def random_rows(self) -> list[Rows]:
        """Return quantised rows for each batch, over all cells of the roster."""
        cells = self.trial.roster.cells(self.trial.task)
        generator = np.random.default_rng(1)
        return [
            Rows(
                cells=cells,
                cell_ids=generator.integers(0, len(cells), self.rows).astype(np.intp),
                units=generator.integers(0, 1000, self.rows).astype(np.uint64),
            )
            for _ in range(self.batches)
        ]


def setting(name: str, *, rows: int, batches: int, entropy: Entropy) -> Setting:
    """Make the setting for three parties of the scheme `name`."""
    return Setting(trial=make_trial(name), rows=rows, batches=batches, entropy=entropy)


def segment(sharder: Seals, batches: list[Rows]) -> list[Outgoing]:
    """Share a whole segment and seal it: the records of all parties."""
    records, cores = [], []
    for sequence, rows in enumerate(batches):
        outgoing, core_hash = sharder.batch(window=START, rows=rows, sequence=sequence)
        records += outgoing
        cores.append(core_hash)
    state = SegmentState(epoch=EPOCH, batches=len(batches), cores=b"".join(cores))
    return records + sharder.seal(window=START, segments=[state], sealed_at=START)
