"""What the adversary can choose from, and how it chooses: swarm testing, so that each schedule has its own habits."""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.setting import Kind, Setting

if TYPE_CHECKING:
    from tests.simulation.world import Action

HABITS = 64
"""Sets of rates for each kind; a schedule draws one of them."""

HISTORIES = 64
"""Histories of gateways that are made of each kind; the first is the one in which nothing goes wrong."""


class Habit(NamedTuple):
    """Actions, and their rates added up."""

    actions: list[Action]
    rates: list[float]


def menu(kind: Kind, *, edge: bool = False) -> list[tuple[float, Action]]:
    """All steps of a kind, each with its weight; those around its gateways only (`edge`)."""
    lanes = range(kind.partitions)
    found: list[tuple[float, Action]] = []
    edge = edge or kind.plays == "edge"
    for number in range(kind.gateways + ("disks" in kind.faults)):
        found += _gateway(kind, number) if edge or kind.plays == "all" else _history(kind, number)
    found += _around(kind)
    if edge:
        return found
    for party in range(kind.parties):
        found += _party(kind, party)
        for lane in lanes:
            found += _leaf(party, lane)
            found += _root(party, lane)
            if kind.joint:
                found += _rounds(party, lane)
    for lane in lanes:
        found += _collector(lane)
        found += [(0.1, ("kafka: takes a record of nobody", lane))]
        if "retention" in kind.faults:
            found += [(0.6, ("kafka: expires control", lane))]
    if kind.liar is not None:
        found += _liar(kind)
    return found


def _around(kind: Kind) -> list[tuple[float, Action]]:
    often = {"wall": 3.0, "event": 1.0}[kind.seals_by] + (kind.plays == "agreement")
    return [
        (0.3 if kind.plays == "agreement" else 0.15, ("kafka: goes",)),
        (0.7, ("kafka: comes",)),
        (often, ("time: passes", 20)),
        (often, ("time: passes", 40)),
        (0.05, ("time: passes", 320)),
    ]


def _history(kind: Kind, number: int) -> list[tuple[float, Action]]:
    return [
        (4 * rate / kind.partitions, ("gateway: shares", number, party, lane, times))
        for party in range(kind.parties)
        for lane in range(kind.partitions)
        for times, rate in ((1, 1.0), (-1, 1.0))
    ]


def _gateway(kind: Kind, number: int) -> list[tuple[float, Action]]:
    found: list[tuple[float, Action]] = [
        (5, ("gateway: sensor speaks", number, 1)),
        (3, ("gateway: sensor speaks", number, 9)),
        (0.7, ("gateway: message takes long", number)),
        (0.7, ("gateway: late message arrives", number)),
        (0.4, ("gateway: sensor repeats itself", number)),
        (0.1, ("gateway: nonsense arrives", number)),
        (5, ("gateway: receives", number, 1)),
        (4, ("gateway: receives", number, 9)),
        (4, ("gateway: stores", number)),
        (4, ("gateway: ticks", number)),
        (5, ("gateway: acknowledges", number)),
        (2, ("gateway: hears from Kafka", number)),
        (4, ("gateway: does all", number)),
        (0.3, ("gateway: loses Kafka", number)),
        (0.7, ("gateway: loses MQTT", number)),
        (0.7, ("gateway: restarts", number)),
        (0.2, ("gateway: loses power", number)),
        (0.2, ("gateway: dies", number)),
        (0.7, ("gateway: starts", number)),
    ]
    for party in range(kind.parties):
        for lane in range(kind.partitions):
            found += [
                (2 / kind.partitions, ("gateway: publishes", number, party, lane, 1)),
                (2 / kind.partitions, ("gateway: publishes", number, party, lane, -1)),
            ]
    if "clocks" in kind.faults:
        found += [(0.25, ("gateway: clock jumps", number, by)) for by in (-120, -40, 40, 120, 600)]
    if "disks" in kind.faults:
        found += [
            (0.5, ("gateway: disk is copied", number)),
            (0.3, ("gateway: disk is lost", number)),
            (0.4, ("gateway: disk is restored", number)),
            (0.3, ("gateway: is cloned", number)),
        ]
    return found


def _party(kind: Kind, party: int) -> list[tuple[float, Action]]:
    found: list[tuple[float, Action]] = [
        (0.15, ("party: goes", party)),
        (0.5, ("party: comes", party)),
        (0.2, ("party: rebalances", party)),
        (0.1, ("kafka: takes forged shares", party, 0)),
    ]
    if "clocks" in kind.faults:
        found += [(0.15, ("party: clock jumps", party, by)) for by in (-120, -40, 40, 120, 600)]
    if "retention" in kind.faults:
        found += [(0.2, ("party: offsets are lost", party))]
    return found


def _leaf(party: int, lane: int) -> list[tuple[float, Action]]:
    found: list[tuple[float, Action]] = [
        (2, ("leaf: marks", party, lane, 0)),
        (1.5, ("leaf: commits", party, lane, 0)),
        (0.3, ("leaf: restarts", party, lane, 0)),
        (0.15, ("leaf: moves", party, lane, 0)),
    ]
    for slot, rate in ((0, 1.0), (1, 0.15)):
        found += [
            (3 * rate, ("leaf: reads", party, lane, slot, 1)),
            (4 * rate, ("leaf: reads", party, lane, slot, -1)),
            (0.5 * rate, ("leaf: reads, unheard", party, lane, slot)),
            (0.5 * rate, ("leaf: reads, swapped", party, lane, slot)),
        ]
    return found


