"""`gateway.toml`: what one gateway reads, and how it talks to its two brokers."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ingest.paths import JsonPath
from ingest.pattern import TopicPattern
from ingest.times import check_time_format
from protocol.errors import ConfigError
from protocol.model import Key, Name
from protocol.units import Duration, ExactDecimal, Offset, Size
from runtime.files import RelativePath, SecretFile, SecretText, fault
from runtime.sections import GatewayHttp, KafkaSection, LogSection, Section

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_SAME = {"tcp": "mqtt", "ssl": "mqtts"}


def _path(text: str) -> str:
    JsonPath(text)
    return text


def _pattern(text: str) -> str:
    TopicPattern(text)
    return text


PathText = Annotated[str, AfterValidator(_path)]
PatternText = Annotated[str, AfterValidator(_pattern)]


class Broker(Section):
    """An MQTT broker's address, taken apart."""

    host: str
    port: int
    tls: bool
    websocket_path: str | None


def parse_broker(url: str) -> Broker:
    """Take "mqtts://host:8883" apart. Raises ValueError."""
    parts = urlsplit(url)
    scheme = _SAME.get(parts.scheme, parts.scheme)
    if scheme not in _PORTS or not parts.hostname:
        msg = 'an MQTT broker is written like "mqtts://broker.example:8883" (mqtt://, mqtts://, ws://, wss://)'
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = 'the login does not belong into the url: username = "...", password = "file:mqtt.password"'
        raise ValueError(msg)
    websocket = (parts.path or "/mqtt") if scheme.startswith("ws") else None
    if websocket is None and parts.path not in ("", "/"):
        msg = "a path is possible with ws:// and wss:// only"
        raise ValueError(msg)
    return Broker(
        host=parts.hostname,
        port=parts.port or _PORTS[scheme],
        tls=scheme in ("mqtts", "wss"),
        websocket_path=websocket,
    )


def _url(text: str) -> str:
    parse_broker(text)
    return text


class MqttSection(Section):
    """[mqtt]: the organisation's own broker."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        description="the address of your MQTT broker", examples=['"mqtts://broker.example:8883"']
    )
    username: str | None = None
    password: SecretText | None = None
    tls_ca: RelativePath | None = None
    tls_cert: RelativePath | None = None
    tls_key: SecretFile | None = None
    client_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    session_expiry: Duration = 86_400_000
    version: Literal["5", "3.1.1"] = "5"
    max_payload: Size = 1 << 20
    """A longer message is refused and counted, before anything reads it."""

    @property
    def broker(self) -> Broker:
        """The address, taken apart."""
        return parse_broker(self.url)

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.password is not None and self.username is None:
            raise fault("password", "needs username beside it", 'Add username = "..." or remove password.')
        if (self.tls_cert is None) != (self.tls_key is None):
            present, absent = ("tls_cert", "tls_key") if self.tls_key is None else ("tls_key", "tls_cert")
            raise fault(present, f"needs {absent} beside it", f'Add {absent} = "..." or remove {present}.')
        if self.tls_ca is not None and not self.broker.tls:
            raise fault("tls_ca", "is not used without TLS", 'Write url = "mqtts://...", or remove tls_ca.')
        return self


class Label(Section):
    """Where a label's value is, and how the source's names map to the agreed ones."""

    source: Annotated[str, Field(alias="from", min_length=1)]
    map: dict[str, str] | None = None
    map_file: RelativePath | None = None

    @model_validator(mode="after")
    def _one_map(self) -> Self:
        if self.map is not None and self.map_file is not None:
            raise fault("map_file", "and map cannot both be there", "Keep one of the two.")
        return self

    def mapping(self) -> dict[str, str] | None:
        """Return our name to agreed name, from `map` or from the two columns of `map_file`. Raises ConfigError."""
        return self.map if self.map_file is None else _read_map(self.map_file)


def _read_map(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"the list {path.name} cannot be read", remedy="map_file is UTF-8 text: ours,agreed on each line."
        ) from error
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise ConfigError(
                "this line does not have two columns", where=f"{path.name}, line {number}", remedy="Write: ours,agreed"
            )
    return {ours.strip(): agreed.strip() for ours, agreed in rows}


class MeasureSource(Section):
    """Where a measure is in the message; value * scale + offset is in the task's unit."""

    path: PathText
    scale: ExactDecimal = Decimal(1)
    offset: ExactDecimal = Decimal(0)

    @model_validator(mode="after")
    def _scale_is_usable(self) -> Self:
        if self.scale == 0:
            raise fault("scale", "must not be 0", "scale = 0.1 means: the sensor sends tenths.")
        return self


