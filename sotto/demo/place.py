"""Where the demo runs: a trial that it writes, or a copy of one that `sotto init` wrote and somebody may have changed.

A trial's files name servers. The demo's own brokers have other addresses in every run, so a trial that is there already
is copied to `DIR/run` and the copy is pointed at them; the files of its owner stay as they are.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from protocol.errors import ConfigError
from sotto.init import RoleFile, Trial, is_trial, write_trial, writing

DEFAULT = Path("sotto-demo")
RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers of one run. `kafka_api_version` and `mqtt_version` are for the embedded brokers; None: the default.

    `topic_prefix`, `measurement` and `mqtt_root` (the first level of MQTT topics, part of client ids) are new for each
    run on given servers: what an earlier run left there is then neither counted twice nor able to stand in for a result
    that is missing, and two runs at once do not take each other's sessions and messages.
    """

    mqtt: str
    kafka: str
    mqtt_version: str | None = None
    mqtt_root: str | None = None
    kafka_api_version: str | None = None
    influx: str | None = None
    influx_org: str = "sotto"
    influx_bucket: str = "sotto"
    measurement: str | None = None
    topic_prefix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the trial is to be like; None: the default, or what the trial that is there says."""

    scheme: str | None = None
    parties: int | None = None
    partitions: int | None = None


def checked(directory: Path | None, wanted: Wanted) -> Path:
    """Return the directory to use. Raises ConfigError for one that is not a trial, or that `wanted` does not fit."""
    if directory is None:
        directory, wanted = DEFAULT, Wanted()  # written anew, so it may have been anything
    if directory.is_dir() and any(directory.iterdir()):
        if not is_trial(directory):
            raise _not_ours(directory)
        if wanted != Wanted():
            raise ConfigError(
                f"{directory} is a trial that is there already, with its own scheme, parties and partitions",
                remedy="Name a directory that is not there yet, or leave these options out.",
            )
    return directory


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Make the directory and hold it; another demo there would delete the files of this one while it runs.

    The system lets go of the lock with the process, however that ends. Raises ConfigError when somebody holds it.
    """
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        held = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"a demo is running in {directory}", remedy="Wait for its end, or name another one: sotto demo DIR"
            ) from None
        yield
    finally:
        with suppress(OSError):
            directory.rmdir()  # only where nothing was written
        os.close(held)


def prepare(directory: Path, *, own: bool, servers: Servers, wanted: Wanted) -> Trial:
    """Make the files of this run. `own`: the directory is the demo's own and is written anew each time."""
    if own and directory.exists():
        _empty(directory)
    if not directory.exists() or not any(directory.iterdir()):
        return _apart(_write(directory, servers, wanted), servers.mqtt_root)
    run = directory / RUN
    if run.exists():
        shutil.rmtree(run)
    shutil.copytree(directory, run, ignore=shutil.ignore_patterns(RUN, "state", "logs", "results.db*"))
    return _apart(_pointed(run, servers), servers.mqtt_root)


def _apart(trial: Trial, root: str | None) -> Trial:
    """Give the gateways of this run MQTT topics and sessions that no other run has."""
    if root is None:
        return trial
    for role in trial.roles:
        if role.kind == "gateway":
            text = with_keys(role.path.read_text(), "mqtt", {"client_id": f'"sotto-{role.name}-{root}"'})
            role.path.write_text(re.sub(r'^(topic\s*= ")', rf"\g<1>{root}/", text, flags=re.MULTILINE))
    return replace(trial, topic=f"{root}/{trial.topic}")


def _empty(directory: Path) -> None:
    """Remove what is in a directory. The directory stays, since it is locked."""
    for each in directory.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _write(directory: Path, servers: Servers, wanted: Wanted) -> Trial:
    return write_trial(
        directory,
        mqtt=servers.mqtt,
        kafka=servers.kafka,
        influx=servers.influx,
        influx_org=servers.influx_org,
        influx_bucket=servers.influx_bucket,
        scheme="additive" if wanted.scheme == "additive" else "replicated",
        parties=wanted.parties or 3,
        partitions=wanted.partitions or 3,
        topic_prefix=servers.topic_prefix,
        measurement=servers.measurement,
        mqtt_version="3.1.1" if servers.mqtt_version == "3.1.1" else "5",
        kafka_api_version=servers.kafka_api_version,
    )


