"""`sotto gateway FILE --dry-run`: what was found in the messages, on this terminal only. Nothing is sent or stored.

It is the one place where values are shown, so that the person who writes the configuration sees whether it is right.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from math import isnan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ingest.config import GatewayFile
from ingest.decode import Decoders, Row, SourceDecoder, Tally
from ingest.gateway import Message
from ingest.inbox import Inbox
from ingest.mqtt import Mqtt, Subscription
from ingest.refusal import RefusedError
from mpc_ops.schemes import scheme
from mpc_ops.sharing import shard
from protocol.identity import b64
from protocol.roster import Roster
from protocol.task import Task
from protocol.units import iso


class _Sample(NamedTuple):
    """One good reading: its row, its column, its unit (uint64[1])."""

    row: Row
    column: int
    units: NDArray[np.uint64]


class DryRun:
    """Listens under a name of its own, in a session that ends with it, so that the real gateway loses nothing."""

    def __init__(
        self,
        *,
        config: GatewayFile,
        task: Task,
        roster: Roster,
        decoders: Decoders,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._config = config
        self._task = task
        self._cells = roster.cells(task)
        self._decoders = decoders
        self._clock = clock
        self._entropy = entropy
        self._tally = Tally()
        self._readings: Counter[str] = Counter()
        self._samples: dict[str, _Sample] = {}

    def run(
        self, stop: threading.Event, *, until: int | None, monotonic: Callable[[], int], console: Console | None = None
    ) -> None:
        """Listen until `stop` or `until` (monotonic milliseconds), then print the summary."""
        inbox = Inbox()
        mqtt = Mqtt(
            section=self._config.mqtt,
            client_id=f"{self._config.client_id}-dry-{b64(self._entropy(6))}",
            subscriptions=[
                Subscription(one.pattern.filter, retained=one.accepts_retained) for one in self._decoders.all
            ],
            remove=(),
            inbox=inbox,
            persistent=False,
        )
        mqtt.start()
        while not stop.is_set() and (until is None or monotonic() < until):
            messages = inbox.take(0.2)
            for message in messages:
                self.on_message(message)
        inbox.close()
        reached = mqtt.connected
        mqtt.stop()
        console = console or Console()
        if not reached:
            console.print(f"The MQTT broker was not reached: {mqtt.last_error}.", markup=False, highlight=False)
        for line in self.report():
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_message(self, message: Message) -> None:
        """Look at one message."""
        number = self._decoders.of(message.topic)
        if number is None:
            return
        source = self._decoders.all[number]
        self._tally.messages[source.name] += 1
        try:
            if message.retain and not source.accepts_retained:
                raise RefusedError("retained")
            rows = source.rows(message.topic, message.payload, self._clock() * 1_000_000, self._tally)
        except RefusedError as refusal:
            self._tally.refused[source.name, refusal.reason] += 1
            return
        for row in rows:
            self._readings[source.name] += self._look(source, row)

    def _look(self, source: SourceDecoder, row: Row) -> int:
        good = 0
        for column, (quantiser, value) in enumerate(zip(source.quantisers, row.values, strict=True)):
            if isnan(value):
                continue
            units, ok = quantiser.quantise(np.array([value]))
            if ok[0]:
                good += 1
                self._samples[source.name] = _Sample(row, column, units)
            else:
                self._tally.refused[source.name, "out_of_range"] += 1
        return good

    def report(self) -> list[str]:
        """Say what was found, for each source, and show one value the way the parties see it."""
        lines = []
        for source in self._decoders.all:
            refused = [
                f"{count} {reason}" for (name, reason), count in self._tally.refused.items() if name == source.name
            ]
            lines.append(
                f"{source.name}: {self._tally.messages[source.name]} messages, {self._readings[source.name]} readings"
                f"{', refused: ' + ', '.join(sorted(refused)) if refused else ''}"
            )
        gaps = ", ".join(f"{count} of {measure}" for measure, count in sorted(self._tally.gaps.items()))
        if gaps:
            lines.append(f"Gaps: {gaps}")
        lines += [
            self._example(source, self._samples[source.name])
            for source in self._decoders.all
            if source.name in self._samples
        ]
        return [*lines, "Nothing was sent or stored."]

    def _example(self, source: SourceDecoder, sample: _Sample) -> str:
        row, units = sample.row, sample.units
        rules = scheme(self._task.scheme.name, len(self._task.party))
        components = shard(units, [self._entropy(32) for _ in range(rules.components - 1)])
        seen = ", ".join(
            f"{name} sees {' and '.join(str(int(components[j][0])) for j in rules.held_by(number))}"
            for number, name in enumerate(self._task.party_names)
        )
        labels = "".join(f" ({label})" for label in self._cells[row.base].labels)
        when = iso(row.time // 1_000_000, self._task.window.utc_offset)
        what = f"{source.measures[sample.column]} of {row.sensor}{labels}, {when}"
        return f"{what}: {row.values[sample.column]} -> step {int(units[0])} -> {seen}"
