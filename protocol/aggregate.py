"""The result of a window, on the topic `aggregates`: canonical JSON, signed by the collector (SPEC 9).

Every cell that was due and every job of the task occurs once: with exact integers, or suppressed with its reason and
nothing else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.canonical import Json, canonical, decimal_text
from protocol.errors import WireError
from protocol.identity import b64, unb64
from protocol.task import Task

LONGEST_STEPS: Final = 400
"""Digits of a value of a job: the largest field has 1279 bits."""
_SIGNED: Final = b"sotto/1 aggregate\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """One cell. `sum_steps` is the exact sum in steps of the resolution; both numbers are None where suppressed."""

    labels: dict[str, str]
    measure: str
    unit: str
    resolution: Decimal
    outcome: Literal["point", "suppressed"]
    reason: str = "none"
    at_fault: tuple[str, ...] = ()
    count: int | None = None
    sum_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JointValue:
    """One number of a job's result, exact, in steps of the result's resolution; None where it is kept back.

    `key` tells it from others of the same labels: "above", "max", "total", "x_load", .. (SPEC 9.1).
    """

    labels: dict[str, str]
    key: str
    steps: int | None
    reason: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class JointResult:
    """What came of one job. A suppressed one has no values."""

    name: str
    job: str
    outcome: Literal["point", "suppressed"]
    unit: str
    resolution: Decimal
    reason: str = "none"
    at_fault: tuple[str, ...] = ()
    values: tuple[JointValue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributor:
    """A gateway of the agreed set, and what its seal noted of readings of earlier windows: too late, dropped."""

    gateway: str
    organisation: str
    late: int
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """All outcomes of one window. Times are milliseconds; `last_seal` is by the gateways' clocks, 0 where unknown."""

    task: str
    revision: int
    task_id: str
    roster: int
    window_start: int
    window_end: int
    verified: bool
    parties: tuple[str, ...]
    contributors: tuple[Contributor, ...]
    organisations: int
    gateways: int
    absent: tuple[str, ...]
    last_seal: int
    revealed_at: int
    cells: tuple[CellResult, ...]
    joint: tuple[JointResult, ...] = ()


def _document(aggregate: Aggregate) -> dict[str, Json]:
    document: dict[str, Json] = {
        "format": 1,
        "task": aggregate.task,
        "revision": aggregate.revision,
        "task_id": aggregate.task_id,
        "roster": aggregate.roster,
        "window_start": aggregate.window_start,
        "window_end": aggregate.window_end,
        "verified": aggregate.verified,
        "parties": list(aggregate.parties),
        "contributors": [
            {"gateway": one.gateway, "organisation": one.organisation, "late": one.late, "dropped": one.dropped}
            for one in aggregate.contributors
        ],
        "organisations": aggregate.organisations,
        "gateways": aggregate.gateways,
        "absent": list(aggregate.absent),
        "last_seal": aggregate.last_seal,
        "revealed_at": aggregate.revealed_at,
        "cells": [_cell_document(cell) for cell in aggregate.cells],
    }
    if aggregate.joint:
        document["joint"] = [_joint_document(result) for result in aggregate.joint]
    return document


def _cell_document(cell: CellResult) -> dict[str, Json]:
    document: dict[str, Json] = {
        "labels": cell.labels,
        "measure": cell.measure,
        "unit": cell.unit,
        "resolution": decimal_text(cell.resolution),
        "outcome": cell.outcome,
    }
    if cell.outcome == "point":
        # As text: sums can be above 2^53, where readers of JSON that use binary64 lose units.
        return {**document, "count": str(cell.count), "sum_steps": str(cell.sum_steps)}
    return {**document, "reason": cell.reason, "at_fault": list(cell.at_fault)}


def _joint_document(result: JointResult) -> dict[str, Json]:
    document: dict[str, Json] = {
        "name": result.name,
        "job": result.job,
        "unit": result.unit,
        "resolution": decimal_text(result.resolution),
        "outcome": result.outcome,
    }
    if result.outcome == "point":
        return {**document, "values": [_value_document(value) for value in result.values]}
    return {**document, "reason": result.reason, "at_fault": list(result.at_fault)}


def _value_document(value: JointValue) -> dict[str, Json]:
    document: dict[str, Json] = {"labels": value.labels, "key": value.key}
    return {**document, "reason": value.reason} if value.steps is None else {**document, "steps": str(value.steps)}


