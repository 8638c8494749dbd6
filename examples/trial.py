"""An example, or a task of one's own, as a directory that runs: with keys, a signed roster, a file for each role.

The agreed part is `task.toml` of the example as it is; only its operators are added, since a task names them by keys
that are made here. All roles are on this machine, so it shows how things work and protects nothing.
"""

from __future__ import annotations

import csv
import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from examples.aes_128 import aes_128
from protocol.errors import ConfigError
from protocol.identity import b64, format_fingerprint, format_identity
from protocol.keys import KeyFile
from protocol.roster import Roster, gateway_statement
from protocol.task import Task
from protocol.windows import start_of
from runtime.files import load, loads
from runtime.keyfiles import write_new_key
from sotto.demo.place import listen_at
from sotto.init import RoleFile, fill, quoted, write

HERE = Path(__file__).parent
JOBS = ("threshold", "rank", "product", "polynomial", "linear_solve", "least_squares", "circuit")
PARTIES = ("party-1", "party-2", "party-3")
_FIRST_PORT = 9701
MAKES = {"aes_128.txt": aes_128}
"""Files that are made and not kept: this one has 1.7 MB. The task names the SHA-256 of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One job's example: the agreed task without its operators, and the readings of all organisations."""

    job: str
    place: Path
    task: str
    rows: tuple[Mapping[str, str], ...]

    @property
    def document(self) -> Mapping[str, Any]:
        """The task as tomllib reads it: whole but for the operators."""
        return tomllib.loads(self.task)

    @property
    def organisations(self) -> tuple[str, ...]:
        """Those that have readings, in the order of the file."""
        return tuple(dict.fromkeys(row["organisation"] for row in self.rows))


def read(job: str) -> Example:
    """Read the example of a job, or the directory of that name: task.toml and readings.csv. Raises ConfigError."""
    place = HERE / job if job in JOBS else Path(job)
    try:
        task = (place / "task.toml").read_text(encoding="utf-8")
        with (place / "readings.csv").open(newline="", encoding="utf-8") as file:
            rows = tuple(csv.DictReader(file))
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be read: {(error.strerror or 'unknown').lower()}",
            remedy=f"An example is one of {', '.join(JOBS)}, or a directory with task.toml and readings.csv as they"
            " have them.",
        ) from None
    example = Example(job=job if job in JOBS else place.resolve().name, place=place, task=task, rows=rows)
    _check(example)
    return example


def _check(example: Example) -> None:
    """Refuse what the rest of the examples takes for granted: columns, operators that are still to be named."""
    try:
        document: Mapping[str, Any] = example.document
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"this is not TOML: {error}", where=str(example.place / "task.toml")) from None
    if made_here := [table for table in ("party", "collector") if table in document]:
        raise ConfigError(
            f"[{made_here[0]}] names operators by keys, which are made here",
            where=str(example.place / "task.toml"),
            remedy="Take [party.*] and [collector] out: they are added.",
        )
    if not document.get("joint"):
        raise ConfigError("the task has no [[joint]]", where=str(example.place / "task.toml"))
    needed = ("time", "organisation", *document.get("labels", ()), *document.get("measures", ()))
    for row in example.rows[:1] or ({},):
        if missing := [column for column in needed if column not in row]:
            raise ConfigError(
                f"there is no column {missing[0]}" if example.rows else "there are no readings",
                where=str(example.place / "readings.csv"),
                remedy=f"The columns are {', '.join(needed)}. A cell may be empty.",
            )


