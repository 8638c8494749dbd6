"""The time of a reading: from its message, in a declared format, to integer nanoseconds since the epoch.

There is no silent UTC: a time without a zone is refused unless the source declares one. Nanoseconds are kept because
two readings of one millisecond are two readings; windows are in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from ingest.paths import Document
from ingest.refusal import RefusedError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_UNIT = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_MICROSECOND = timedelta(microseconds=1)
_FRACTION = re.compile(r"[.,](\d{6})(\d+)")
_LOWEST = -2_208_988_800_000_000_000  # 1900-01-01
_HIGHEST = 7_258_118_400_000_000_000  # 2200-01-01, well inside int64
_REMEMBERED = 4_096

TimeReader = Callable[[Document], int]
"""(what the message has) -> nanoseconds. Raises RefusedError(bad_time, time_without_zone, time_out_of_range)."""


def check_time_format(form: str, *, zone: int | None) -> None:
    """Refuse a `time_format` that is none of ours. Raises ValueError."""
    if form == "iso8601" or form in _PER_UNIT:
        return
    if "%" not in form:
        msg = 'it is "iso8601", "s", "ms", "us", "ns" or a strptime pattern like "%d.%m.%Y %H:%M"'
        raise ValueError(msg)
    if zone is None and "%z" not in form:
        msg = 'a pattern without %z needs time_zone = "+08:00" beside it: there is no silent UTC'
        raise ValueError(msg)
    try:
        datetime.strptime(datetime(2001, 2, 3, tzinfo=UTC).strftime(form), form)  # noqa: DTZ007  only the form is tried
    except (ValueError, re.error):
        msg = "this strptime pattern cannot be read back"
        raise ValueError(msg) from None


def time_reader(form: str, *, zone: int | None) -> TimeReader:
    """Return the reader of a format; `zone` is the offset (milliseconds) of times that name none."""
    if form in _PER_UNIT:
        return _epoch_reader(_PER_UNIT[form])
    local = None if zone is None else timezone(timedelta(milliseconds=zone))
    parse = datetime.fromisoformat if form == "iso8601" else lambda text: datetime.strptime(text, form)  # noqa: DTZ007
    return _text_reader(parse, local)


def _epoch_reader(unit: int) -> TimeReader:
    def read(value: Document) -> int:
        if type(value) is int:
            return in_range(value * unit)
        if type(value) is float:
            if value != value or abs(value) > 1e20:  # noqa: PLR0124  NaN
                raise RefusedError("time_out_of_range")
            # The shortest decimal that reads back as this number is what the sensor wrote: no binary64 noise.
            return in_range(int(Decimal(repr(value)) * unit // 1))
        raise RefusedError("bad_time")

    return read


def _text_reader(parse: Callable[[str], datetime], local: timezone | None) -> TimeReader:
    remembered: dict[str, int] = {}  # stations of one network send the same text over and over

    def read(value: Document) -> int:
        if type(value) is not str:
            raise RefusedError("bad_time")
        known = remembered.get(value)
        if known is not None:
            return known
        time = _parsed(value, parse, local)
        if len(remembered) >= _REMEMBERED:
            remembered.clear()
        if len(value) <= 64:
            remembered[value] = time
        return time

    return read


def _parsed(text: str, parse: Callable[[str], datetime], local: timezone | None) -> int:
    finer = 0
    if len(text) > 26 and (found := _FRACTION.search(text)):  # fromisoformat drops what is finer than a microsecond
        finer = int(found[2][:3].ljust(3, "0"))
    try:
        moment = parse(text)
    except (ValueError, OverflowError):
        raise RefusedError("bad_time") from None
    if moment.tzinfo is None:
        if local is None:
            raise RefusedError("time_without_zone")
        moment = moment.replace(tzinfo=local)
    # aware datetimes subtract without leaving datetime's range, also in the years 1 and 9999
    return in_range((moment - _EPOCH) // _MICROSECOND * 1000 + finer)


def in_range(time: int) -> int:
    """Return `time` (nanoseconds) if it lies between 1900 and 2200. Raises RefusedError(time_out_of_range)."""
    if not _LOWEST <= time < _HIGHEST:
        raise RefusedError("time_out_of_range")
    return time
