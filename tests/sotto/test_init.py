"""The directory that `sotto init` writes: it loads, it fits together, and its commented lines are the defaults."""

from __future__ import annotations

import csv
import random
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from ingest.config import GatewayFile
from protocol.errors import ConfigError
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load, loads
from runtime.keyfiles import read_cards, read_key
from runtime.sections import LogSection
from sinks.config import SinkFile
from sotto.init import MEMBERS, Trial, is_trial, write_trial
from sotto.join import write_member
from sotto.roles import kind_of, read_role
from streams.config import CollectorFile, PartyFile

_MODELS: dict[str, type[BaseModel]] = {
    "gateway": GatewayFile,
    "party": PartyFile,
    "collector": CollectorFile,
    "sink": SinkFile,
}
REPOSITORY = Path(__file__).resolve().parents[2]
_DEFAULT_LINE = re.compile(r"^# (?=\[[a-z_.]+\]|[a-z_]+ *=)", re.MULTILINE)


def uncomment_defaults(text: str) -> str:
    """Turn every commented line that holds a key or a table into a line that counts."""
    return _DEFAULT_LINE.sub("", text)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return write_trial(tmp_path / "air", entropy=random.Random(1).randbytes)


def test_all_files_load_and_fit_together(trial: Trial) -> None:
    """Task, roster, signatures, keys and cards belong to each other."""
    task, roster = load(trial.task, Task), load(trial.roster, Roster)
    roster.verify(task)
    assert len(read_cards(trial.roster, roster, task)) == 4
    assert len(roster.cells(task)) == 12
    for role in trial.roles:
        read = read_role(role.path)
        assert kind_of(role.path) == role.kind
        assert read.name == role.name
        if role.kind != "sink":
            key = read_key(read.file.key)
            assert (key.role, key.name) == (role.kind, role.name)
            known = {**{name: each.identity for name, each in roster.gateways.items()}}
            known |= {name: each.identity for name, each in task.party.items()} | {"collector": task.collector.identity}
            assert key.public_identity == known[role.name]


def test_commented_lines_are_the_defaults(trial: Trial) -> None:
    """Whoever uncomments a line changes nothing: the file documents itself."""
    task = load(trial.task, Task)
    for role in trial.roles:
        text = role.path.read_text()
        plain = loads(text, _MODELS[role.kind], path=role.path)
        full_text = uncomment_defaults(text)
        assert full_text.count("\n# ") < text.count("\n# ")
        full = loads(full_text, _MODELS[role.kind], path=role.path)
        assert _effective(full, task) == _effective(plain, task)
    for path, model in ((trial.task, Task), (trial.roster, Roster)):
        text = path.read_text()
        assert loads(uncomment_defaults(text), model, path=path).hash == load(path, model).hash  # type: ignore[attr-defined]


def _effective(file: Any, task: Task) -> dict[str, Any]:
    """What a file means: a default that is computed counts as what it is computed to."""
    document = file.model_dump()
    document["kafka"]["topic_prefix"] = Topics.of(task, file.kafka.topic_prefix).prefix
    if isinstance(file, GatewayFile):
        document["mqtt"]["client_id"] = file.client_id
    if isinstance(file, SinkFile) and file.influxdb is not None:
        document["influxdb"]["measurement"] = file.influxdb.measurement or task.name.replace("-", "_")
    return _without_places(document)


def _without_places(value: Any) -> Any:
    """Drop the line numbers of secrets, which move when lines are added."""
    if isinstance(value, dict):
        return {key: _without_places(inner) for key, inner in value.items() if key != "where"}
    if isinstance(value, list | tuple):
        return [_without_places(inner) for inner in value]
    return str(value)


def test_every_section_with_defaults_is_shown(trial: Trial) -> None:
    """A key with a plain default that no file mentions is a key that nobody finds."""
    for role in trial.roles:
        shown = role.path.read_text()
        for name, field in _MODELS[role.kind].model_fields.items():
            assert re.search(rf"\[+{name}\]|^{name} +=", shown, re.MULTILINE) or field.default is None, (
                role.kind,
                name,
            )


def keys_not_shown(text: str, model: type[BaseModel]) -> list[str]:
    """Return the keys of a model, tables within tables included, that a file shows nowhere in their table.

    A key with a plain default has a line, commented or not; one without a value to show is named in a comment.
    """
    sections: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if header := re.match(r"(?:# )?\[+([a-z_]+)[a-z_.]*\]+", line):  # [source.labels] belongs to source
            name = header[1]
        sections[name] = sections.get(name, "") + line + "\n"
    missing = []
    for key, field in model.model_fields.items():
        inner = _models_in(field.annotation)
        if not inner:
            missing += _not_shown(sections[""], {key: field})
        elif key == "log" and model is not GatewayFile:
            fields = {name: each for name, each in LogSection.model_fields.items() if name != "topics"}
            missing += [f"log.{each}" for each in _not_shown(sections[key], fields)]  # only a gateway logs topics
        elif key in sections:
            missing += [f"{key}.{each}" for one in inner for each in _not_shown(sections[key], one.model_fields)]
        elif (
            not field.is_required()
            and field.default is not None
            and not re.search(rf"^# {key} *= \[\] +# .*docs/", sections[""], re.MULTILINE)
        ):
            missing.append(key)  # a list of tables that is empty by default has a line that says where they are told
    return missing


