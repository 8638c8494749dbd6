"""Which set the manifests of a window agree on: a pure function of those that count (SPEC 8.1).

Two parties that hold a contribution equally are enough to add it up, where the scheme goes on with two of three. So a
party that leaves a gateway out of its manifest, whether it lies or has only missed something, takes itself out of the
window and not the gateway. What a party *refuses* is another thing: a fault seen by one alone (unequal copies) means
that the others would add up different numbers, so a gateway at fault for anybody is in no set.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import combinations

from protocol.control import Entry, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """`entries`: the set; `parties`: whose manifests made it.

    `lacking` and `refusing`: (party, gateway) where all others hold one contribution equally and that party alone does
    not, or names the gateway at fault.
    """

    entries: tuple[Entry, ...]
    parties: tuple[int, ...]
    lacking: tuple[tuple[int, str], ...]
    refusing: tuple[tuple[int, str], ...]


def choose(manifests: Mapping[int, Manifest], *, enough: int, organisation: Mapping[str, str]) -> Choice:
    """Return the set over which a window is released.

    `manifests`: by party, those that count, at least `enough`; `organisation`: gateway -> its organisation. Where more
    manifests are there than are needed, and some `enough` of the parties share a contribution that another one lacks,
    the set is that of the `enough` parties that share most: organisations first (the policy counts them), then
    gateways, then the lowest numbers.
    """
    refused = {fault.gateway for manifest in manifests.values() for fault in manifest.faults}
    first = next(iter(manifests.values())).entries
    if not refused and all(manifest.entries == first for manifest in manifests.values()):
        return Choice(entries=tuple(sorted(set(first))), parties=tuple(sorted(manifests)), lacking=(), refusing=())
    told = {party: set(manifest.entries) for party, manifest in sorted(manifests.items())}
    alone = _alone(told)
    lacking = tuple((party, gateway) for party, gateway in alone if gateway not in refused)
    refusing = tuple((party, gateway) for party, gateway in alone if gateway in refused)
    held = {party: {entry for entry in entries if entry.gateway not in refused} for party, entries in told.items()}
    parties, common = tuple(held), set.intersection(*held.values())
    if len(held) > enough:
        groups = {group: set.intersection(*(held[party] for party in group)) for group in combinations(held, enough)}
        if any(shared > common for shared in groups.values()):
            # max takes the first of equals, and combinations come in ascending order
            parties = max(groups, key=lambda group: _weight(groups[group], organisation))
            common = groups[parties]
    return Choice(entries=tuple(sorted(common)), parties=parties, lacking=lacking, refusing=refusing)


def _weight(entries: Set[Entry], organisation: Mapping[str, str]) -> tuple[int, int]:
    return len({organisation[entry.gateway] for entry in entries}), len(entries)


def _alone(told: Mapping[int, Set[Entry]]) -> list[tuple[int, str]]:
    """(party, gateway) where all others hold one contribution equally. Of two parties nobody can say which one errs."""
    if len(told) < 3:
        return []
    found = []
    for party, own in told.items():
        others = frozenset.intersection(*(frozenset(told[other]) for other in told if other != party))
        found += [(party, entry.gateway) for entry in sorted(others - own)]
    return found
