"""One schedule: drawn from its seed, run, checked; explained, and made shorter."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.simulation.menu import choose
from tests.simulation.oracle import Violation
from tests.simulation.setting import KINDS, setting_of
from tests.simulation.steps import STEPS
from tests.simulation.world import PRODUCTION, Action, Parts, World

_NAMES = tuple(KINDS)
_SHARES = tuple(kind.share for kind in KINDS.values())


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a schedule: the steps that were possible, and the violation, if there was one."""

    kind: str
    trace: tuple[Action, ...]
    violation: str | None
    world: World


def kind_of(seed: int) -> str:
    """Which kind of schedule a seed stands for."""
    return Random(seed * 2 + 1).choices(_NAMES, _SHARES)[0]


def draw(seed: int, kind: str | None = None) -> tuple[str, list[Action]]:
    """Return the kind and the actions of a seed."""
    name = kind_of(seed) if kind is None else kind
    return name, choose(setting_of(name), Random(seed))


def run(kind: str, actions: Sequence[Action], parts: Parts = PRODUCTION) -> Run:
    """Run a schedule and then the fair end. Never raises: an exception of the code under test is a violation too."""
    setting = setting_of(kind)
    setting.forget()
    world = World(setting, parts)
    trace: list[Action] = []
    limit = setting.kind.steps
    found: str | None = None
    try:
        for action in actions:
            trace.append(action)
            if not STEPS[action[0]](world, *action[1:]):
                trace.pop()
            elif len(trace) >= limit:
                break
        world.finish()
        world.oracle.check()
    except Violation as violation:
        found = str(violation)
    except Exception as error:  # noqa: BLE001  what decides must never raise: that stops the stream
        where = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}, line {where.lineno})"
    return Run(kind, tuple(trace), found, world)


def run_seed(seed: int, kind: str | None = None, parts: Parts = PRODUCTION) -> Run:
    """Draw and run."""
    return run(*draw(seed, kind), parts)


def shrink(failed: Run, parts: Parts = PRODUCTION, most: int = 3_000) -> Run:
    """Leave actions out as long as something is violated, halves first and single ones last."""
    best, step, tries = failed, max(1, len(failed.trace) // 2), 0
    while step and tries < most:
        place, shorter = 0, False
        while place < len(best.trace) and tries < most:
            tries += 1
            tried = run(best.kind, best.trace[:place] + best.trace[place + step :], parts)
            if tried.violation is not None and _alike(tried.violation, failed.violation):
                best, shorter = tried, True
            else:
                place += step
        if step > 1 or not shorter:
            step //= 2
    return best


def _alike(one: str, other: str | None) -> bool:
    """The same kind of violation: its words without names and numbers."""
    return other is not None and _words(one) == _words(other)


def _words(text: str) -> set[str]:
    return {word for word in text.split("{", maxsplit=1)[0].split("(", maxsplit=1)[0].split() if word.isalpha()}
