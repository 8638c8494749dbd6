"""The command `sotto init`: what a person sees of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sotto.init import write_trial
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
) -> None:
    """Write a directory that runs: a trial with all roles, keys and two days of real data."""
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
