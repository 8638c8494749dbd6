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
"""Seconds without any acknowledgement after which readings are published once more."""
_SLOW: Final = 20.0
"""The same for a reading while others are acknowledged."""
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
        together: int = 1,
    ) -> None:
        """Make readings until `last` (milliseconds since 1970, exclusive) by `clock`, which is event time.

        `together` is how many readings a message has.
        """
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
                    together=together,
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
        together: int,
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
        self._together = together
        self._per_second = per_second
        self._stop = stop
        self._acknowledged: queue.SimpleQueue[int] = queue.SimpleQueue()
        """Numbers of messages, from paho's thread; all else is touched by this thread alone."""
        self._waiting: dict[int, tuple[Reading, ...]] = {}
        """By the number of the message."""
        self._open: dict[int, tuple[tuple[Reading, ...], float]] = {}
        """By the first value: messages that are not acknowledged, and when they were last published."""
        self._heard = 0.0
        """When an acknowledgement last came."""

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
                    area = next(areas)
                    self._publish(client, tuple(self._new(area) for _ in range(self._together)))
                    due += self._together * self._chance.uniform(0.5, 1.5) / max(self._per_second(), 0.01)
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

    def _publish(self, client: paho.Client, readings: tuple[Reading, ...]) -> None:
        for reading in readings:
            reading.published += 1
        first = readings[0]
        topic = topic_of(first.organisation, first.area, first.sensor)
        payload = {"r": [{"t": reading.time, "v": reading.value} for reading in readings]}
        sent = client.publish(topic, json.dumps(payload), qos=1)
        self._open[first.value] = readings, time.monotonic()
        self._waiting[sent.mid] = readings

    def _again(self, client: paho.Client) -> None:
        """Publish what waits once more; later where acknowledgements do come, or slowness would feed on itself."""
        now = time.monotonic()
        patience = AGAIN if now - self._heard > AGAIN else _SLOW
        if client.is_connected():
            for readings in [readings for readings, at in self._open.values() if now - at > patience]:
                self._publish(client, readings)

    def _note(self) -> None:
        while not self._acknowledged.empty():
            readings = self._waiting.pop(self._acknowledged.get(), None)
            self._heard = time.monotonic()
            if readings is not None and readings[0].acknowledged is None:
                for reading in readings:
                    reading.acknowledged = wall()
                del self._open[readings[0].value]

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
