"""The MQTT adapter against a real mosquitto: sessions, acknowledgements, what was removed, what is retained."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

import ingest.dryrun
from ingest.batcher import Ack
from ingest.config import MqttSection
from ingest.dryrun import DryRun
from ingest.gateway import Message
from ingest.inbox import Inbox
from ingest.main import decoders_of
from ingest.mqtt import Mqtt, Subscription
from tests.ingest.made import FILE, START, at, config_of
from tests.servers import run
from tests.trial import counted, make_trial

WITHIN = 120.0  # seconds: a busy machine is no failure
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN} s: {what}"
        time.sleep(0.02)


class Listening(Mqtt):
    """Says when its subscriptions hold: what is sent before may be lost."""

    def __init__(self, **settings: Any) -> None:
        self.subscribed = threading.Event()
        super().__init__(**settings)

    def _on_subscribe(self, *arguments: Any) -> None:
        super()._on_subscribe(*arguments)
        self.subscribed.set()


class Client:
    """A gateway's connection, and what came over it."""

    def __init__(
        self, server: run.Mosquitto, name: str, version: str, *filters: str, remove: tuple[str, ...] = ()
    ) -> None:
        self.inbox = Inbox()
        self.got: list[Message] = []
        self.mqtt = Listening(
            section=MqttSection(url=server.url, version=version),  # type: ignore[arg-type]
            client_id=name,
            subscriptions=[Subscription(one, retained=False) for one in filters],
            remove=remove,
            inbox=self.inbox,
        )

    def receive(self, number: int) -> list[Message]:
        def enough() -> bool:
            self.got += self.inbox.take(0.05)
            return len(self.got) >= number

        wait(enough, f"{number} messages")
        found, self.got = self.got, []
        return found

    def acknowledge(self, messages: list[Message]) -> None:
        self.mqtt.acknowledge([Ack(message.connection, message.mid) for message in messages])


@contextmanager
def connected(*arguments: object, **options: object) -> Iterator[Client]:
    client = Client(*arguments, **options)  # type: ignore[arg-type]
    client.mqtt.start()
    try:
        wait(lambda: client.mqtt.connected and client.mqtt.subscribed.is_set(), "connected and subscribed")
        yield client
    finally:
        client.inbox.close()
        client.mqtt.stop()


@pytest.fixture
def sensor(mosquitto: run.Mosquitto) -> Iterator[Callable[..., None]]:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect(mosquitto.host, mosquitto.port)
    client.loop_start()

    def send(topic: str, payload: str, *, qos: int = 1, retain: bool = False) -> None:
        client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(WITHIN)

    yield send
    client.disconnect()
    client.loop_stop()


@VERSIONS
def test_the_broker_keeps_what_comes_while_the_gateway_is_away(
    mosquitto: run.Mosquitto, sensor: Callable[..., None], version: str
) -> None:
    """And what was delivered and not acknowledged comes again; what was acknowledged does not."""
    name = uuid.uuid4().hex
    with connected(mosquitto, name, version, f"{name}/#") as client:
        sensor(f"{name}/a", "1")
        sensor(f"{name}/a", "2")
        first, second = client.receive(2)
        client.acknowledge([first])
    assert (first.qos, first.dup) == (1, False)
    sensor(f"{name}/b", "3")
    with connected(mosquitto, name, version, f"{name}/#") as client:
        messages = client.receive(2)
        assert [message.payload for message in messages] == [b"2", b"3"]
        assert (messages[0].mid, messages[0].dup) == (second.mid, True)
        client.acknowledge(messages)
    with connected(mosquitto, name, version, f"{name}/#") as client:
        sensor(f"{name}/b", "4")
        assert [message.payload for message in client.receive(1)] == [b"4"]


def test_an_acknowledgement_from_before_a_reconnection_is_not_sent(
    mosquitto: run.Mosquitto, sensor: Callable[..., None]
) -> None:
    """Its id may mean another message by now, one that is not stored yet."""
    name = uuid.uuid4().hex
    with connected(mosquitto, name, "5", f"{name}/#") as client:
        sensor(f"{name}/a", "1")
        (message,) = client.receive(1)
        client.mqtt._client.socket().close()  # the connection breaks
        (again,) = client.receive(1)
        assert (again.payload, again.dup, again.connection) == (b"1", True, message.connection + 1)
        client.acknowledge([message])
        assert client.mqtt.reconnects == 1
    with connected(mosquitto, name, "5", f"{name}/#") as client:
        assert [message.payload for message in client.receive(1)] == [b"1"]


