"""A small task with its roster and keys, made from a counter instead of randomness: for tests of any package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from protocol.identity import b64, format_fingerprint, format_identity
from protocol.keys import Card, KeyFile
from protocol.roster import Roster, gateway_statement
from protocol.task import Task

START = 1_480_521_600_000  # 2016-12-01T00:00:00+08:00
HOUR = 3_600_000


def counted(seed: str) -> Callable[[int], bytes]:
    """Return an entropy source that repeats for the same seed."""
    state = 0

    def entropy(size: int) -> bytes:
        nonlocal state
        state += 1
        return hashlib.shake_256(f"{seed}/{state}".encode()).digest(size)

    return entropy


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Everything that a test needs to play all roles."""

    task: Task
    roster: Roster
    keys: dict[str, KeyFile]
    cards: dict[str, Card]


def task_document(
    scheme: str, suite: str, keys: dict[str, KeyFile], parties: tuple[str, ...], /, **changes: Any
) -> dict[str, Any]:
    """Return what tomllib makes of a task file."""
    document: dict[str, Any] = {
        "format": 1,
        "name": "beijing-air",
        "purpose": "a test",
        "valid_from": datetime.fromisoformat("2016-12-01T00:00:00+08:00"),
        "valid_until": datetime.fromisoformat("2017-03-01T00:00:00+08:00"),
        "labels": ["area"],
        "window": {"size": "1h", "utc_offset": "+08:00", "lateness": "10m", "deadline": "15m"},
        "measures": {
            "no2": {"unit": "ug/m3", "range": [0, 1000], "resolution": 1},
            "temperature": {"unit": "Cel", "range": [-40, 60], "resolution": Decimal("0.1")},
        },
        "scheme": {"name": scheme, "sealing": suite},
        "policy": {"min_organisations": 3},
        "party": {
            name: {"operator": name.title(), "identity": format_identity(keys[name].public_identity)}
            for name in parties
        },
        "collector": {"operator": "City", "identity": format_identity(keys["collector"].public_identity)},
    }
    return {**document, **changes}


def make_trial(
    scheme: str = "replicated", parties: int = 3, organisations: int = 4, *, suite: str = "x25519", **changes: Any
) -> Trial:
    """Make a task, a signed roster with one gateway for each organisation, and all keys."""
    entropy = counted(f"{scheme}/{parties}/{organisations}")
    party_names = tuple(f"party-{i + 1}" for i in range(parties))
    keys = {name: KeyFile.generate(role="party", name=name, suite=suite, entropy=entropy) for name in party_names}
    keys["collector"] = KeyFile.generate(role="collector", name="collector", suite=suite, entropy=entropy)
    names = ("north", "west", "south", "east", "centre", "harbour", "hill", "lake")[:organisations]
    for name in names:
        keys[name] = KeyFile.generate(role="organisation", name=name, suite=suite, entropy=entropy)
        keys[f"{name}-1"] = KeyFile.generate(role="gateway", name=f"{name}-1", suite=suite, entropy=entropy)
    cards = {name: key.card() for name, key in keys.items()}
    task = Task.model_validate(task_document(scheme, suite, keys, party_names, **changes))
    document = {
        "format": 1,
        "task": task.id,
        "version": 1,
        "effective_from": datetime.fromisoformat("2016-12-01T00:00:00+08:00"),
        "labels": {label: ["centre", "ring", "outer"] for label in task.labels},
        "organisation": {
            name: {
                "legal_name": name.title(),
                "contact": f"privacy@{name}.example",
                "identity": format_identity(keys[name].public_identity),
                "gateway": {
                    f"{name}-1": {
                        "identity": format_identity(keys[f"{name}-1"].public_identity),
                        "signed": b64(
                            keys[name].identity.sign(
                                gateway_statement(task.hash, name, f"{name}-1", keys[f"{name}-1"].public_identity)
                            )
                        ),
                    }
                },
            }
            for name in names
        },
        "sealing_keys": {name: format_fingerprint(cards[name].fingerprint) for name in (*party_names, "collector")},
    }
    unsigned = Roster.model_validate(document)
    document["signatures"] = {name: b64(keys[name].identity.sign(unsigned.statement)) for name in party_names}
    roster = Roster.model_validate(document)
    roster.verify(task)
    return Trial(task=task, roster=roster, keys=keys, cards=cards)
