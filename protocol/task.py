"""The task: what all roles agree on, and what never changes.

Everybody holds the same `task.toml`. Its canonical form (SPEC 3) is hashed; the hash is bound into every record, the
task id is its first 130 bits for people. A change of the task is another task.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from protocol.canonical import Json, canonical, decimal_text, tagged_hash
from protocol.identity import Identity, format_identity, in_groups, spoken
from protocol.joint import JointSpec, check_joint
from protocol.measure import Limits, Measure
from protocol.model import Key, Model, Name
from protocol.units import Duration, ExactDecimal, Offset, Time, iso
from protocol.windows import is_start

DAY = 86_400_000


class Window(Model):
    """Tumbling windows of event time. All fields are milliseconds."""

    size: Duration
    utc_offset: Offset = 0
    lateness: Duration
    deadline: Duration
    give_up_after: Duration = 3 * DAY

    @field_validator("size")
    @classmethod
    def _size_is_positive(cls, size: int) -> int:
        if size < 1_000:
            msg = "a window is at least 1s long"
            raise ValueError(msg)
        return size


class Policy(Model):
    """What must hold for each cell by itself before it is released."""

    min_organisations: Annotated[int, Field(ge=1)]
    min_gateways: int | None = None
    min_readings: int | None = None
    max_absent: ExactDecimal = Decimal("0.1")
    contributors: Literal["names", "number"] = "names"
    unverified: Literal["release", "wait"] = "release"

    @field_validator("min_organisations")
    @classmethod
    def _three(cls, number: int) -> int:
        if number < 3:
            msg = "min_organisations below 3 is refused: with two, each subtracts its own share and has the other's"
            raise ValueError(msg)
        return number

    @field_validator("max_absent")
    @classmethod
    def _fraction(cls, number: Decimal) -> Decimal:
        if not 0 <= number <= 1:
            msg = "max_absent is a part of the organisations, from 0 to 1, like 0.1"
            raise ValueError(msg)
        return number

    @property
    def gateways(self) -> int:
        """Gateways that must have a reading in the cell."""
        return self.min_organisations if self.min_gateways is None else self.min_gateways

    @property
    def readings(self) -> int:
        """Readings that the cell must have."""
        return self.min_organisations if self.min_readings is None else self.min_readings


class SchemeSpec(Model):
    """How readings are shared, and to what the shares are sealed."""

    name: Literal["replicated", "additive"]
    sealing: Literal["mlkem768-x25519", "x25519"] = "mlkem768-x25519"
    granularity: Literal["reading"] = "reading"


class Operator(Model):
    """A party or the collector: who runs it, and its public identity."""

    operator: Annotated[str, Field(min_length=1, max_length=256)]
    identity: Identity


class Task(Model):
    """The whole agreement. `hash` is bound into every record; `id` is for people."""

    format: Literal[1]
    name: Name
    revision: Annotated[int, Field(ge=1)] = 1
    purpose: Annotated[str, Field(min_length=1, max_length=1_024)]
    valid_from: Time
    valid_until: Time
    labels: Annotated[tuple[Key, ...], Field(strict=False, max_length=8)] = ()
    window: Window
    measures: Annotated[dict[Key, Measure], Field(min_length=1, max_length=256)]
    scheme: SchemeSpec
    policy: Policy
    limits: Limits = Limits()
    joint: Annotated[tuple[JointSpec, ...], Field(strict=False, max_length=32)] = ()
    party: dict[Name, Operator]
    collector: Operator

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Task:
        if self.valid_from >= self.valid_until:
            msg = "valid_until must be after valid_from"
            raise ValueError(msg)
        for edge in (self.valid_from, self.valid_until):
            if not is_start(edge, self.window.size, self.window.utc_offset):
                msg = f"valid_from and valid_until must be edges of windows; {iso(edge)} is inside one"
                raise ValueError(msg)
        if len(set(self.labels)) != len(self.labels):
            msg = "labels names a label twice"
            raise ValueError(msg)
        if self.scheme.name == "replicated" and len(self.party) != 3:
            msg = f'scheme "replicated" needs three parties, here are {len(self.party)}; "additive" takes two or more'
            raise ValueError(msg)
        if not 2 <= len(self.party) <= 32:
            msg = f'scheme "additive" needs 2 to 32 parties, here are {len(self.party)}'
            raise ValueError(msg)
        if self.scheme.name == "additive" and self.policy.unverified == "wait":
            msg = 'unverified = "wait" would wait for ever, since the additive scheme cannot verify; write "release"'
            raise ValueError(msg)
        identities = [operator.identity for operator in (*self.party.values(), self.collector)]
        if len(set(identities)) != len(identities):
            msg = "two of the parties and the collector have the same identity: one operator would be two parties"
            raise ValueError(msg)
        bound = self.limits.readings
        for name, measure in self.measures.items():
            if bound * measure.steps >= 2**63:
                fits = (2**63 - 1) // bound
                msg = (
                    f"measure {name}: a sum could leave 64 bits. range / resolution is {measure.steps}, at most {fits}"
                    f" fits with {self.limits.max_gateways} gateways of {self.limits.max_rows} rows each ([limits])"
                )
                raise ValueError(msg)
        self._has_jobs_that_it_can_do()
        return self

    def _has_jobs_that_it_can_do(self) -> None:
        if self.joint and self.scheme.name != "replicated":
            msg = (
                f'[[joint]] needs scheme "replicated": "{self.scheme.name}" can add, and nothing else.'
                " Remove the jobs or change the scheme"
            )
            raise ValueError(msg)
        check_joint(self.joint, self.measures, self.labels, self.limits)
        used = {name for spec in self.joint for name in spec.uses}
        for name, measure in self.measures.items():
            if not measure.statistics and name not in used:
                msg = (
                    f"measure {name}: with statistics = [] it is not released, and no [[joint]] uses it."
                    ' Remove it, write statistics = ["mean"], or use it in a job'
                )
                raise ValueError(msg)

    @cached_property
    def released_measures(self) -> frozenset[int]:
        """Numbers of the measures whose cells are due: all with `statistics`. The others serve the jobs only."""
        return frozenset(n for n, name in enumerate(self.measure_names) if self.measures[name].statistics)

    @cached_property
    def party_names(self) -> tuple[str, ...]:
        """Names of the parties, sorted; a party's number is its place here."""
        return tuple(sorted(self.party))

    @cached_property
    def measure_names(self) -> tuple[str, ...]:
        """Names of the measures, sorted; a measure's number is its place here."""
        return tuple(sorted(self.measures))

    def document(self) -> dict[str, Json]:
        """Return the canonical document (SPEC 3): defaults written out, times in milliseconds, decimals as text."""
        window, policy = self.window, self.policy
        document: dict[str, Json] = {
            "format": self.format,
            "name": self.name,
            "revision": self.revision,
            "purpose": self.purpose,
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "labels": list(self.labels),
            "window": {
                "size": window.size,
                "utc_offset": window.utc_offset,
                "lateness": window.lateness,
                "deadline": window.deadline,
                "give_up_after": window.give_up_after,
            },
            "measures": {
                name: {
                    "unit": measure.unit,
                    "range": [decimal_text(end) for end in measure.range],
                    "resolution": decimal_text(measure.resolution),
                    "statistics": sorted(set(measure.statistics)),
                }
                for name, measure in self.measures.items()
            },
            "scheme": self.scheme.model_dump(),
            "policy": {
                "min_organisations": policy.min_organisations,
                "min_gateways": policy.gateways,
                "min_readings": policy.readings,
                "max_absent": decimal_text(policy.max_absent),
                "contributors": policy.contributors,
                "unverified": policy.unverified,
            },
            "limits": self.limits.model_dump(),
            "party": {name: _operator(operator) for name, operator in self.party.items()},
            "collector": _operator(self.collector),
        }
        if self.joint:
            document["joint"] = [spec.document(self.labels) for spec in self.joint]
        return document

    @cached_property
    def hash(self) -> bytes:
        """The 32 bytes that bind every record to this task."""
        return tagged_hash("task", canonical(self.document()))

    @cached_property
    def id(self) -> str:
        """The id in files: `sotto-task:` and 26 characters."""
        return "sotto-task:" + spoken(self.hash)

    @property
    def id_spoken(self) -> str:
        """The id for the telephone: td5g-mlue-mo5f-..."""
        return in_groups(spoken(self.hash))

    def window_end(self, start: int) -> int:
        """Return the end (exclusive, milliseconds) of the window that starts at `start`."""
        return start + self.window.size

    def has_window(self, start: int) -> bool:
        """Tell whether a window of this task starts at `start` (milliseconds)."""
        return self.valid_from <= start < self.valid_until and is_start(start, self.window.size, self.window.utc_offset)


def _operator(operator: Operator) -> dict[str, Any]:
    return {"operator": operator.operator, "identity": format_identity(operator.identity)}
