"""Histories of gateways: what the production gateway shares under an adversary of its own, drawn and played again.

By event time nothing that a gateway does depends on the parties or on the world's clock. So where the agreement is what
is looked at, the gateway's code need not run again: a schedule draws, for each gateway, one of the histories that this
code has made, each checked like any other schedule's gateways. When a record reaches Kafka is the schedule's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.menu import choose

if TYPE_CHECKING:
    from tests.simulation.factory import Shared
    from tests.simulation.world import World

_STEPS = 90


@dataclass(frozen=True, slots=True)
class History:
    """`lanes`: (party, partition) -> records of its shares, in order, repeated ones too; `contributions`: by id."""

    lanes: dict[tuple[int, int], list[bytes]]
    contributions: dict[bytes, Shared]


class Player:
    """A gateway that does what its history says."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self._history: History | None = None
        self._places: dict[tuple[int, int], int] = {}
        self._over = False

    def begin(self, number: int) -> bool:
        """Choose a history, before anything of one was played."""
        if self._history is not None:
            return False
        self._history = history_of(self.world, number)[self.name]
        self._places = dict.fromkeys(self._history.lanes, 0)
        self.world.ledger.contributions.update(self._history.contributions)
        return True

    def share(self, party: int, partition: int, times: int = 1) -> bool:
        """Some more records of one lane reach Kafka; -1: all."""
        if not self.world.kafka:
            return False
        if self._history is None:
            self.begin(0)
            assert self._history is not None
        lane, place = self._history.lanes[party, partition], self._places[party, partition]
        some = lane[place:] if times < 0 else lane[place : place + times]
        if not some:
            return False
        self._places[party, partition] = place + len(some)
        self.world.shares[party][partition].records += some
        return True

    def run_on(self) -> bool:
        """At the end, when Kafka is there for good: all that is left reaches it."""
        if self._over:
            return False
        self._over = True
        if self._history is None:
            self.begin(0)
        for party, partition in self._places:
            self.share(party, partition, -1)
        return True


def history_of(world: World, number: int) -> dict[str, History]:
    """Return a history of each gateway, made when it is first asked for. Raises Violation."""
    key = (world.parts.gateway, world.parts.device, number)
    known = world.setting.histories.get(key)
    if known is None:
        known = world.setting.histories[key] = _make(world.alone(), number)
    return known


def _make(world: World, number: int) -> dict[str, History]:
    for action in choose(world.setting, Random(number), edge=True)[:_STEPS] if number else ():
        world.act(action)
    world.finish_gateways()
    world.oracle.check_gateways()
    cores = world.setting.cores
    found = {}
    for name in world.setting.names:
        lanes = {
            (party, partition): [value for value in log.records if cores[value].place.gateway == name]
            for party, logs in enumerate(world.shares)
            for partition, log in enumerate(logs)
        }
        mine = {key: value for key, value in world.ledger.contributions.items() if value[0] == name}
        found[name] = History(lanes, mine)
    return found
