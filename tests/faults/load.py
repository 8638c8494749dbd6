"""The sensors: every reading is published until its broker has acknowledged it, and written down.

A reading is never given up and never changed: one without acknowledgement is published again with the same sensor,
time and value, and has to count once. Values are random over 44 bits, so no two are alike.
"""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from sotto.init import AREAS, MEMBERS
from tests.faults.trial import LARGEST, topic_of

AGAIN: Final = 4.0
"""Seconds without acknowledgement after which a reading is published once more."""
_TURN: Final = 0.02


def wall() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, kw_only=True)
class Reading:
    """One reading. `time` is milliseconds; `acknowledged` too, None as long as nobody has vouched for it."""

    organisation: str
    gateway: str
    area: str
    sensor: str
    time: int
    value: int
    published: int = 0
    """How often."""
    acknowledged: int | None = None


class Ledger:
    """Everything that was ever published."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: list[Reading] = []
        self._values: set[int] = set()

    def add(self, reading: Reading) -> None:
        """Write a new reading down, before it is published."""
        with self._lock:
            assert reading.value not in self._values, "internal error: two readings with one value"
            self._values.add(reading.value)
            self._readings.append(reading)

    def all(self) -> tuple[Reading, ...]:
        """Return all readings in the order in which they were made."""
        with self._lock:
            return tuple(self._readings)

    @property
    def acknowledged(self) -> int:
        """How many were acknowledged."""
        return sum(reading.acknowledged is not None for reading in self.all())


class Sensors:
    """The sensors of all organisations, one connection each. Use as a context.

    `rate` is readings a second over all of them, and may be changed at any time.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        seed: int,
        rate: float,
        address: tuple[str, int],
        last: int,
        clock: Callable[[], int] = wall,
    ) -> None:
        """Make readings until `last` (milliseconds since 1970, exclusive) by `clock`, which is event time."""
        self.rate = rate
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=each.run, name=f"sensors-{each.organisation}", daemon=True)
            for each in (
                _Organisation(
                    ledger=ledger,
                    organisation=member.organisation,
                    gateway=member.gateway,
                    chance=random.Random(f"{seed}/{member.organisation}"),
                    address=address,
                    last=last,
                    clock=clock,
                    per_second=lambda: self.rate / len(MEMBERS),
                    stop=self._stop,
                )
                for member in MEMBERS
            )
        ]

    def __enter__(self) -> Sensors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def done(self) -> bool:
        """Say whether all readings are made and acknowledged."""
        return not any(thread.is_alive() for thread in self._threads)


class _Organisation:
    """The sensors of one organisation, one in each area, on one connection."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        organisation: str,
        gateway: str,
        chance: random.Random,
        address: tuple[str, int],
        last: int,
        clock: Callable[[], int],
        per_second: Callable[[], float],
        stop: threading.Event,
    ) -> None:
        self.organisation = organisation
        self._gateway = gateway
        self._ledger = ledger
        self._chance = chance
        self._address = address
        self._last = last
        self._clock = clock
        self._per_second = per_second
        self._stop = stop
        self._acknowledged: queue.SimpleQueue[int] = queue.SimpleQueue()
        """Numbers of messages, from paho's thread; all else is touched by this thread alone."""
        self._waiting: dict[int, Reading] = {}
        """By the number of the message."""
        self._open: dict[int, tuple[Reading, float]] = {}
        """By value: what is not acknowledged, and when it was last published."""

    def run(self) -> None:
        client = self._connect()
        try:
            areas = self._areas()
            due = time.monotonic()
            while not self._stop.is_set():
                now = self._clock()
                if now >= self._last and not self._open:
                    break
                while due <= time.monotonic() and now < self._last:
                    self._publish(client, self._new(next(areas)))
                    due += self._chance.uniform(0.5, 1.5) / max(self._per_second(), 0.01)
                self._note()
                self._again(client)
                self._stop.wait(_TURN)
        finally:
            client.disconnect()
            client.loop_stop()

    def _areas(self) -> Iterator[str]:
        while True:
            yield from AREAS

    def _new(self, area: str) -> Reading:
        reading = Reading(
            organisation=self.organisation,
            gateway=self._gateway,
            area=area,
            sensor=f"{self.organisation}-{area}",
            time=self._clock(),
            value=self._chance.randint(0, LARGEST),
        )
        self._ledger.add(reading)
        return reading

    def _publish(self, client: paho.Client, reading: Reading) -> None:
        reading.published += 1
        topic = topic_of(reading.organisation, reading.area, reading.sensor)
        sent = client.publish(topic, json.dumps({"t": reading.time, "v": reading.value}), qos=1)
        self._open[reading.value] = reading, time.monotonic()
        self._waiting[sent.mid] = reading

    def _again(self, client: paho.Client) -> None:
        before = time.monotonic() - AGAIN
        if client.is_connected():
            for reading in [reading for reading, at in self._open.values() if at < before]:
                self._publish(client, reading)

    def _note(self) -> None:
        while not self._acknowledged.empty():
            reading = self._waiting.pop(self._acknowledged.get(), None)
            if reading is not None and reading.acknowledged is None:
                reading.acknowledged = wall()
                del self._open[reading.value]

    def _connect(self) -> paho.Client:
        # Not a clean session: what paho sends again after a lost connection keeps its number.
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"sensors-{self.organisation}",
            clean_session=False,
            protocol=paho.MQTTv311,
        )
        client.max_inflight_messages_set(1_000)
        client.reconnect_delay_set(1, 1)
        client.on_publish = lambda _client, _data, mid, _reason, _properties: self._acknowledged.put(mid)
        client.connect_async(*self._address, keepalive=5)
        client.loop_start()
        return client
