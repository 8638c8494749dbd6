"""What the sink has written, read back as a user would: SQL from the SQLite file, or Flux from InfluxDB."""

# Most functions of influxdb-client carry no types:
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException

from protocol.errors import NotReadyError
from protocol.units import iso
from sotto.demo.plain import Due


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One outcome as the database has it; the numbers are None where the cell is suppressed or half written."""

    outcome: str
    reason: str
    count: int | None
    sum_steps: int | None
    sum: float | None
    mean: float | None
    latency_ms: int | None


class Results(Protocol):
    """A database with results."""

    where: str
    seconds_between: float
    """How often it may be asked while the demo runs."""

    def read(self) -> Mapping[Due, Found]:
        """Read all outcomes that are there now."""


class SqliteResults:
    """The embedded sink's file."""

    seconds_between = 0.4

    def __init__(self, path: Path) -> None:
        """`path` need not exist yet."""
        self.where = str(path)
        self._path = path

    def read(self) -> Mapping[Due, Found]:
        """Read all outcomes; none while the sink has not made its tables."""
        if not self._path.exists():
            return {}
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)) as db:
                rows = db.execute(
                    "SELECT o.window_start, o.labels, o.measure, o.outcome, o.reason, r.count, r.sum_steps, r.sum,"
                    " r.mean, o.written_at - o.last_seal, o.last_seal FROM outcomes AS o"
                    " LEFT JOIN results AS r USING (task, window_start, window_end, labels, measure)"
                ).fetchall()
        except sqlite3.OperationalError:
            return {}  # not yet: the tables are being made
        return {
            Due(window, tuple(sorted(json.loads(labels).items())), measure): Found(
                outcome=outcome,
                reason=reason,
                count=count,
                sum_steps=sum_steps,
                sum=total,
                mean=mean,
                latency_ms=latency if last_seal else None,
            )
            for window, labels, measure, outcome, reason, count, sum_steps, total, mean, latency, last_seal in rows
        }


class InfluxResults:
    """A bucket of InfluxDB, asked in Flux."""

    seconds_between = 1.5

    def __init__(
        self,
        *,
        url: str,
        org: str,
        bucket: str,
        token: str,
        measurement: str,
        labels: tuple[str, ...],
        span: tuple[int, int],
    ) -> None:
        """`span` is the first window and the end of the last one, in milliseconds."""
        self.where = f"{url} bucket {bucket}, measurement {measurement}"
        self._client = InfluxDBClient(url=url, org=org, token=token, timeout=20_000)
        self._measurement = measurement
        self._labels = labels
        fields = ("count", "sum_steps", "sum", "mean", "latency_ms", "organisations")
        wanted = " or ".join(f'r._field == "{name}"' for name in fields)
        self._query = (
            f'from(bucket: "{bucket}") |> range(start: {iso(span[0])}, stop: {iso(span[1])})'
            f' |> filter(fn: (r) => r._measurement == "{measurement}" or r._measurement == "{measurement}_outcome")'
            f" |> filter(fn: (r) => {wanted})"
        )

    def read(self) -> Mapping[Due, Found]:
        """Read all outcomes."""
        try:
            tables = self._client.query_api().query(self._query)
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise NotReadyError(
                f"InfluxDB does not answer a query: {getattr(error, 'status', None) or type(error).__name__}",
                where=self.where,
                remedy="The demo reads its results back: the token (SOTTO_INFLUX_TOKEN) needs read on the bucket, "
                "and InfluxDB 1.x needs flux-enabled = true.",
            ) from error
        values: dict[Due, dict[str, Any]] = defaultdict(dict)
        for table in tables:
            for record in table.records:
                row = record.values
                # A joint computation over all label combinations has an outcome without labels.
                labels = tuple(sorted((key, row[key]) for key in self._labels if row.get(key) is not None))
                due = Due(round(row["_time"].timestamp() * 1000), labels, row["measure"])
                values[due][row["_field"]] = row["_value"]
                if row["_measurement"] != self._measurement:
                    values[due].update(outcome=row["outcome"], reason=row["reason"])
        return {due: _found(value) for due, value in values.items() if "outcome" in value}


def _found(value: Mapping[str, Any]) -> Found:
    return Found(
        outcome=value["outcome"],
        reason=value["reason"],
        count=value.get("count"),
        sum_steps=value.get("sum_steps"),
        sum=value.get("sum"),
        mean=value.get("mean"),
        latency_ms=value.get("latency_ms"),
    )
