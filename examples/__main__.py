"""`python -m examples JOB`: run a job's example on the stream, and show its result beside the plain computation.

In place of a job may stand a directory of your own with task.toml and readings.csv, like those of the examples.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from examples.plain import Expected
from examples.run import Found, Outcome, run
from examples.trial import JOBS, read, topic_of, write_trial
from protocol.errors import ConfigError, SottoError


def main() -> int:
    """Run the examples that are named; exit status 0 if all came out as they must."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("jobs", nargs="+", metavar="JOB", help=f"{', '.join(JOBS)}, all, or a directory")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write files, logs and results here, and keep them")
    parser.add_argument("--write", type=Path, metavar="DIR", help="run nothing: write the files, for servers of yours")
    parser.add_argument("--mqtt", default="mqtt://127.0.0.1:1883", help="with --write; default: %(default)s")
    parser.add_argument("--kafka", default="127.0.0.1:9092", help="with --write; default: %(default)s")
    arguments = parser.parse_args()
    jobs = JOBS if "all" in arguments.jobs else tuple(arguments.jobs)
    right = True
    try:
        for job in jobs:
            if arguments.write is None:
                right = _run(job, arguments.keep) and right
            else:
                _write(job, arguments.write, arguments.mqtt, arguments.kafka)
    except SottoError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0 if right else 1


def _run(job: str, keep: Path | None) -> bool:
    """Run an example and print its table; say whether all came out as it must."""
    with tempfile.TemporaryDirectory(prefix="sotto-example-") as place:
        directory = (Path(place) if keep is None else keep) / Path(job).resolve().name
        if directory.exists():
            raise ConfigError(f"there is a {directory} already", remedy="Choose a new directory; nothing was written.")
        outcome = run(job, directory)
    print("\n".join(lines(outcome)))
    if keep is not None:
        trial = outcome.directory / "trial"
        print(f"Files: {trial}   Logs: {outcome.directory / 'logs'}   Results: {trial / 'results.db'}\n")
    return outcome.right


def _write(job: str, directory: Path, mqtt: str, kafka: str) -> None:
    """Write an example for servers that run already, and say what to start."""
    example = read(job)
    trial = write_trial(example, directory / example.job, mqtt=mqtt, kafka=kafka, embedded=False)
    topic = topic_of(trial.task.labels)
    print(f"Wrote {trial.directory}. All keys lie there, on this machine: good for a trial, no privacy. Next:")
    print(f"    sotto topics {trial.directory / 'collector.toml'}")
    for role in trial.roles:
        print(f"    sotto {role.kind} {role.path}")
    print(f"    sotto replay {trial.csv} --mqtt {mqtt} --topic '{topic}'")
    print(f"Results: {trial.results}\n")


def lines(outcome: Outcome) -> list[str]:
    """The result as a table: each number, and what the plain computation gives."""
    rows = [("name", "key", "labels", "joint computation", "in the open")]
    for key in sorted(outcome.found.keys() | outcome.expected.keys()):
        labels = " ".join(f"{name}={value}" for name, value in key.labels)
        wanted = _plain(outcome, outcome.expected.get(key))
        rows.append((key.name, key.key, labels, _found(outcome, outcome.found.get(key)), wanted))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    hidden = [f"  {name} {labels} suppressed: {reason}" for (name, labels), reason in outcome.suppressed.items()]
    verdict = "right" if outcome.right else "NOT ALL CAME OUT" if outcome.suppressed else "WRONG"
    return [outcome.job, *table, *hidden, f"  {verdict}", ""]


def _found(outcome: Outcome, one: Found | None) -> str:
    if one is None:
        return "missing"
    return _block(one.steps) if outcome.job == "circuit" else format(one.steps * one.resolution, "f")


def _plain(outcome: Outcome, one: Expected | None) -> str:
    if one is None:
        return "nothing"
    if one.off_by:
        return f"{float(one.value)} (numpy)"
    return _block(int(one.value)) if outcome.job == "circuit" else format(_decimal(one.value), "f")


def _decimal(value: Fraction) -> Decimal:
    """All digits: sums and products of decimals are decimals."""
    return Decimal(value.numerator) / value.denominator


def _block(number: int) -> str:
    """The 16 bytes of FIPS 197."""
    return f"{number:032x}"


if __name__ == "__main__":
    sys.exit(main())