def _root(party: int, lane: int) -> list[tuple[float, Action]]:
    found: list[tuple[float, Action]] = [
        (2, ("root: commits", party, lane, 0)),
        (0.4, ("root: restarts", party, lane, 0)),
        (0.2, ("root: moves", party, lane, 0)),
    ]
    for slot, rate in ((0, 1.0), (1, 0.15)):
        found += [
            (3 * rate, ("root: reads contributions", party, lane, slot, 1)),
            (4 * rate, ("root: reads contributions", party, lane, slot, -1)),
            (4 * rate, ("root: reads control", party, lane, slot, 1)),
            (4 * rate, ("root: reads control", party, lane, slot, -1)),
            (5 * rate, ("root: sends", party, lane, slot, 1)),
            (0.6 * rate, ("root: sends, unheard", party, lane, slot)),
            (3 * rate, ("root: ticks", party, lane, slot, 0)),
            (0.6 * rate, ("root: ticks", party, lane, slot, 1)),
            (0.2 * rate, ("root: ticks", party, lane, slot, 2)),
        ]
    return found


def _rounds(party: int, lane: int) -> list[tuple[float, Action]]:
    return [
        (12 * rate, ("root: reads rounds", party, lane, slot, times))
        for slot, rate in ((0, 1.0), (1, 0.15))
        for times in (1, -1)
    ]


def _beginning(kind: Kind) -> list[Action]:
    """All manifests are written, so that what follows happens in the middle of a joint computation."""
    lanes = [(party, lane) for party in range(kind.parties) for lane in range(kind.partitions)]
    found: list[Action] = [
        ("gateway: shares", number, party, lane, -1) for number in range(kind.gateways) for party, lane in lanes
    ]
    for party, lane in lanes:
        found += [
            ("leaf: reads", party, lane, 0, -1),
            ("root: reads contributions", party, lane, 0, -1),
            ("root: ticks", party, lane, 0, 0),
            ("root: sends", party, lane, 0, -1),
        ]
    return found


def _collector(lane: int) -> list[tuple[float, Action]]:
    found: list[tuple[float, Action]] = [
        (2, ("collector: commits", lane, 0)),
        (0.3, ("collector: restarts", lane, 0)),
        (0.2, ("collector: moves", lane, 0)),
    ]
    for slot, rate in ((0, 1.0), (1, 0.15)):
        found += [
            (3 * rate, ("collector: reads", lane, slot, 1)),
            (3 * rate, ("collector: reads", lane, slot, -1)),
            (4 * rate, ("collector: sends", lane, slot, 1)),
            (0.5 * rate, ("collector: sends, unheard", lane, slot)),
        ]
    return found


def _liar(kind: Kind) -> list[tuple[float, Action]]:
    found: list[tuple[float, Action]] = [(0.5, ("liar: adds one", 0))]
    for window in range(kind.windows):
        found += [
            (0.3, ("liar: closes", window, 1)),
            (0.3, ("liar: closes", window, 2)),
            (0.2, ("liar: gives up", window)),
            (0.2, ("liar: shares another set", window, 7)),
        ]
        found += [(0.4, ("liar: withholds", window, number)) for number in range(kind.gateways)]
    return found


def habit(setting: Setting, number: int, *, edge: bool) -> Habit:
    """Every kind of step has its own rate in a habit, and everybody's part of it as well."""
    known = setting.menus.get((number, edge))
    if known is None:
        rng = Random(number)
        rates: dict[str, float] = {}
        actions, weights = [], []
        for weight, action in menu(setting.kind, edge=edge):
            spread = 1.0 if weight >= 1.5 else 3.0
            rate = rates.setdefault(action[0], 2 ** rng.uniform(-spread, spread))
            actions.append(action)
            weights.append(weight * rate * 2 ** rng.uniform(-1.5, 1.5))
        known = setting.menus[number, edge] = Habit(actions, list(accumulate(weights)))
    assert isinstance(known, Habit)
    return known


def choose(setting: Setting, rng: Random, *, edge: bool = False) -> list[Action]:
    """Draw a schedule: three times as many steps as will be possible, in bursts in which somebody is silent."""
    mine = habit(setting, rng.randrange(HABITS), edge=edge)
    steps = rng.choices(mine.actions, cum_weights=mine.rates, k=3 * setting.kind.steps)
    found: list[Action] = []
    if setting.kind.plays == "agreement" and not edge:
        found += [("gateway: has a history", who, rng.randrange(HISTORIES)) for who in range(setting.kind.gateways)]
    if setting.kind.joint and not edge and rng.random() < 0.8:
        found += _beginning(setting.kind)
    for start in range(0, len(steps), 30):
        mute = rng.choice((None, None, "gateway", "leaf", "root", "collector")), rng.randrange(3)
        burst = steps[start : start + 30]
        if mute[0] is None:
            found += burst
        else:
            found += [one for one in burst if one[1:2] != (mute[1],) or not one[0].startswith(mute[0])]
    return found
