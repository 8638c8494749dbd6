"""What a scene is asked for, and how it ended: figures, and claims that hold or do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.campaign import Options, Told
from tests.faults.trial import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Something that must hold, with what was measured."""

    says: str
    measured: str
    holds: bool


@dataclass(slots=True, kw_only=True)
class Scene:
    """How a scene ended."""

    name: str
    seconds: float = 0.0
    figures: dict[str, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def claim(self, says: str, measured: object, *, holds: bool) -> None:
        """Add a claim."""
        self.claims.append(Claim(says=says, measured=str(measured), holds=holds))

    @property
    def right(self) -> bool:
        """Say whether all claims hold and nothing else went wrong."""
        return all(claim.holds for claim in self.claims) and not self.troubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for."""

    minutes: float
    rate: float
    windows: int
    seed: int
    directory: Path
    told: Told

    def options(self, wanted: Wanted, *, together: int = 1) -> Options:
        """Return the options of a campaign that kills nobody at random."""
        return Options(seed=self.seed, minutes=self.minutes, kills=0, wanted=wanted, rate=self.rate, together=together)
