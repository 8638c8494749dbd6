"""What may be said of an exception: its type and where it came from; its text only where that cannot hold a secret.

The attack: the text of a ValueError or KeyError quotes the value that was wrong, and in a gateway or a party that can
be a reading or a share (`int(b"..")` quotes all bytes). Somebody then mails the log. So the texts of others' exceptions
are told by nobody, at no level, and neither are those of their causes.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from protocol.errors import SottoError
from runtime.fold import LogError, Undeliverable

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_log = structlog.get_logger("sotto.role")

_OURS: Final = (SottoError, LogError, Undeliverable)
_OF_SERVERS: Final = ("kafka", "aiokafka")
"""Packages whose own kinds of errors speak of connections, sizes and topics, never of a record's content."""

ExcInfo: TypeAlias = BaseException | tuple[object, BaseException | None, TracebackType | None] | bool | None


def in_brief(error: BaseException) -> str:
    """Its kind, and what it says where that is ours, of the operating system, or of Kafka's clients."""
    kind = type(error)
    if isinstance(error, _OURS):
        return error.what if isinstance(error, SottoError) else str(error)
    said = ""
    if isinstance(error, OSError):
        said = ": ".join(str(part) for part in (error.strerror, error.filename) if part is not None)
    elif kind.__module__.partition(".")[0] in _OF_SERVERS:
        said = str(error)
    elif isinstance(name := getattr(error, "sqlite_errorname", None), str):
        said = name
    if said.startswith(kind.__name__):
        return said  # Kafka's name themselves
    return f"{kind.__name__}: {said}" if said else kind.__name__


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that Python would print above it; each once."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def places(error: BaseException) -> str:
    """What stands for a traceback: kinds, files, lines, functions, of the causes too. No texts, no values."""
    lines: list[str] = []
    for one in chain(error):
        ours = f"{type(one).__name__}: " if isinstance(one, _OURS) else ""
        lines.append(f"{'caused by ' if lines else ''}{ours}{in_brief(one)}")
        for frame, line in traceback.walk_tb(one.__traceback__):
            code = frame.f_code
            lines.append(f"    {code.co_filename}:{line} {code.co_qualname}")
    return "\n".join(lines)


def exception_of(given: ExcInfo) -> BaseException | None:
    """The exception that `exc_info` of a log call means."""
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1]
    return sys.exception() if given else None


def crashed(error: BaseException) -> None:
    """Log the exception that ends this process, or one of its threads."""
    _log.error("crashed", detail=in_brief(error), exc_info=error)


def hook() -> None:
    """What threads and finalisers of this process raise goes to the log too: Python would print it with its texts."""
    threading.excepthook = _of_thread
    sys.unraisablehook = _of_finaliser


def _of_thread(raised: threading.ExceptHookArgs) -> None:
    if raised.exc_value is not None and not isinstance(raised.exc_value, SystemExit):
        crashed(raised.exc_value)


def _of_finaliser(raised: UnraisableHookArgs) -> None:
    if raised.exc_value is not None:
        _log.error("finaliser_failed", detail=in_brief(raised.exc_value), exc_info=raised.exc_value)
