"""The command `sotto init`: what a person sees of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from protocol.errors import ConfigError
from sotto.init import write_trial, writing
from sotto.join import JoinRole, write_member
from sotto.terminal import say


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.", show_default=False)],
    *,
    mqtt: Annotated[str, typer.Option(metavar="URL", help="The MQTT broker of the trial.")] = "mqtt://127.0.0.1:1883",
    kafka: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:9092",
    influx: Annotated[str | None, typer.Option(metavar="URL", help="Results go there; default: a SQLite file.")] = None,
    influx_org: Annotated[str, typer.Option()] = "sotto",
    influx_bucket: Annotated[str, typer.Option()] = "sotto",
    scheme: Annotated[Literal["replicated", "additive"], typer.Option(help="How readings are shared.")] = "replicated",
    parties: Annotated[int, typer.Option(min=2, max=32, help="How many add up; with replicated always 3.")] = 3,
    partitions: Annotated[int, typer.Option(min=1, max=1024, help="Of Kafka's topics.")] = 3,
    join: Annotated[Path | None, typer.Option(metavar="TASK", help="One member's part of this task only.")] = None,
    role: Annotated[
        Literal["gateway", "party", "collector"] | None,
        typer.Option(help="With --join: which part.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(help="With --join: its name, like north-1.")] = None,
    organisation: Annotated[str | None, typer.Option(help="With --join: whose gateway it is.")] = None,
) -> None:
    """Write a directory that runs: a trial with all roles, or, with --join, one member of a deployment."""
    if join is not None:
        _join(directory, join, role=role, name=name, organisation=organisation)
        return
    with writing(directory):
        write_trial(
            directory,
            mqtt=mqtt,
            kafka=kafka,
            influx=influx,
            influx_org=influx_org,
            influx_bucket=influx_bucket,
            scheme=scheme,
            parties=parties,
            partitions=partitions,
        )
    say(
        f"Wrote {directory}/: task, roster, 4 gateways, {parties} parties, collector, sink,"
        " two days of real data of 12 stations.   TRIAL"
    )
    say(f"All keys lie in {directory}/ on this machine: good for a trial, no privacy.")
    say(f"Next: sotto demo {directory}")


def _join(directory: Path, task: Path, *, role: JoinRole | None, name: str | None, organisation: str | None) -> None:
    if role is None or (name is None and role != "collector"):
        raise ConfigError(
            "--join needs --role and --name", remedy="Like: --join task.toml --role gateway --name north-1"
        )
    with writing(directory):
        joined = write_member(directory, task, role=role, name=name or "collector", organisation=organisation)
    if role == "gateway":
        say(f"Wrote {joined.file} and the key {joined.key.name} (mode 0600, made here, never send it).")
        say(f"Send {joined.card} (public) to whoever keeps the roster.  By telephone: sotto keys show {joined.card}")
    else:
        say(f"Wrote {joined.file}.")
        say(f"Put {joined.key.name} beside it: the key that the task names, mode 0600.")
    say(f"Then put your own names for *.example:  sotto check {joined.file}")
