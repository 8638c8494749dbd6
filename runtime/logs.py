"""Logs: a line per event, text on a terminal, JSON elsewhere; repeats collapsed; libraries only from WARNING on.

Event names are words with underscores (`window_sealed`, `record_rejected`); what belongs to them follows as keys. No
level shows a reading, a share or a key. Of exceptions there are kinds and places, not texts (`runtime.unexpected`).
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO, TypeAlias

import structlog

from runtime.unexpected import chain, exception_of, in_brief, places

OURS: Final = "sotto"
LIBRARIES: Final = ("faust", "mode", "aiokafka", "kafka", "paho", "influxdb_client", "urllib3", "asyncio", "amqtt")
_TWICE: Final = "kafka.net.transport"
"""Names a socket by its repr (`Abort`); `kafka.net.connection` tells the same fault with its reason."""

_EventDict: TypeAlias = Any  # structlog's own name for it is MutableMapping[str, Any]
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_TELLING: Final = (
    "reason",
    "source",
    "topic",
    "gateway",
    "party",
    "dependency",
    "measure",
)  # two of these differ: no repeat
_ASYNCIO_VALUES: Final = re.compile(r"[\n(<]")
_PERIOD: Final = 60_000
_EACH: Final = frozenset({"window_dropped"})
"""Events that are never collapsed: each names what was lost, and at most one comes for a window."""


@dataclass(slots=True)
class _Preferred:
    level: str | None = None
    form: str | None = None


_preferred = _Preferred()


@dataclass(slots=True)
class _Seen:
    since: int
    more: int
    last: logging.LogRecord | None


class Repeats:
    """Collapses equal warnings: the first is told, then one line a minute says how many more there were.

    Something on the outside (a sensor, a broker that is down) can cause a warning for each message; without this it
    fills the disk. `clock` gives milliseconds; at most `remember` kinds are kept, the oldest is forgotten first.
    """

    def __init__(self, *, clock: Callable[[], int], period: int = _PERIOD, remember: int = 256) -> None:
        self._clock = clock
        self._period = period
        self._remember = remember
        self._seen: OrderedDict[Hashable, _Seen] = OrderedDict()

    def admit(self, record: logging.LogRecord) -> bool:
        """Tell whether to write this record; one that is not written has been counted."""
        if record.levelno < logging.WARNING or (isinstance(record.msg, Mapping) and record.msg.get("event") in _EACH):
            return True
        now, key = self._clock(), _kind(record)
        seen = self._seen.get(key)
        if seen is not None and now - seen.since < self._period:
            seen.more += 1
            seen.last = record
            return False
        self._seen[key] = _Seen(since=now, more=0, last=None)
        while len(self._seen) > self._remember:
            self._seen.popitem(last=False)
        return True

    def due(self, *, all_of_them: bool = False) -> list[tuple[logging.LogRecord, int, int]]:
        """Return (newest record, how many were not written, in how many milliseconds), and begin to count anew."""
        now, found = self._clock(), []
        for key, seen in list(self._seen.items()):
            age = now - seen.since
            if age >= self._period or all_of_them:
                del self._seen[key]
                if seen.more and seen.last is not None:
                    found.append((seen.last, seen.more, age))
        return found


def _kind(record: logging.LogRecord) -> Hashable:
    event = record.msg
    if isinstance(event, Mapping):
        return (record.levelno, event.get("event"), *(str(event.get(key)) for key in _TELLING))
    return (record.levelno, record.name, str(event))  # before %-formatting, so that arguments do not matter


class _Handler(logging.StreamHandler[TextIO]):
    """Writes records, without the repeats, and never what a library says below WARNING."""

    def __init__(self, stream: TextIO, repeats: Repeats) -> None:
        super().__init__(stream)
        self._repeats = repeats

    def emit(self, record: logging.LogRecord) -> None:
        # The attack: at DEBUG, kafka-python and aiokafka print records (shares), influxdb_client and
        # urllib3 headers (tokens), paho payloads (readings). Somebody who looks for a fault mails a log at "debug".
        # The levels of their loggers are set as well, but Faust sets up logging by itself: this line is what holds.
        if record.levelno < logging.WARNING and record.name.partition(".")[0] != OURS:
            return
        for last, more, age in self._repeats.due():
            self._write_more(last, more, age)
        if self._repeats.admit(record):
            super().emit(_sayable(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name for it
        """Say that a record is not there: Python's own answer would show all that it was to be made of."""
        if (error := sys.exception()) is not None:
            with suppress(OSError, ValueError):  # the stream itself may be what failed
                self.stream.write(f"a log record was not written: {record.name}: {places(error)}{self.terminator}")

    def close(self) -> None:
        for last, more, age in self._repeats.due(all_of_them=True):
            self._write_more(last, more, age)
        super().close()

    def _write_more(self, last: logging.LogRecord, more: int, age: int) -> None:
        record = _sayable(logging.makeLogRecord(last.__dict__))
        if isinstance(record.msg, Mapping):
            record.msg = {**record.msg, "more": more, "within_s": round(age / 1000)}
        else:
            record.msg, record.args = f"{record.getMessage()} ({more} more in {round(age / 1000)} s)", None
        super().emit(record)