def _short(key: str) -> BeforeValidator:
    """Let a text stand for a table with one key: pm25 = "$.pm" for pm25 = { path = "$.pm" }."""

    def expand(value: object) -> object:
        return {key: value} if isinstance(value, str) else value

    return BeforeValidator(expand)


class Source(Section):
    """[[source]]: one kind of message."""

    topic: PatternText = Field(description="which topics", examples=['"air/{area}/{station}"'])
    each: PathText | None = None
    sensor: Annotated[str, Field(min_length=1)] = Field(
        description="what tells the sensors apart; it never leaves this machine", examples=['"{station}"']
    )
    time: PathText | None = None
    time_format: str = "iso8601"
    time_zone: Offset | None = None
    gaps: tuple[int | Decimal | str, ...] = ()
    retained: Literal["refuse", "accept"] = "refuse"
    labels: dict[Key, Annotated[Label, _short("from")]] = {}
    measures: Annotated[dict[Key, Annotated[MeasureSource, _short("path")]], Field(min_length=1)]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        try:
            check_time_format(self.time_format, zone=self.time_zone)
        except ValueError as error:
            raise fault("time_format", f"is not right: {error}") from None
        names = set(TopicPattern(self.topic).names)
        for key, text in (("sensor", self.sensor), *((name, label.source) for name, label in self.labels.items())):
            if set(re.sub(r"\{\w+\}", "", text)) & set("{}") and not text.startswith("$"):
                raise fault(key, "has a brace that belongs to no name", 'Write "{station}" for a level of the topic.')
            unknown = set() if text.startswith("$") else set(re.findall(r"\{(\w+)\}", text)) - names
            if unknown:
                raise fault(key, f"names {{{min(unknown)}}}, which is not in topic", f'Here: topic = "{self.topic}"')
            if text.startswith("$"):
                try:
                    JsonPath(text)
                except ValueError as error:
                    raise fault(key, f"is not right: {error}") from None
        return self


class BatchSection(Section):
    """[batch]: when collected readings are sealed, stored and acknowledged."""

    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    max_age: Duration = 1_000
    max_idle: Duration = 50


class SpoolSection(Section):
    """[spool]: sealed records that Kafka has not confirmed yet."""

    max_size: Size = 2_000_000_000
    max_age: Duration = 7 * 86_400_000
    when_full: Literal["stop", "drop_oldest"] = "stop"


class ClockSection(Section):
    """[clock]: which clock seals a window."""

    seals_by: Literal["wall", "event"] = "wall"
    max_ahead: Duration = 300_000
    require_sync: bool = True
    idle_after: Duration = 30_000
    """For `seals_by = "event"`: after so long without a message, all windows that have readings are sealed."""


class GatewayFile(Section):
    """The whole file."""

    format: Literal[1]
    name: Name
    organisation: Name
    task: RelativePath
    roster: RelativePath
    key: SecretFile
    state_dir: RelativePath | None = None
    mqtt: MqttSection
    source: Annotated[tuple[Source, ...], Field(min_length=1)]
    kafka: KafkaSection
    batch: BatchSection = BatchSection()
    spool: SpoolSection = SpoolSection()
    clock: ClockSection = ClockSection()
    http: GatewayHttp = GatewayHttp()
    log: LogSection = LogSection()

    @model_validator(mode="after")
    def _sources_differ(self) -> Self:
        filters = [TopicPattern(source.topic).filter for source in self.source]
        for number, one in enumerate(filters):
            if one in filters[:number]:
                raise fault(
                    "source", f'has two blocks for "{one}": the second would never see a message', "Join them into one."
                )
        return self

    @property
    def state(self) -> Path:
        """The folder of the spool."""
        return self.state_dir or Path("/var/lib/sotto") / self.name

    @property
    def client_id(self) -> str:
        """The MQTT client id: fixed, since the broker keeps the session under it."""
        return self.mqtt.client_id or f"sotto-{self.name}"
