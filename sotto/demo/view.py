"""The live view: 24 lines of 80 columns, made of what the demo knows at one moment. Pure: a `Scene` in, text out.

It follows one measure in one area, so that one reading can be followed with the eye: from its organisation into the
noise of the parties, and, with three others, into an average that the reader can work out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

WIDTH, HEIGHT = 80, 24
_LEFT, _MIDDLE, _RIGHT = 26, 25, 27
_BODY = 9
_ASCII = str.maketrans({"━": "=", "─": "-", "│": "|", "┼": "+", "┴": "+", "▶": ">"})
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One cell in the clear. `rows` are (organisation, station, reading); the first reading is shown as shares."""

    area: str
    measure: str
    unit: str
    rows: tuple[tuple[str, str, str], ...] = field(repr=False)
    mean: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One moment of the demo. Texts are ready to be shown; numbers are counts, `elapsed` and `planned` are seconds."""

    time: str
    hour: int
    hours: int
    elapsed: int
    planned: int
    paused: bool
    organisations: int
    components: int
    held: int
    followed: Followed | None
    shares: tuple[tuple[str, str], ...] = field(repr=False)
    """(party, one of the numbers that it holds for the first reading)."""
    areas: tuple[str, ...]
    averages: tuple[tuple[str, tuple[str, ...]], ...]
    """(hour, an average with its mark for each area), the oldest first."""
    hidden: str
    exact: int
    wrong: int
    missing: int
    suppressed: int
    readings: int
    running: str
    latency_ms: int | None


def frame(scene: Scene, *, ascii_only: bool = False) -> list[str]:
    """Return the 24 lines, none longer than 80."""
    lines = [
        _head(scene),
        "━" * WIDTH,
        f"{number(scene.organisations).capitalize()} organisations want joint averages; "
        "none may show its readings to anyone.",
        "",
        *_columns(
            ["1 READINGS GO IN", "and stay with their owner"],
            ["2 A PARTY SEES NOISE", _of_the_reading(scene)],
            ["3 AVERAGES COME OUT", "and nothing else"],
        ),
        "─" * _LEFT + "┼" + "─" * _MIDDLE + "┼" + "─" * _RIGHT,
        *_columns(
            *([*column, *[""] * _BODY][:_BODY] for column in (_readings(scene), _noise(scene), _averages(scene)))
        ),
        "─" * _LEFT + "┴" + "─" * _MIDDLE + "┴" + "─" * _RIGHT,
        scene.hidden,
        "",
        f"results   {scene.exact:>3} exact   {scene.wrong:>2} wrong   {scene.missing:>2} missing   "
        f"{scene.suppressed:>2} hidden      readings {scene.readings}",
        f"running   {scene.running}",
        "speed     " + ("" if scene.latency_ms is None else f"last seal to result {scene.latency_ms} ms (median)"),
        "",
        f"{'data: S. Chen, UCI 501, CC BY 4.0':<56} q quit   space {'go on' if scene.paused else 'pause'}",
    ]
    clipped = [line[:WIDTH].rstrip() for line in lines]
    return [line.translate(_ASCII) for line in clipped] if ascii_only else clipped


def number(count: int) -> str:
    """Return a small number as a word."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _head(scene: Scene) -> str:
    of = f" of {scene.planned}" if scene.elapsed <= scene.planned else ""
    clock = "paused" if scene.paused else f"{scene.elapsed}{of} s"
    return f"SOTTO DEMO    real air data    {scene.time:<17}    hour {scene.hour:>2} of {scene.hours}   {clock}"


def _of_the_reading(scene: Scene) -> str:
    return f'of the reading "{scene.followed.rows[0][2]}"' if scene.followed and scene.shares else "of every reading"


def _readings(scene: Scene) -> list[str]:
    followed = scene.followed
    split = ["", "a gateway splits each one", f"into {scene.components} random numbers"]
    if followed is None:
        return ["", "the first readings are", "on their way", "", "", "", *split]
    rows = [
        f"{organisation:<6.6} {station:<9.9}{text:>5} {'──▶' if place == 0 else ''}"
        for place, (organisation, station, text) in enumerate(followed.rows[:4])
    ]
    body = [f"{followed.area} area, {followed.measure}, {followed.unit}:", *rows]
    return [*body, f"in the clear:  mean {followed.mean}", *[""] * (4 - len(rows)), *split]


def _noise(scene: Scene) -> list[str]:
    if len(scene.shares) > 3:
        most = 6
        body = [
            f"{name:.3} {text:>20}" for name, text in scene.shares[: most if len(scene.shares) <= most else most - 1]
        ]
        if len(scene.shares) > most:
            body.append(f"and {len(scene.shares) - most + 1} more")
    else:
        body = [line for name, text in scene.shares for line in (name, f"   {text:>20}")]
    body += [""] * (7 - len(body))
    return [*body[:7], f"each holds {number(scene.held)} of these", "adds what it cannot read"]


def _averages(scene: Scene) -> list[str]:
    title = f"{scene.followed.measure if scene.followed else '':<5}" + "".join(
        f"{area:>7.6}" for area in scene.areas[:3]
    )
    rows = [f"{hour:>2} h " + "".join(f"{text:>7}" for text in texts[:3]) for hour, texts in scene.averages[-4:]]
    rows += [""] * (4 - len(rows))
    return [title, *rows, "", "=  the same as computed", "   in the clear, to the", "   last unit"]


def _columns(left: Sequence[str], middle: Sequence[str], right: Sequence[str]) -> list[str]:
    return [
        f"{a[:_LEFT]:<{_LEFT}}│ {b[: _MIDDLE - 1]:<{_MIDDLE - 1}}│ {c[: _RIGHT - 1]}"
        for a, b, c in zip_longest(left, middle, right, fillvalue="")
    ]