def _pointed(directory: Path, servers: Servers) -> Trial:
    gateways = sorted((directory / "gateways").glob("*.toml"))
    parties = sorted((directory / "parties").glob("*.toml"))
    roles = [RoleFile("gateway", path.stem, path) for path in gateways]
    roles += [RoleFile("party", path.stem, path) for path in parties]
    roles += [RoleFile("collector", "collector", directory / "collector.toml")]
    roles += [RoleFile("sink", "sink", directory / "sink.toml")]
    kafka = {"bootstrap_servers": f'["{servers.kafka}"]', "security_protocol": '"PLAINTEXT"', "allow_plaintext": "true"}
    if servers.kafka_api_version is not None:
        kafka["api_version"] = f'"{servers.kafka_api_version}"'
    if servers.topic_prefix is not None:
        kafka["topic_prefix"] = f'"{servers.topic_prefix}"'
    mqtt = {"url": f'"{servers.mqtt}"'}
    if servers.mqtt_version is not None:
        mqtt["version"] = f'"{servers.mqtt_version}"'
    for role in roles:
        text = with_keys(role.path.read_text(), "kafka", kafka)
        if role.kind == "gateway":
            text = with_keys(text, "mqtt", mqtt)
        if role.kind == "sink" and servers.influx is not None:
            text = _with_influx(text, servers)
        role.path.write_text(text)
    return Trial(
        directory=directory,
        task=directory / "task.toml",
        roster=directory / "roster.toml",
        roles=tuple(roles),
        results=None if servers.influx else directory / "results.db",
        csv=directory / "beijing-air.csv",
    )


def listen_at(file: Path, address: str) -> None:
    """Write where a role of this run has its pages into its file, so that `sotto status FILE` finds them."""
    text = file.read_text()
    if not re.search(r"^\[http\]", text, flags=re.MULTILINE):
        text += "\n[http]\n"
    file.write_text(with_keys(text, "http", {"listen": f'"{address}"'}))


def with_keys(text: str, section: str, values: Mapping[str, str]) -> str:
    """Return a TOML text whose top-level table `section` has these values (TOML tokens); everything else stays."""
    lines = text.split("\n")
    head = next(place for place, line in enumerate(lines) if re.match(rf"\[{re.escape(section)}\]", line))
    end = next((place for place in range(head + 1, len(lines)) if lines[place].startswith("[")), len(lines))
    kept = [line for line in lines[head + 1 : end] if not any(re.match(rf"{key}\s*=", line) for key in values)]
    made = [f"{key} = {value}" for key, value in values.items()]
    return "\n".join([*lines[: head + 1], *made, *kept, *lines[end:]])


def _with_influx(text: str, servers: Servers) -> str:
    lines = text.split("\n")
    head = next((place for place, line in enumerate(lines) if re.match(r"\[(sqlite|influxdb)\]", line)), len(lines))
    end = next((place for place in range(head + 1, len(lines)) if lines[place].startswith("[")), len(lines))
    made = [
        "[influxdb]",
        f'url = "{servers.influx}"',
        f'org = "{servers.influx_org}"',
        f'bucket = "{servers.influx_bucket}"',
        'token = "env:SOTTO_INFLUX_TOKEN"',
        *([f'measurement = "{servers.measurement}"'] if servers.measurement else []),
    ]
    return "\n".join([*lines[:head], *made, *lines[end:]])


def _not_ours(directory: Path) -> ConfigError:
    return ConfigError(
        f"{directory} is there already and is not a trial of `sotto init`",
        remedy="Nothing was touched. Name another directory: sotto demo DIR",
    )
