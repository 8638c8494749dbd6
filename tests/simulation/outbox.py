"""What roots and collector have still to write: in order, before they are asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.world import World


class Writer:
    """Whoever writes to control and aggregates."""

    world: World
    partition: int
    outbox: list[Any]

    def send(self, times: int = 1, *, unheard: bool = False) -> bool:
        """Write what is next; or write, and nobody heard that it arrived."""
        if not self.outbox or not self.world.kafka:
            return False
        if unheard:
            self.world.append(self.partition, self.outbox[0])
            return True
        while times and self.outbox:
            times -= 1
            self.world.append(self.partition, self.outbox.pop(0))
        return True
