"""`python -m benchmarks`: what sharing costs at a gateway and at a party, as ratios to packed plaintext.

Then what joint computation costs, beside MPyC.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks import gateway, joint, party
from benchmarks.pairs import Comparison, Way, compare, profile
from benchmarks.setting import Setting, setting

GATEWAY_AIM = 1.10
PARTY_AIM = 1.15

NOTES = """\
Each row: CPU time of Sotto divided by that of packed plaintext, for the same readings, run in turn in one process.
  bare    plaintext without protection: no cipher, no signature, no hash. Only what the work itself needs.
  sealed  plaintext in Sotto's envelope for one reader: AES-256-GCM, SHA-256, Ed25519 (the party verifies it, and seals
          its contribution). What is left between this and Sotto is sharing.
A gateway starts at MQTT messages in memory, one JSON reading each, and includes decoding, windows, repeats and
quantising on both sides; Sotto writes records for three parties, plaintext one. "rows only" is its last step alone,
from quantised rows: what sharing costs, whatever the decoding costs. A party starts at records in memory and ends at
contribution records; plaintext reads the record and sums by cell. A segment is one HPKE encapsulation (X25519).
MQTT, Kafka, Faust and the disk are outside of all of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison to make."""

    name: str
    ours: Way
    plain: Way
    readings: int
    aim: float | None


def cases(rows: int, batches: int) -> Iterator[Case]:
    """Every comparison. The aims hold against bare plaintext; replicated parties hold two components and have none."""
    for scheme in ("additive", "replicated"):
        place = setting(scheme, rows=rows, batches=batches, entropy=os.urandom)
        inbox = gateway.messages(place)
        ours = gateway.sotto(place, inbox)
        yield _case(f"gateway, {scheme}, bare", ours, gateway.bare(place, inbox), place, GATEWAY_AIM)
        yield _case(f"gateway, {scheme}, sealed", ours, gateway.sealed(place, inbox), place, GATEWAY_AIM)
    for scheme in ("additive", "replicated"):
        place = setting(scheme, rows=rows, batches=batches, entropy=os.urandom)
        ours = gateway.sotto_rows(place)
        yield _case(f"rows only, {scheme}, bare", ours, gateway.bare_rows(place), place, None)
        yield _case(f"rows only, {scheme}, sealed", ours, gateway.sealed_rows(place), place, None)
    for scheme in ("additive", "replicated"):
        place = setting(scheme, rows=rows, batches=batches, entropy=os.urandom)
        aim = PARTY_AIM if scheme == "additive" else None
        for holder, leaf in party.leafs(place):
            yield _case(f"{holder}, {scheme}, bare", leaf, party.bare(place), place, aim)
            yield _case(f"{holder}, {scheme}, sealed", leaf, party.sealed(place), place, aim)


def _case(name: str, ours: Way, plain: Way, place: Setting, aim: float | None) -> Case:
    return Case(name=name, ours=ours, plain=plain, readings=place.readings, aim=aim)


def main() -> None:
    """Run, print one table, and a profile of each comparison that misses its aim."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pairs and batches: a look, not a measurement")
    parser.add_argument("--pairs", type=int, help="pairs for each comparison (default 25, quick 5)")
    parser.add_argument("--rows", type=int, default=10_000, help="readings in a batch (default %(default)s)")
    options = parser.parse_args()
    pairs = options.pairs or (5 if options.quick else 25)
    batches = 2 if options.quick else 5

    console = Console(width=120 if not Console().is_terminal else None)
    table = Table("comparison", "median", "min", "max", "aim", "ns/reading", "plain ns/reading")
    missed: list[Case] = []
    for case in cases(options.rows, batches):
        result = compare(case.name, ours=case.ours, plain=case.plain, readings=case.readings, pairs=pairs, aim=case.aim)
        _add(table, result)
        if result.above_aim:
            missed.append(case)
    size = f"{pairs} pairs, segments of {batches} x {options.rows} readings"
    console.print(f"Python {platform.python_version()}, {platform.machine()}, {size}", highlight=False)
    console.print(table)
    console.print(NOTES, highlight=False)
    for names, ours in _by_way(missed):
        console.print(f"\nabove the aim: {' and '.join(names)}. Sotto spends its time in:", highlight=False)
        console.print(profile(ours), highlight=False, markup=False, soft_wrap=True)
    console.print()
    joint.report(console, quick=options.quick)


def _by_way(missed: list[Case]) -> list[tuple[list[str], Way]]:
    """Join the comparisons that miss with the same work of ours: one profile serves them all."""
    found: dict[Way, list[str]] = {}
    for case in missed:
        found.setdefault(case.ours, []).append(case.name)
    return [(names, ours) for ours, names in found.items()]


def _add(table: Table, result: Comparison) -> None:
    ours, plain = result.nanoseconds()
    ratios = result.ratios
    aim = "" if result.aim is None else f"{result.aim:.2f}"
    table.add_row(
        result.name,
        f"{median(ratios):.2f}",
        f"{min(ratios):.2f}",
        f"{max(ratios):.2f}",
        aim,
        f"{ours:.1f}",
        f"{plain:.1f}",
    )


if __name__ == "__main__":
    main()
