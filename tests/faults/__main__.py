"""`python -m tests.faults`, which is what `make faults` runs."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults import scenarios
from tests.faults.campaign import Ended, Options, run
from tests.faults.screen import telling
from tests.faults.trial import Wanted
from tests.servers.run import ServerError, installed

_KILLS_A_MINUTE = 14


def main(arguments: Sequence[str]) -> int:
    """Run a campaign and return 0 if every window was exact or rightly explained, and nothing was missing."""
    if arguments[:1] == ["scenario"]:
        return scenarios.main(arguments[1:])
    chosen = _parse(arguments)
    wanted = Wanted(scheme=chosen.scheme, parties=chosen.parties, workers=chosen.workers)
    minutes = chosen.minutes or max(1.0, chosen.kills / _KILLS_A_MINUTE)
    options = Options(seed=chosen.seed, minutes=minutes, kills=chosen.kills, wanted=wanted, rate=chosen.rate)
    console = Console(highlight=False)
    place = Path(tempfile.mkdtemp(prefix="sotto-faults-", dir=chosen.directory))
    try:
        installed()
        with telling(console) as told:
            ended = run(options, place, told)
    except ServerError as error:
        console.print(f"error: {error}\n    logs: {place}", markup=False)
        return 1
    _show(console, ended)
    if chosen.json:
        chosen.json.write_text(json.dumps(document(ended), indent=2) + "\n")
    if ended.report.right:
        shutil.rmtree(place)
        return 0
    console.print(f"logs, the state of every role, and the faults in order: {place}", markup=False)
    return 1


def document(ended: Ended) -> dict[str, object]:
    """Return the result for programs."""
    options, report = ended.options, ended.report
    return {
        "seed": options.seed,
        "scheme": options.wanted.scheme,
        "workers": options.wanted.workers,
        "minutes": options.minutes,
        "seconds": round(ended.seconds),
        "faults": dict(sorted(report.faults.items())),
        "windows": dict(sorted(report.windows.items())),
        "readings": {
            "made": report.made,
            "acknowledged": report.acknowledged,
            "counted": report.counted,
            "left_out": report.left_out,
            "late": report.late,
        },
        "memory": dict(ended.memory),
        "violations": report.violations,
    }


def _show(console: Console, ended: Ended) -> None:
    options, report = ended.options, ended.report
    wanted = options.wanted
    table = Table(title=f"seed {options.seed}, {wanted.scheme}, {ended.seconds / 60:.1f} minutes", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for kind, number in sorted(report.faults.items()):
        table.add_row(kind, f"{number:,}")
    table.add_section()
    for outcome, number in sorted(report.windows.items()):
        table.add_row(f"windows {outcome}", f"{number:,}")
    table.add_section()
    table.add_row("readings published", f"{report.made:,}")
    table.add_row("acknowledged to their sensors", f"{report.acknowledged:,}")
    table.add_row("counted in results", f"{report.counted:,}")
    table.add_row("in windows or gateways rightly left out", f"{report.left_out:,}")
    table.add_row("too late, and said so", f"{report.late:,}")
    table.add_section()
    for kind, size in sorted(ended.memory.items()):
        table.add_row(f"memory of a {kind}, at most", f"{size / 2**20:.0f} MB")
    console.print(table)
    for text in report.violations:
        console.print(f"violation: {text}", markup=False)
    for text in ended.waiting:
        console.print(f"    {text}", markup=False)
    console.print("exact or explained: every window" if report.right else f"{len(report.violations)} violations")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Break everything at random on real servers, and account for every reading. "
        "`python -m tests.faults scenario NAME` plays one given scene.",
    )
    parser.add_argument("--seed", type=int, default=1, help="the faults are a function of it (default 1)")
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs over all roles (default 100)")
    parser.add_argument(
        "--minutes", type=float, help=f"how long sensors publish (default: {_KILLS_A_MINUTE} kills a minute)"
    )
    parser.add_argument("--scheme", choices=("replicated", "additive"), default="replicated")
    parser.add_argument("--parties", type=int, default=3, help="replicated has three")
    parser.add_argument("--workers", type=int, default=1, help="processes of each party")
    parser.add_argument("--rate", type=float, default=30.0, help="readings a second, in all (default 30)")
    parser.add_argument("--directory", type=Path, help="where to make the directory of the campaign")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
