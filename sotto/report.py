"""The documents of /status in words, a line for each window, or for neighbours that are alike. Pure.

Shown are names, reasons and how many values were let out; a document has no other counts of what was suppressed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

from protocol.reasons import reason_of
from protocol.task import Task
from protocol.units import format_size

Document = Mapping[str, Any]

_MOST_NAMED: Final = 5
_MOST_OPEN: Final = 20
_MOST_ENDED: Final = 6
_LATELY: Final = 10_000
_NUMBERS: Final = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


def report(document: Document, *, task: Task, now: int) -> list[str]:
    """Return what a role's document says. `now`: milliseconds since the epoch, for windows that have not ended yet."""
    say = _Report(document, task=task, now=now)
    lines = {
        "gateway": say.gateway,
        "party": say.party,
        "collector": say.party,
        "sink": say.sink,
    }[document["role"]]
    return [*lines(), *say.unready()]


def in_words(ms: int) -> str:
    """Write a duration with its two largest units: "2 h 10 min", "12 min", "4 s"."""
    seconds = ms // 1000
    if seconds < 1:
        return f"{ms} ms" if ms else "0 s"
    parts: list[tuple[int, str]] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number or parts:
            parts.append((number, unit))
        if len(parts) == 2:
            break
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


class _Report:
    def __init__(self, document: Document, *, task: Task, now: int) -> None:
        self._document = document
        self._task = task
        self._now = now

    # -- parties and the collector ----------------------------------------------------------------------------

    def party(self) -> Iterator[str]:
        """A party's page or the collector's: open windows, what has ended, how the parties stand."""
        document = self._document
        windows, recent = document.get("windows", []), document.get("recent", [])
        if not document.get("live", False):
            yield "reads its log: what it says of windows is not up to date yet"
        yield from self._open(windows)
        if not windows:
            yield "no window is open"
        for one in reversed(recent[-_MOST_ENDED:]):
            yield f"{self._at(one['window'])}  {self._ended(one)}"
        for window in document.get("parked", [])[:_MOST_NAMED]:
            yield f"{self._at(window)}  lies too far ahead of this clock: it is looked at when its time comes"
        yield self._parties()
        for one in document.get("contradictions", []):
            yield f"{one['party']}: {one['kind']} at {self._at(one['window'])}. {one['meaning']}"
        yield self._partitions()

    def _open(self, windows: Sequence[Document]) -> Iterator[str]:
        """The newest first. Neighbours of which the same is to be said are one line; of too many the oldest are told,
        which hold up the others, and the newest, which is the one of now."""
        groups = [(words, list(alike)) for words, alike in groupby(windows, key=self._waits)]
        told, between = groups, 0
        if len(groups) > _MOST_OPEN:
            told = [*groups[: _MOST_OPEN - 1], groups[-1]]
            between = sum(len(alike) for _, alike in groups[_MOST_OPEN - 1 : -1])
        for number, (words, alike) in enumerate(reversed(told)):
            first, last = self._at(alike[0]["window"]), self._at(alike[-1]["window"])
            if number == 1 and between:
                yield f"and {_count(between, 'window')} between these"
            yield f"{first}  {words}" if len(alike) == 1 else f"{len(alike)} windows from {first} to {last}: {words}"

    def _waits(self, one: Document) -> str:
        total, complete = self._document.get("gateways"), one.get("complete")
        behind = "" if total is None or complete is None else f"      {complete} of {total} gateways are complete"
        faults = "".join(f"; {fault['name']} does not count: {fault['reason']}" for fault in one.get("faults", []))
        end = self._task.window_end(one["window"])
        if one["waits_for"] == "gateways":
            if end > self._now:
                return f"collects readings until {self._at(end)}{faults}{behind}"
            names = _some([_gateway(gateway) for gateway in one["gateways"]])
            return f"waits for {names}{self._without(one, len(one['gateways']), 'released')}{faults}{behind}"
        single = len(one["parties"]) == 1
        held, totals = ("it holds", "its totals") if single else ("they hold", "their totals")
        what = {"manifests": f"say what {held}", "rounds": "go on with the joint computation"}.get(
            one["waits_for"], f"release {totals}"
        )
        names = _some(one["parties"])
        until = self._without(one, len(one["parties"]), "goes on") if "gives_up_in_ms" in one else ""
        if not names:
            return f"all parties have spoken: it ends in a moment{faults}"
        return f"waits for {names} to {what}{until}{faults}"

    def _without(self, one: Document, number: int, verb: str) -> str:
        """Say until when it waits."""
        them = "it" if number == 1 else "them"
        left = one["goes_on_without_in_ms"]
        is_released = "is released" if verb == "released" else "goes on"
        if left is None and not self._document.get("live", False):
            return ""
        if left is None:
            return f", is given up in {in_words(one['gives_up_in_ms'])}: without {them} there is no result"
        if left == 0:
            return f", {is_released} without {them} as soon as all that is in Kafka is read"
        return f", {is_released} without {them} in {in_words(left)}"

    def _ended(self, one: Document) -> str:
        fault = f"; at fault: {', '.join(one['at_fault'])}" if one["at_fault"] else ""
        if one["outcome"] != "done":
            return f"suppressed: {reason_of(one['reason']).sentence}{fault}"
        said = "done"
        if self._task.joint and self._document["role"] == "party":
            said += ": joint results are seen by the collector alone" + ("; of the sums" if self._has_sums() else "")
        if one["points"] is not None and (self._has_sums() or self._document["role"] == "collector"):
            said += f": {_count(one['points'], 'point')}, {one['suppressed']} suppressed"
            if named := [_cell(cell, self._task) for cell in one["suppressed_cells"]]:
                said += f" ({_some(named, total=one['suppressed'])})"
        without = [name for name in self._task.party_names if one["parties"] and name not in one["parties"]]
        said += f", without {', '.join(without)}" if without else ""
        return said + (", not verified" if one["verified"] is False else "") + fault

    def _parties(self) -> str:
        said = []
        for one in self._document.get("parties", []):
            silent = "never heard" if one["silent_ms"] is None else f"silent {in_words(one['silent_ms'])}"
            words = {"ok": "ok", "silent": silent, "waited_for": f"waited for ({silent})", "not_heard": "not heard yet"}
            said.append(f"{one['name']} {words[one['state']]}")
        enough = self._document.get("enough_parties")
        number = _NUMBERS.get(enough, str(enough)) if enough and enough < len(said) else ""
        suffice = f" ({number} suffice)" if number else ""
        if number and self._task.joint:
            sums = f"{number} suffice for sums, " if self._has_sums() else ""
            suffice = f" ({sums}joint results need all)"
        return f"parties: {', '.join(said)}{suffice}"

    def _has_sums(self) -> bool:
        return any(measure.statistics for measure in self._task.measures.values())

    def _partitions(self) -> str:
        partitions = sorted({number for numbers in self._document["partitions"].values() for number in numbers})
        behind = sum(self._document["lag"].values())
        return (
            f"this process: partitions {_ranges(partitions)} of {self._document['of_partitions']}, "
            f"Kafka {self._document['kafka']}, " + (f"{behind} records behind" if behind else "nothing unread")
        )

    # -- gateway ----------------------------------------------------------------------------------------------

    def gateway(self) -> Iterator[str]:
        """A gateway's page: its windows, the spool, the servers, what was not used, the clock."""
        document = self._document
        if document["state"] != "running":
            yield document["state"]
        if "spool" not in document:
            return
        given_up = {one["window"]: one for one in document["dropped_windows"]}
        for one in reversed(document["windows"]):
            seals = self._task.window_end(one["window"]) + self._task.window.lateness
            when = f", is sealed at {self._at(seals)}" if seals > self._now else ""
            if one["window"] not in given_up:
                yield f"{self._at(one['window'])}  open: {_count(one['readings'], 'reading')}{when}"
        if not document["windows"]:
            yield "no window has readings"
        sealed = [one for one in document["sealed"] if one["window"] not in given_up]
        for one in reversed(sealed[-_MOST_ENDED:]):
            words = [_count(one["readings"], "reading"), _count(one["gaps"], "gap")]
            words += [f"{one[word]} {word}" for word in ("late", "refused") if one[word]]
            if one["dropped"]:
                words.append(f"tells of {_count(one['dropped'], 'reading')} dropped from earlier windows")
            cold = " (cold: it does not count, this gateway began after it)" if one["cold"] else ""
            yield f"{self._at(one['window'])}  sealed: {', '.join(words)}{cold}"
        for one in reversed(document["dropped_windows"][-_MOST_ENDED:]):
            yield f"{self._at(one['window'])}  given up: {_count(one['readings'], 'reading')} ({one['reason']})"
        if len(given_up) > _MOST_ENDED:
            yield "and windows before these: see window_dropped in the log"
        spool = document["spool"]
        oldest = "" if spool["oldest_ms"] is None else f", oldest {in_words(spool['oldest_ms'])}"
        full = "" if spool["full"] is None else f", reading from MQTT has stopped: {spool['full']}"
        dropped = f", {_count(spool['dropped'], 'reading')} dropped since the start" if spool["dropped"] else ""
        yield f"spool: {format_size(spool['bytes'])} of {format_size(spool['limit_bytes'])}{oldest}{full}{dropped}"
        yield "servers: " + ", ".join(_link(name, document[name]) for name in ("mqtt", "kafka") if name in document)
        if document["refused"]:
            reasons = ", ".join(f"{reason} {number}" for reason, number in document["refused"].items())
            yield f"not used since the start: {reasons}"
        for one in document["late"]:
            yield f"{self._at(one['window'])}  {_count(one['readings'], 'reading')} came too late"
        yield f"clock: {_clock(document['clock'])}"

    # -- sink -------------------------------------------------------------------------------------------------

    def sink(self) -> Iterator[str]:
        """A sink's page: what was written last, and how far it is behind."""
        document = self._document
        for one in sorted(document["recent"][-_MOST_ENDED:], key=lambda one: one["window"], reverse=True):
            hidden = sum(one["suppressed"].values())
            why = ", ".join(reason_of(reason).short for reason in one["suppressed"])
            said = f"written: {_count(one['points'], 'point')}, {hidden} suppressed{f' ({why})' if why else ''}"
            if one["refused_points"]:
                said += f", {document['sink']} refused {one['refused_points']} rows: see the log"
            yield f"{self._at(one['window'])}  {said}"
        if not document["recent"]:
            yield "nothing was written since the start"
        behind = document["behind"]
        unread = "not known yet" if behind is None else (f"{behind} windows" if behind else "nothing")
        takes = "takes results" if document["up"] else "does not take results: they wait in Kafka"
        yield f"{document['sink']} {document['where']} {takes}; not written yet: {unread}"
        yield f"this process: partitions {_ranges(document['partitions'])} of topic aggregates"

    # -- all --------------------------------------------------------------------------------------------------

    def unready(self) -> Iterator[str]:
        """What the role lacks."""
        if not self._document["healthy"]:
            yield "not healthy: its loop does not turn"
        for name, why in self._document["unready"].items():
            yield f"not ready: {name}: {why}"

    def _at(self, ms: int) -> str:
        """Write a time at the task's offset, as short as windows of this size allow."""
        window = self._task.window
        local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms + window.utc_offset)
        form = "%Y-%m-%d %H:%M" if window.size % 60_000 == 0 and ms % 60_000 == 0 else "%Y-%m-%d %H:%M:%S"
        return local.strftime(form) + (f".{ms % 1000:03}" if ms % 1000 else "")


