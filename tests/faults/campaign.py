"""A campaign from beginning to end: load, faults, healing, waiting for every window, the verdict."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.units import iso
from sotto.init import AREAS, MEMBERS
from tests.faults import evidence
from tests.faults.breaker import Breaker
from tests.faults.check import Disturbance, Evidence, Report, Setting, check
from tests.faults.faults import Fault, plan
from tests.faults.load import Ledger, Sensors, wall
from tests.faults.trial import Wanted
from tests.faults.world import Role, World

LOOK: Final = 2.0
"""Seconds between two looks at everybody."""
SETTLE: Final = 60.0
"""Seconds for the sensors' last acknowledgements, once all is mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for. `rate` is readings a second, in all."""

    seed: int
    minutes: float
    kills: int
    wanted: Wanted
    rate: float = 30.0
    together: int = 1
    """Readings in one message."""


@dataclass(slots=True, kw_only=True)
class Ended:
    """How it ended. `memory` is the most that a process of each kind of role held, in bytes."""

    options: Options
    report: Report
    seconds: float
    memory: Counter[str] = field(default_factory=Counter)
    waiting: list[str] = field(default_factory=list)
    """Where something is missing: what each role says that it waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Event time by the wall clock: at `begin` it is `first` (both in milliseconds), then `speed` times as fast."""

    first: int
    begin: int
    speed: float = 1.0

    def now(self) -> int:
        """Return the event time."""
        return self.first + round((wall() - self.begin) * self.speed)

    def left(self, last: int) -> float:
        """Return how many seconds of the wall clock are left until an event time."""
        return (self.begin - wall() + (last - self.first) / self.speed) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who is told how far it is: `once` of each step, `often` of the numbers, every few seconds."""

    once: Callable[[str], None]
    often: Callable[[str], None]


def run(options: Options, directory: Path, told: Told) -> Ended:
    """Run a campaign in a new directory, which keeps its logs."""
    begun = time.monotonic()
    size = options.wanted.window
    windows = max(1, round(options.minutes * 60_000 / size))
    told.once("starting the servers and all roles")
    with World(directory, options.wanted, windows=windows) as world:
        faults = plan(
            seed=options.seed,
            minutes=options.minutes,
            kills=options.kills,
            roles=tuple(world.roles),
            ways=tuple(world.proxies),
        )
        campaign = Campaign(options, world, told, faults=faults)
        report = campaign.run()
        waiting = [] if report.right else [_waits(role) for role in world.roles.values()]
    seconds = time.monotonic() - begun
    return Ended(options=options, report=report, seconds=seconds, memory=campaign.memory, waiting=waiting)


def _waits(role: Role) -> str:
    status = role.status()
    windows = status.get("windows") or status.get("open_windows")
    first = windows[0] if isinstance(windows, list) and windows else "none"
    partitions = f", partitions {status['partitions']}" if "partitions" in status else ""
    return f"{role.name}: {role.why_not_ready()}{partitions}; first open window: {first}"


class Campaign:
    """Load and faults on a world that has started. `watch` is called every few seconds."""

    def __init__(
        self,
        options: Options,
        world: World,
        told: Told,
        *,
        faults: Sequence[Fault],
        pace: Pace | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self.memory: Counter[str] = Counter()
        self.found: Evidence
        self.troubles: list[str]
        """What went wrong outside of all windows."""
        self._faults = faults
        self._pace = pace or Pace(first=world.files.first, begin=world.files.first)
        self._watch = watch
        self._options = options
        self._world = world
        self._told = told
        self._ledger = Ledger()
        self._by_itself: list[str] = []
        self._outcomes = 0
        self._due = (world.files.last - world.files.first) // options.wanted.window * len(AREAS)

    def run(self) -> Report:
        """Run it until every cell has its outcome, and say how it ended; `found` has what there is to see."""
        options, world, begin = self._options, self._world, self._pace.begin / 1000
        self._told.once(
            f"{len(self._faults)} faults are planned; the first window begins in {max(0.0, begin - time.time()):.0f} s"
        )
        time.sleep(max(0.0, begin - time.time()))
        sensors = Sensors(
            self._ledger,
            seed=options.seed,
            rate=options.rate,
            address=world.sensors_mqtt,
            last=world.files.last,
            clock=self._pace.now,
            together=options.together,
        )
        with Breaker(world, self._faults, begin=begin) as breaker, sensors:
            while not (breaker.over and self._pace.left(world.files.last) <= 0):
                self._look(breaker)
                time.sleep(LOOK)
            self._told.once("all is mended")
            world.heal()
            self._wait(breaker, sensors)
        self.found = found = self._evidence(breaker.done)
        report = check(self.setting, found)
        self.troubles = [f"not broken or mended as planned: {text}" for text in breaker.failures] + self._by_itself
        report.violations += self.troubles
        self._keep(found)
        return report

    def _wait(self, breaker: Breaker, sensors: Sensors) -> None:
        """Wait until every cell has its outcome, or nothing has moved for longer than anybody may wait."""
        wanted = self._options.wanted
        # The longest way: the seal, a deadline for the manifests, one for the shares, each begun anew after trouble.
        patience = (wanted.window + wanted.lateness + 2 * wanted.deadline) / 1000 + SETTLE
        moved, before = time.monotonic(), -1
        while self._outcomes < self._due or not sensors.done:
            self._look(breaker)
            self._outcomes = sum(row.kind == "outcome" for row in evidence.rows(self._world))
            state = self._outcomes + self._ledger.acknowledged
            if state > before:
                moved, before = time.monotonic(), state
            elif time.monotonic() - moved > patience:
                self._told.once(f"nothing has moved for {patience:.0f} s")
                return
            time.sleep(LOOK)
        time.sleep(LOOK)  # a second outcome would come now

    def _look(self, breaker: Breaker) -> None:
        """Watch over the roles as a supervisor would: who ends by itself is noted and started again."""
        world = self._world
        self._watch()
        for name, role in world.roles.items():
            self.memory[role.kind] = max(self.memory[role.kind], role.memory)
            if not role.running and not breaker.held(name):
                self._by_itself.append(f"{name} ended by itself\n{role.last_lines()}")
                role.start()
        done = Counter("kills" if one.kind == "kill role" else "other faults" for one in breaker.done)
        left = self._pace.left(world.files.last)
        if left > 0:
            doing = f"{left:.0f} s of load left"
        elif not breaker.over:
            doing = "waiting for what is still broken"
        else:
            doing = f"waiting: {self._outcomes} outcomes of {self._due}" if self._outcomes else "waiting for outcomes"
        self._told.often(
            f"{doing}; {done['kills']} kills, {done['other faults']} other faults, "
            f"{len(self._ledger.all()):,} readings, {self._ledger.acknowledged:,} acknowledged"
        )

    @property
    def setting(self) -> Setting:
        """What was agreed, for the check."""
        wanted, files = self._options.wanted, self._world.files
        return Setting(
            first=files.first,
            last=files.last,
            size=wanted.window,
            lateness=wanted.lateness,
            deadline=wanted.deadline,
            areas=AREAS,
            organisation={member.gateway: member.organisation for member in MEMBERS},
            parties=files.task.party_names,
            verifies=wanted.scheme == "replicated",
        )

    def _evidence(self, disturbances: list[Disturbance]) -> Evidence:
        world = self._world
        return Evidence(
            readings=self._ledger.all(),
            rows=evidence.rows(world),
            released=evidence.released(world),
            signed=evidence.signed(world),
            disturbances=tuple(disturbances),
        )

    def _keep(self, found: Evidence) -> None:
        """Leave behind what a person needs who asks why: what every role says, and what was done to it."""
        place = self._world.directory
        status = {name: role.status() for name, role in self._world.roles.items()}
        (place / "status.json").write_text(json.dumps(status, indent=2))
        lines = [
            f"{iso(one.begun)} to {iso(one.ended)}  {one.kind}: {one.target}"
            for one in sorted(found.disturbances, key=lambda one: one.begun)
        ]
        (place / "faults.txt").write_text("\n".join(lines) + "\n")
