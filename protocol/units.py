"""Durations, sizes and offsets as people write them in files, and times as people read them.

Everything inside Sotto is an integer: milliseconds, bytes, milliseconds since the Unix epoch. The text forms are
those of Prometheus and Go (`50ms`, `5m`, `1h30m`, `7d`), `2GB` or `2GiB`, `+08:00`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

_DURATION_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?:\d+(?:ms|d|h|m|s))+")
_DURATION_PART = re.compile(r"(\d+)(ms|d|h|m|s)")
_SIZE_UNITS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SIZE = re.compile(r"(\d+)\s*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")


def parse_duration(text: object) -> int:
    """Return milliseconds. Raises ValueError with the remedy for anything but a text such as "1h30m"."""
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        msg = 'a duration is written like "50ms", "5m", "1h30m" or "7d"'
        raise ValueError(msg)
    return sum(int(n) * _DURATION_UNITS[unit] for n, unit in _DURATION_PART.findall(text))


def format_duration(ms: int) -> str:
    """Return the shortest text that `parse_duration` reads back: 5400000 gives "1h30m"."""
    if ms == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        n, ms = divmod(ms, _DURATION_UNITS[unit])
        if n:
            parts.append(f"{n}{unit}")
    return "".join(parts)


def parse_size(text: object) -> int:
    """Return bytes. Raises ValueError with the remedy for anything but a text such as "2GB"."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        msg = 'a size is written like "500MB", "2GB" or "2GiB"'
        raise ValueError(msg)
    return int(match[1]) * _SIZE_UNITS[match[2]]


def format_size(size: int) -> str:
    """Write a size for people: "3.2 MB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def parse_offset(text: object) -> int:
    """Return the milliseconds that local time is ahead of UTC: "+08:00" gives 28800000."""
    match = _OFFSET.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[2]) > 14 or int(match[3]) > 59:
        msg = 'an offset from UTC is written like "+08:00" or "-03:30"'
        raise ValueError(msg)
    minutes = int(match[2]) * 60 + int(match[3])
    return (1 if match[1] == "+" else -1) * minutes * 60_000


def parse_time(value: object) -> int:
    """Return milliseconds since the epoch for a TOML date-time that has an offset."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        msg = "a time is written with its offset, like 2016-12-01T00:00:00+08:00"
        raise ValueError(msg)
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def parse_decimal(value: object) -> Decimal:
    """Return an exact decimal for a TOML number (files are read with `parse_float=Decimal`)."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        msg = "a number is needed here, like 0.1 or 100"
        raise ValueError(msg)  # noqa: TRY004  pydantic turns ValueError, not TypeError, into a message
    number = Decimal(value)
    if not number.is_finite():
        msg = "a finite number is needed here"
        raise ValueError(msg)
    return number


def iso(ms: int, offset: int = 0) -> str:
    """Write a time as ISO 8601 at an offset from UTC (both in milliseconds): "2016-12-28T17:00:00+08:00"."""
    zone = timezone(timedelta(milliseconds=offset))
    moment = datetime.fromtimestamp(0, zone) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")


Duration = Annotated[int, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Offset = Annotated[int, BeforeValidator(parse_offset)]
Time = Annotated[int, BeforeValidator(parse_time)]
ExactDecimal = Annotated[Decimal, BeforeValidator(parse_decimal)]
