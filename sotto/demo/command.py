"""`sotto demo`: everything on this machine, on real data."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from protocol.errors import ConfigError
from sotto.demo.place import Wanted
from sotto.demo.run import Options, run
from sotto.demo.screen import choose_screen
from sotto.demo.summary import document, lines, passed
from sotto.init import writing

HOURS_IN_SAMPLE = 47
"""From the first reading of the sample to its last."""


def demo(
    *,
    directory: Annotated[
        Path | None,
        typer.Argument(help="A trial that sotto init wrote, or a new directory. Default: ./sotto-demo, made anew."),
    ] = None,
    mqtt: Annotated[str | None, typer.Option(help="Use this MQTT broker: mqtt://HOST:PORT.")] = None,
    kafka: Annotated[str | None, typer.Option(help="Use this Kafka: HOST:PORT, without login.")] = None,
    influx: Annotated[
        str | None, typer.Option(help="Write to this InfluxDB, not to SQLite; token in SOTTO_INFLUX_TOKEN.")
    ] = None,
    influx_org: Annotated[str, typer.Option(help="InfluxDB 1.x: -")] = "sotto",
    influx_bucket: Annotated[str, typer.Option(help="InfluxDB 1.x: DATABASE/RETENTION.")] = "sotto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the summary to this file.")] = None,
    scheme: Annotated[Literal["replicated", "additive"] | None, typer.Option(help="Default: replicated.")] = None,
    parties: Annotated[int | None, typer.Option(min=2, help="Default: 3; additive takes others.")] = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="Of each Kafka topic. Default: 3.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes for each party.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="So long the two days take.")] = 16.0,
    speed: Annotated[float | None, typer.Option(min=1, help="Instead: so many times as fast as it was.")] = None,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="No lines and arrows beyond ASCII.")] = False,
) -> None:
    """Run everything on this machine: four organisations, three parties, two days of real air data of Beijing.

    Exit status 0 means that every value that was due is there and equals the plain computation.
    """
    if json_file is not None and not json_file.parent.is_dir():
        raise ConfigError(f"there is no directory {json_file.parent}", where="--json")
    # Ended by SIGTERM it tidies up as it does after Ctrl-C: the terminal, its directory, its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console()
    options = Options(
        directory=directory,
        mqtt=mqtt,
        kafka=kafka,
        influx=influx,
        influx_org=influx_org,
        influx_bucket=influx_bucket,
        wanted=Wanted(scheme=scheme, parties=parties, partitions=partitions),
        workers=workers,
        seconds=seconds if speed is None else HOURS_IN_SAMPLE * 3600 / speed,
    )
    outcome = run(options, choose_screen(console, ascii_only=ascii_only))
    for line in lines(outcome):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if json_file is not None:
        with writing(json_file):
            json_file.write_text(json.dumps(document(outcome), indent=2) + "\n", encoding="utf-8")
    if not passed(outcome):
        raise typer.Exit(1)
