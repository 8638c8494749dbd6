"""`sotto replay`: publish a CSV file over MQTT as sensors would, at any speed, every message confirmed.

MQTT 3.1.1 and QoS 1: a publisher needs nothing of version 5, and every broker speaks it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
import typer
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from protocol.errors import ConfigError, NotReadyError, SottoError
from sotto.readings import Message, read_messages

MOST_UNCONFIRMED = 500
"""So many messages may wait for the broker's confirmation: more would only fill memory."""
SILENCE = 30.0
"""Seconds without a confirmation after which a broker is given up."""
_PORTS = {"mqtt": 1883, "tcp": 1883, "mqtts": 8883, "ssl": 8883, "ws": 80, "wss": 443}


class Pace:
    """When messages are due: `speed` times as fast as they were read, or all at once (None). Time is an argument."""

    def __init__(self, messages: Sequence[Message], *, speed: float | None, now: float) -> None:
        """Begin at `now` (seconds of a monotonic clock) with the first message's time."""
        self._times = [message.time for message in messages]
        self._speed = speed
        self._begun = now
        self._paused: float | None = None

    def due(self, now: float) -> int:
        """Return how many of the messages, from the first on, are due."""
        if self._speed is None:
            return len(self._times) if self._paused is None else 0
        elapsed_ms = ((now if self._paused is None else self._paused) - self._begun) * 1_000 * self._speed
        limit = self._times[0] + elapsed_ms
        low, high = 0, len(self._times)
        while low < high:
            middle = (low + high) // 2
            if self._times[middle] <= limit:
                low = middle + 1
            else:
                high = middle
        return low

    @property
    def paused(self) -> bool:
        """Whether the pace stands still."""
        return self._paused is not None

    def pause_or_resume(self, now: float) -> None:
        """Stand still, or go on where it stood."""
        if self._paused is None:
            self._paused = now
        else:
            self._begun += now - self._paused
            self._paused = None


class Publisher:
    """An MQTT connection that publishes and counts confirmations. It reconnects by itself and sends open ones again."""

    def __init__(self, url: str, *, client_id: str = "", qos: int = 1) -> None:
        """Connect. Raises ConfigError for a wrong URL, NotReadyError when nobody answers."""
        self.sent = 0
        self.confirmed = 0
        self._qos = qos
        self._where = _without_password(url)
        self._client = _connect(url, client_id, self._where)
        self._client.on_publish = self._on_publish
        self._client.loop_start()

    def publish(self, message: Message) -> bool:
        """Hand one message over; False when too many are unconfirmed (try again later)."""
        if self.sent - self.confirmed >= MOST_UNCONFIRMED:
            return False
        self._client.publish(message.topic, message.payload, qos=self._qos)
        self.sent += 1
        return True

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def silent(self) -> NotReadyError:
        """Return the error for a broker that has stopped confirming."""
        return NotReadyError(
            f"the MQTT broker has confirmed {self.confirmed} of {self.sent} messages, and nothing for {SILENCE:.0f} s",
            where=self._where,
            remedy="Does it still run, and may this user publish to these topics? What is confirmed has arrived; "
            "publishing the file again does no harm, repeats are dropped at the gateway.",
        )

    def _on_publish(self, *_: object) -> None:
        self.confirmed += 1


def run(
    messages: Sequence[Message],
    publisher: Publisher,
    pace: Pace,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    progress: Callable[[int], None],
) -> None:
    """Publish all messages at their pace, until all are confirmed. NotReadyError when the broker falls silent."""
    last, heard = 0, clock()
    while publisher.confirmed < len(messages):
        now = clock()
        due = pace.due(now)
        while publisher.sent < due and publisher.publish(messages[publisher.sent]):
            pass
        progress(publisher.confirmed)
        if publisher.confirmed > last or publisher.sent == publisher.confirmed:
            last, heard = publisher.confirmed, now
        elif now - heard > SILENCE:
            raise publisher.silent()
        sleep(0.005)
    progress(publisher.confirmed)


def replay(
    *,
    csv: Annotated[Path, typer.Argument(help="A CSV file (also .gz) with a header line.", show_default=False)],
    mqtt: Annotated[str, typer.Option(help="The broker: mqtt://HOST:PORT, mqtts://USER:PASSWORD@HOST.")],
    topic: Annotated[str, typer.Option(help="Topic with column names in braces, like 'air/{area}/{station}'.")],
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="So many times as fast as it was; default: as fast as it is confirmed."),
    ] = None,
    time_column: Annotated[str, typer.Option("--time", help="The column with the time (ISO 8601).")] = "time",
    columns: Annotated[
        str | None, typer.Option(help="Columns to send, with commas; default: all that are not in the topic.")
    ] = None,
    qos: Annotated[int, typer.Option(min=1, max=2, help="1: at least once; 2: once.")] = 1,
) -> None:
    """Publish a CSV file over MQTT, as sensors would: one JSON message a row, in the order of time."""
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    messages = read_messages(csv, pattern=topic, time_column=time_column, columns=names)
    publisher = Publisher(mqtt, qos=qos)
    console = Console()
    begun = time.monotonic()
    try:
        with Progress(
            TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        ) as bar:
            row = bar.add_task("", total=len(messages))
            run(
                messages,
                publisher,
                Pace(messages, speed=speed, now=begun),
                clock=time.monotonic,
                sleep=time.sleep,
                progress=lambda confirmed: bar.update(row, completed=confirmed),
            )
    finally:
        publisher.close()
    fast = "as fast as confirmed" if speed is None else f"{speed:g} times as fast"
    seconds = time.monotonic() - begun
    console.print(
        f"published {publisher.confirmed} of {len(messages)} messages in {seconds:.1f} s ({fast}), all confirmed",
        highlight=False,
    )
    if any(b'"NA"' in message.payload for message in messages):
        console.print('Gaps in the file were sent as the file has them ("NA").', highlight=False)


def _connect(url: str, client_id: str, where: str) -> paho.Client:
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise _wrong_url() from None
    if not parts.hostname:
        raise _wrong_url()
    transport: Literal["websockets", "tcp"] = "websockets" if parts.scheme.startswith("ws") else "tcp"
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv311,
        transport=transport,
    )
    if parts.username is not None:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    if parts.scheme in ("mqtts", "ssl", "wss"):
        client.tls_set_context(ssl.create_default_context())
    if transport == "websockets":
        client.ws_set_options(path=parts.path or "/mqtt")
    client.connect_timeout = 10.0
    answers: list[ReasonCode] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason)
    try:
        client.connect(parts.hostname, port, keepalive=30)
        deadline = time.monotonic() + 10
        while not answers and time.monotonic() < deadline:
            client.loop(0.1)
    except (OSError, ValueError) as error:
        raise NotReadyError(
            f"the MQTT broker cannot be reached: {(getattr(error, 'strerror', None) or str(error)).lower()}",
            where=where,
            remedy="Does it run, and are host and port right? mqtt:// is without, mqtts:// with TLS.",
        ) from error
    if not answers or answers[0].is_failure:
        said = str(answers[0]).lower() if answers else "no answer within 10 s"
        raise NotReadyError(
            f"the MQTT broker refuses the connection: {said}",
            where=where,
            remedy="Look at user and password in --mqtt.",
        )
    return client


def _wrong_url() -> SottoError:
    return ConfigError(
        "this is not the URL of an MQTT broker",
        where="--mqtt",
        remedy="It is written like mqtt://localhost:1883, mqtts://user:password@host or wss://host/mqtt.",
    )


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
