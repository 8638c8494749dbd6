"""`sotto init --join`: one member's part of somebody's task. The key is made here and stays; only the card travels."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from protocol.errors import ConfigError
from protocol.joint import CircuitSpec
from protocol.keys import KeyFile
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.keyfiles import write_new_key
from sotto.init import TLS_KEYS, fill, quoted, write

JoinRole: TypeAlias = Literal["gateway", "party", "collector"]


class Joined(NamedTuple):
    """The files of one member."""

    file: Path
    key: Path
    card: Path


def write_member(
    directory: Path,
    task_path: Path,
    *,
    role: JoinRole,
    name: str,
    organisation: str | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Joined:
    """Write a member's configuration and key into `directory`, with copies of task, roster and cards.

    A party and the collector also get the netlists of the task's circuits, where they lie beside it.

    A party or the collector has its identity in the task already, so its key was made before the task (`sotto keys
    new`) and is not made here. Raises ConfigError.
    """
    task = load(task_path, Task)
    file = directory / f"{role}.toml"
    if file.exists():
        raise ConfigError(f"there is a file {file} already", remedy="Choose a new directory; nothing was written.")
    key = directory / f"{name}.key"
    if role == "party" and name not in task.party:
        raise ConfigError(
            f"{name} is no party of {task.name}", remedy=f"Its parties are: {', '.join(task.party_names)}."
        )
    if role != "gateway":
        text = _operator_text(task, role=role, name=name)
    elif organisation is None:
        raise ConfigError("--organisation is missing", remedy="As in the roster, like: --organisation north")
    else:
        text = _gateway_text(task, name=name, organisation=organisation, file=file.name)
    card = key.with_suffix(".card")
    if role == "gateway":
        made = KeyFile.generate(role=role, name=name, suite=task.scheme.sealing, entropy=entropy)
        key, card = write_new_key(directory, made)
    write(file, text)
    beside = task_path.parent
    needed = {spec.file for spec in task.joint if isinstance(spec, CircuitSpec)} if role != "gateway" else set[str]()
    files = (task_path, beside / "roster.toml", *(beside / name for name in sorted(needed)))
    for source in (*files, *sorted((beside / "cards").glob("*.card"))):
        target = directory / ("cards" if source.suffix == ".card" else "") / source.name
        if source.exists() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target if source != task_path else directory / "task.toml")
    return Joined(file, key, card)


def _gateway_text(task: Task, *, name: str, organisation: str, file: str) -> str:
    return fill(
        "join_gateway.toml",
        {
            "file": file,
            "name": quoted(name),
            "bare_name": name,
            "organisation": organisation,
            "organisation_text": quoted(organisation),
            "key": quoted(f"file:{name}.key"),
            "labels": "\n".join(f'{label} = "$.{label}"' for label in task.labels),
            "measures": "\n".join(
                f'{measure} = "$.{measure}"'.ljust(40) + f"# in {spec.unit}" for measure, spec in task.measures.items()
            ),
            "prefix": quoted(Topics.of(task).prefix),
        },
    )


def _operator_text(task: Task, *, role: JoinRole, name: str) -> str:
    kafka = "\n".join(
        [
            'bootstrap_servers = ["kafka.example:9093"]',
            'security_protocol = "SASL_SSL"           # default "SSL"',
            f"sasl_username     = {quoted(name)}",
            'sasl_password     = "file:kafka.password"',
            '# sasl_mechanism  = "SCRAM-SHA-512"',
            "# allow_plaintext = false                # true: to another machine without encryption",
            TLS_KEYS,
            '# session_timeout = "6s"                 # so soon another worker takes over from a dead one',
            f"# topic_prefix    = {quoted(Topics.of(task).prefix)} # the same for all roles",
        ]
    )
    port = 9782 if role == "party" else 9783
    values = {"name": quoted(name), "task": '"task.toml"', "roster": '"roster.toml"', "kafka": kafka}
    return fill(f"{role}.toml", values | {"key": quoted(f"file:{name}.key"), "listen": quoted(f"127.0.0.1:{port}")})
