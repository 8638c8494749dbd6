"""`sotto check FILE`: could this role start now? It reads and connects, and changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from protocol.errors import NotReadyError, SottoError
from protocol.keys import KeyFile
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.kafka import admin, read_topics
from runtime.keyfiles import read_cards, read_key
from runtime.retention import LARGEST_ROUND
from runtime.topic_check import check_topics, topics_of
from sotto import probes
from sotto.probes import SkippedError
from sotto.roles import Role, kind_of, read_role
from sotto.terminal import answer, error_text
from streams.joint.netlists import load_netlists
from streams.joint.plan import plans_of
from streams.joint.size import check_records

if TYPE_CHECKING:
    from ingest.config import GatewayFile
    from sinks.config import SinkFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one check found. `ok` None: it could not be looked at, which does not keep the role from starting."""

    name: str
    ok: bool | None
    detail: str = ""
    where: str | None = None
    remedy: str | None = None


def check(
    file: Annotated[Path, typer.Argument(help="The configuration of any role.", show_default=False)],
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Each check on a line of its own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Could this role start? Files, keys, brokers, topics, rights, clock."""
    role = read_role(file)
    checks = Checks(role, kind=kind_of(file))
    found = checks.run()
    ready = all(each.ok is not False for each in found)
    if as_json:
        document = {"role": checks.kind, "name": role.name, "ready": ready, "checks": [asdict(each) for each in found]}
        answer(json.dumps(document, indent=2))
    else:
        answer(report(found, verbose=verbose))
        if ready:
            answer(f"Ready: {checks.title}." + ("" if verbose else "   Each check in full: -v"))
    if not ready:
        raise typer.Exit(NotReadyError.exit_code)


def report(found: Sequence[Found], *, verbose: bool) -> str:
    """Write what was found: the good on one line, each fault with its remedy."""
    lines = []
    if verbose:
        words = {True: "ok     ", False: "failed ", None: "skipped"}
        lines += [f"{words[each.ok]} {each.name:<14} {each.detail}".rstrip() for each in found]
    elif good := [each.name + (f" ({each.detail})" if each.detail else "") for each in found if each.ok]:
        lines.append("ok: " + ", ".join(good))
    for each in found:
        if each.ok is False:
            lines.append(error_text(SottoError(each.detail, where=each.where, remedy=each.remedy)))
        elif each.ok is None and not verbose:
            lines.append(f"not looked at: {each.name} ({each.detail})")
    return "\n".join(lines)


class Checks:
    """The checks of one role, in the order in which they depend on each other."""

    def __init__(self, role: Role, *, kind: str) -> None:
        self.role = role
        self.kind = kind
        self._reached = False

    @property
    def title(self) -> str:
        """Name the role for a person."""
        organisation = getattr(self.role.file, "organisation", None)
        of = f" of {organisation}" if organisation else ""
        name = f" {self.role.name}" if self.role.name != self.kind else ""
        return f"{self.kind}{name}{of} in {self.task.name}"

    def run(self) -> list[Found]:
        """Make all checks; after a fault only those that do not build on it are of use, but all are told."""
        wanted: list[tuple[str, Callable[[], str]]] = [("configuration", lambda: ""), ("task", self._task)]
        if self.kind != "sink":
            wanted += [("roster", self._roster), ("key", self._key), ("cards", self._cards)]
        if self.kind != "sink":
            wanted.append(("clock", self._clock))
        if self.kind in ("party", "collector") and self.task_has_jobs:
            wanted.append(("joint", self._joint))
        if self.kind == "gateway":
            wanted += [("sources", self._sources), ("mqtt", self._mqtt), ("spool", self._spool)]
        wanted += [("kafka", self._kafka), ("topics", self._topics)]
        if self.kind == "sink":
            wanted.append(("database", self._database))
        return _once([_look(name, wanted_check) for name, wanted_check in wanted])

    @cached_property
    def task(self) -> Task:
        """The task that the file names."""
        return load(self.role.file.task, Task)

    @property
    def task_has_jobs(self) -> bool:
        """Whether the task asks for joint computations; that it cannot be read is told by its own check."""
        try:
            return bool(self.task.joint)
        except SottoError:
            return False

    @cached_property
    def roster(self) -> Roster:
        """The roster that the file names; checked by its own check."""
        return load(self._file_of("roster"), Roster)

    @cached_property
    def key(self) -> KeyFile:
        """The role's key."""
        return read_key(cast("GatewayFile", self.role.file).key)

    def _file_of(self, name: str) -> Path:
        path: Path = getattr(self.role.file, name)
        return path

    def _task(self) -> str:
        ends = self.task.valid_until - time.time_ns() // 1_000_000
        spoken = self.task.id.partition(":")[2]
        ended = ", which has ended" if ends < 0 else ""
        return f"{spoken[:4]}…{spoken[-4:]}{ended}"

    def _roster(self) -> str:
        self.roster.verify(self.task)
        return f"{self.roster.version}, {len(self.roster.signatures)} signatures"

    def _key(self) -> str:
        if self.kind == "gateway":
            return probes.gateway_key(cast("GatewayFile", self.role.file), self.roster, self.key, self.role.path.name)
        return probes.operator_key(
            self.key, self.task, self.roster, kind=self.kind, name=self.role.name, where=self.role.path.name
        )

    def _cards(self) -> str:
        return f"{len(read_cards(self._file_of('roster'), self.roster, self.task))}"

    def _joint(self) -> str:
        plans = plans_of(self.task, self.roster, load_netlists(self.task, self._file_of("task").parent))
        if self.kind == "party":
            check_records(plans, LARGEST_ROUND)
        return f"{len(plans)}: {', '.join(plan.name for plan in plans)}"

    def _clock(self) -> str:
        if self.kind != "gateway":
            return probes.clock(needed=False)
        own = cast("GatewayFile", self.role.file).clock
        return probes.clock(needed=own.require_sync and own.seals_by == "wall")

    def _sources(self) -> str:
        return probes.sources(cast("GatewayFile", self.role.file), self.task, self.roster, where=self.role.path.name)

    def _mqtt(self) -> str:
        return probes.mqtt(cast("GatewayFile", self.role.file), where=self.role.path.name)

    def _spool(self) -> str:
        return probes.spool(cast("GatewayFile", self.role.file), self.task, self.key, where=self.role.path.name)

    def _kafka(self) -> str:
        with admin(self.role.kafka, client_id="sotto-check"):
            self._reached = True
        return ", ".join(self.role.kafka.bootstrap_servers)

    def _topics(self) -> str:
        if not self._reached:
            raise SkippedError("Kafka is not reached")
        names = Topics.of(self.task, self.role.kafka.topic_prefix)
        own = topics_of(self.kind, self.role.name, names)
        with admin(self.role.kafka, client_id="sotto-check") as client:
            found = read_topics(client, own)
        unread = check_topics(
            self.task,
            names,
            found,
            own=own,
            roster=None if self.kind == "sink" else self.roster,
            server=self.role.kafka.bootstrap_servers[0],
            file=self.role.path,
        )
        return f"{len(found)}" + (", retention not readable" if unread else "")

    def _database(self) -> str:
        return probes.database(cast("SinkFile", self.role.file), self.task)


def _once(found: Sequence[Found]) -> list[Found]:
    """Tell a fault once: a check that met the one that another has told already could not be made."""
    told: dict[tuple[str | None, str], str] = {}
    once = []
    for each in found:
        before = told.setdefault((each.where, each.detail), each.name) if each.ok is False else each.name
        once.append(each if before == each.name else Found(name=each.name, ok=None, detail=f"needs: {before}"))
    return once


def _look(name: str, wanted: Callable[[], str]) -> Found:
    try:
        return Found(name=name, ok=True, detail=wanted())
    except SkippedError as reason:
        return Found(name=name, ok=None, detail=str(reason))
    except SottoError as error:
        return Found(name=name, ok=False, detail=error.what, where=error.where, remedy=error.remedy)
