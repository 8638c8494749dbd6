"""InfluxDB, 2.x and 1.8 or later, through the one API that both have (`/api/v2/write`).

Three series in one bucket, at the start of the window, in milliseconds:

    beijing_air,area=ring,measure=no2,unit=ug/m3,window=1h  count=4i,sum_steps=66i,sum=66,mean=16.5,verified=1i
    beijing_air_outcome,area=ring,measure=no2,outcome=point,reason=none,cause=none,window=1h  organisations=4i,...
    beijing_air_contributor,organisation=north,window=1h  complete=1i,gateways=1i,late=0i,dropped=0i

and a fourth where the task has joint computations, whose outcomes stand among those of cells:

    beijing_air_joint,area=ring,name=overload,key=above,unit=1,window=1h  steps=1i,steps_text="1",value=1,verified=1i

The client is used synchronously and without its own retries: its batching mode drops a batch after five attempts.
Points that InfluxDB refuses for good are counted and named, not tried for ever: one point beyond the bucket's
retention must not hold up every window after it.
"""

# Most functions of influxdb-client carry no types:
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from protocol.errors import NotReadyError
from protocol.units import format_duration, iso
from sinks.points import check_labels
from sinks.store import AwayError, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from sinks.rows import Labels, Rows

POINTS_PER_REQUEST = 5_000
"""What InfluxData recommends; a window with more cells goes in several requests."""

_REFUSALS = (400, 413, 422)
_SAID = 300
"""Characters of InfluxDB's own sentence that go into the log: it lists points, which have been released."""
_DROPPED = re.compile(r"dropped=(\d+)")
_REASONS = (
    (re.compile(r"retention", re.IGNORECASE), "retention"),
    (re.compile(r"type conflict", re.IGNORECASE), "type_conflict"),
    (re.compile(r"unable to parse|invalid", re.IGNORECASE), "malformed"),
    (re.compile(r"max-(series|values)|limit", re.IGNORECASE), "limit"),
)
_FAILURES: Mapping[type, str] = {
    urllib3.exceptions.NameResolutionError: "its name is not known",
    urllib3.exceptions.NewConnectionError: "nothing listens there",
    urllib3.exceptions.ConnectTimeoutError: "no connection in time",
    urllib3.exceptions.ReadTimeoutError: "no answer in time",
}
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\\]")
"""What has no unambiguous form in a tag: two label values could fall together, and one overwrite the other."""


class InfluxStore:
    """Results in an InfluxDB bucket.

    `token` is the secret itself; it is kept in the client only. `clock` gives milliseconds since the epoch, for the
    field `latency_ms`. `joint`: the task has joint computations.
    """

    kind = "influxdb"

    def __init__(
        self,
        *,
        url: str,
        org: str,
        bucket: str,
        token: str,
        measurement: str,
        labels: Sequence[str],
        clock: Callable[[], int],
        joint: bool = False,
        tls_ca: Path | None = None,
        timeout_ms: int = 10_000,
    ) -> None:
        check_labels(labels, joint=joint)
        self.where = f"{url} bucket {bucket}"
        place = "\0".join((url.rstrip("/"), org, bucket, measurement))
        self.identity = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._org = org
        self._bucket = bucket
        self._measurement = measurement
        self._clock = clock
        self._client = InfluxDBClient(
            url=url,
            org=org,
            token=token,
            timeout=timeout_ms,
            enable_gzip=True,
            retries=False,
            ssl_ca_cert=None if tls_ca is None else str(tls_ca),
        )
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, rows: Rows) -> Written:
        """Write one window; AwayError when InfluxDB cannot be reached, or takes nothing from us now."""
        tally = _Tally()
        writable = []
        for point, tags in points_of(rows, self._measurement, now=self._clock()):
            if any(_UNWRITABLE.search(value) for value in tags):
                tally.refuse("unwritable_label", 1, "a label or unit has a backslash or a control character")
            else:
                writable.append(point)
        for first in range(0, len(writable), POINTS_PER_REQUEST):
            self._send(writable[first : first + POINTS_PER_REQUEST], tally)
        return Written(points=tally.points, refused=tally.refused, said=tally.said)

    def check(self, *, valid_from: int, now: int) -> str | None:
        """Whether the bucket takes writes from this token, and whether it keeps what the task began with."""
        try:
            # A comment is a write of no points: the same checks of token and bucket, and nothing is left behind.
            WriteService(self._client.api_client).post_write(
                org=self._org, bucket=self._bucket, body="# sotto check\n", precision=WritePrecision.MS
            )
        except ApiException as error:
            # 2.7 answers 204. A 400 would be about the body, and comes after token and bucket were accepted.
            if error.status != 400:
                raise self._not_ready(error) from error
        except urllib3.exceptions.HTTPError as error:
            raise NotReadyError(
                f"InfluxDB cannot be reached: {_kind(error)}",
                where=self.where,
                remedy="Look at url and tls_ca in [influxdb], and whether InfluxDB runs. No result is lost meanwhile.",
            ) from error
        kept = self._retention()
        if kept is None or now - kept <= valid_from:
            return None
        return (
            f"InfluxDB drops points before {iso((now - kept) // 1_000 * 1_000)}: "
            f"bucket {self._bucket} keeps {format_duration(kept)}, "
            f"the task begins {iso(valid_from)}"
        )

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()
        self._client.close()

    def _send(self, points: Sequence[Point], tally: _Tally) -> None:
        if not points:
            return
        try:
            self._writer.write(self._bucket, self._org, list(points))
        except ApiException as error:
            said = str(error.message)
            if error.status not in _REFUSALS and "partial write" not in said:
                raise self._away(error) from error
            dropped = _DROPPED.search(said)
            if dropped is None and len(points) > 1:
                # Refused as a whole for the sake of some: halve, so that the good points arrive. A point that has
                # arrived already is overwritten by itself.
                middle = len(points) // 2
                self._send(points[:middle], tally)
                self._send(points[middle:], tally)
                return
            lost = min(int(dropped[1]), len(points)) if dropped else 1
            tally.refuse(_reason(error.status, said), lost, said[:_SAID])
            tally.points += len(points) - lost
        except urllib3.exceptions.HTTPError as error:
            raise AwayError(
                f"InfluxDB cannot be reached: {_kind(error)}",
                where=self.where,
                remedy="Nothing is lost: results stay in Kafka and are written when InfluxDB is back.",
            ) from error
        else:
            tally.points += len(points)

    def _away(self, error: ApiException) -> AwayError:
        ready = self._not_ready(error)
        return AwayError(
            ready.what, where=ready.where, remedy=f"{ready.remedy} Nothing is lost: results wait in Kafka."
        )

    def _not_ready(self, error: ApiException) -> NotReadyError:
        what, remedy = {
            401: ("InfluxDB refuses the token", "It needs write on the bucket; with InfluxDB 1.x it is user:password."),
            403: (
                "InfluxDB refuses the token for this bucket",
                "The token needs write on it: influx auth create --write-bucket ID.",
            ),
            404: ("InfluxDB has no such org or bucket", "Look at org and bucket in [influxdb], or create the bucket."),
            0: ("InfluxDB cannot be reached: TLS failed", "Look at url and tls_ca in [influxdb]: is it https there?"),
        }.get(error.status, (f"InfluxDB answers {error.status}", "See InfluxDB's log."))
        return NotReadyError(what, where=self.where, remedy=remedy)

    def _retention(self) -> int | None:
        """How long the bucket keeps points (ms); None: for ever, or this token may not ask (1.x, write-only tokens)."""
        try:
            found = self._client.buckets_api().find_bucket_by_name(self._bucket)
        except (ApiException, urllib3.exceptions.HTTPError, ValueError):
            return None
        rules = (found.retention_rules or []) if found is not None else []
        seconds = [rule.every_seconds for rule in rules if rule.every_seconds]
        return min(seconds) * 1_000 if seconds else None


