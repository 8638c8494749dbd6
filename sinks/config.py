"""`sink.toml`: where results come from and where they go."""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from runtime.faults import fault
from runtime.secret import RelativePath, SecretText
from runtime.sections import KafkaSection, LogSection, Section, SinkHttp

_MEASUREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class InfluxSection(Section):
    """[influxdb]: a bucket of InfluxDB 2.x, or a database of 1.8 or later (org "-", bucket "database/retention")."""

    url: str
    org: str = Field(min_length=1)
    bucket: str = Field(min_length=1)
    token: SecretText
    tls_ca: RelativePath | None = None
    measurement: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            raise fault("url", "is not the address of an InfluxDB", 'Example: url = "https://influx.city.example:8086"')
        if parts.username or parts.password or parts.query or parts.fragment:
            # An address is logged; what is a secret has to stand where it is treated as one.
            raise fault("url", "has more than an address in it", 'A login goes into token = "file:PATH".')
        if self.measurement is not None and not _MEASUREMENT.fullmatch(self.measurement):
            raise fault(
                "measurement",
                "may have letters, digits, dots, _ and - only, and begins with a letter or digit",
                'Example: measurement = "beijing_air"',
            )
        return self


class SqliteSection(Section):
    """[sqlite]: a file that the sink makes."""

    path: RelativePath


class SinkFile(Section):
    """The whole file. Exactly one of [influxdb] and [sqlite] says where results go."""

    format: Literal[1]
    task: RelativePath
    kafka: KafkaSection
    influxdb: InfluxSection | None = None
    sqlite: SqliteSection | None = None
    http: SinkHttp = SinkHttp()
    log: LogSection = LogSection()

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.influxdb is None and self.sqlite is None:
            raise fault("influxdb", "is missing", 'Add [influxdb], or [sqlite] with path = "results.db".')
        if self.influxdb is not None and self.sqlite is not None:
            raise fault(
                "sqlite", "stands beside [influxdb]", "A sink writes to one place; run a second sink for the other."
            )
        return self
