"""The result of a joint computation, from what the three parties have sent of it: compare, add, read. Pure.

All three are needed, so each component is there twice and one party that lies is noticed; what contradicts is
suppressed, never shown. The collector learns a result here, and nobody before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mpc_ops.joint.jobs import Job, LeastSquares, LinearSolve, Polynomial, Product, Rank, numbers
from mpc_ops.joint.quotients import LARGEST
from mpc_ops.joint.replicated import PARTIES
from mpc_ops.joint.replicated import reveal as add_components
from mpc_ops.rings import Ring
from mpc_ops.rounds import Array, MessageError
from protocol.aggregate import JointValue
from protocol.errors import WireError
from protocol.share import JointShare
from streams.joint.plan import Plan
from streams.reveal import liars, odd_ones

_ANYBODY: Final = frozenset(range(PARTIES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    """What became of one job: its values, or a reason and the parties at fault, where that can be told.

    `finding`: as in `streams.findings`, where parties have contradicted each other.
    """

    values: tuple[JointValue, ...] = ()
    reason: str = "none"
    at_fault: tuple[int, ...] = ()
    finding: str | None = None


def pack(ring: Ring, values: Array) -> bytes:
    """A share (2, n) of a result as the `data` of a JointShare: component i of party i, then component i + 1."""
    return b"".join(ring.encode(component) for component in values)


def unpack(ring: Ring, data: bytes, elements: int) -> Array:
    """The share (2, elements) again. Raises MessageError for what `pack` does not write."""
    half = len(data) // 2
    return np.stack([ring.decode(part, (elements,)) for part in (data[:half], data[half:])])


def reveal_job(plan: Plan, shares: Mapping[int, JointShare], *, overflowed: frozenset[int] = frozenset()) -> Revealed:
    """Combine what the parties (by number) sent of one job. Raises nothing: whatever they sent gives an outcome.

    `overflowed`: numbers of cells whose sums, released beside the job, no readings have; what is made of them is
    not shown either.
    """
    failed = _failed(shares)
    if failed is not None:
        return failed
    first = shares[0]
    if sorted((*first.groups, *(group for group, _ in first.hidden))) != list(range(len(plan.groups))):
        return _contradiction("other_joint", tuple(sorted(_ANYBODY)))
    bad = {group for group, cells in enumerate(plan.cells) if overflowed.intersection(cells.ravel().tolist())}
    if bad and not plan.elementwise:
        return Revealed(reason="overflow")
    found = _numbers(plan, first.groups, {party: share.data for party, share in shares.items()})
    if isinstance(found, Revealed):
        return found
    each = len(found) // max(1, len(first.groups))  # numbers of a group, where groups stand by themselves
    shown = [number for place, number in enumerate(found) if not (bad and first.groups[place // each] in bad)]
    hidden = (*first.hidden, *((group, "overflow") for group in first.groups if group in bad))
    try:
        return Revealed(values=plan.values([group for group in first.groups if group not in bad], hidden, shown))
    except WireError:
        return _contradiction("other_joint", tuple(sorted(_ANYBODY)))


def _failed(shares: Mapping[int, JointShare]) -> Revealed | None:
    """Why there is no result; None where all three say that there is one, of the same groups."""
    missing = tuple(sorted(_ANYBODY - set(shares)))
    if missing:
        return Revealed(reason="party_missing", at_fault=missing)
    claims = [_claim(party, share) for party, share in shares.items() if share.reason == "parties_disagree"]
    if claims:
        return _contradiction("joint_stopped", tuple(sorted(frozenset.intersection(*claims) or _ANYBODY)))
    left = {party for party, share in shares.items() if share.reason == "party_missing"}
    if left:  # one has waited no longer: what the others say was made without its last word
        ended = {party for party, share in shares.items() if share.reason == "none"}
        named = {party for one in left for party in shares[one].suspects} - ended | (left if ended else set())
        return Revealed(reason="party_missing", at_fault=tuple(sorted(named & _ANYBODY)))
    odd = odd_ones(
        {party: repr((share.reason, share.groups, share.hidden)).encode() for party, share in shares.items()}
    )
    if odd:
        return _contradiction("other_joint", odd)
    return None if shares[0].reason == "none" else Revealed(reason=shares[0].reason)


def _numbers(plan: Plan, groups: Sequence[int], data: Mapping[int, bytes]) -> list[int] | Revealed:
    """The whole numbers of a result of some groups, or what the parties' components contradict."""
    if not groups:
        return []
    job, parts = plan.job(groups), {}
    for party, packed in data.items():
        try:
            parts[party] = unpack(job.ring, packed, job.elements)
        except MessageError:
            return _contradiction("other_joint", (party,))
    holders = [(component, (component - 1) % PARTIES) for component in range(PARTIES)]
    wrong = [pair for pair in holders if not np.array_equal(parts[pair[0]][0], parts[pair[1]][1])]
    if wrong:
        return _contradiction("other_joint", liars(wrong) or tuple(sorted(_ANYBODY)))
    found = numbers(job, add_components(job.ring, [parts[party] for party in range(PARTIES)]))
    return found if plausible(job, found) else _contradiction("other_joint", tuple(sorted(_ANYBODY)))


def plausible(job: Job, found: Sequence[int]) -> bool:
    """Whether a job can have such a result: the last line against shares that are wrong and agree."""
    match job:
        case Rank(what="values"):
            return all(abs(number) <= job.largest for number in found)
        case Product():
            return abs(found[0]) <= job.pairs * job.first * job.second
        case Polynomial():
            most = sum(abs(c) * job.largest**power for power, c in enumerate(job.coefficients))
            return all(abs(number) <= most for number in found)
        case LinearSolve() | LeastSquares():
            return all(abs(number) <= LARGEST for number in found)
        case _:  # bits, groups (the plan knows which there are)
            return True


def _claim(party: int, share: JointShare) -> frozenset[int]:
    """Among whom a liar is, if this party is honest or not: those whom it names (nobody: anybody), and itself."""
    return (frozenset(share.suspects) & _ANYBODY or _ANYBODY) | {party}


def _contradiction(finding: str, suspects: tuple[int, ...]) -> Revealed:
    return Revealed(reason="parties_disagree", at_fault=suspects, finding=finding)