class _Tally:
    """What became of the points of one window, over several requests."""

    def __init__(self) -> None:
        self.points = 0
        self.refused: dict[str, int] = {}
        self.said: str | None = None

    def refuse(self, reason: str, points: int, said: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + points
        self.said = self.said or said


def points_of(rows: Rows, measurement: str, *, now: int) -> Iterable[tuple[Point, tuple[str, ...]]]:
    """The points of one window, each with those of its tag values that people have chosen.

    All but `latency_ms` (from the last seal to `now`) is the same whenever the window is written.
    """

    def point(name: str, tags: Labels, fields: dict[str, int | float | str | None]) -> tuple[Point, tuple[str, ...]]:
        made = Point(name).time(rows.window_start, WritePrecision.MS).tag("window", rows.window)
        for key, value in tags:
            made.tag(key, value)
        for key, number in fields.items():
            made.field(key, number)
        return made, tuple(value for _, value in tags)

    # A field keeps its type for ever: count, sum_steps and flags are integers, sum and mean are floats.
    for result in rows.results:
        yield point(
            measurement,
            (*result.labels, ("measure", result.measure), ("unit", result.unit)),
            {
                "count": result.count,
                "sum_steps": result.sum_steps,
                "sum": result.sum,
                "mean": result.mean,
                "verified": int(rows.verified),
            },
        )
    for cell in rows.outcomes:
        yield point(
            f"{measurement}_outcome",
            (
                *cell.labels,
                ("measure", cell.measure),
                ("outcome", cell.outcome),
                ("reason", cell.reason),
                ("cause", cell.cause),
            ),
            {
                "organisations": rows.organisations,
                "gateways": rows.gateways,
                "absent": rows.absent,
                "late": rows.late,
                "dropped": rows.dropped,
                "verified": int(rows.verified),
                "revision": rows.revision,
                "last_seal": rows.last_seal,
                "revealed_at": rows.revealed_at,
                "latency_ms": max(now - rows.last_seal, 0) if rows.last_seal else None,
                "at_fault": ",".join(cell.at_fault) or None,
            },
        )
    for one in rows.contributors:
        yield point(
            f"{measurement}_contributor",
            (("organisation", one.organisation),),
            {"complete": 1, "gateways": one.gateways, "late": one.late, "dropped": one.dropped},
        )
    for number in rows.joint:
        yield point(
            f"{measurement}_joint",
            (*number.labels, ("name", number.name), ("key", number.key), ("unit", number.unit)),
            {
                "steps": number.steps,
                "steps_text": number.steps_text,
                "value": number.value,
                "verified": int(rows.verified),
            },
        )


def _reason(status: int, said: str) -> str:
    if status == 413:
        return "too_large"
    return next((reason for pattern, reason in _REASONS if pattern.search(said)), "refused")


def _kind(error: urllib3.exceptions.HTTPError) -> str:
    """The failure in words; the error's own text repeats the address and much else."""
    cause = getattr(error, "reason", None) or error
    return _FAILURES.get(type(cause), "the connection broke")