@VERSIONS
def test_what_was_removed_from_the_file_is_unsubscribed(
    mosquitto: run.Mosquitto, sensor: Callable[..., None], version: str
) -> None:
    """A session goes on delivering what was once subscribed to."""
    name = uuid.uuid4().hex
    with connected(mosquitto, name, version, f"{name}/old/#"):
        pass
    with connected(mosquitto, name, version, f"{name}/new/#", remove=(f"{name}/old/#",)) as client:
        wait(lambda: client.mqtt.removed == {f"{name}/old/#"}, "removed")
        sensor(f"{name}/old/a", "1")
        sensor(f"{name}/new/a", "2")
        assert [message.payload for message in client.receive(1)] == [b"2"]
        assert client.inbox.take(0.2) == []


def test_retained_messages_are_marked_or_not_sent_at_all(mosquitto: run.Mosquitto, sensor: Callable[..., None]) -> None:
    """MQTT 5 can be asked not to send them; in 3.1.1 they come marked, and are refused by the gateway."""
    name = uuid.uuid4().hex
    sensor(f"{name}/a", "old", retain=True)
    with connected(mosquitto, name + "5", "5", f"{name}/#") as client:
        sensor(f"{name}/b", "new")
        assert [message.payload for message in client.receive(1)] == [b"new"]
    with connected(mosquitto, name + "3", "3.1.1", f"{name}/#") as client:
        assert [(message.payload, message.retain) for message in client.receive(1)] == [(b"old", True)]


def test_a_full_inbox_stops_reading_and_loses_nothing(mosquitto: run.Mosquitto, sensor: Callable[..., None]) -> None:
    """Backpressure: the broker keeps what is not taken."""
    name = uuid.uuid4().hex
    with connected(mosquitto, name, "5", f"{name}/#") as client:
        client.inbox._most = 3
        for number in range(50):
            sensor(f"{name}/a", str(number))
        assert len(client.inbox) <= 3
        assert [int(message.payload) for message in client.receive(50)] == list(range(50))


def test_a_dry_run_shows_what_was_found(
    mosquitto: run.Mosquitto, sensor: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this terminal only: messages, readings, refusals, and one value as the parties see it."""
    trial = make_trial()
    started: list[Listening] = []

    class Started(Listening):
        def start(self) -> None:
            started.append(self)
            super().start()

    monkeypatch.setattr(ingest.dryrun, "Mqtt", Started)
    config = config_of(FILE.replace("mqtt://127.0.0.1:1883", mosquitto.url), tmp_path)
    stop = threading.Event()
    dry = DryRun(
        config=config,
        task=trial.task,
        roster=trial.roster,
        decoders=decoders_of(config, trial.task, trial.roster, where="gateway.toml"),
        clock=lambda: START,
        entropy=counted("dry"),
    )
    console = Console(record=True, width=300)
    thread = threading.Thread(
        target=lambda: dry.run(stop, until=None, monotonic=lambda: 0, console=console), daemon=True
    )
    thread.start()
    wait(lambda: bool(started) and started[0].subscribed.is_set(), "subscribed")
    sensor("air/ring/Gucheng", f'{{"time": "{at(START)}", "NO2": 38, "TEMP": "NA"}}')
    sensor("air/ring/Gucheng", "{")
    wait(lambda: dry._tally.messages.total() == 2, "both messages")
    stop.set()
    thread.join()
    text = console.export_text()
    assert "air/{area}/{station}: 2 messages, 1 readings, refused: 1 malformed" in text
    assert "Gaps: 1 of temperature" in text
    assert "no2 of Gucheng (ring), 2016-12-01T00:00:00+08:00: 38 -> step 38 -> party-1 sees" in text
    assert "Nothing was sent or stored." in text
    assert list(tmp_path.iterdir()) == []
