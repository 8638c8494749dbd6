"""A trial as files, the way `ingest.main` reads them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from protocol.identity import format_identity
from protocol.units import format_duration, iso
from runtime.keyfiles import write_new_key
from tests.trial import Trial


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case int() | Decimal():
            return str(value)
        case datetime():
            return value.isoformat()
        case dict():
            return "{ " + ", ".join(f"{_toml(str(key))} = {_toml(inner)}" for key, inner in value.items()) + " }"
        case _:
            return "[" + ", ".join(map(_toml, value)) + "]"


def dumps(document: dict[str, Any]) -> str:
    """Write a document as TOML: one key a line, tables inline."""
    return "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in document.items())


def write(trial: Trial, folder: Path) -> None:
    """Write task.toml, roster.toml, cards and keys."""
    task, roster = trial.task, trial.roster
    document: Any = task.document()
    for name in ("valid_from", "valid_until"):
        document[name] = datetime.fromisoformat(iso(document[name]) if document[name] else "")
    window = document["window"]
    document["window"] = {key: format_duration(value) for key, value in window.items() if key != "utc_offset"} | {
        "utc_offset": iso(0, window["utc_offset"])[-6:]
    }
    for measure in document["measures"].values():
        measure["range"] = [Decimal(end) for end in measure["range"]]
        measure["resolution"] = Decimal(measure["resolution"])
    document["policy"]["max_absent"] = Decimal(document["policy"]["max_absent"])
    (folder / "task.toml").write_text(dumps(document))
    listed: Any = roster.document()
    listed["effective_from"] = datetime.fromisoformat(iso(listed["effective_from"]))
    for name, organisation in roster.organisation.items():
        for gateway, entry in organisation.gateway.items():
            listed["organisation"][name]["gateway"][gateway] = {
                "identity": format_identity(entry.identity),
                "signed": _b64(entry.signed),
            }
    listed["signatures"] = {name: _b64(signature) for name, signature in roster.signatures.items()}
    (folder / "roster.toml").write_text(dumps(listed))
    for key in trial.keys.values():
        write_new_key(folder, key, cards=folder / "cards")


def _b64(data: bytes) -> str:
    from protocol.identity import b64  # noqa: PLC0415

    return b64(data)
