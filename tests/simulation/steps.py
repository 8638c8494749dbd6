"""Each step that an adversary can choose, by its name. Every one tells whether it was possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.collecting import CollectorWorker
from tests.simulation.setting import MINUTE

if TYPE_CHECKING:
    from tests.simulation.world import World

Step = Callable[..., bool]
"""(world, who, ..., how) -> whether it was possible."""


def _device(what: str, **how: Any) -> Step:
    """A method of a gateway. By name, so that a planted bug's own one is called."""

    def step(world: World, number: int, *more: Any) -> bool:
        return number < len(world.devices) and bool(getattr(world.devices[number], what)(*more, **how))

    return step


def _worker(whose: str, what: str, **how: Any) -> Step:
    """A method of a leaf or a root, or (slot 1) of the one that was there before and still runs."""

    def step(world: World, party: int, lane: int, slot: int, *more: Any) -> bool:
        worker = getattr(world, whose)[party][lane][slot]
        return worker is not None and bool(getattr(worker, what)(*more, **how))

    return step


def _player(what: str) -> Step:
    """A method of a gateway that follows its history."""

    def step(world: World, number: int, *more: Any) -> bool:
        return number < len(world.players) and bool(getattr(world.players[number], what)(*more))

    return step


def _collector(what: str, **how: Any) -> Step:
    def step(world: World, lane: int, slot: int, *more: Any) -> bool:
        worker = world.collector[lane][slot]
        return worker is not None and bool(getattr(worker, what)(*more, **how))

    return step


def _damage(how: str) -> Step:
    """The disk is lost, or an old copy is in its place, or a copy runs beside it."""

    def step(world: World, number: int) -> bool:
        if number >= len(world.devices):
            return False
        device = world.devices[number]
        if how != "lost" and device.image is None:
            return False
        if how == "cloned" and len(world.devices) > len(world.setting.names):
            return False
        world.damaged.add(device.name)
        if how == "lost" or device.image is None:
            return device.restart(type(device.disk)())
        if how == "restored":
            return device.restart(device.image.copy())
        clone = world.parts.device(world, device.name, disk=device.image.copy(), identity=f"{device.name}'s clone")
        world.devices.append(clone)
        return True

    return step


def _remake_leaf(*, zombie: bool) -> Step:
    def step(world: World, party: int, lane: int, _slot: int) -> bool:
        slots = world.leaf[party][lane]
        if slots[0] is None:
            return False
        if zombie:
            slots[1] = slots[0]
        slots[0] = world.parts.leaf(world, party, lane)
        return True

    return step


def _remake_root(*, zombie: bool) -> Step:
    def step(world: World, party: int, lane: int, _slot: int) -> bool:
        slots = world.root[party][lane]
        if slots[0] is None:
            return False
        if zombie:
            slots[1] = slots[0]
        slots[0] = world.parts.worker(world, party, lane)
        return True

    return step


def _remake_collector(*, zombie: bool) -> Step:
    def step(world: World, lane: int, _slot: int) -> bool:
        slots = world.collector[lane]
        if zombie:
            slots[1] = slots[0]
        slots[0] = CollectorWorker(world, lane)
        return True

    return step


def _kafka(world: World, *, up: bool) -> bool:
    changed, world.kafka = world.kafka != up, up
    if changed and not up:
        for worker in world.roots():
            worker.interrupted = True  # as `runtime.fold` promises: told of each interruption once at least
    return changed


def _expire(world: World, lane: int) -> bool:
    """Retention takes what the collector needs no more: nobody is away for longer than it, by the rules."""
    log = world.control[lane]
    until = world.committed["collector", 0, lane] if world.parts.retention else len(log.records)
    moved, log.first = until > log.first, max(until, log.first)
    return moved


def _junk(world: World, lane: int) -> bool:
    world.append(lane, None)
    return True


def _forge(world: World, party: int, lane: int) -> bool:
    """Somebody writes into a party's shares: a record with another one's signature, and what is no record."""
    records = world.shares[party][lane].records
    if not records:
        return False
    value = records[-1]
    world.shares[party][lane].append(value[:-1] + bytes([value[-1] ^ 1]))
    world.shares[party][lane].append(b"\0" * 40)
    return True


