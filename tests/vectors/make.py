"""Write the test vectors: `make vectors`. A change of any of them is a change of the wire (SPEC, CHANGELOG).

And the tables of docs/joint-computation.md that are made from the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.vectors.bad import aggregates_bad, batches_bad, controls_bad
from tests.vectors.good import Vectors, aggregates, agreed, batches, contributions, controls, quantise, sharing, windows
from tests.vectors.jobs import jobs, jobs_bad
from tests.vectors.joint import joint
from tests.vectors.measured import measured
from tests.vectors.page import PAGE, written
from tests.vectors.playing import HERE, Encapsulations
from tests.vectors.rounds import rounds_run
from tests.vectors.sets import sets


def every_file() -> Iterator[tuple[str, Vectors]]:
    """Return all vectors by file name, and last the encapsulations that they were made with."""
    kept = Encapsulations()
    yield "quantise.json", quantise()
    yield "windows.json", windows()
    yield "agreed.json", agreed()
    yield "sharing.json", sharing()
    yield "shares.json", batches(kept)
    yield "shares_bad.json", batches_bad(kept)
    yield "contributions.json", contributions()
    yield "control.json", controls(kept)
    yield "control_bad.json", controls_bad(kept)
    yield "sets.json", sets()
    yield "aggregate.json", aggregates()
    yield "aggregate_bad.json", aggregates_bad()
    yield "joint.json", joint()
    yield "measured.json", measured()
    yield "jobs.json", jobs()
    yield "jobs_bad.json", jobs_bad()
    yield "rounds.json", rounds_run(kept)
    yield "encapsulations.json", kept.used


def text_of(vectors: Vectors) -> str:
    """Return a file's text."""
    return json.dumps(vectors, indent=1, ensure_ascii=False) + "\n"


def main(directory: Path = HERE) -> None:
    """Write all files."""
    for name, vectors in every_file():
        (directory / name).write_text(text_of(vectors))
    vectors, taken = (json.loads((directory / name).read_text()) for name in ("joint.json", "measured.json"))
    PAGE.write_text(written(PAGE.read_text(), vectors, taken))


if __name__ == "__main__":
    main()
