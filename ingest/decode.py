"""From one MQTT message to rows of numbers, by the rules of its source.

A row is one sensor at one time, with one number for each measure of the source; NaN stands for a gap. Nothing is
quantised here: that is done for thousands of rows at once when a batch is made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ingest.config import Source
from ingest.paths import MISSING, Document, JsonPath, Missing, SeveralError
from ingest.pattern import TopicPattern
from ingest.payload import parse_json
from ingest.refusal import RefusedError
from ingest.times import time_reader
from mpc_ops.fixedpoint import Quantiser
from protocol.errors import ConfigError
from protocol.roster import Roster
from protocol.task import Task

NAN: Final = math.nan
GAP_TEXTS: Final = frozenset({"NA", "NaN"})
_LONGEST_TEXT = 512
_LARGEST = 1 << 1000
_REMEMBERED = 4_096


class Row(NamedTuple):
    """One sensor at one time (nanoseconds). `base` is the number of the cell of its labels and measure 0."""

    sensor: str
    base: int
    time: int
    values: list[float]


@dataclass(slots=True)
class Tally:
    """What was counted since the last look; the keys are (source, reason) and measures."""

    messages: Counter[str] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    qos0: Counter[str] = field(default_factory=Counter)
    late: Counter[int] = field(default_factory=Counter)
    """By the window that they belong to."""
    repeats: int = 0


_Text = Callable[[Document, Mapping[str, str]], str]
"""(element, captures of the topic) -> text. Raises RefusedError."""


class SourceDecoder:
    """The compiled rules of one [[source]]. Raises ConfigError where they do not fit the task."""

    def __init__(self, source: Source, task: Task, roster: Roster, *, where: str = "gateway.toml") -> None:
        _fits(source, task, where)
        self.name = source.topic
        self.pattern = TopicPattern(source.topic)
        self.accepts_retained = source.retained == "accept"
        self.timed = source.time is not None
        self.measures = tuple(sorted(source.measures))
        """Names of the measures of this source: the columns of its rows."""
        self.offsets = tuple(task.measure_names.index(name) for name in self.measures)
        """Numbers of these measures in the task: what to add to a row's `base`."""
        self.quantisers = tuple(
            Quantiser(
                minimum=task.measures[name].range[0],
                maximum=task.measures[name].range[1],
                resolution=task.measures[name].resolution,
                scale=source.measures[name].scale,
                offset=source.measures[name].offset,
            )
            for name in self.measures
        )
        self._each = None if source.each is None else JsonPath(source.each)
        self._paths = tuple(JsonPath(source.measures[name].path) for name in self.measures)
        self._time_path = None if source.time is None else JsonPath(source.time)
        self._time = time_reader(source.time_format, zone=source.time_zone)
        self._gaps = GAP_TEXTS | {gap if isinstance(gap, str) else float(gap) for gap in source.gaps}
        self._number_gaps = any(not isinstance(gap, str) for gap in source.gaps)
        self._sensor = _text(source.sensor)
        self._labels = tuple(_label(source, name) for name in task.labels)
        self._bases = {cell.labels: number for number, cell in enumerate(roster.cells(task)) if cell.measure == 0}
        self._captures: dict[str, dict[str, str]] = {}
        topic_only = not any(
            text.startswith("$") for text in (source.sensor, *(source.labels[n].source for n in task.labels))
        )
        self._by_topic: dict[str, tuple[str, int]] | None = {} if topic_only else None

    def rows(self, topic: str, payload: bytes, arrival: int, tally: Tally) -> list[Row]:
        """Return the rows of a message; `arrival` is in nanoseconds. What is refused within it is counted in `tally`.

        Raises:
            RefusedError: the whole message is not used.
        """
        try:
            document = parse_json(payload)
            captures = self._captured(topic)
            elements = (document,) if self._each is None else self._each.all(document)
            rows = []
            for element in elements:
                try:
                    rows.append(self._row(element, topic, captures, arrival, tally))
                except RefusedError as refusal:
                    tally.refused[self.name, refusal.reason] += len(self.measures)
        except (RecursionError, SeveralError):  # nested too deep for a path with wildcards, or an ambiguous path
            raise RefusedError("malformed") from None
        return rows

    def _captured(self, topic: str) -> Mapping[str, str]:
        captures = self._captures.get(topic)
        if captures is None:
            if len(self._captures) >= _REMEMBERED:
                self._captures.clear()
            captures = self._captures[topic] = self.pattern.match(topic) or {}
        return captures

    def _row(self, element: Document, topic: str, captures: Mapping[str, str], arrival: int, tally: Tally) -> Row:
        remembered = self._by_topic
        known = None if remembered is None else remembered.get(topic)
        if known is None:
            known = self._sensor(element, captures), self._base(element, captures)
            if remembered is not None:
                if len(remembered) >= _REMEMBERED:
                    remembered.clear()
                remembered[topic] = known
        if self._time_path is None:
            time = arrival
        else:
            found = self._time_path.one(element)
            if found is MISSING or found is None:
                raise RefusedError("missing_field")
            time = self._time(found)
        return Row(known[0], known[1], time, self._values(element, tally))

    def _values(self, element: Document, tally: Tally) -> list[float]:
        values: list[float] = []
        is_object = type(element) is dict
        for number, path in enumerate(self._paths):
            key = path.key
            value = element.get(key, MISSING) if is_object and key is not None else path.one(element)
            kind = type(value)
            # bool is no number here: its type is bool, although Python would add it up
            plain = value == value if kind is float else kind is int and -_LARGEST < value < _LARGEST  # noqa: PLR0124  NaN
            if plain and not (self._number_gaps and value in self._gaps):
                values.append(value)
            else:
                values.append(self._odd(number, value, tally))
        return values

    def _odd(self, number: int, value: Document, tally: Tally) -> float:
        """Count what is not a plain number: a gap (NaN), or a refused reading (NaN as well)."""
        kind = type(value)
        if value is None or (kind in (str, int, float) and (value in self._gaps or value != value)):  # noqa: PLR0124
            pass
        elif kind is Missing:
            tally.refused[self.name, "missing_field"] += 1
        else:
            tally.refused[self.name, "out_of_range" if kind is int else "not_a_number"] += 1
            return NAN
        tally.gaps[self.measures[number]] += 1
        return NAN

    def _base(self, element: Document, captures: Mapping[str, str]) -> int:
        labels = tuple([label(element, captures) for label in self._labels])
        base = self._bases.get(labels)
        if base is None:
            raise RefusedError("unknown_label")
        return base