def _offsets_lost(world: World, party: int) -> bool:
    for key in [key for key in world.committed if key[1] == party and key[0] != "collector"]:
        del world.committed[key]
    return world.assign(party)


def _party_clock(world: World, party: int, minutes: int) -> bool:
    world.offsets[party] += minutes * MINUTE
    return True


def _time(world: World, minutes: int) -> bool:
    world.pass_time(minutes * MINUTE)
    return True


def _liar(what: str) -> Step:
    def step(world: World, window: int, *how: Any) -> bool:
        return world.oracle.liar.act(what, world.setting.windows[window], *how)

    return step


STEPS: dict[str, Step] = {
    "gateway: sensor speaks": _device("push_some"),
    "gateway: message takes long": _device("push", hold=True),
    "gateway: late message arrives": _device("push_held"),
    "gateway: sensor repeats itself": _device("push_again"),
    "gateway: nonsense arrives": _device("push_nonsense"),
    "gateway: has a history": _player("begin"),
    "gateway: shares": _player("share"),
    "gateway: receives": _device("deliver"),
    "gateway: stores": _device("store", hold=True),
    "gateway: ticks": _device("store", flush=False),
    "gateway: acknowledges": _device("acknowledge"),
    "gateway: publishes": _device("publish"),
    "gateway: hears from Kafka": _device("confirm"),
    "gateway: does all": _device("work"),
    "gateway: loses Kafka": _device("reconnect"),
    "gateway: loses MQTT": _device("lose_connection"),
    "gateway: dies": _device("die"),
    "gateway: starts": _device("start"),
    "gateway: restarts": _device("restart"),
    "gateway: loses power": _device("lose_power"),
    "gateway: clock jumps": _device("jump"),
    "gateway: disk is copied": _device("take_image"),
    "gateway: disk is lost": _damage("lost"),
    "gateway: disk is restored": _damage("restored"),
    "gateway: is cloned": _damage("cloned"),
    "leaf: reads": _worker("leaf", "read"),
    "leaf: reads, unheard": _worker("leaf", "read", unheard=True),
    "leaf: reads, swapped": _worker("leaf", "read_swapped"),
    "leaf: marks": _worker("leaf", "mark"),
    "leaf: commits": _worker("leaf", "commit"),
    "leaf: restarts": _remake_leaf(zombie=False),
    "leaf: moves": _remake_leaf(zombie=True),
    "root: reads contributions": _worker("root", "read_contributions"),
    "root: reads control": _worker("root", "read_control"),
    "root: reads rounds": _worker("root", "read_rounds"),
    "root: sends": _worker("root", "send"),
    "root: sends, unheard": _worker("root", "send", unheard=True),
    "root: ticks": _worker("root", "tick"),
    "root: commits": _worker("root", "commit"),
    "root: restarts": _remake_root(zombie=False),
    "root: moves": _remake_root(zombie=True),
    "collector: reads": _collector("read"),
    "collector: sends": _collector("send"),
    "collector: sends, unheard": _collector("send", unheard=True),
    "collector: commits": _collector("commit"),
    "collector: restarts": _remake_collector(zombie=False),
    "collector: moves": _remake_collector(zombie=True),
    "party: goes": lambda world, party: world.leave(party),
    "party: comes": lambda world, party: world.come(party),
    "party: rebalances": lambda world, party: world.assign(party),
    "party: clock jumps": _party_clock,
    "party: offsets are lost": _offsets_lost,
    "kafka: goes": lambda world: _kafka(world, up=False),
    "kafka: comes": lambda world: _kafka(world, up=True),
    "kafka: takes a record of nobody": _junk,
    "kafka: takes forged shares": _forge,
    "kafka: expires control": _expire,
    "time: passes": _time,
    "liar: adds one": _liar("adds one"),
    "liar: closes": _liar("closes"),
    "liar: gives up": _liar("gives up"),
    "liar: shares another set": _liar("shares another set"),
    "liar: withholds": _liar("withholds"),
}
