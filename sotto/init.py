"""`sotto init`: a directory that runs. All roles of a trial, with keys, sample data and a configuration file for each.

The demo is such a directory, run as real processes, so it cannot drift from the product.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final, Literal, NamedTuple, TypeAlias

from protocol.errors import ConfigError
from protocol.identity import b64, format_fingerprint, format_identity
from protocol.keys import KeyFile
from protocol.roster import Roster, gateway_statement
from protocol.task import Task
from runtime.files import loads
from runtime.keyfiles import write_new_key
from runtime.sections import host_and_port, is_loopback

SchemeName: TypeAlias = Literal["replicated", "additive"]
Kind: TypeAlias = Literal["gateway", "party", "collector", "sink"]

SUITE: Final = "mlkem768-x25519"
MARKER: Final = "TRIAL"
TLS_KEYS: Final = (
    "# With TLS also tls_ca (else the system's certificates), tls_cert and tls_key; api_version: embedded brokers."
)
SAMPLE: Final = "beijing-air-2016-12-28_29.csv.gz"
_MARKER_TEXT: Final = (
    "A trial written by `sotto init`. The keys of all roles lie in this folder, on one machine: whoever reads it can\n"
    "read every reading. Good for a trial, no privacy. In earnest each member makes its own keys where they are used.\n"
)


class Member(NamedTuple):
    """An organisation of the trial, its gateway and its stations."""

    organisation: str
    legal_name: str
    contact: str
    stations: tuple[str, ...]

    @property
    def gateway(self) -> str:
        """Each organisation has one gateway."""
        return f"{self.organisation}-1"


MEMBERS: Final = (
    Member("north", "North Monitoring Network", "privacy@north.example", ("Dongsi", "Aotizhongxin", "Dingling")),
    Member("west", "West Clean Air Ltd", "dpo@west.example", ("Guanyuan", "Gucheng", "Changping")),
    Member("south", "South District Authority", "datenschutz@south.example", ("Tiantan", "Wanliu", "Shunyi")),
    Member("east", "East Industrial Park", "office@east.example", ("Wanshouxigong", "Nongzhanguan", "Huairou")),
)
AREAS: Final = ("centre", "ring", "outer")
_OPERATORS: Final = {
    "city-it": "City of Beijing, Department of IT",
    "university": "Institute of Urban Environment",
    "waterworks": "Municipal Waterworks, Operations",
}


class RoleFile(NamedTuple):
    """A configuration file that was written, and which role it is for."""

    kind: Kind
    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What `write_trial` has written. `results` is the SQLite file that the sink will make, None with InfluxDB."""

    directory: Path
    task: Path
    roster: Path
    roles: tuple[RoleFile, ...]
    results: Path | None
    csv: Path
    topic: str = "{organisation}/air/{area}/{station}"


class _Template(Template):
    delimiter = "%"