def _text(text: str) -> _Text:
    """Compile where a text comes from: "$.path" in the message, or a template of names such as "{station}"."""
    if not text.startswith("$"):
        return lambda _element, captures: text.format_map(captures)
    path = JsonPath(text)

    def read(element: Document, _captures: Mapping[str, str]) -> str:
        found = path.one(element)
        if found is MISSING or found is None:
            raise RefusedError("missing_field")
        if type(found) is int and abs(found) < 1 << 63:
            return str(found)
        if type(found) is not str or len(found) > _LONGEST_TEXT:
            raise RefusedError("malformed")
        return found

    return read


def _label(source: Source, name: str) -> _Text:
    read = _text(source.labels[name].source)
    mapping = source.labels[name].mapping()
    if mapping is None:
        return read

    def mapped(element: Document, captures: Mapping[str, str]) -> str:
        agreed = mapping.get(read(element, captures))
        if agreed is None:
            raise RefusedError("unknown_label")
        return agreed

    return mapped


def _fits(source: Source, task: Task, where: str) -> None:
    block = f'[[source]] "{source.topic}"'
    for name in source.measures:
        if name not in task.measures:
            raise ConfigError(
                f'{block} has the measure "{name}", which is not in the task',
                where=where,
                remedy=f"Measures of {task.name}: {', '.join(task.measure_names)}.",
            )
    if set(source.labels) != set(task.labels):
        raise ConfigError(
            f"{block} has the labels {sorted(source.labels)}, the task has {sorted(task.labels)}",
            where=where,
            remedy="[source.labels] says for each label of the task where its value is.",
        )


class Decoders:
    """All sources of a gateway, and which of them a topic belongs to: the first one whose pattern fits."""

    def __init__(self, sources: Sequence[SourceDecoder]) -> None:
        self.all = tuple(sources)
        self._known: dict[str, int] = {}

    def of(self, topic: str) -> int | None:
        """Return the number of the source of a topic, None where there is none."""
        known = self._known.get(topic)
        if known is not None:
            return known
        number = next((n for n, source in enumerate(self.all) if source.pattern.match(topic) is not None), None)
        if number is not None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[topic] = number
        return number