def _gateway(one: Document) -> str:
    silent = "not heard yet" if one["silent_ms"] is None else f"silent {in_words(one['silent_ms'])}"
    if one["silent_ms"] is not None and one["silent_ms"] < _LATELY:
        silent = "heard just now"
    return f"{one['name']} ({'incomplete, ' if one['state'] == 'incomplete' else ''}{silent})"


def _cell(one: Document, task: Task) -> str:
    labels = (one["labels"].get(label) for label in task.labels)  # a joint computation may have none
    place = "/".join([*filter(None, labels), one["measure"]])
    return f"{place}: {reason_of(one['reason']).short}"


def _link(name: str, one: Document) -> str:
    if one["connected"]:
        return f"{name} connected"
    return f"{name} not reached for {in_words(one['since_ms'])}" + (f" ({one['error']})" if one["error"] else "")


def _clock(clock: Document) -> str:
    right = "right" if clock["right"] else "not right: nothing is sealed until it is (timedatectl set-ntp true)"
    offset = clock["offset_ms"]
    against = ", Kafka's not known" if offset is None else f", {in_words(abs(offset))} off Kafka's"
    return right + against + (", not synchronised" if clock["synchronised"] is False else "")


def _some(names: Sequence[str], *, total: int | None = None) -> str:
    """Name a few and count the others."""
    rest = (len(names) if total is None else total) - len(names[:_MOST_NAMED])
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _ranges(numbers: Iterable[int]) -> str:
    """Write numbers in ascending order as ranges: "0-3, 7"; "none" for none."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "none"
