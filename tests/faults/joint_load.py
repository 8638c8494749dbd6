"""The sensors of joint computations: the readings of each window in its turn, each message until it is acknowledged."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from types import TracebackType
from typing import Final, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults.joint_plain import ORGANISATIONS, Reading, readings
from tests.faults.joint_trial import topic_of

_ACKNOWLEDGED_WITHIN: Final = 60.0
_TURN: Final = 0.2


class Sensors:
    """Publishes one window every `every` seconds, from a thread of its own. Use as a context.

    It waits while `ahead` windows are published that `finished` does not count: parties that are killed go through all
    open windows again when they come back, so there must be an end to how many are open.

    A fault reaches neither the sensors nor their broker here: a message that is not acknowledged is an error.
    """

    def __init__(
        self, *, seed: int, first: int, size: int, windows: int, every: float, ahead: int, address: tuple[str, int]
    ) -> None:
        """`first` and `size` are milliseconds, of the first window's start and of a window."""
        self.published = 0
        """How many windows."""
        self.finished = 0
        """How many of them have come out, as far as whoever watches knows."""
        self.failure: str | None = None
        self.readings = 0
        self._seed = seed
        self._starts = range(first, first + windows * size, size)
        self._every = every
        self._ahead = ahead
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joint-sensors", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def done(self) -> bool:
        """Say whether all windows are published and acknowledged, or one of them has failed."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        clients = {organisation: self._connect(organisation) for organisation in ORGANISATIONS}
        try:
            for number, window in enumerate(self._starts):
                while number >= self.finished + self._ahead:
                    if self._stop.wait(_TURN):
                        return
                self._publish(clients, readings(self._seed, number, window))
                self.published += 1
                if self._stop.wait(self._every):
                    return
        except (RuntimeError, ValueError) as error:
            self.failure = f"window {self.published} could not be published: {error}"
        finally:
            for client in clients.values():
                client.disconnect()
                client.loop_stop()

    def _publish(self, clients: dict[str, paho.Client], several: tuple[Reading, ...]) -> None:
        messages: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
        for one in several:
            # The shortest text that gives this binary64 number is the decimal: it has less than 16 digits.
            said = {measure: float(value) for measure, value in one.values.items()}
            messages[one.organisation, one.area].append({"t": one.time, **said})
        sent = [
            clients[organisation].publish(topic_of(organisation, area), json.dumps({"r": elements}), qos=1)
            for (organisation, area), elements in messages.items()
        ]
        for message in sent:
            message.wait_for_publish(_ACKNOWLEDGED_WITHIN)
            if not message.is_published():
                raise RuntimeError("a message was not acknowledged")
        self.readings += len(several)

    def _connect(self, organisation: str) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"sensors-{organisation}",
            clean_session=False,
            protocol=paho.MQTTv311,
        )
        client.connect(*self._address, keepalive=60)
        client.loop_start()
        return client
