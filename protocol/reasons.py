"""Why a value that was due is not shown: one word for machines, one sentence for people, and whose matter it is.

All who tell people of a suppressed value take the sentence from here. None of them has a number in it: how few there
were is what the policy keeps hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Cause: TypeAlias = Literal["none", "data", "policy", "fault"]
"""`none`: there is a value. `data`: nothing was measured, or what was has no answer. `policy`: not allowed. `fault`:
something did not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """`short` goes into a list of reasons, `sentence` stands by itself."""

    cause: Cause
    short: str
    sentence: str


REASONS: Final[Mapping[str, Reason]] = {
    "none": Reason(cause="none", short="shown", sentence="There is a value."),
    "no_readings": Reason(cause="data", short="no readings", sentence="No gateway had a reading."),
    "too_few_organisations": Reason(
        cause="policy",
        short="too few organisations",
        sentence="Fewer organisations had a reading in it than the task asks for.",
    ),
    "too_few_gateways": Reason(
        cause="policy",
        short="too few gateways",
        sentence="Fewer gateways had a reading in it than the task asks for.",
    ),
    "too_few_readings": Reason(
        cause="policy", short="too few readings", sentence="It has fewer readings than the task asks for."
    ),
    "too_many_absent": Reason(
        cause="policy",
        short="too many organisations absent",
        sentence="So many organisations were missing from the window that who was left out could have been chosen.",
    ),
    "overflow": Reason(
        cause="fault",
        short="more than the task allows for",
        sentence="It has more readings than the task allows for, or a sum that readings within the range cannot have.",
    ),
    "party_missing": Reason(cause="fault", short="given up", sentence="Given up: too few parties answered in time."),
    "parties_disagree": Reason(
        cause="fault", short="parties disagree", sentence="The parties' totals contradict each other."
    ),
    "singular_system": Reason(
        cause="data",
        short="no single solution",
        sentence="The equations of the window have no solution, or many.",
    ),
    "out_of_range": Reason(cause="data", short="out of range", sentence="A result is too large for its resolution."),
    "window_over": Reason(cause="fault", short="over", sentence="Nobody spoke of the window in time."),
}

_UNKNOWN: Final = Reason(cause="fault", short="unknown", sentence="This version does not know the reason.")


def reason_of(word: str) -> Reason:
    """Return what is known of a reason; for a word of a later version one that says so, as a fault."""
    return REASONS.get(word, _UNKNOWN)