def encode(aggregate: Aggregate, identity: Ed25519PrivateKey) -> bytes:
    """Write and sign an aggregate. The same aggregate gives the same bytes (Ed25519 is deterministic)."""
    document = _document(aggregate)
    signature = identity.sign(_SIGNED + canonical(document))
    return canonical({"aggregate": document, "signature": b64(signature)})


def decode(data: bytes, *, task: Task) -> Aggregate:
    """Read an aggregate and check that the task's collector signed it. Raises WireError."""
    try:
        envelope = json.loads(data)
        document = envelope["aggregate"]
        signature = unb64(envelope["signature"], 64)
        if canonical(envelope) != data or set(envelope) != {"aggregate", "signature"}:
            raise WireError("not_canonical")
        if document["task_id"] != task.id:
            raise WireError("other_task")
        key = Ed25519PublicKey.from_public_bytes(task.collector.identity)
        key.verify(signature, _SIGNED + canonical(document))
        aggregate = _read(document)
        if _document(aggregate) != document:
            raise WireError("not_canonical")
        if [(one.name, one.job, one.unit, one.resolution) for one in aggregate.joint] != [
            (spec.name, spec.job, *spec.result(task.measures)) for spec in task.joint
        ]:
            raise WireError("other_jobs")
    except InvalidSignature:
        raise WireError("wrong_signature") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ArithmeticError):
        raise WireError("not_an_aggregate") from None
    return aggregate


def _integer(text: object, digits: int = 19) -> int:
    pattern = rf"0|-?[1-9][0-9]{{0,{digits - 1}}}"
    if not isinstance(text, str) or not re.fullmatch(pattern, text):
        msg = "not an integer"
        raise ValueError(msg)
    return int(text)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(_text(one) for one in value)


def _read(document: dict[str, Any]) -> Aggregate:
    return Aggregate(
        task=_text(document["task"]),
        revision=_whole(document["revision"]),
        task_id=_text(document["task_id"]),
        roster=_whole(document["roster"]),
        window_start=_whole(document["window_start"]),
        window_end=_whole(document["window_end"]),
        verified={True: True, False: False}[document["verified"]],
        parties=_texts(document["parties"]),
        contributors=tuple(
            Contributor(
                gateway=_text(one["gateway"]),
                organisation=_text(one["organisation"]),
                late=_whole(one["late"]),
                dropped=_whole(one["dropped"]),
            )
            for one in document["contributors"]
        ),
        organisations=_whole(document["organisations"]),
        gateways=_whole(document["gateways"]),
        absent=_texts(document["absent"]),
        last_seal=_whole(document["last_seal"]),
        revealed_at=_whole(document["revealed_at"]),
        cells=tuple(_read_cell(cell) for cell in document["cells"]),
        joint=tuple(_read_joint(result) for result in document.get("joint", ())),
    )


def _read_cell(document: dict[str, Any]) -> CellResult:
    point = document["outcome"] == "point"
    return CellResult(
        labels=_labels(document["labels"]),
        measure=_text(document["measure"]),
        unit=_text(document["unit"]),
        resolution=Decimal(_text(document["resolution"])),
        outcome="point" if point else "suppressed",
        reason="none" if point else _text(document["reason"]),
        at_fault=() if point else _texts(document["at_fault"]),
        count=_integer(document["count"]) if point else None,
        sum_steps=_integer(document["sum_steps"]) if point else None,
    )


def _labels(value: dict[str, Any]) -> dict[str, str]:
    return {_text(key): _text(one) for key, one in value.items()}


def _read_joint(document: dict[str, Any]) -> JointResult:
    point = document["outcome"] == "point"
    return JointResult(
        name=_text(document["name"]),
        job=_text(document["job"]),
        outcome="point" if point else "suppressed",
        unit=_text(document["unit"]),
        resolution=Decimal(_text(document["resolution"])),
        reason="none" if point else _text(document["reason"]),
        at_fault=() if point else _texts(document["at_fault"]),
        values=tuple(_read_value(value) for value in document["values"]) if point else (),
    )


def _read_value(document: dict[str, Any]) -> JointValue:
    known = "steps" in document
    if not known and document["reason"] == "none":
        raise ValueError("a value that is kept back without a reason")
    return JointValue(
        labels=_labels(document["labels"]),
        key=_text(document["key"]),
        steps=_integer(document["steps"], LONGEST_STEPS) if known else None,
        reason="none" if known else _text(document["reason"]),
    )
