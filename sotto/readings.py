"""A CSV file as MQTT messages, in the order of their time: what `sotto replay` and the demo publish.

A row becomes one JSON object with its columns as keys. Numbers stay exactly as the file writes them (`3.50` stays
`3.50`): a detour over binary64 would be a change of the data. Other text, such as "NA", is a JSON string; an empty
cell is null.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from protocol.errors import ConfigError

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_PLACE = re.compile(r"\{([^{}]*)\}")
_WILD = re.compile(r"[+#\x00]")
_NOT_IN_A_LEVEL = re.compile(r"[/+#\x00]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One MQTT message. `time` (ms since the epoch) is for the pace only: without a zone it counts as UTC."""

    time: int
    topic: str
    payload: bytes = field(repr=False)


def read_messages(
    path: Path, *, pattern: str, time_column: str = "time", columns: Sequence[str] | None = None
) -> list[Message]:
    """Read a CSV file (also .gz) into messages, oldest first; rows of the same time keep the order of the file.

    `pattern` is a topic with column names in braces, `air/{area}/{station}`. `columns` are sent; by default all that
    the topic does not carry. Raises ConfigError with the line.
    """
    parts = _PLACE.split(pattern)  # text, name, text, name, ..., text
    in_topic = parts[1::2]
    if not pattern or any(_WILD.search(text) for text in parts[0::2]):
        raise ConfigError(
            "a message cannot be published to this topic",
            where="--topic",
            remedy="+ and # are for subscribing. Write the topic, with column names in braces: 'air/{area}/{station}'.",
        )
    messages = []
    with _opened(path) as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or ())
        sent = [name for name in header if name not in in_topic] if columns is None else list(columns)
        for name in (time_column, *in_topic, *sent):
            if name not in header:
                raise ConfigError(
                    f'there is no column "{name}"', where=f"{path.name}, line 1", remedy=f"It has: {', '.join(header)}."
                )
        for line, row in _rows(reader, path):
            where = f"{path.name}, line {line}"
            topic = parts[0] + "".join(
                _level(row[name], name, where) + text for name, text in zip(in_topic, parts[2::2], strict=True)
            )
            payload = ",".join(f"{json.dumps(name)}:{_token(row[name])}" for name in sent)
            time = _milliseconds(row[time_column], time_column, where)
            messages.append(Message(time=time, topic=topic, payload=f"{{{payload}}}".encode()))
    if not messages:
        raise ConfigError("there are no rows to publish", where=path.name)
    return sorted(messages, key=lambda message: message.time)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            yield file
    except (OSError, EOFError) as error:
        what = (getattr(error, "strerror", None) or "it is not a whole gzip file").lower()
        raise ConfigError(f"the file {path} cannot be read: {what}", remedy="Is the name right?") from error
    except UnicodeDecodeError as error:
        raise ConfigError("this is not UTF-8 text", where=path.name, remedy="Save the file as UTF-8.") from error


def _rows(reader: csv.DictReader[str], path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (line, row), and refuse a row with fewer or more cells than the header."""
    try:
        for row in reader:
            if None in row or None in row.values():
                raise ConfigError(
                    "this row has not as many cells as the first line",
                    where=f"{path.name}, line {reader.line_num}",
                    remedy="Cells are separated by commas; a comma inside a text needs quotes around the text.",
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise ConfigError(f"this is not CSV: {error}", where=f"{path.name}, line {reader.line_num}") from error


def _level(text: str, column: str, where: str) -> str:
    if not text or _NOT_IN_A_LEVEL.search(text):
        raise ConfigError(
            f'column "{column}" cannot be part of a topic here',
            where=where,
            remedy="It stands for one topic level: not empty, and without / + #.",
        )
    return text


def _token(text: str) -> str:
    """Return the JSON token of a cell: a number as it is written, any other text as a string."""
    if not text:
        return "null"
    return text if _JSON_NUMBER.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _milliseconds(text: str, column: str, where: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f'column "{column}" is not a time here',
            where=where,
            remedy="It is written like 2016-12-28T17:00:00, 2016-12-28T17:00:00Z or 2016-12-28T17:00:00+08:00.",
        ) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
