"""The roster: who takes part, with which keys, and which values labels may take. Versioned and signed.

A version is valid when parties that cannot all collude have signed it (replicated: 2, additive: all), and when each
gateway is signed by its organisation. Parties check it, so that nobody invents organisations to meet a minimum.
"""

from __future__ import annotations

import itertools
from functools import cached_property
from math import prod
from typing import Annotated, Final, Literal, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, model_validator

from protocol.canonical import Json, canonical, decimal_text, tagged_hash
from protocol.errors import ConfigError
from protocol.identity import Fingerprint, Identity, Signature, format_fingerprint, format_identity
from protocol.joint import JointSpec
from protocol.model import Key, Model, Name
from protocol.task import Task
from protocol.units import Time

LARGEST_RESULT: Final = 900_000
"""Bytes of a window's aggregate: it is one record, and Kafka and its clients take 1,000,000 unless told otherwise."""
_LONGEST_POINT: Final = {"outcome": "point", "count": "9" * 19, "sum_steps": "-" + "9" * 19}
_LONGEST_SUPPRESSION: Final = {"outcome": "suppressed", "reason": "too_few_organisations"}
_LONGEST_STEPS: Final = "-" + "9" * 38
_CONTRIBUTOR: Final = len('{"dropped":4294967295,"gateway":,"late":4294967295,"organisation":}')

LabelValue = Annotated[str, Field(min_length=1, max_length=128)]


class Cell(NamedTuple):
    """One combination of label values (in the order of the task's labels) and one measure (its number in the task)."""

    labels: tuple[str, ...]
    measure: int


class RosterGateway(NamedTuple):
    """A gateway with what a party needs to know of it."""

    name: str
    organisation: str
    identity: bytes


class GatewayEntry(Model):
    """A gateway's public identity, signed by its organisation."""

    identity: Identity
    signed: Signature


class Organisation(Model):
    """A member: its legal name, whom to ask, its identity, its gateways."""

    legal_name: Annotated[str, Field(min_length=1, max_length=256)]
    contact: Annotated[str, Field(min_length=1, max_length=256)]
    identity: Identity
    gateway: dict[Name, GatewayEntry] = {}


def gateway_statement(task_hash: bytes, organisation: str, gateway: str, identity: bytes) -> bytes:
    """Return what an organisation signs for one of its gateways."""
    document: Json = {
        "task": task_hash.hex(),
        "organisation": organisation,
        "gateway": gateway,
        "identity": format_identity(identity),
    }
    return b"sotto/1 gateway\0" + canonical(document)


