"""The verdict. Plain integers over the ledger of the sensors, without any code of Sotto.

Right is: each cell of each window has one outcome; a point is the exact count and sum of the acknowledged readings of
the gateways that it names; a gateway is left out, and a cell suppressed, only for a reason that the faults or the
readings confirm; nothing was released or signed in two versions. All else is a violation and named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

from tests.faults.load import Reading

QUIET: Final = 15_000
"""Milliseconds: whoever is left alone for so long has come back and done what was due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What was agreed. Times are milliseconds; `organisation` is by gateway."""

    first: int
    last: int
    size: int
    lateness: int
    deadline: int
    areas: tuple[str, ...]
    organisation: Mapping[str, str]
    parties: tuple[str, ...]
    verifies: bool = True
    """Whether the scheme can tell a wrong share, so that results are verified when all parties are there."""
    min_organisations: int = 3
    most_absent: int = 1
    """Organisations that may be missing from a window that is released."""

    @property
    def windows(self) -> range:
        """The starts of all windows."""
        return range(self.first, self.last, self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row in the database: of results ("point") or of outcomes."""

    kind: Literal["point", "outcome"]
    window: int
    area: str
    outcome: str
    reason: str
    count: int | None
    total: int | None
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A record on `aggregates`. `late` has every contributing gateway, and how many readings it refused as late."""

    window: int
    digest: str
    verified: bool
    parties: tuple[str, ...]
    late: Mapping[str, int]
    revealed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A party's aggregate share on `control`: over which set."""

    window: int
    party: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """A fault that happened: `hits` are the roles it reached. Milliseconds since 1970."""

    kind: str
    target: str
    begun: int
    ended: int
    hits: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a campaign leaves behind."""

    readings: Sequence[Reading]
    rows: Sequence[Row]
    released: Sequence[Released]
    signed: Sequence[Signed]
    disturbances: Sequence[Disturbance]


@dataclass(slots=True, kw_only=True)
class Report:
    """The end of a campaign."""

    faults: Counter[str] = field(default_factory=Counter)
    windows: Counter[str] = field(default_factory=Counter)
    made: int = 0
    acknowledged: int = 0
    counted: int = 0
    left_out: int = 0
    """Acknowledged, and in no result, rightly: their gateway or their cell was left out."""
    late: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Say whether nothing is wrong or missing."""
        return not self.violations


def check(setting: Setting, evidence: Evidence) -> Report:
    """Compare what came out with what went in."""
    return _Check(setting, evidence).run()


