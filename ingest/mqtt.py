"""MQTT through paho: a persistent session at QoS 1 whose messages we acknowledge ourselves, after the spool has them.

Runs in paho's thread; callbacks only put messages into the inbox, and never raise: an exception would end that thread.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.batcher import Ack
from ingest.config import MqttSection
from ingest.gateway import Message
from protocol.errors import ConfigError

_log = structlog.get_logger("sotto.mqtt")

DROPPED = "$SYS/broker/publish/messages/dropped"
"""mosquitto counts here what it threw away, for all its clients."""
_KEEPALIVE = 30
_RECEIVE_MAXIMUM = 10_000


class Puts(Protocol):
    """What the adapter needs of the inbox."""

    def put(self, message: Message) -> None:
        """Append a message, waiting for room."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter; `retained` asks for what the broker retains, once."""

    filter: str
    retained: bool


class Mqtt:
    """The connection to one broker. It reconnects by itself, for ever."""

    def __init__(
        self,
        *,
        section: MqttSection,
        client_id: str,
        subscriptions: Iterable[Subscription],
        remove: Iterable[str],
        inbox: Puts,
        persistent: bool = True,
    ) -> None:
        """`remove` are filters of an earlier configuration: a session keeps them until they are unsubscribed."""
        self._subscriptions = tuple(subscriptions)
        self._remove = frozenset(remove)
        self._inbox = inbox
        self._lock = threading.Lock()
        self._connection = 0
        self._connected = False
        self._stopping = False
        self._removal: int | None = None
        self._refused: tuple[str, ...] = ()
        self.removed: frozenset[str] = frozenset()
        """Filters that the broker has confirmed to be gone."""
        self.reconnects = 0
        self.broker_dropped: int | None = None
        self.last_error = "not connected yet"
        self._section = section
        self._five = section.version == "5"
        self._client = _client(section, client_id, persistent=persistent)
        self._client.on_connect = self._guarded(self._on_connect)
        self._client.on_disconnect = self._guarded(self._on_disconnect)
        self._client.on_message = self._guarded(self._on_message)
        self._client.on_subscribe = self._guarded(self._on_subscribe)
        self._client.on_unsubscribe = self._guarded(self._on_unsubscribe)
        self._persistent = persistent

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and all subscriptions are allowed."""
        return self._connected and not self._refused

    def start(self) -> None:
        """Connect in the background."""
        broker = self._section.broker
        options: dict[str, Any] = {}
        if self._five:
            properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            if self._persistent:
                properties.SessionExpiryInterval = min(self._section.session_expiry // 1000, 0xFFFFFFFE)
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
            options = {"clean_start": not self._persistent, "properties": properties}
        self._client.connect_async(broker.host, broker.port, keepalive=_KEEPALIVE, **options)
        self._client.loop_start()

    def stop(self) -> None:
        """Send what is still to be sent, and disconnect; the session stays at the broker."""
        self._stopping = True
        self._client.disconnect()
        self._client.loop_stop()

    def acknowledge(self, acks: Iterable[Ack]) -> None:
        """Acknowledge messages whose readings are durable.

        An id is good on one connection only: acknowledged on a later one, it could be that of a message that is not
        stored yet. The broker sends such messages again, and they are found to be repeats.
        """
        with self._lock:
            if not self._connected:
                return
            for ack in acks:
                if ack.connection == self._connection:
                    self._client.ack(ack.mid, 1)

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: object) -> None:
            try:
                callback(*arguments)
            except Exception as error:  # noqa: BLE001  an exception would end paho's thread, and with it the stream
                _log.error("mqtt_callback_failed", reason=type(error).__name__)

        return guarded

    def _on_connect(
        self, client: paho.Client, _data: object, flags: paho.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self.last_error = str(reason).lower()
            _log.warning("connection_refused", dependency="mqtt", reason=self.last_error)
            return
        with self._lock:
            self._connection += 1
            self._connected = True
            if self._connection > 1:
                self.reconnects += 1
        _log.info(
            "connection_restored" if self._connection > 1 else "connected",
            dependency="mqtt",
            session=bool(flags.session_present),
        )
        if self._remove and self._persistent:
            _, self._removal = client.unsubscribe(sorted(self._remove))
        wanted: Any = [self._wanted(one) for one in (*self._subscriptions, Subscription(DROPPED, retained=True))]
        client.subscribe(wanted)

    def _wanted(self, one: Subscription) -> tuple[str, int | SubscribeOptions]:
        qos = 0 if one.filter == DROPPED else 1
        if not self._five:
            return one.filter, qos
        # retained messages: never (2), or when the subscription is new (1), not again after every reconnect
        handling = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB if one.retained else SubscribeOptions.RETAIN_DO_NOT_SEND
        return one.filter, SubscribeOptions(qos=qos, retainHandling=handling)

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        with self._lock:
            was, self._connected = self._connected, False
        self.last_error = str(reason).lower()
        if was and not self._stopping:
            _log.warning("connection_lost", dependency="mqtt", reason=self.last_error)

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [one.filter for one, reason in zip(self._subscriptions, reasons, strict=False) if reason.is_failure]
        self._refused = tuple(refused)
        for one in refused:
            self.last_error = f'the broker does not let us read "{one}"'
            _log.warning("subscription_refused", dependency="mqtt", source=one)

    def _on_unsubscribe(
        self, _client: object, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        if mid == self._removal and not any(reason.is_failure for reason in reasons):
            self.removed = self._remove

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # belongs to no source: counted, acknowledged
        if topic == DROPPED:
            if message.payload.isdigit() and len(message.payload) < 19:
                self.broker_dropped = int(message.payload)
            return
        self._inbox.put(
            Message(
                topic=topic,
                payload=bytes(message.payload),
                qos=message.qos,
                retain=message.retain,
                dup=message.dup,
                mid=message.mid,
                connection=self._connection,
            )
        )


def _client(section: MqttSection, client_id: str, *, persistent: bool) -> paho.Client:
    broker = section.broker
    five = section.version == "5"
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv5 if five else paho.MQTTv311,
        clean_session=None if five else not persistent,
        transport="websockets" if broker.websocket_path is not None else "tcp",
        manual_ack=True,
    )
    client.reconnect_delay_set(1, 15)
    if broker.websocket_path is not None:
        client.ws_set_options(path=broker.websocket_path)
    if section.username is not None:
        client.username_pw_set(section.username, section.password.reveal() if section.password else None)
    if broker.tls:
        client.tls_set_context(_tls(section))
    return client


def _tls(section: MqttSection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=section.tls_ca)
        if section.tls_cert is not None and section.tls_key is not None:
            context.load_cert_chain(section.tls_cert, section.tls_key.path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the TLS files of [mqtt] cannot be used: {(error.strerror or type(error).__name__).lower()}",
            remedy="tls_ca, tls_cert and tls_key are PEM files that this user may read; cert and key belong together.",
        ) from error
    return context
