"""What an open window waits for, for people (/status, `sotto status`): names and times, no counts and no shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocol.roster import Roster
from protocol.task import Task
from streams.agreement import Ballot, Rules
from streams.assembly import Assembly


def waiting(
    window: int,
    *,
    task: Task,
    roster: Roster,
    party: int,
    rules: Rules,
    ballot: Ballot,
    assembly: Assembly | None,
    silent: Mapping[str, int],
    rounds: tuple[int, ...],
    goes_on: int | None,
    gives_up: int,
) -> dict[str, Any]:
    """Describe one window at one party.

    `silent`: gateway -> ms since it was heard of; `rounds`: parties whose part of a joint computation is missing;
    `goes_on`: ms until the present wait ends, None while no deadline runs; `gives_up`: ms until this party gives the
    window up.
    """
    states = {name: assembly.state(name) if assembly else "silent" for name in roster.gateways}
    waited: list[str] = []
    if ballot.agreed is None and party not in ballot.manifests:
        waited = [name for name, known in states.items() if known in ("silent", "incomplete")]
    ends = bool(waited) or rules.close_by is not None
    names = task.party_names
    waits_for = "manifests" if ballot.agreed is None else "rounds" if rounds else "aggregate_shares"
    return {
        "window": window,
        "waits_for": "gateways" if waited else waits_for,
        "gateways": [{"name": name, "state": states[name], "silent_ms": silent.get(name)} for name in waited],
        "faults": [{"name": one.gateway, "reason": one.reason} for one in (assembly.faults() if assembly else ())],
        "parties": [names[other] for other in rounds or ballot.waited_for(len(names))],
        "complete": sum(known == "complete" for known in states.values()),
        "goes_on_without_in_ms": goes_on if ends else None,
        "gives_up_in_ms": gives_up,
    }