class _Check:
    def __init__(self, setting: Setting, evidence: Evidence) -> None:
        self._setting = setting
        self._evidence = evidence
        self._report = Report()
        self._cells: dict[tuple[int, str], list[Reading]] = defaultdict(list)
        for reading in evidence.readings:
            self._cells[self._window_of(reading), reading.area].append(reading)
        self._lost: dict[str, Counter[int]] = defaultdict(Counter)
        """By gateway and window: acknowledged readings that are missing from a result of their gateway."""
        self._lost_where: dict[str, list[str]] = defaultdict(list)

    def run(self) -> Report:
        report, readings = self._report, self._evidence.readings
        report.faults.update(one.kind for one in self._evidence.disturbances)
        report.made = len(readings)
        report.acknowledged = sum(one.acknowledged is not None for one in readings)
        if report.made > report.acknowledged:
            self._wrong(f"{report.made - report.acknowledged} readings were never acknowledged to their sensors")
        aggregates = self._aggregates()
        self._signatures()
        rows: dict[tuple[int, str], list[Row]] = defaultdict(list)
        for row in self._evidence.rows:
            rows[row.window, row.area].append(row)
        for window in self._setting.windows:
            self._window(window, aggregates.get(window), rows)
        for window, area in sorted(rows.keys() - self._due()):
            self._wrong(f"{self._name(window)} {area}: the database has an outcome for a cell that was not due")
        for window, area in sorted(self._cells.keys() - self._due()):
            self._wrong(f"{self._name(window)} {area}: there are readings for a cell that was not due")
        for window in sorted(aggregates.keys() - set(self._setting.windows)):
            self._wrong(f"{self._name(window)}: was released, and was not due")
        self._late(aggregates.values())
        return report

    def _due(self) -> set[tuple[int, str]]:
        return {(window, area) for window in self._setting.windows for area in self._setting.areas}

    # -- once ------------------------------------------------------------------------------------------------

    def _aggregates(self) -> dict[int, Released]:
        found: dict[int, Released] = {}
        for one in self._evidence.released:
            before = found.setdefault(one.window, one)
            if before.digest != one.digest:
                self._wrong(f"{self._name(one.window)}: two different aggregates were released")
        return found

    def _signatures(self) -> None:
        sets: dict[tuple[int, str], set[str]] = defaultdict(set)
        for one in self._evidence.signed:
            sets[one.window, one.party].add(one.digest)
        for (window, party), digests in sorted(sets.items()):
            if len(digests) > 1:
                self._wrong(f"{self._name(window)}: {party} signed shares over {len(digests)} different sets")

    # -- one window ------------------------------------------------------------------------------------------

    def _window(self, window: int, released: Released | None, rows: Mapping[tuple[int, str], Sequence[Row]]) -> None:
        before = len(self._report.violations)
        if released is None:
            self._wrong(f"{self._name(window)}: nothing was released, not even a suppression")
            self._report.windows["missing"] += 1
            return
        for gateway in sorted(self._setting.organisation.keys() - released.late.keys()):
            self._absent(window, gateway)
        silent = [name for name in self._setting.parties if name not in released.parties]
        suppressed: set[str] = set()
        for area in self._setting.areas:
            suppressed |= self._cell(window, area, released, rows.get((window, area), ()))
        if strangers := sorted(released.late.keys() - self._setting.organisation.keys()):
            self._wrong(f"{self._name(window)}: names contributors that nobody knows: {', '.join(strangers)}")
        if any(row.kind == "point" for area in self._setting.areas for row in rows.get((window, area), ())):
            for party in silent:
                self._unheard(window, party, released)
            if released.verified != (self._setting.verifies and not silent):
                self._wrong(f"{self._name(window)}: verified is {released.verified}, with {released.parties}")
        if len(self._report.violations) > before:
            self._report.windows["wrong"] += 1
        elif suppressed:
            self._report.windows["suppressed: " + ", ".join(sorted(suppressed))] += 1
        else:
            kind = "exact, unverified" if self._setting.verifies and not released.verified else "exact"
            absent = len(self._setting.organisation) - len(released.late)
            self._report.windows[f"{kind}, without {absent} of the gateways" if absent else kind] += 1

    def _cell(self, window: int, area: str, released: Released, rows: Sequence[Row]) -> set[str]:
        """Check one cell; return its reason if it is suppressed."""
        name = f"{self._name(window)} {area}"
        outcomes = [row for row in rows if row.kind == "outcome"]
        points = [row for row in rows if row.kind == "point"]
        if len(outcomes) != 1:
            said = ", ".join(f"{row.outcome} ({row.reason})" for row in outcomes) or "none"
            self._wrong(f"{name}: {len(outcomes)} outcomes in the database: {said}")
            return set()
        outcome = outcomes[0]
        wanted = 1 if outcome.outcome == "point" else 0
        if len(points) != wanted:
            self._wrong(f"{name}: its outcome is {outcome.outcome}, with {len(points)} values")
            return set()
        readings = [one for one in self._cells[window, area] if one.acknowledged is not None]
        inside = [one for one in readings if one.gateway in released.late]
        if points:
            if points[0].verified != released.verified:
                self._wrong(f"{name}: verified is {points[0].verified} in the database, {released.verified} in Kafka")
            self._report.left_out += len(readings) - len(inside)
            self._point(name, points[0], inside)
            return set()
        self._report.left_out += len(readings)
        if not self._may_be_suppressed(window, outcome.reason, released, inside):
            self._wrong(f"{name}: suppressed ({outcome.reason}), which neither the readings nor the faults confirm")
        return {outcome.reason}

    def _point(self, name: str, point: Row, readings: Sequence[Reading]) -> None:
        count, total = point.count or 0, point.total or 0
        self._report.counted += count
        if count == len(readings) and total == sum(one.value for one in readings):
            return
        found = difference(readings, count=count, total=total)
        if found is None:
            short = f"{count} readings instead of {len(readings)}, the sum is off by {total - _sum(readings)}"
            self._wrong(f"{name}: {short}: no reading, pair or row of readings explains it")
            return
        missing, doubled = found
        for one in doubled:
            self._wrong(f"{name}: counted twice: {_tell(one)}")
        for one in missing:
            self._lost[one.gateway][self._window_of(one)] += 1
            self._lost_where[one.gateway].append(f"{name}: missing: {_tell(one)}")

    def _late(self, aggregates: Iterable[Released]) -> None:
        """What is missing may have come too late: then its gateway has said so in a later window, and in no earlier."""
        told: dict[str, Counter[int]] = defaultdict(Counter)
        for one in aggregates:
            for gateway, late in one.late.items():
                told[gateway][one.window] += late
        for gateway, lost in sorted(self._lost.items()):
            unexplained = late = 0
            for window in sorted(lost.keys() | told[gateway].keys(), reverse=True):
                explained = min(lost[window], late)
                self._report.late += explained
                unexplained += lost[window] - explained
                late += told[gateway][window] - explained
            if unexplained:
                for line in self._lost_where[gateway]:
                    self._wrong(f"{line}; {gateway} counted {told[gateway].total()} late readings in all")

    # -- is it explained? ------------------------------------------------------------------------------------

    def _may_be_suppressed(self, window: int, reason: str, released: Released, inside: Sequence[Reading]) -> bool:
        """Tell whether the readings confirm a reason. That a gateway is absent is checked by itself."""
        there = {self._setting.organisation[name] for name in released.late}
        if reason == "no_readings":
            return not inside
        if reason == "too_few_organisations":
            return len({one.organisation for one in inside}) < self._setting.min_organisations
        if reason == "too_many_absent":
            return len(set(self._setting.organisation.values()) - there) > self._setting.most_absent
        return False

    def _absent(self, window: int, gateway: str) -> None:
        """A gateway may be absent only if it was never left alone between its seal and the parties' deadline."""
        end = window + self._setting.size
        begin, until = end + self._setting.lateness, end + self._setting.deadline
        if (quiet := self.quiet(gateway, begin, until)) >= min(QUIET, until - begin):
            self._wrong(
                f"{self._name(window)}: {gateway} is left out, though nothing disturbed it for {quiet / 1000:.1f} s "
                "before the deadline"
            )

    def _unheard(self, window: int, party: str, released: Released) -> None:
        """A party's share may be missing only if the party was disturbed while the window was open."""
        if not any(
            party in one.hits and one.begun < released.revealed_at and one.ended > window
            for one in self._evidence.disturbances
        ):
            self._wrong(f"{self._name(window)}: released without {party}, which nothing had disturbed")

    def quiet(self, role: str, begin: int, until: int) -> int:
        """Return the longest time in [begin, until] in which no fault reached the role."""
        busy = sorted(
            (max(one.begun, begin), min(one.ended, until))
            for one in self._evidence.disturbances
            if role in one.hits and one.begun < until and one.ended > begin
        )
        edges, reached = [(begin, begin)], begin
        for begun, ended in busy:
            if begun > reached:
                edges.append((begun, ended))
            else:
                edges[-1] = (edges[-1][0], max(edges[-1][1], ended))
            reached = max(reached, ended)
        edges.append((until, until))
        return max(after[0] - before[1] for before, after in pairwise(edges))

    def _window_of(self, reading: Reading) -> int:
        setting = self._setting
        return setting.first + (reading.time - setting.first) // setting.size * setting.size

    def _name(self, window: int) -> str:
        return f"window {(window - self._setting.first) // self._setting.size}"

    def _wrong(self, text: str) -> None:
        self._report.violations.append(text)


