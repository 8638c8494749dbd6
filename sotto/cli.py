"""`sotto`: the command line. Commands are thin; each role is imported only when it is run.

Exit status: 0 done, 1 failed while running, 2 wrong use or configuration, 3 not ready (check, status).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from typer.core import TyperGroup

from protocol.errors import SottoError
from protocol.units import parse_duration
from runtime.logs import configure, prefer
from runtime.unexpected import crashed, hook
from sotto import check, init_command, keys, status, task, topics
from sotto.extras import needs
from sotto.terminal import fail, manner

_ORDER = (
    "demo",
    "init",
    "gateway",
    "party",
    "collector",
    "sink",
    "task",
    "keys",
    "check",
    "status",
    "topics",
    "replay",
)


class _InOrder(TyperGroup):
    """Lists the commands as a person meets them: try, run, agree, look after."""

    def list_commands(self, ctx: object) -> list[str]:
        return sorted(self.commands, key=_ORDER.index)


app = typer.Typer(
    name="sotto",
    cls=_InOrder,
    help="Joint statistics over MQTT sensors, without anybody's readings.",
    epilog="Exit status: 0 done, 1 failed while running, 2 wrong use or configuration, 3 not ready (check, status).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_TRY, _RUN, _AGREE, _AFTER = "Try", "Run", "Agree", "Look after"
_ROLES = ("gateway", "party", "collector", "sink")
_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration of this role.", show_default=False)]
_Http = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help='Instead of \\[http] listen; "" switches the pages off.')
]


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"sotto {version('sotto-streams')}")
        except PackageNotFoundError:
            typer.echo("sotto (not installed)")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Instead of \\[log] level. No level shows a reading or a share.", show_default=False),
    ] = None,
    log_format: Annotated[
        Literal["auto", "text", "json"] | None,
        typer.Option(help="Instead of \\[log] format: text on a terminal, JSON elsewhere.", show_default=False),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what was asked for, and errors.")] = False,
    _: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """Joint statistics over MQTT sensors, without anybody's readings."""
    manner.quiet, manner.traces = quiet, log_level == "debug"
    manner.role = context.invoked_subcommand in _ROLES
    prefer(level=log_level, form=log_format)
    configure(log_level or "warning")


@app.command(rich_help_panel=_TRY, context_settings=_PASS_ON, add_help_option=False)
def demo(context: typer.Context) -> None:
    """Everything on this machine, on real data, in 30 seconds."""
    with needs("demo"):
        from sotto.demo.command import demo as command  # noqa: PLC0415  brokers and all roles: only when wanted
    _pass_on(command, context)


app.command("init", rich_help_panel=_TRY)(init_command.init)


@app.command(rich_help_panel=_RUN)
def gateway(
    file: _File,
    *,
    http: _Http = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be found; send and store nothing.")
    ] = False,
    run_for: Annotated[
        int | None, typer.Option("--for", metavar="DURATION", parser=_duration, help='End after so long, like "1m".')
    ] = None,
) -> None:
    """At an organisation: MQTT in, shares out."""
    with needs("gateway"):
        from ingest import main as ingest_main  # noqa: PLC0415  each role is installed by itself
    ingest_main.run(file, listen=http, dry_run=dry_run, run_for_ms=run_for)


@app.command(rich_help_panel=_RUN)
def party(
    file: _File,
    *,
    http: _Http = None,
    show_share: Annotated[str | None, typer.Option(envvar="SOTTO_DEMO_SHOW_SHARES", hidden=True)] = None,
) -> None:
    """At one of the operators: add up shares."""
    with needs("party"):
        from streams.main import run_party  # noqa: PLC0415
    run_party(file, http=http, show_share=show_share)


@app.command(rich_help_panel=_RUN)
def collector(file: _File, *, http: _Http = None) -> None:
    """Beside the dashboard: put the parties' totals together."""
    with needs("party"):
        from streams.main import run_collector  # noqa: PLC0415
    run_collector(file, http=http)


@app.command(rich_help_panel=_RUN)
def sink(file: _File, *, http: _Http = None) -> None:
    """Beside the dashboard: write results to InfluxDB or SQLite."""
    with needs("sink"):
        from sinks import main as sinks_main  # noqa: PLC0415
    sinks_main.run(file, http=http)


app.add_typer(task.app, name="task", rich_help_panel=_AGREE)
app.add_typer(keys.app, name="keys", rich_help_panel=_AGREE)
app.command("check", rich_help_panel=_AFTER)(check.check)
app.command("status", rich_help_panel=_AFTER)(status.status)
app.command("topics", rich_help_panel=_AFTER)(topics.topics)


@app.command(rich_help_panel=_AFTER, context_settings=_PASS_ON, add_help_option=False)
def replay(context: typer.Context) -> None:
    """Publish a CSV file over MQTT, as sensors would."""
    with needs("gateway"):
        from sotto.replay import replay as command  # noqa: PLC0415
    _pass_on(command, context)


def _pass_on(command: object, context: typer.Context) -> None:
    """Run a command whose options are declared where it is, so that `sotto --help` need not import it."""
    inner = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    inner.command()(command)  # type: ignore[type-var]
    inner(args=context.args, prog_name=context.command_path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. Errors of ours are sentences on standard error.

    Without `arguments` it is the process's own command line; a role then ends the process.
    """
    if arguments is None:
        hook()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="sotto")
    except SottoError as error:
        fail(error)
        code: object = error.exit_code
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        if not manner.role:
            raise
        crashed(error)
        code = SottoError.exit_code
    if arguments is None and manner.role:
        _leave(code if isinstance(code, int) else int(code is not None))
    sys.exit(code)  # type: ignore[arg-type]  # what SystemExit carried


def _leave(code: int) -> NoReturn:
    """End the process at once.

    Python's own end waits for threads of Kafka's and MQTT's clients and frees what Faust holds: seconds, in which a
    supervisor's patience runs out. Nothing is lost: all that counts is committed, in Kafka or in the spool, when a role
    returns.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