def prefer(*, level: str | None = None, form: str | None = None) -> None:
    """Let the command line's word stand above what a configuration file says: `configure` follows it from now on."""
    _preferred.level, _preferred.form = level, form


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["auto", "text", "json"] = "auto",
    *,
    stream: TextIO | None = None,
    clock: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
) -> None:
    """Set up logging for this process, on standard error. The last call holds; `prefer` stands above it."""
    chosen, form = _preferred.level or level, _preferred.form or form  # type: ignore[assignment]
    stream = sys.stderr if stream is None else stream
    text = stream.isatty() if form == "auto" else form == "text"
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text, key="time"),
        _trace,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=_logger,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream, Repeats(clock=clock))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_library, _without_texts, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _as_text if text else structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(_LEVELS[chosen])
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger(_TWICE).setLevel(logging.WARNING if chosen == "debug" else logging.CRITICAL)
    logging.captureWarnings(capture=True)


def _logger(*names: str) -> logging.Logger:
    """Return the logger behind `structlog.get_logger()`: always below `sotto`, which is what may speak."""
    name = names[0] if names else OURS
    return logging.getLogger(name if name.partition(".")[0] == OURS else f"{OURS}.{name}")


def _name_library(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    record = event.get("_record")
    if record is not None:
        event["library"] = record.name
    return event


def _sayable(record: logging.LogRecord) -> logging.LogRecord:
    """A library's record, with exceptions among its arguments in brief: `Crashed reason=%r` would print a value."""
    if not isinstance(record.args, tuple) or not any(isinstance(each, BaseException) for each in record.args):
        return record
    record = logging.makeLogRecord(record.__dict__)
    assert isinstance(record.args, tuple), "internal error: the copy has the arguments of the record"
    record.args = tuple(in_brief(each) if isinstance(each, BaseException) else each for each in record.args)
    return record


def _without_texts(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    """What a library has put into its sentence of the exception that it logs is taken out again.

    asyncio's sentences go on with what a callback got and what a task holds: of them only the beginning is kept.
    """
    error = exception_of(event.get("exc_info"))
    if event["library"].partition(".")[0] == "asyncio":
        event["event"] = _ASYNCIO_VALUES.split(event["event"], maxsplit=1)[0]
    for one in () if error is None else chain(error):
        for text in (repr(one), str(one)):
            event["event"] = event["event"].replace(text, in_brief(one)) if text else event["event"]
    return event


def _trace(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    if (error := exception_of(event.pop("exc_info", None))) is not None:
        event["exception"] = places(error)
    return event


def _as_text(_logger: object, _method: str, event: _EventDict) -> str:
    """Write `12:00:01 window_sealed window=12:00 readings=11`; a level above info is named."""
    level, name = event.pop("level", "info"), event.pop("event", "")
    at, trace = event.pop("time", ""), event.pop("exception", None)
    shown = [at] if level in ("info", "debug") else [at, level.upper()]
    line = " ".join([*shown, str(name), *(f"{key}={_shown(value)}" for key, value in event.items())])
    return f"{line}\n{trace}" if trace else line


def _shown(value: object) -> str:
    text = str(value)
    return text if text and not any(c.isspace() or c in '"=' or not c.isprintable() for c in text) else ascii(text)
