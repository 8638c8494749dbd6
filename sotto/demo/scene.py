"""From what the demo has seen to one moment of its view, and to one line for each window. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from protocol.units import iso
from sotto.demo.compare import Tally, compare, percentile
from sotto.demo.outcomes import Found
from sotto.demo.plain import MEASURE_COLUMNS, Due, Expected, Plain
from sotto.demo.view import Followed, Scene

LABEL, AREA, MEASURE = "area", "outer", "no2"
"""The cell that the view follows."""
GATEWAY = "north-1"
"""Whose reading is shown as shares: it has one station in each area, so one reading in the cell."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What does not change while the demo runs. Times in milliseconds; `held` is components per party."""

    plain: Plain
    size: int
    utc_offset: int
    unit: str
    areas: tuple[str, ...]
    parties: tuple[str, ...]
    components: int
    held: int
    minimum: int
    running: str
    planned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the demo has seen by now. `samples`: for each window, party and the number that it shows."""

    event_time: int
    elapsed: int
    paused: bool
    readings: int
    found: Mapping[Due, Found]
    samples: Mapping[int, Mapping[str, int]] = field(repr=False)


def scene_of(setting: Setting, progress: Progress) -> Scene:
    """Return what the view shows now."""
    plain, found = setting.plain, progress.found
    done = complete_windows(plain, found)
    tally = compare(restricted(plain, {due.window for due in found}), found)
    window = _followed_window(setting, progress, done)
    followed: Followed | None = None
    shares: Mapping[str, int] = {}
    if window is not None:
        followed = _followed(setting, plain.cells[_cell(window, AREA)])
        shares = progress.samples.get(window, {})
    hour = (progress.event_time - plain.windows[0]) // setting.size + 1
    return Scene(
        time=_moment(progress.event_time, setting.utc_offset),
        hour=min(hour, len(plain.windows)),
        hours=len(plain.windows),
        elapsed=progress.elapsed,
        planned=setting.planned,
        paused=progress.paused,
        organisations=len({r.organisation for cell in plain.cells.values() for r in cell.readings}),
        components=setting.components,
        held=setting.held,
        followed=followed,
        shares=tuple((party, str(shares[party])) for party in setting.parties if party in shares),
        areas=setting.areas,
        averages=tuple(
            (_hour(one, setting.utc_offset), tuple(_average(plain, found, _cell(one, area)) for area in setting.areas))
            for one in _newest(done, window)
        ),
        hidden=_hidden(setting, found),
        exact=tally.exact,
        wrong=tally.wrong,
        missing=tally.missing,
        suppressed=tally.hidden,
        readings=progress.readings,
        running=setting.running,
        latency_ms=percentile(tally.latency_ms, 0.5),
    )


def complete_windows(plain: Plain, found: Mapping[Due, Found]) -> list[int]:
    """Return the windows of which every due cell has an outcome, oldest first."""
    open_windows = {due.window for due in plain.cells if due not in found}
    return [window for window in plain.windows if window not in open_windows]


def restricted(plain: Plain, windows: Iterable[int]) -> Plain:
    """Return the part of the plain computation that belongs to some windows."""
    wanted = frozenset(windows)
    return Plain(
        readings=plain.readings,
        gaps=plain.gaps,
        windows=tuple(window for window in plain.windows if window in wanted),
        cells={due: expected for due, expected in plain.cells.items() if due.window in wanted},
        joint=plain.joint,
    )


def window_line(setting: Setting, found: Mapping[Due, Found], window: int) -> str:
    """Return the line for one window, for logs and narrow screens."""
    part = restricted(setting.plain, (window,))
    here = {due: one for due, one in found.items() if due.window == window}
    tally: Tally = compare(part, here)
    hidden = [
        f"{MEASURE_COLUMNS[due.measure]} {_area(due)} "
        f"({part.cells[due].organisations} of {setting.minimum} organisations)"
        for due in sorted(part.cells)
        if not part.cells[due].released
    ]
    latency = percentile(tally.latency_ms, 0.5)
    return (
        f"{_moment(window, setting.utc_offset)}  {tally.exact:>3} exact  {tally.wrong} wrong  {tally.missing} missing"
        + ("" if latency is None else f"  {latency} ms")
        + (f"  hidden: {', '.join(hidden)}" if hidden else "")
    )


def _cell(window: int, area: str) -> Due:
    return Due(window, ((LABEL, area),), MEASURE)


def _followed_window(setting: Setting, progress: Progress, done: Sequence[int]) -> int | None:
    """The newest window that has its result, was seen as shares by every party, and has the reading that is followed.

    Only such a window closes the circle: one reading, its shares, the average on the right.
    """
    best = None
    for window in done:
        readings = setting.plain.cells[_cell(window, AREA)].readings
        if readings and readings[0].organisation == GATEWAY.partition("-")[0]:
            seen = progress.samples.get(window, {})
            if all(party in seen for party in setting.parties):
                best = window
    return best


def _newest(done: Sequence[int], followed: int | None) -> Sequence[int]:
    """The newest four windows, but never without the followed one: its average has to be on the screen."""
    if followed is None or followed in done[-4:]:
        return done[-4:]
    return [window for window in done if window <= followed][-4:]


def _followed(setting: Setting, cell: Expected) -> Followed:
    return Followed(
        area=AREA,
        measure=MEASURE_COLUMNS[MEASURE],
        unit=setting.unit,
        rows=tuple((reading.organisation, reading.station, reading.text) for reading in cell.readings),
        mean=f"{float(cell.mean):.2f}",
    )


def _average(plain: Plain, found: Mapping[Due, Found], due: Due) -> str:
    one = found[due]
    if one.outcome != "point" or one.mean is None:
        return "hidden"
    tally = compare(Plain(readings=0, gaps=0, windows=(), cells={due: plain.cells[due]}), {due: one})
    return f"{one.mean:.2f}{'=' if tally.exact else '!'}"


def _hidden(setting: Setting, found: Mapping[Due, Found]) -> str:
    joint = setting.plain.joint
    kept_back = [due for due, one in found.items() if one.outcome != "point" and due.measure not in joint]
    if not kept_back:
        return f"A value is hidden unless {setting.minimum} organisations have a reading in it."
    due = max(kept_back)
    members = setting.plain.cells[due].organisations if due in setting.plain.cells else 0
    return (
        f"hidden: {MEASURE_COLUMNS[due.measure]}, {_hour(due.window, setting.utc_offset)} h, {_area(due)}: "
        f"readings of {members} organisations; the task asks for {setting.minimum}"
    )


def _area(due: Due) -> str:
    return ", ".join(value for _, value in due.labels)


def _hour(window: int, offset: int) -> str:
    return iso(window, offset)[11:13]


def _moment(ms: int, offset: int) -> str:
    text = iso(ms, offset)
    return f"{int(text[8:10]):>2} {_MONTHS[int(text[5:7]) - 1]} {text[:4]} {text[11:16]}"