def write_trial(
    directory: Path,
    *,
    mqtt: str = "mqtt://127.0.0.1:1883",
    kafka: str = "127.0.0.1:9092",
    influx: str | None = None,
    influx_org: str = "sotto",
    influx_bucket: str = "sotto",
    scheme: SchemeName = "replicated",
    parties: int = 3,
    partitions: int = 3,
    topic_prefix: str | None = None,
    measurement: str | None = None,
    mqtt_version: Literal["5", "3.1.1"] = "5",
    kafka_api_version: str | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Trial:
    """Write a whole trial into an empty or new directory. Raises ConfigError, and writes nothing then."""
    _check(directory, kafka=kafka, scheme=scheme, parties=parties)
    keys = _make_keys(_party_names(parties), entropy)
    task_text = _task_text(keys, scheme=scheme, names=_party_names(parties))
    task = loads(task_text, Task, path=directory / "task.toml")
    roster = roster_text(task, keys, partitions=partitions)
    loads(roster, Roster, path=directory / "roster.toml").verify(task)
    kafka_text = _kafka_text(task, kafka=kafka, prefix=topic_prefix, api_version=kafka_api_version)
    sink = _sink_text(kafka_text, influx=influx, org=influx_org, bucket=influx_bucket, measurement=measurement)
    files: dict[RoleFile, str] = {}
    for number, member in enumerate(MEMBERS):
        path = directory / "gateways" / f"{member.gateway}.toml"
        text = _gateway_text(member, kafka_text, mqtt=mqtt, version=mqtt_version, port=9701 + number)
        files[RoleFile("gateway", member.gateway, path)] = text
    for number, name in enumerate(task.party_names):
        path = directory / "parties" / f"{name}.toml"
        values = _paths("../", name) | {"name": quoted(name), "kafka": kafka_text, "listen": _listen(9711 + number)}
        files[RoleFile("party", name, path)] = fill("party.toml", values)
    values = _paths("", "collector") | {"kafka": kafka_text, "listen": _listen(9751)}
    files[RoleFile("collector", "collector", directory / "collector.toml")] = fill("collector.toml", values)
    files[RoleFile("sink", "sink", directory / "sink.toml")] = sink

    for key in keys.values():
        write_new_key(directory / "keys", key, cards=directory / "cards")
    for role, text in files.items():
        write(role.path, text)
    write(directory / "task.toml", task_text)
    write(directory / "roster.toml", roster)
    csv = directory / "beijing-air.csv"
    csv.write_bytes(gzip.decompress(resources.files("sotto").joinpath("data", SAMPLE).read_bytes()))
    write(directory / MARKER, _MARKER_TEXT)
    return Trial(
        directory=directory,
        task=directory / "task.toml",
        roster=directory / "roster.toml",
        roles=tuple(files),
        results=None if influx else directory / "results.db",
        csv=csv,
    )


def is_trial(directory: Path) -> bool:
    """Tell whether `sotto init` has written this directory."""
    marker = directory / MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8", errors="replace") == _MARKER_TEXT


def _check(directory: Path, *, kafka: str, scheme: SchemeName, parties: int) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(
            f"{directory} is there already and not empty", remedy="Choose a new name; nothing was written."
        )
    if scheme == "replicated" and parties != 3:
        remedy = "The additive scheme takes 2 to 32: --scheme additive"
        raise ConfigError(f"the replicated scheme has three parties, not {parties}", remedy=remedy)
    if not 2 <= parties <= 32:
        raise ConfigError(f"{parties} parties are not possible", remedy="The additive scheme takes 2 to 32.")
    try:
        host_and_port(kafka)
    except ValueError as error:
        raise ConfigError(f"--kafka: {error}") from None


def _party_names(parties: int) -> tuple[str, ...]:
    return tuple(_OPERATORS) if parties == 3 else tuple(f"party-{number}" for number in range(1, parties + 1))


def _make_keys(parties: tuple[str, ...], entropy: Callable[[int], bytes]) -> dict[str, KeyFile]:
    wanted = [("organisation", each.organisation) for each in MEMBERS] + [("gateway", each.gateway) for each in MEMBERS]
    wanted += [("party", name) for name in parties] + [("collector", "collector")]
    return {
        name: KeyFile.generate(role=role, name=name, suite=SUITE, entropy=entropy)  # type: ignore[arg-type]
        for role, name in wanted
    }


def _task_text(keys: Mapping[str, KeyFile], *, scheme: SchemeName, names: tuple[str, ...]) -> str:
    says = {
        "replicated": "three parties: one learns nothing, two together learn everything, two suffice",
        "additive": "all parties together learn everything, fewer learn nothing; all are needed",
    }
    blocks = [
        f"[party.{name}]\n"
        f"operator = {quoted(_OPERATORS.get(name, f'Operator {name}'))}\n"
        f"identity = {quoted(format_identity(keys[name].public_identity))}\n"
        for name in names
    ]
    return fill(
        "task.toml",
        {
            "scheme": f"name = {quoted(scheme)}".ljust(40) + f" # {says[scheme]}",
            "parties": "\n".join(blocks),
            "collector": quoted(format_identity(keys["collector"].public_identity)),
        },
    )


def roster_text(task: Task, keys: Mapping[str, KeyFile], *, partitions: int) -> str:
    """Write the roster of a task for the organisations of the trial; `keys` are those of all its members."""
    organisations = []
    for member in MEMBERS:
        organisation, gateway = keys[member.organisation], keys[member.gateway]
        statement = gateway_statement(task.hash, member.organisation, member.gateway, gateway.public_identity)
        organisations.append(
            f"[organisation.{member.organisation}]\n"
            f"legal_name = {quoted(member.legal_name)}\n"
            f"contact    = {quoted(member.contact)}\n"
            f"identity   = {quoted(format_identity(organisation.public_identity))}\n"
            f"[organisation.{member.organisation}.gateway.{member.gateway}]\n"
            f"identity   = {quoted(format_identity(gateway.public_identity))}\n"
            f"signed     = {quoted(b64(organisation.identity.sign(statement)))}\n"
        )
    sealing = [
        f"{name} = {quoted(format_fingerprint(keys[name].card().fingerprint))}"
        for name in (*task.party_names, "collector")
    ]
    unsigned = fill(
        "roster.toml",
        {
            "task": quoted(task.id),
            "partitions": str(partitions),
            "areas": ", ".join(map(quoted, AREAS)),
            "organisations": "\n".join(organisations),
            "sealing_keys": "\n".join(sealing),
        },
    )
    statement = loads(unsigned, Roster, path=Path("roster.toml")).statement
    signatures = [f"{name} = {quoted(b64(keys[name].identity.sign(statement)))}" for name in task.party_names]
    return unsigned + "\n".join(signatures) + "\n"


def _gateway_text(member: Member, kafka: str, *, mqtt: str, version: str, port: int) -> str:
    default = '# version        = "5"                  # "3.1.1" for older brokers'
    other = f'version          = {quoted(version)}              # default "5"'
    return fill(
        "gateway.toml",
        _paths("../", member.gateway)
        | {
            "organisation": member.organisation,
            "organisation_text": quoted(member.organisation),
            "stations": ", ".join(member.stations),
            "name": quoted(member.gateway),
            "bare_name": member.gateway,
            "state_dir": quoted(f"../state/{member.gateway}"),
            "mqtt": quoted(mqtt),
            "mqtt_version": default if version == "5" else other,
            "topic": quoted(f"{member.organisation}/air/{{area}}/{{station}}"),
            "kafka": kafka,
            "listen": _listen(port),
        },
    )


def _sink_text(kafka: str, *, influx: str | None, org: str, bucket: str, measurement: str | None) -> str:
    if influx is None:
        store = '[sqlite]                                 # or [influxdb]; exactly one of the two\npath = "results.db"'
    else:
        name = (
            '# measurement = "beijing_air"            # the task\'s name with _ in place of -'
            if measurement is None
            else f"measurement = {quoted(measurement)}"
        )
        store = (
            "[influxdb]                               # or [sqlite] with path; exactly one of the two\n"
            f"url    = {quoted(influx)}\n"
            f"org    = {quoted(org)}\n"
            f"bucket = {quoted(bucket)}                        # its retention must reach back to valid_from\n"
            'token  = "env:SOTTO_INFLUX_TOKEN"        # needs write on the bucket\n'
            "# With https also tls_ca, else the system's certificates.\n"
            f"{name}"
        )
    return fill("sink.toml", {"task": '"task.toml"', "kafka": kafka, "store": store, "listen": _listen(9752)})


def _kafka_text(task: Task, *, kafka: str, prefix: str | None, api_version: str | None) -> str:
    lines = [
        f"bootstrap_servers = [{quoted(kafka)}]",
        'security_protocol = "PLAINTEXT"          # a trial; default "SSL"; "SASL_SSL" with a login',
    ]
    if not is_loopback(host_and_port(kafka)[0]):
        lines.append("allow_plaintext   = true                 # Kafka is not on this machine; for the real thing: SSL")
    else:
        lines.append("# allow_plaintext = false                # true: to another machine without encryption")
    if api_version is not None:
        lines.append(
            f"api_version       = {quoted(api_version)}                # the embedded broker cannot be asked for it"
        )
    lines.append('# sasl_mechanism  = "SCRAM-SHA-512"      # of a login: beside sasl_username and sasl_password')
    lines.append(TLS_KEYS)
    lines.append('# session_timeout = "6s"                 # so soon another worker takes over from a dead one')
    if prefix is None:
        lines.append(f"# topic_prefix    = {quoted(f'sotto.{task.name}.')} # the same for all roles")
    else:
        lines.append(f"topic_prefix      = {quoted(prefix)} # the same for all roles")
    return "\n".join(lines)


def _paths(up: str, key: str) -> dict[str, str]:
    return {
        "task": quoted(f"{up}task.toml"),
        "roster": quoted(f"{up}roster.toml"),
        "key": quoted(f"file:{up}keys/{key}.key"),
    }


def _listen(port: int) -> str:
    return quoted(f"127.0.0.1:{port}")


def fill(template: str, values: Mapping[str, str]) -> str:
    text = resources.files("sotto").joinpath("templates", template).read_text(encoding="utf-8")
    return _Template(text).substitute(values)


def quoted(text: str) -> str:
    """Write a TOML text; JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says of a place where a person wants files into a ConfigError."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {(error.strerror or 'unknown error').lower()}",
            remedy="Choose a place where you may write.",
        ) from error