def _not_shown(text: str, fields: dict[str, Any]) -> list[str]:
    missing = []
    for name, field in fields.items():
        key = field.alias or name
        plain = not field.is_required() and field.default is not None
        is_table = _models_in(field.annotation)
        line = rf"^(?:# )?(?:\[source\.)?{key}\]? *(?:=|$|#)|{{[^}}]*\b{key} *=" if plain else rf"\b{key}\b"
        if not re.search(line, text, re.MULTILINE):
            missing.append(key)
        for one in is_table:
            missing += _not_shown(text, one.model_fields)
    return missing


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for each in get_args(annotation) for model in _models_in(each)]


def test_every_key_is_shown_where_it_goes(trial: Trial, tmp_path: Path) -> None:
    """A key that no file shows is a key that nobody finds."""
    files = {role.path: _MODELS[role.kind] for role in trial.roles} | {trial.task: Task}
    for role, name in (("gateway", "harbour-1"), ("party", "university"), ("collector", "collector")):
        joined = write_member(tmp_path / role, trial.task, role=role, name=name, organisation="harbour")  # type: ignore[arg-type]
        files[joined.file] = _MODELS[role]
    influx = write_trial(tmp_path / "influx", influx="http://127.0.0.1:8086")
    files[influx.directory / "sink.toml"] = SinkFile
    missing = {path.name: found for path, model in files.items() if (found := keys_not_shown(path.read_text(), model))}
    assert missing == {}


def test_a_key_that_is_not_shown_is_found(trial: Trial) -> None:
    """The test above notices a line that is taken away, also inside of a table."""
    text = (trial.directory / "gateways" / "north-1.toml").read_text()
    for key, where in (("max_idle", "batch.max_idle"), ("time_format", "source.time_format"), ("level", "log.level")):
        without = re.sub(rf"^# {key} .*\n", "", text, flags=re.MULTILINE)
        assert without != text
        assert keys_not_shown(without, GatewayFile) == [where]


