"""A gateway: MQTT messages in memory, one JSON reading each, to the records of all parties in memory.

Both sides run the whole `ingest.gateway.Gateway`: decoding, windows, repeats, quantising, batches. They differ in what
it is given as its sharder. Outside of both: the MQTT client, the spool and Kafka (of which Sotto has more to write).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from benchmarks.pairs import Run, Way
from benchmarks.plain import Envelope, packed
from benchmarks.setting import EPOCH, GATEWAY, Setting, segment
from ingest.commit import Kept
from ingest.config import BatchSection, Source
from ingest.decode import Decoders, SourceDecoder
from ingest.gateway import Gateway, Message, Seals
from ingest.shard import Outgoing, Rows, SegmentState
from ingest.windows import WindowBook, WindowRules
from protocol.body import SealNotes
from tests.trial import HOUR, START

_SOURCE = {
    "topic": "air/{area}/{station}",
    "sensor": "{station}",
    "time": "$.time",
    "time_format": "ms",
    "labels": {"area": "{area}"},
    "measures": {"temperature": "$.temperature"},
}
_NOW = START + HOUR


class PlainSharder:
    """In the sharder's place: one record of packed plaintext, in an envelope or without."""

    def __init__(self, envelope: Envelope | None) -> None:
        self._envelope = envelope

    def batch(self, *, window: int, rows: Rows, sequence: int) -> tuple[list[Outgoing], bytes]:
        """Pack, and seal where there is an envelope."""
        content = packed(rows)
        value = content if self._envelope is None else self._envelope.close(content, sequence)
        return [
            Outgoing(party="plain", window=window, readings=len(rows.units), partition=0, key=b"", value=value)
        ], bytes(32)

    def seal(
        self,
        *,
        window: int,
        segments: Sequence[SegmentState],
        sealed_at: int,
        notes: SealNotes | None = None,
        cold: bool = False,
    ) -> list[Outgoing]:
        """Plaintext needs no seal."""
        return []


def messages(setting: Setting) -> list[Message]:
    """Return one message for each reading: 60 sensors of three areas, tenths of degrees, times within one window."""
    generator = random.Random(1)  # noqa: S311 - readings, not secrets
    areas = sorted(setting.trial.roster.labels["area"])
    found = []
    for number in range(setting.readings):
        station = generator.randrange(60)
        temperature = generator.randrange(-400, 600) / 10
        text = f'{{"time": {START + number % HOUR}, "id": "s{station:02}", "temperature": {temperature:.1f}}}'
        topic = f"air/{areas[station % len(areas)]}/s{station:02}"
        found.append(Message(topic=topic, payload=text.encode(), mid=number % 65_535 + 1))
    return found


def sotto(setting: Setting, inbox: list[Message]) -> Way:
    """Shares, for all parties."""
    return _way(setting, inbox, setting.sharder)


def bare(setting: Setting, inbox: list[Message]) -> Way:
    """Packed plaintext without any protection."""
    return _way(setting, inbox, lambda: PlainSharder(None))


def sealed(setting: Setting, inbox: list[Message]) -> Way:
    """Packed plaintext, sealed and signed for one reader."""
    return _way(setting, inbox, lambda: PlainSharder(setting.envelope()))


def sotto_rows(setting: Setting) -> Way:
    """The last step alone: quantised rows to records for all parties."""
    batches = setting.random_rows()
    return lambda: _bound(setting.sharder(), batches)


def bare_rows(setting: Setting) -> Way:
    """Quantised rows to packed plaintext."""
    batches = setting.random_rows()
    return lambda: _bound(PlainSharder(None), batches)


def sealed_rows(setting: Setting) -> Way:
    """Quantised rows to packed plaintext, sealed and signed for one reader."""
    batches = setting.random_rows()
    return lambda: _bound(PlainSharder(setting.envelope()), batches)


def _bound(sharder: Seals, batches: list[Rows]) -> Run:
    return lambda: segment(sharder, batches)


def _way(setting: Setting, inbox: list[Message], sharder: Callable[[], Seals]) -> Way:
    def way() -> Run:
        gateway = _gateway(setting, sharder())
        return lambda: _play(gateway, inbox, setting.rows)

    return way


def _gateway(setting: Setting, sharder: Seals) -> Gateway:
    task, roster = setting.trial.task, setting.trial.roster
    rules = WindowRules(
        size=task.window.size,
        utc_offset=task.window.utc_offset,
        lateness=task.window.lateness,
        first=task.valid_from,
        last=task.valid_until,
        seals_by="event",
        max_ahead=300_000,
        idle_after=30_000,
    )
    return Gateway(
        decoders=Decoders([SourceDecoder(Source.model_validate(_SOURCE), task, roster)]),
        cells=roster.cells(task),
        book=WindowBook.fresh(rules, _NOW),
        batch=BatchSection(max_rows=setting.rows),
        max_payload=1 << 20,
        max_rows=task.limits.max_rows,
        sharder=sharder,
        epoch=EPOCH,
        kept=Kept(cold=True),
        secret=setting.trial.keys[GATEWAY].storage,
        entropy=setting.entropy,
    )


def _play(gateway: Gateway, inbox: list[Message], rows: int) -> int:
    """Take all messages in, make a batch of each `rows` of them, and seal the window. Returns the number of records."""
    records = 0
    for start in range(0, len(inbox), rows):
        for message in inbox[start : start + rows]:
            gateway.on_message(message, _NOW)
        commit = gateway.tick(_NOW)
        assert commit is not None
        assert commit.batches, "internal error: the batch was not due"
        records += len(commit.outgoing)
    commit = gateway.tick(_NOW + HOUR)
    assert commit is not None
    assert commit.sealed[0].readings == len(inbox), "internal error: readings were refused"
    return records + len(commit.outgoing)
