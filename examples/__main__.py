"""`python -m examples JOB`: run a job's example on the stream, and show its result beside the plain computation."""

from __future__ import annotations

import argparse
import sys
import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from examples.plain import Expected
from examples.run import Found, Outcome, run
from examples.trial import JOBS
from protocol.errors import SottoError


def main() -> int:
    """Run the examples that are named; exit status 0 if all came out as they must."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("jobs", nargs="+", choices=(*JOBS, "all"), metavar="JOB", help=f"{', '.join(JOBS)}, or all")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write files, logs and results here, and keep them")
    arguments = parser.parse_args()
    right = True
    for job in JOBS if "all" in arguments.jobs else arguments.jobs:
        with tempfile.TemporaryDirectory(prefix="sotto-example-") as place:
            directory = Path(place) / job if arguments.keep is None else arguments.keep / job
            try:
                outcome = run(job, directory)
            except SottoError as error:
                print(error, file=sys.stderr)
                return 1
        print("\n".join(lines(outcome)))
        right = right and outcome.right
    return 0 if right else 1


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
    return [outcome.job, *table, *hidden, "  right" if outcome.right else "  WRONG", ""]


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