def test_every_sample_in_the_documents_loads(tmp_path: Path) -> None:
    """Each ```toml block of a document is a file that loads, or has only tables and keys that there are."""
    known = [_names(model) for model in (*_MODELS.values(), Task, Roster)]
    for document in _documents():
        for block in re.findall(r"^```toml\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
            keys = set(tomllib.loads(block))
            assert any(keys <= names for names in known), (document.name, keys)
            if "format" in keys:
                path = tmp_path / "sample.toml"
                path.write_text(block)
                kind = kind_of(path)
                loads(block, Task if kind == "task" else _MODELS[kind], path=path)


def _documents() -> list[Path]:
    """Return all Markdown files of the repository, without what is installed into it."""
    ours = REPOSITORY.glob("[!.]*")
    return [path for one in ours for path in ([one] if one.suffix == ".md" else sorted(one.rglob("*.md")))]


def _names(model: type[BaseModel]) -> set[str]:
    """Return the names of a model's tables and keys, and of the keys in its tables: a sample may be either."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            names |= set(inner.model_fields)
    return names


def test_influx_takes_its_token_from_the_environment(tmp_path: Path) -> None:
    """No token is written anywhere; measurement and prefix may be given for one run."""
    trial = write_trial(tmp_path / "a", influx="http://127.0.0.1:8086", measurement="air_1", topic_prefix="sotto.x.")
    sink = load(tmp_path / "a" / "sink.toml", SinkFile)
    assert sink.influxdb is not None
    assert str(sink.influxdb.token) == "env:SOTTO_INFLUX_TOKEN"
    assert (sink.influxdb.measurement, sink.kafka.topic_prefix) == ("air_1", "sotto.x.")
    assert trial.results is None
    write_trial(tmp_path / "b", influx="http://127.0.0.1:8086")
    text = (tmp_path / "b" / "sink.toml").read_text()
    task = load(tmp_path / "b" / "task.toml", Task)
    full = loads(uncomment_defaults(text), SinkFile, path=tmp_path / "b" / "sink.toml")
    assert _effective(full, task) == _effective(load(tmp_path / "b" / "sink.toml", SinkFile), task)


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_additive_scheme_takes_any_number_of_parties(tmp_path: Path, parties: int) -> None:
    """Each party has a file, a key and a card; all of them sign the roster."""
    trial = write_trial(tmp_path / "a", scheme="additive", parties=parties, partitions=5)
    task, roster = load(trial.task, Task), load(trial.roster, Roster)
    roster.verify(task)
    assert (len(task.party), len(roster.signatures), roster.partitions) == (parties, parties, 5)
    assert sum(role.kind == "party" for role in trial.roles) == parties


def test_embedded_brokers_and_older_ones_can_be_named(tmp_path: Path) -> None:
    """What the demo needs for its brokers goes into the files, where it can be seen."""
    trial = write_trial(tmp_path / "a", mqtt_version="3.1.1", kafka_api_version="2.3", mqtt="mqtt://127.0.0.1:1")
    gateway = load(trial.roles[0].path, GatewayFile)
    assert (gateway.mqtt.version, gateway.kafka.api_version, gateway.mqtt.url) == (
        "3.1.1",
        (2, 3),
        "mqtt://127.0.0.1:1",
    )


def test_keys_are_secret_and_public_parts_are_not(trial: Trial) -> None:
    """Keys have mode 0600 from the first byte on; no secret of a key stands in any other file."""
    secrets = set()
    for path in (trial.directory / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        secrets |= set(re.findall(r'^(?:identity|storage|sealing) *= "(.*)"$', path.read_text(), re.MULTILINE))
    assert len(secrets) == 12 * 2 + 4
    for path in trial.directory.rglob("*"):
        if path.is_file() and path.parent.name != "keys":
            assert not [secret for secret in secrets if secret in path.read_text()]


def test_sample_data_is_that_of_the_stations(trial: Trial) -> None:
    """Two days of twelve stations, in their areas and organisations."""
    with trial.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48 * 12
    found = {(row["organisation"], row["station"]) for row in rows}
    assert found == {(member.organisation, station) for member in MEMBERS for station in member.stations}


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path, trial: Trial) -> None:
    """Nothing is overwritten, least of all keys."""
    assert is_trial(trial.directory)
    with pytest.raises(ConfigError, match="not empty"):
        write_trial(trial.directory)
    (tmp_path / "mine").mkdir()
    assert not is_trial(tmp_path / "mine")


@pytest.mark.parametrize(("options", "what"), [({"parties": 4}, "has three"), ({"kafka": "nowhere"}, "host:port")])
def test_impossible_wishes_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], what: str
) -> None:
    """An error leaves no half-written directory."""
    with pytest.raises(ConfigError, match=what):
        write_trial(tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_quotes_in_what_is_given_cannot_break_out_of_the_file(tmp_path: Path) -> None:
    """Texts go into the file as TOML texts."""
    write_trial(tmp_path / "a", influx="http://h:1", influx_org='o"\nx = "y', influx_bucket="ö\\")
    sink = load(tmp_path / "a" / "sink.toml", SinkFile)
    assert sink.influxdb is not None
    assert (sink.influxdb.org, sink.influxdb.bucket) == ('o"\nx = "y', "ö\\")


def test_who_computes_gets_the_circuits_of_a_task(tmp_path: Path, trial: Trial) -> None:
    """A party and the collector cannot start without them; a gateway has no use for them."""
    invited = tmp_path / "from the city"
    invited.mkdir()
    joint = f'[[joint]]\nname = "c"\njob = "circuit"\nfile = "c.txt"\nsha256 = "{"0" * 64}"\ninputs = [["no2", 1]]\n'
    (invited / "task.toml").write_text(trial.task.read_text() + joint)
    (invited / "c.txt").write_text("gates")
    for role, name in (("gateway", "harbour-1"), ("party", "university"), ("collector", "collector")):
        write_member(tmp_path / role, invited / "task.toml", role=role, name=name, organisation="harbour")  # type: ignore[arg-type]
        assert (tmp_path / role / "c.txt").exists() == (role != "gateway")


@pytest.mark.parametrize("role", ["gateway", "party", "collector"])
def test_a_member_gets_its_part_of_a_task(tmp_path: Path, trial: Trial, role: Any) -> None:
    """The file loads, its commented lines are the defaults, and it asks for TLS and a login."""
    name = {"gateway": "harbour-1", "party": "university", "collector": "collector"}[role]
    joined = write_member(tmp_path / "us", trial.task, role=role, name=name, organisation="harbour")
    plain = load(joined.file, _MODELS[role])
    task = load(tmp_path / "us" / "task.toml", Task)
    full = loads(uncomment_defaults(joined.file.read_text()), _MODELS[role], path=joined.file)
    assert isinstance(plain, GatewayFile | PartyFile | CollectorFile)
    if isinstance(plain, GatewayFile) and isinstance(full, GatewayFile):
        assert full.state == plain.state
        full = full.model_copy(update={"state_dir": None})
        assert read_key(plain.key).name == "harbour-1"
    assert _effective(full, task) == _effective(plain, task)
    assert plain.kafka.security_protocol == "SASL_SSL"
    assert joined.key.exists() == (role == "gateway")
    assert (tmp_path / "us" / "cards" / "university.card").exists()
    with pytest.raises(ConfigError, match="already"):
        write_member(tmp_path / "us", trial.task, role=role, name=name, organisation="harbour")
