"""A party that lies: its key writes into control whatever an enemy likes, beside what its honest worker writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.control import AggregateShare, Close, GiveUp, Manifest

if TYPE_CHECKING:
    from tests.simulation.world import World


class Liar:
    """The steps of the enemy who has one party's keys; nobody's, where the kind has no liar."""

    def __init__(self, world: World) -> None:
        self._world = world

    def act(self, what: str, window: int, number: int = 1) -> bool:
        """Write one record about a window."""
        world, party = self._world, self._world.kind.liar
        if party is None or not world.kafka:
            return False
        partition = world.setting.place[window]
        if what == "adds one":
            world.lies = True
            return True
        if what == "closes":
            world.append(partition, Close(window=window, party=party, phase=number))
        elif what == "gives up":
            world.append(partition, GiveUp(window=window, party=party))
        elif what == "shares another set":
            world.append(
                partition,
                AggregateShare(
                    window=window, party=party, floor=window, digest=bytes([number] * 32), key_id=bytes(16), sealed=b"?"
                ),
            )
        elif what == "withholds":
            return self._withhold(window, partition, party, number)
        return True

    def _withhold(self, window: int, partition: int, party: int, number: int) -> bool:
        """Sign a manifest without one gateway, with the highest floor that a record can carry."""
        world = self._world
        name = world.setting.names[number % len(world.setting.names)]
        worker = world.root[party][partition][0]
        assembly = worker.root.assemblies.get(window) if worker is not None else None
        if assembly is None:
            return False
        world.append(
            partition,
            Manifest(
                window=window,
                party=party,
                floor=window,
                last_seal=0,
                entries=tuple(one for one in assembly.entries() if one.gateway != name),
                faults=(),
            ),
        )
        return True
