"""Vectors of the agreed set: which manifests agree on what (SPEC 8.1)."""

from __future__ import annotations

from hashlib import sha256

from protocol.control import Entry, Fault, Manifest, set_digest
from streams.agreed_set import choose
from tests.trial import START, make_trial
from tests.vectors.good import Vectors

E, N, S, W = "east-1", "north-1", "south-1", "west-1"
SETS: tuple[tuple[str, int, int, dict[int, tuple[str, ...]], dict[int, tuple[str, ...]]], ...] = (
    ("all hold the same", 3, 2, {0: (E, N, S, W), 1: (E, N, S, W), 2: (E, N, S, W)}, {}),
    ("one alone lacks a gateway", 3, 2, {0: (E, N, S, W), 1: (E, N, S), 2: (E, N, S, W)}, {}),
    ("one alone holds a gateway", 3, 2, {0: (E, N, S), 1: (E, N, S, W), 2: (E, N, S)}, {}),
    ("one holds another contribution", 3, 2, {0: (E, N, S, W), 1: (E, N, S, W + "/other"), 2: (E, N, S, W)}, {}),
    ("one refuses a gateway", 3, 2, {0: (E, N, S, W), 1: (E, N, S), 2: (E, N, S, W)}, {1: (W,)}),
    ("one refuses a gateway, another lacks one", 3, 2, {0: (E, N, S, W), 1: (E, N, S), 2: (E, N, W)}, {1: (W,)}),
    ("two pairs share equally many", 3, 2, {0: (E, N, S), 1: (E, N, S, W), 2: (E, N, W)}, {}),
    ("the larger pair", 3, 2, {0: (E, N), 1: (E, N, S, W), 2: (E, S, W)}, {}),
    ("two manifests", 3, 2, {0: (E, N, S), 2: (E, N, W)}, {}),
    ("all are needed", 3, 3, {0: (E, N, S, W), 1: (E, N, S), 2: (E, N, S, W)}, {}),
)


def sets() -> Vectors:
    """Manifests that count, and what they agree on."""
    cases = []
    for name, parties, enough, held, refused in SETS:
        trial = make_trial("replicated" if enough < parties else "additive", parties)
        manifests = {
            party: Manifest(
                window=START,
                party=party,
                floor=START,
                last_seal=0,
                entries=tuple(_entry(gateway) for gateway in gateways),
                faults=tuple(Fault(gateway=gateway, reason="unequal_copies") for gateway in refused.get(party, ())),
            )
            for party, gateways in held.items()
        }
        organisation = {gateway: one.organisation for gateway, one in trial.roster.gateways.items()}
        choice = choose(manifests, enough=enough, organisation=organisation)
        digest = set_digest(
            task_hash=trial.task.hash,
            roster_hash=trial.roster.hash,
            window=START,
            entries=choice.entries,
            parties=choice.parties,
        )
        cases.append(
            {
                "name": name,
                "n": parties,
                "k": enough,
                "task_hash": trial.task.hash.hex(),
                "roster_hash": trial.roster.hash.hex(),
                "window": START,
                "manifests": [
                    {
                        "party": party,
                        "entries": [[entry.gateway, entry.contribution.hex()] for entry in manifest.entries],
                        "faults": [fault.gateway for fault in manifest.faults],
                    }
                    for party, manifest in manifests.items()
                ],
                "entries": [entry.gateway for entry in choice.entries],
                "parties": list(choice.parties),
                "lacking": [list(pair) for pair in choice.lacking],
                "refusing": [list(pair) for pair in choice.refusing],
                "digest": digest.hex(),
            }
        )
    return {
        "about": "SPEC 8.1: the agreed set of the manifests that count; an organisation is the first part",
        "cases": cases,
    }


def _entry(gateway: str) -> Entry:
    """A contribution of "name" or of "name/other"; its id says which."""
    name = gateway.partition("/")[0]
    return Entry(gateway=name, contribution=sha256(gateway.encode()).digest())