def topic_of(labels: tuple[str, ...]) -> str:
    """Where the readings of one organisation are published: a level for each label."""
    return "/".join(("{organisation}", "readings", *(f"{{{label}}}" for label in labels)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was written."""

    directory: Path
    task: Task
    roster: Roster
    roles: tuple[RoleFile, ...]
    results: Path
    csv: Path


def write_trial(example: Example, directory: Path, *, mqtt: str, kafka: str, embedded: bool = True) -> Trial:
    """Write everything into a new directory, for the brokers at these addresses. Raises ConfigError.

    `embedded`: they are those of `run`, which also says where the roles have their pages.
    """
    if directory.exists():
        raise ConfigError(f"there is a {directory} already", remedy="Choose a new directory; nothing was written.")
    keys = _make_keys(example)
    task_text = example.task + _operators(keys)
    _check_window(example, loads(task_text, Task, path=example.place / "task.toml"))
    directory.mkdir(parents=True)
    for name in sorted({entry["file"] for entry in example.document["joint"] if entry["job"] == "circuit"}):
        _write_netlist(name, example, directory)
    write(directory / "task.toml", task_text)
    task = load(directory / "task.toml", Task)
    roster_text = _roster(example, task, keys)
    write(directory / "roster.toml", roster_text)
    roster = loads(roster_text, Roster, path=directory / "roster.toml")
    roster.verify(task)
    for key in keys.values():
        write_new_key(directory / "keys", key, cards=directory / "cards")
    shutil.copyfile(example.place / "readings.csv", directory / "readings.csv")
    return Trial(
        directory=directory,
        task=task,
        roster=roster,
        roles=_roles(example, task, directory, mqtt=mqtt, kafka=_kafka(kafka, embedded=embedded), pages=not embedded),
        results=directory / "results.db",
        csv=directory / "readings.csv",
    )


def _write_netlist(name: str, example: Example, directory: Path) -> None:
    """Put a circuit beside the task: that of the directory, or one that is made here. A missing one is told later."""
    if (example.place / name).exists():
        shutil.copyfile(example.place / name, directory / name)
    elif name in MAKES:
        write(directory / name, MAKES[name]())


def _check_window(example: Example, task: Task) -> None:
    """Refuse readings of several windows, or of none of the task: sums in the open are over all of the file."""
    windows = set()
    for line, row in enumerate(example.rows, 2):
        try:
            time = datetime.fromisoformat(row["time"])
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            raise ConfigError(
                "time is not like 2025-06-02T10:00:00Z, with a zone",
                where=f"{example.place / 'readings.csv'}, line {line}",
            )
        windows.add(start_of(int(time.timestamp() * 1000), task.window.size, task.window.utc_offset))
    if len(windows) != 1 or not task.valid_from <= min(windows) < task.valid_until:
        raise ConfigError(
            "the readings must be of one window, and that between valid_from and valid_until of the task",
            where=str(example.place / "readings.csv"),
        )


def _make_keys(example: Example) -> dict[str, KeyFile]:
    wanted = [(role, name) for name in example.organisations for role, name in (("organisation", name), _gateway(name))]
    wanted += [("party", name) for name in PARTIES] + [("collector", "collector")]
    return {
        name: KeyFile.generate(role=role, name=name, suite="mlkem768-x25519", entropy=os.urandom)  # type: ignore[arg-type]
        for role, name in wanted
    }


def _gateway(organisation: str) -> tuple[str, str]:
    return "gateway", f"{organisation}-1"


def _operators(keys: Mapping[str, KeyFile]) -> str:
    blocks = [
        f"\n[{place}]\noperator = {quoted(name)}\nidentity = {quoted(format_identity(keys[name].public_identity))}\n"
        for place, name in (*((f"party.{name}", name) for name in PARTIES), ("collector", "collector"))
    ]
    return "".join(blocks)


def _roster(example: Example, task: Task, keys: Mapping[str, KeyFile]) -> str:
    """Write and sign the roster. A label takes the values that the readings have, in their order."""
    start = f"{example.document['valid_from']}".replace(" ", "T")
    lines = [f"format = 1\ntask = {quoted(task.id)}\nversion = 1\neffective_from = {start}\npartitions = 1\n\n[labels]"]
    for label in task.labels:
        values = dict.fromkeys(row[label] for row in example.rows)
        lines.append(f"{label} = [{', '.join(map(quoted, values))}]")
    for name in example.organisations:
        organisation, (_, gateway) = keys[name], _gateway(name)
        identity = keys[gateway].public_identity
        signed = organisation.identity.sign(gateway_statement(task.hash, name, gateway, identity))
        lines.append(
            f"\n[organisation.{name}]\nlegal_name = {quoted(name.title())}\n"
            f"contact = {quoted(f'privacy@{name}.example')}\n"
            f"identity = {quoted(format_identity(organisation.public_identity))}\n"
            f"[organisation.{name}.gateway.{gateway}]\n"
            f"identity = {quoted(format_identity(identity))}\nsigned = {quoted(b64(signed))}"
        )
    lines.append("\n[sealing_keys]")
    lines += [
        f"{name} = {quoted(format_fingerprint(keys[name].card().fingerprint))}" for name in (*PARTIES, "collector")
    ]
    lines.append("\n[signatures]\n")
    unsigned = "\n".join(lines)
    statement = loads(unsigned, Roster, path=Path("roster.toml")).statement
    signatures = [f"{name} = {quoted(b64(keys[name].identity.sign(statement)))}\n" for name in PARTIES]
    return unsigned + "".join(signatures)


def _kafka(server: str, *, embedded: bool) -> str:
    version = '\napi_version = "2.3"  # the embedded broker cannot be asked for it' if embedded else ""
    return f'bootstrap_servers = [{quoted(server)}]\nsecurity_protocol = "PLAINTEXT"{version}'


def _roles(
    example: Example, task: Task, directory: Path, *, mqtt: str, kafka: str, pages: bool
) -> tuple[RoleFile, ...]:
    agreed = {"task": quoted("task.toml"), "roster": quoted("roster.toml"), "kafka": kafka, "listen": '""'}
    made = [
        (RoleFile("gateway", gateway, directory / f"{gateway}.toml"), _gateway_file(name, task, mqtt, kafka))
        for name in example.organisations
        for _, gateway in (_gateway(name),)
    ]
    for name in PARTIES:
        values = agreed | {"name": quoted(name), "key": quoted(f"file:keys/{name}.key")}
        made.append((RoleFile("party", name, directory / f"{name}.toml"), fill("party.toml", values)))
    values = agreed | {"key": quoted("file:keys/collector.key")}
    made.append(
        (RoleFile("collector", "collector", directory / "collector.toml"), fill("collector.toml", values)),
    )
    values = agreed | {"store": '[sqlite]\npath = "results.db"'}
    made.append((RoleFile("sink", "sink", directory / "sink.toml"), fill("sink.toml", values)))
    for port, (role, text) in enumerate(made, _FIRST_PORT):
        write(role.path, text)
        if pages:
            listen_at(role.path, f"127.0.0.1:{port}")
    return tuple(role for role, _ in made)


def _gateway_file(organisation: str, task: Task, mqtt: str, kafka: str) -> str:
    _, name = _gateway(organisation)
    topic = topic_of(task.labels).replace("{organisation}", organisation)
    labels = "".join(f'{label} = "{{{label}}}"\n' for label in task.labels)
    measures = "".join(f'{measure} = "$.{measure}"\n' for measure in task.measure_names)
    return (
        f"format = 1\nname = {quoted(name)}\norganisation = {quoted(organisation)}\n"
        f'task = "task.toml"\nroster = "roster.toml"\nkey = {quoted(f"file:keys/{name}.key")}\n'
        f"state_dir = {quoted(f'state/{name}')}\n\n"
        f'[mqtt]\nurl = {quoted(mqtt)}\nversion = "3.1.1"\n\n'
        f'[[source]]\ntopic = {quoted(topic)}\nsensor = {quoted("/".join(topic.split("/")[2:]))}\ntime = "$.time"\n'
        f"[source.labels]\n{labels}[source.measures]\n{measures}\n"
        f"[kafka]\n{kafka}\n\n"
        '[clock]\nseals_by = "event"\nidle_after = "2s"\nrequire_sync = false\n\n[http]\nlisten = ""\n'
    )