def difference(
    readings: Sequence[Reading], *, count: int, total: int
) -> tuple[tuple[Reading, ...], tuple[Reading, ...]] | None:
    """Return which readings are (missing from, doubled in) a count and sum; None if no few of them explain it.

    Values are unique over 44 bits, so what fits is what happened: one, two, one for another, or a row of readings of
    one gateway that came one after the other (a batch).
    """
    more, off = count - len(readings), total - _sum(readings)
    by_value = {one.value: one for one in readings}
    if more == 0:
        for one in readings:  # one doubled in place of another one
            if (other := by_value.get(one.value - off)) is not None and other is not one:
                return (other,), (one,)
        return None
    found: tuple[Reading, ...] | None = None
    wanted = abs(off) if (off > 0) == (more > 0) else -1
    if abs(more) == 1 and wanted in by_value:
        found = (by_value[wanted],)
    elif abs(more) == 2:
        pairs = ((one, by_value.get(wanted - one.value)) for one in readings)
        found = next(((one, other) for one, other in pairs if other is not None and other is not one), None)
    if found is None:
        found = _row(readings, abs(more), wanted)
    if found is None:
        return None
    return (found, ()) if more < 0 else ((), found)


def _row(readings: Sequence[Reading], length: int, total: int) -> tuple[Reading, ...] | None:
    for gateway in sorted({one.gateway for one in readings}):
        own = sorted((one for one in readings if one.gateway == gateway), key=lambda one: one.time)
        for place in range(len(own) - length + 1):
            row = own[place : place + length]
            if _sum(row) == total:
                return tuple(row)
    return None


def _sum(readings: Iterable[Reading]) -> int:
    return sum(one.value for one in readings)


def _tell(one: Reading) -> str:
    story = f"published {one.published} times, acknowledged {one.acknowledged}"
    return f"{one.sensor} at {one.time}, value {one.value}, {story}"
