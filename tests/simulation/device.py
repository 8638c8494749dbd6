"""One gateway at work: the production `Gateway` between its broker, its disk and Kafka. Each method is one step."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ingest.batcher import Ack
from ingest.gateway import Gateway
from tests.simulation.edge import Broker, Disk
from tests.simulation.factory import OpenSharder, gateway_of
from tests.simulation.setting import MINUTE, Reading

if TYPE_CHECKING:
    from tests.simulation.world import World


class Device:
    """A gateway's process (None while it is dead), its broker and its disk.

    The publisher follows `ingest.publisher`: each lane in order, records forgotten from the oldest on when Kafka has
    confirmed all before, and from the oldest on again after anything that went wrong.
    """

    def __init__(self, world: World, name: str, *, disk: Disk | None = None, identity: str = "") -> None:
        self.world = world
        self.name = name
        self.broker = Broker()
        self.disk = Disk() if disk is None else disk
        self.image: Disk | None = None
        self.offset = 0
        self.gateway: Gateway | None = None
        self.readings = world.setting.readings[name]
        self.pushed = 0
        self.held: list[Reading] = []
        self._identity = identity or name
        self._starts = 0
        self._epoch = 0
        self._acks: list[Ack] = []
        self._sent: set[int] = set()
        self.start()

    @property
    def now(self) -> int:
        return self.world.time + self.offset

    # -- sensors ----------------------------------------------------------------------------------------------

    def push(self, *, hold: bool = False) -> bool:
        """A sensor speaks, or its message takes long."""
        if self.pushed >= len(self.readings) or self.readings[self.pushed].time > self.world.time:
            return False
        (self.held if hold else self.broker.queue).append(self.readings[self.pushed])
        self.pushed += 1
        return True

    def push_some(self, times: int) -> bool:
        """Sensors speak."""
        return sum(self.push() for _ in range(times)) > 0

    def push_held(self) -> bool:
        """What took long arrives."""
        if not self.held:
            return False
        self.broker.queue.append(self.held.pop())
        return True

    def push_again(self) -> bool:
        """A sensor says again what it has said."""
        if not self.pushed or not self.world.setting.kind.timed:
            return False
        self.broker.queue.append(self.readings[self.pushed - 1])
        return True

    def push_nonsense(self) -> bool:
        """Something sends what no rule can read."""
        self.broker.queue.append(b'{"t":')
        return True

    # -- the process ------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Start over what the disk kept."""
        if self.gateway is not None:
            return False
        self._starts += 1
        nonce = hashlib.blake2b(f"{self._identity}/{self._starts}".encode(), digest_size=16).digest()
        kept = self.disk.kept()
        epoch = self.disk.begin_epoch(self.now, nonce)
        self._epoch = epoch.counter
        self.gateway = gateway_of(
            self.world.parts.gateway,
            self.world.setting,
            self.name,
            epoch=epoch,
            kept=kept,
            now=self.now,
            sharder=OpenSharder(self.world.setting, self.name, epoch, self.world.ledger),
        )
        self.disk.begin_book(self.gateway.book.next, self.gateway.book.contributes_from)
        return True

    def die(self) -> bool:
        """The process is killed."""
        if self.gateway is None:
            return False
        self.gateway = None
        self._acks = []
        self._sent.clear()
        self.broker.reconnect()
        return True

    def restart(self, disk: Disk | None = None) -> bool:
        """Killed, and started again at once; with another disk in it."""
        self.die()
        if disk is not None:
            self.disk = disk
        return self.start()

    def lose_power(self) -> bool:
        """The process ends, and what the disk had not synced did not happen."""
        self.disk.lose_power()
        return self.restart()

    def take_image(self) -> bool:
        """Somebody makes a copy of the disk."""
        self.image = self.disk.copy()
        return True

    def deliver(self, times: int = 1) -> bool:
        """Take messages from the broker."""
        gateway, broker = self.gateway, self.broker
        if gateway is None or not broker.waiting:
            return False
        while times and broker.waiting:
            times -= 1
            message, what = broker.deliver()
            refused = gateway.tally.refused
            before = sum(refused.values())
            gateway.on_message(message, self.now)
            if isinstance(what, Reading) and sum(refused.values()) > before:
                self.world.oracle.refused.add((self.name, what.number))
        return True

    def store(self, *, hold: bool = False, flush: bool = True) -> bool:
        """Turn what was collected into a commit, and store it."""
        gateway = self.gateway
        if gateway is None or (hold and not gateway.unacknowledged):
            return False
        commit = gateway.tick(self.now, hold=hold, flush=flush and gateway.unacknowledged > 0)
        if commit is None:
            return False
        self.disk.commit(commit, epoch=self._epoch)
        self._acks += commit.acks
        return True

    def jump(self, minutes: int) -> bool:
        """The clock is set, and `ingest.service` notices: a clock that only goes on has not gone as far."""
        self.offset += minutes * MINUTE
        if self.gateway is not None:
            self.gateway.clock_set(minutes * MINUTE)
        return True

    def acknowledge(self) -> bool:
        """Tell the broker what is durable."""
        if self.gateway is None or not self._acks:
            return False
        self._tell(self._acks)
        self._acks = []
        return True

    def _tell(self, acks: list[Ack]) -> None:
        for what in self.broker.acknowledge(acks):
            if isinstance(what, Reading):
                self.world.oracle.acknowledged.add((self.name, what.number))

    # -- the publisher ----------------------------------------------------------------------------------------

    def publish(self, party: int, partition: int, times: int = 1) -> bool:
        """Send the next records of one lane; they are in Kafka, and nobody has heard so yet."""
        if self.gateway is None or not self.world.kafka:
            return False
        name, sent = self.world.party_names[party], self._sent
        log = self.world.shares[party][partition]
        done = False
        for stored in self.disk.outgoing:
            out = stored.out
            if out.party == name and out.partition == partition and stored.id not in sent:
                log.append(out.value)
                sent.add(stored.id)
                done = True
                times -= 1
                if not times:
                    break
        return done

    def confirm(self) -> bool:
        """Hear of Kafka what it has, and forget it."""
        last, sent = 0, self._sent
        if self.gateway is None or not self.world.kafka:
            return False
        for stored in self.disk.outgoing:
            if stored.id not in sent:
                break
            last = stored.id
        if not last:
            return False
        self.disk.delete(last)
        return True

    def reconnect(self) -> bool:
        """The connection to Kafka breaks: begin again with the oldest that is not confirmed."""
        if not self._sent:
            return False
        self._sent.clear()
        return True

    # -- the fair end -----------------------------------------------------------------------------------------

    def lose_connection(self) -> bool:
        """The connection to MQTT breaks."""
        return self.broker.reconnect()

    def work(self) -> bool:
        """Do all that a running gateway can do now."""
        return self.gateway is not None and self.run_on()

    def run_on(self) -> bool:
        """Do all that can be done now."""
        moved = self.start()
        while self.deliver(100) | self.store() | self.acknowledge():
            moved = True
        for party, lanes in enumerate(self.world.shares):
            for partition in range(len(lanes)):
                moved |= self.publish(party, partition, -1)
        self.confirm()
        return moved
