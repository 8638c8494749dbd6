"""A gateway without brokers, keys or a clock: messages in, rows and seals out."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.commit import Commit, Kept
from ingest.config import BatchSection, ClockSection, GatewayFile
from ingest.decode import Decoders, SourceDecoder
from ingest.gateway import Gateway, Message
from ingest.main import book_of
from ingest.shard import Outgoing, Rows, SegmentState
from ingest.spool import Spool
from protocol.batch import Epoch
from protocol.body import SealNotes
from protocol.roster import Cell
from runtime.files import loads
from tests.trial import HOUR, START, Trial, counted, make_trial

MINUTE = 60_000
PARTIES = ("party-1", "party-2", "party-3")
SECRET = b"s" * 32

FILE = """
format = 1
name = "north-1"
organisation = "north"
task = "task.toml"
roster = "roster.toml"
key = "file:north-1.key"
[mqtt]
url = "mqtt://127.0.0.1:1883"
[[source]]
topic = "air/{area}/{station}"
sensor = "{station}"
time = "$.time"
time_zone = "+08:00"
gaps = ["none", -999]
[source.labels]
area = "{area}"
[source.measures]
no2 = "$.NO2"
temperature = "$['TEMP']"
[[source]]
topic = "logger/{station}"
each = "$.rows[*]"
sensor = "{station}"
time = "$.ts"
time_format = "ms"
[source.labels]
area = { from = "$.place", map = { D = "outer", X = "nowhere" } }
[source.measures]
no2 = "$.no2"
temperature = { path = "$.t10", scale = 0.1 }
[[source]]
topic = "now/{station}"
sensor = "{station}"
[source.labels]
area = "ring"
[source.measures]
no2 = "$"
[kafka]
bootstrap_servers = ["127.0.0.1:9092"]
security_protocol = "PLAINTEXT"
[batch]
max_rows = 100
"""


def config_of(text: str = FILE, folder: Path = Path(), **sections: Any) -> GatewayFile:
    return loads(text, GatewayFile, path=folder / "gateway.toml").model_copy(update=sections)


@dataclass
class FakeSharder:
    """Keeps rows where `ingest.shard` would share them."""

    epoch: Epoch
    sums: Counter[tuple[int, Cell]] = field(default_factory=Counter)
    counts: Counter[tuple[int, Cell]] = field(default_factory=Counter)
    batches: list[tuple[int, int, Rows]] = field(default_factory=list)
    seals: dict[int, tuple[tuple[SegmentState, ...], int, bool]] = field(default_factory=dict)
    notes: dict[int, SealNotes] = field(default_factory=dict)

    def batch(self, *, window: int, rows: Rows, sequence: int) -> tuple[list[Outgoing], bytes]:
        self.batches.append((window, sequence, rows))
        for number, unit in zip(rows.cell_ids.tolist(), rows.units.tolist(), strict=True):
            self.sums[window, rows.cells[number]] += unit
            self.counts[window, rows.cells[number]] += 1
        core = hashlib.sha256(f"{self.epoch.counter}/{window}/{sequence}".encode()).digest()
        readings = len(rows.cell_ids)
        return [self._out(p, window, f"batch {window} {sequence}", readings) for p in PARTIES], core

    def seal(
        self,
        *,
        window: int,
        segments: Sequence[SegmentState],
        sealed_at: int,
        notes: SealNotes | None = None,
        cold: bool = False,
    ) -> list[Outgoing]:
        assert cold or window not in self.seals, "a window is sealed once, and cold if it is given up afterwards"
        self.seals[window] = (tuple(segments), notes.late if notes else 0, cold)
        self.notes[window] = notes or SealNotes()
        return [self._out(p, window, f"{'cold seal' if cold else 'seal'} {window}") for p in PARTIES]

    def _out(self, party: str, window: int, text: str, readings: int = 0) -> Outgoing:
        return Outgoing(party=party, window=window, readings=readings, partition=0, key=b"north-1", value=text.encode())


def spool_in(folder: Path, trial: Trial, **other: Any) -> Spool:
    """Open the spool of north-1."""
    return Spool(folder, **{"task": trial.task.hash, "gateway": "north-1", "secret": SECRET, **other})


class Made:
    """One start of a gateway over a spool in `folder` (or none)."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        trial: Trial | None = None,
        text: str = FILE,
        now: int = START,
        seals_by: str = "event",
        require_sync: bool = False,
        max_rows: int | None = None,
        **batch: int,
    ) -> None:
        self.trial = trial or make_trial()
        self.now = now
        self.config = config_of(
            text, clock=ClockSection.model_validate({"seals_by": seals_by, "require_sync": require_sync})
        )
        rules = BatchSection(max_rows=batch.get("batch_rows", 100))
        self.spool = None if folder is None else spool_in(folder, self.trial)
        self.kept = Kept(cold=True) if self.spool is None else self.spool.kept()
        self.epoch = (
            Epoch(counter=1, nonce=bytes(16))
            if self.spool is None
            else self.spool.begin_epoch(now, now.to_bytes(16, "big"))
        )
        self.sharder = FakeSharder(self.epoch)
        self.decoders = Decoders(
            [SourceDecoder(source, self.trial.task, self.trial.roster) for source in self.config.source]
        )
        book = book_of(self.config, self.trial.task, self.trial.roster, self.kept, now)
        if self.spool is not None:
            self.spool.begin_book(book.next, book.contributes_from)
        self.gateway = Gateway(
            decoders=self.decoders,
            cells=self.trial.roster.cells(self.trial.task),
            book=book,
            batch=rules,
            max_payload=1 << 20,
            max_rows=max_rows or self.trial.task.limits.max_rows,
            sharder=self.sharder,
            epoch=self.epoch,
            kept=self.kept,
            secret=SECRET,
            entropy=counted(f"made {now}"),
        )
        self.mid = 0
        self.refused: Counter[str] = Counter()

    def send(self, topic: str, payload: Any, **options: Any) -> Message:
        self.mid += 1
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        message = Message(topic=topic, payload=data, **{"mid": self.mid, "connection": 1, **options})
        self.gateway.on_message(message, self.now)
        return message

    def tick(self, **options: Any) -> Commit | None:
        commit = self.gateway.tick(self.now, **options)
        if commit is not None and self.spool is not None:
            self.spool.commit(commit, epoch=self.epoch.counter, now=self.now)
        return commit

    def flush(self) -> Commit | None:
        return self.tick(flush=True, hold=True)

    def refusals(self) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for (_, reason), count in self.gateway.tally.refused.items():
            found[reason] += count
        return found

    def sum_of(self, measure: str, *, window: int = START, area: str = "ring") -> tuple[int, int]:
        """Return (count, sum of units) of a cell."""
        cell = Cell((area,), self.trial.task.measure_names.index(measure))
        return self.sharder.counts[window, cell], self.sharder.sums[window, cell]


def at(ms: int) -> str:
    """Write a time as stations do: local, without a zone."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms, hours=8)
    return moment.replace(tzinfo=None).isoformat()


__all__ = ["FILE", "HOUR", "MINUTE", "START", "FakeSharder", "Made", "at", "config_of"]
