"""Which role a configuration file is for, found from its keys, so that `check` and `topics` take any of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from protocol.errors import ConfigError
from protocol.task import Task
from runtime.files import load, read_toml
from runtime.sections import KafkaSection
from sotto.extras import needs

if TYPE_CHECKING:
    from ingest.config import GatewayFile
    from sinks.config import SinkFile
    from streams.config import CollectorFile, PartyFile

Kind: TypeAlias = Literal["gateway", "party", "collector", "sink"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A configuration file, read."""

    path: Path
    name: str
    file: GatewayFile | PartyFile | CollectorFile | SinkFile

    @property
    def kafka(self) -> KafkaSection:
        """How the role reaches Kafka."""
        return self.file.kafka


def kind_of(path: Path) -> Kind | Literal["task"]:
    """Tell the kind of a file by its tables. Raises ConfigError for what is none of ours."""
    data = read_toml(path)
    if "measures" in data and "policy" in data:
        return "task"
    if "source" in data or "mqtt" in data:
        return "gateway"
    if "influxdb" in data or "sqlite" in data:
        return "sink"
    if "kafka" in data and "task" in data:
        return "party" if "name" in data else "collector"
    raise ConfigError(
        f"{path.name} is not the configuration of a role",
        remedy="A gateway has [[source]], a party a name, the sink [influxdb] or [sqlite]; all have [kafka].",
    )


def read_role(path: Path) -> Role:
    """Read the configuration file of any role. Raises ConfigError."""
    kind = kind_of(path)
    if kind == "task":
        raise ConfigError(
            f"{path.name} is a task, not the configuration of a role",
            remedy="Give the file of a gateway, a party, the collector or the sink.",
        )
    with needs(kind if kind != "collector" else "party"):
        if kind == "gateway":
            from ingest.config import GatewayFile  # noqa: PLC0415  each role is installed by itself

            gateway = load(path, GatewayFile)
            return Role(path=path, name=gateway.name, file=gateway)
        if kind == "sink":
            from sinks.config import SinkFile  # noqa: PLC0415

            return Role(path=path, name="sink", file=load(path, SinkFile))
        from streams.config import CollectorFile, PartyFile  # noqa: PLC0415

        if kind == "party":
            party = load(path, PartyFile)
            return Role(path=path, name=party.name, file=party)
        return Role(path=path, name="collector", file=load(path, CollectorFile))


def read_task(role: Role) -> Task:
    """Read the task that a role's file names."""
    return load(role.file.task, Task)
