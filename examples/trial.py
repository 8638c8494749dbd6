"""An example as a directory that runs: its task with keys, a signed roster, and one file for each role.

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
from pathlib import Path

from examples.aes_128 import aes_128
from protocol.identity import b64, format_fingerprint, format_identity
from protocol.keys import KeyFile
from protocol.roster import Roster, gateway_statement
from protocol.task import Task
from runtime.files import load, loads
from runtime.keyfiles import write_new_key
from sotto.init import RoleFile, fill, quoted, write

HERE = Path(__file__).parent
JOBS = ("threshold", "rank", "product", "polynomial", "linear_solve", "least_squares", "circuit")
PARTIES = ("party-1", "party-2", "party-3")
MAKES = {"aes_128.txt": aes_128}
"""Files that are made and not kept: this one has 1.7 MB. The task names the SHA-256 of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One job's example: the agreed task without its operators, and the readings of all organisations."""

    job: str
    task: str
    rows: tuple[Mapping[str, str], ...]

    @property
    def document(self) -> Mapping[str, object]:
        """The task as tomllib reads it: whole but for the operators."""
        return tomllib.loads(self.task)

    @property
    def organisations(self) -> tuple[str, ...]:
        """Those that have readings, in the order of the file."""
        return tuple(dict.fromkeys(row["organisation"] for row in self.rows))


def read(job: str) -> Example:
    """Read the example of a job."""
    with (HERE / job / "readings.csv").open(newline="", encoding="utf-8") as file:
        rows = tuple(csv.DictReader(file))
    return Example(job=job, task=(HERE / job / "task.toml").read_text(encoding="utf-8"), rows=rows)


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


def write_trial(example: Example, directory: Path, *, mqtt: str, kafka: str) -> Trial:
    """Write everything into a new directory, for the embedded brokers at these addresses."""
    keys = _make_keys(example)
    task_text = example.task + _operators(keys)
    directory.mkdir(parents=True)
    for name, make in MAKES.items():
        if f'"{name}"' in task_text:
            write(directory / name, make())
    write(directory / "task.toml", task_text)
    task = load(directory / "task.toml", Task)
    roster_text = _roster(example, task, keys)
    write(directory / "roster.toml", roster_text)
    roster = loads(roster_text, Roster, path=directory / "roster.toml")
    roster.verify(task)
    for key in keys.values():
        write_new_key(directory / "keys", key, cards=directory / "cards")
    shutil.copyfile(HERE / example.job / "readings.csv", directory / "readings.csv")
    return Trial(
        directory=directory,
        task=task,
        roster=roster,
        roles=_roles(example, task, directory, mqtt=mqtt, kafka=kafka),
        results=directory / "results.db",
        csv=directory / "readings.csv",
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


def _roles(example: Example, task: Task, directory: Path, *, mqtt: str, kafka: str) -> tuple[RoleFile, ...]:
    section = (
        f'bootstrap_servers = [{quoted(kafka)}]\nsecurity_protocol = "PLAINTEXT"\n'
        'api_version = "2.3"  # the embedded broker cannot be asked for it'
    )
    agreed = {"task": quoted("task.toml"), "roster": quoted("roster.toml"), "kafka": section, "listen": '""'}
    made = [
        (RoleFile("gateway", gateway, directory / f"{gateway}.toml"), _gateway_file(name, task, mqtt, section))
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
    for role, text in made:
        write(role.path, text)
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
