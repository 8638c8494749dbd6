"""What is left when a campaign is over: the rows in InfluxDB and the records in Kafka, as anybody would read them."""

# Most functions of influxdb-client carry no types:
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from urllib3.exceptions import HTTPError

from protocol import aggregate
from protocol.aggregate import Aggregate
from protocol.control import AggregateShare, decode
from protocol.errors import WireError
from protocol.roster import Roster
from protocol.units import iso
from runtime.files import load
from tests.faults.check import Released, Row, Signed
from tests.faults.trial import LABEL, MEASURE, TASK
from tests.faults.world import World

_PATIENCE = 60.0


def rows(world: World) -> tuple[Row, ...]:
    """Return every row of results and of outcomes that is in InfluxDB."""
    query = (
        f'from(bucket: "{world.influx.bucket}")'
        f" |> range(start: {iso(world.files.first)}, stop: {iso(world.files.last)})"
        f' |> filter(fn: (r) => r._measurement == "{TASK}" or r._measurement == "{TASK}_outcome")'
    )
    found: dict[tuple[str, int, str, str, str], dict[str, Any]] = {}
    for record in ask(world, query):
        values = record.values
        start = round(values["_time"].timestamp() * 1000)
        kind = "point" if values["_measurement"] == TASK else "outcome"
        tags = (kind, start, values[LABEL], values.get("outcome", ""), values.get("reason", ""))
        assert values["measure"] == MEASURE, "internal error: a measure that the task does not have"
        found.setdefault(tags, {})[values["_field"]] = values["_value"]
    return tuple(
        Row(
            kind="point" if kind == "point" else "outcome",
            window=window,
            area=area,
            outcome=outcome,
            reason=reason,
            count=fields.get("count"),
            total=fields.get("sum_steps"),
            verified=bool(fields.get("verified")),
        )
        for (kind, window, area, outcome, reason), fields in sorted(found.items(), key=lambda one: one[0])
    )


def ask(world: World, query: str) -> Iterator[Any]:
    """Yield the records that InfluxDB has for a query; it may be starting again."""
    until = time.monotonic() + _PATIENCE
    with InfluxDBClient(url=world.influx.url, org=world.influx.org, token=world.influx.token, timeout=20_000) as client:
        while True:
            try:
                tables = client.query_api().query(query)
                break
            except (ApiException, HTTPError):  # it may have been restarted this moment
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
    for table in tables:
        yield from table.records


def released(world: World) -> tuple[Released, ...]:
    """Return every record of the topic `aggregates`, in the order of the log."""
    return tuple(_released(record.value) for record in records(world, world.files.topics.aggregates))


def _released(value: bytes) -> Released:
    document = json.loads(value)["aggregate"]
    return Released(
        window=document["window_start"],
        digest=hashlib.sha256(value).hexdigest(),
        verified=document["verified"],
        parties=tuple(document["parties"]),
        late={one["gateway"]: one["late"] for one in document["contributors"]},
        revealed_at=document["revealed_at"],
    )


def signed(world: World) -> tuple[Signed, ...]:
    """Return which set each party's aggregate shares on `control` were over; nothing in them is opened."""
    task = world.files.task
    roster = load(world.directory / "trial" / "roster.toml", Roster)
    found = []
    for one in records(world, world.files.topics.control):
        try:
            record = decode(one.value, task=task, roster=roster)
        except WireError:
            continue
        if isinstance(record, AggregateShare):
            found.append(Signed(window=record.window, party=task.party_names[record.party], digest=record.digest.hex()))
    return tuple(found)


def aggregates(world: World) -> tuple[Aggregate, ...]:
    """Return the aggregates, checked, in the order of their windows; each once."""
    task = world.files.task
    values = {record.value for record in records(world, world.files.topics.aggregates)}
    found = [aggregate.decode(value, task=task) for value in values]
    return tuple(sorted(found, key=lambda one: one.window_start))


def records(world: World, topic: str) -> Iterator[ConsumerRecord]:
    """Yield all records of a topic, each partition in its order. Directly, not through a proxy."""
    consumer = KafkaConsumer(bootstrap_servers=world.kafka.bootstrap, enable_auto_commit=False)
    try:
        places = [TopicPartition(topic, number) for number in range(world.wanted.partitions)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for found in consumer.poll(timeout_ms=500).values():
                yield from found
    finally:
        consumer.close()
