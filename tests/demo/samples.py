"""The sample's plain computation, and results as a right sink would have them."""

import gzip
from importlib import resources
from pathlib import Path

from protocol.roster import Roster
from protocol.task import Task
from runtime.files import load
from sotto.demo.outcomes import Found
from sotto.demo.plain import Due, Plain, compute
from sotto.init import SAMPLE, Trial, write_trial


def sample_trial(folder: Path) -> tuple[Trial, Task, Roster, Plain]:
    """Write a trial and compute what its results must be."""
    trial = write_trial(folder)
    task, roster = load(trial.task, Task), load(trial.roster, Roster)
    return trial, task, roster, compute(trial.csv, task, roster)


def sample_rows() -> list[str]:
    """The lines of the sample's file."""
    return gzip.decompress(resources.files("sotto").joinpath("data", SAMPLE).read_bytes()).decode().splitlines()


def right(plain: Plain) -> dict[Due, Found]:
    """Every outcome as it must be, 80 ms after the last seal."""
    return {
        due: Found(
            outcome="point" if cell.released else "suppressed",
            reason=cell.reason,
            count=cell.count if cell.released else None,
            sum_steps=cell.sum_steps if cell.released else None,
            sum=float(cell.mean * cell.count) if cell.released else None,
            mean=float(cell.mean) if cell.released else None,
            latency_ms=80,
        )
        for due, cell in plain.cells.items()
    }