class Roster(Model):
    """One version of the roster."""

    format: Literal[1]
    task: str
    version: Annotated[int, Field(ge=1)]
    effective_from: Time
    partitions: Annotated[int, Field(ge=1, le=1_024)] = 3
    labels: dict[Key, Annotated[tuple[LabelValue, ...], Field(strict=False, min_length=1)]] = {}
    organisation: Annotated[dict[Name, Organisation], Field(min_length=1)]
    sealing_keys: dict[Name, Fingerprint]
    signatures: dict[Name, Signature] = {}

    @model_validator(mode="after")
    def _names_are_unique(self) -> Roster:
        gateways = [name for organisation in self.organisation.values() for name in organisation.gateway]
        if len(set(gateways)) != len(gateways):
            msg = "two gateways have the same name"
            raise ValueError(msg)
        identities = [entry.identity for org in self.organisation.values() for entry in org.gateway.values()]
        if len(set(identities)) != len(identities):
            msg = "two gateways have the same identity: each device makes its own key (sotto keys new gateway NAME)"
            raise ValueError(msg)
        for values in self.labels.values():
            if len(set(values)) != len(values):
                msg = "a label has the same value twice"
                raise ValueError(msg)
        return self

    @cached_property
    def gateways(self) -> dict[str, RosterGateway]:
        """All gateways by name, sorted by name."""
        found = {
            name: RosterGateway(name, organisation_name, entry.identity)
            for organisation_name, organisation in self.organisation.items()
            for name, entry in organisation.gateway.items()
        }
        return dict(sorted(found.items()))

    def document(self) -> dict[str, Json]:
        """Return the canonical document (SPEC 4), without the signatures of the parties."""
        return {
            "format": self.format,
            "task": self.task,
            "version": self.version,
            "effective_from": self.effective_from,
            "partitions": self.partitions,
            "labels": {name: sorted(values) for name, values in self.labels.items()},
            "organisation": {
                name: {
                    "legal_name": organisation.legal_name,
                    "contact": organisation.contact,
                    "identity": format_identity(organisation.identity),
                    "gateway": {
                        gateway: {"identity": format_identity(entry.identity), "signed": entry.signed.hex()}
                        for gateway, entry in organisation.gateway.items()
                    },
                }
                for name, organisation in self.organisation.items()
            },
            "sealing_keys": {name: format_fingerprint(digest) for name, digest in self.sealing_keys.items()},
        }

    @cached_property
    def hash(self) -> bytes:
        """The 32 bytes that bind every record to this version."""
        return tagged_hash("roster", canonical(self.document()))

    @property
    def statement(self) -> bytes:
        """What a party signs."""
        return b"sotto/1 roster version\0" + self.hash

    def cells(self, task: Task) -> tuple[Cell, ...]:
        """Return every cell that is due in each window, sorted by label values and measure."""
        values = [sorted(self.labels[label]) for label in task.labels]
        return tuple(
            Cell(labels, measure) for labels in itertools.product(*values) for measure in range(len(task.measure_names))
        )

    def result_size(self, task: Task) -> int:
        """Return how many bytes of JSON the aggregate of one window can be (SPEC 9), up to some hundred.

        Counted, not tried: a mistaken roster can have more cells than fit in memory.
        """
        combinations = prod(len(self.labels[label]) for label in task.labels)
        labels = sum(
            combinations // len(self.labels[label]) * sum(_json_size({label: value}) for value in self.labels[label])
            for label in task.labels
        )
        released = [(name, task.measures[name]) for name in task.measure_names if task.measures[name].statistics]
        measures = sum(
            _json_size({"measure": name, "unit": measure.unit, "resolution": decimal_text(measure.resolution)})
            for name, measure in released
        )
        outcome = max(_json_size(_LONGEST_POINT), _json_size(_LONGEST_SUPPRESSION | {"at_fault": list(task.party)}))
        named = sum(_json_size([one.name, one.organisation]) + _CONTRIBUTOR for one in self.gateways.values())
        joint = sum(self._joint_size(task, spec) for spec in task.joint)
        return len(released) * labels + combinations * (measures + len(released) * outcome) + named + joint

    def _joint_size(self, task: Task, spec: JointSpec) -> int:
        """Return how many bytes the result of a job can be, without values of circuits: their netlists say these."""
        longest: Json = {label: max(self.labels[label], key=_json_size) for label in spec.labels(task.labels)}
        groups = prod(len(self.labels[label]) for label in spec.labels(task.labels)) if spec.elementwise else 1
        value = sum(_json_size({"labels": longest, "key": key, "steps": _LONGEST_STEPS}) + 1 for key in spec.keys)
        unit, resolution = spec.result(task.measures)
        head: Json = {"name": spec.name, "job": spec.job, "unit": unit, "resolution": decimal_text(resolution)}
        return _json_size(head) + _json_size(_LONGEST_SUPPRESSION | {"at_fault": list(task.party)}) + groups * value

    def verify(self, task: Task) -> None:
        """Check that this version belongs to the task and carries the signatures that it needs.

        Raises:
            ConfigError: says which part is missing or wrong, and what to do.
        """
        if self.task != task.id:
            raise ConfigError(
                "the task is not the one that the roster belongs to",
                remedy=f"here {task.id}, roster {self.task}. Shares for another task cannot be added up.\n"
                "    Get the agreed file from whoever invited you, and compare: sotto task id task.toml\n"
                "    In a trial of your own a changed task needs a new roster: see docs/first-deployment.md",
            )
        if set(self.labels) != set(task.labels):
            raise ConfigError(
                f"the roster lists values for {sorted(self.labels)}, the task's labels are {sorted(task.labels)}",
                remedy="each label of the task needs its list of values under [labels] in the roster",
            )
        if self.result_size(task) > LARGEST_RESULT:
            cells = prod(len(self.labels[label]) for label in task.labels) * len(task.measures)
            raise ConfigError(
                f"the roster has {cells} values in each window, which is too many: one record of Kafka holds "
                f"{LARGEST_RESULT / 1e6:g} MB, and their results can take {self.result_size(task) / 1e6:.1f} MB",
                remedy="fewer label values, or several tasks, each with some of the labels' values or measures",
            )
        if len(self.gateways) > task.limits.max_gateways:
            raise ConfigError(
                f"the roster has {len(self.gateways)} gateways, the task allows {task.limits.max_gateways}",
                remedy="more gateways could overflow a sum; a task with a larger [limits] max_gateways is another task",
            )
        expected = {*task.party, "collector"}
        if set(self.sealing_keys) != expected:
            raise ConfigError(
                f"the roster has sealing keys of {sorted(self.sealing_keys)}, needed are those of {sorted(expected)}",
                remedy="each party and the collector needs its fingerprint under [sealing_keys]",
            )
        for gateway in self.gateways.values():
            organisation = self.organisation[gateway.organisation]
            statement = gateway_statement(task.hash, gateway.organisation, gateway.name, gateway.identity)
            signed = organisation.gateway[gateway.name].signed
            if not _valid(organisation.identity, signed, statement):
                raise ConfigError(
                    f'the signature of organisation "{gateway.organisation}" under gateway "{gateway.name}" is wrong',
                    remedy="the organisation signs its gateways itself; the roster or a key was changed after that.\n"
                    "    In a trial: sotto init writes another one, with everything signed",
                )
        for name, signature in self.signatures.items():
            if name not in task.party or not _valid(task.party[name].identity, signature, self.statement):
                raise ConfigError(
                    f'the signature of "{name}" under this roster is wrong',
                    remedy="the roster was changed after it was signed, or signed with another key",
                )
        needed = len(task.party) if task.scheme.name == "additive" else 2
        if len(self.signatures) < needed:
            raise ConfigError(
                f"the roster carries {len(self.signatures)} signatures of parties, {needed} are needed",
                remedy="one party more than may collude has to sign it. In a trial: sotto init writes a signed one",
            )


def _json_size(document: Json) -> int:
    return len(canonical(document))


def _valid(identity: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(identity).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
