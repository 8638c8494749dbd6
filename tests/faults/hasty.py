"""A party that speaks too early: `python -m tests.faults.hasty party FILE ...`.

A party that is started again reads the log of rounds to its end before it says anything, and so finds there what it
has said before. This one does not wait for that end, and says it all again: what comes must be the same bytes.
Everything else is `sotto party`.
"""

from __future__ import annotations

from typing import Any

from sotto import cli
from streams.root import Root


def hurry() -> None:
    """Make every root of this process believe that the log of rounds was empty when it started."""
    patient = Root.__init__

    def begin(self: Root, **given: Any) -> None:
        patient(self, **{**given, "rounds_end": 0})

    Root.__init__ = begin  # type: ignore[method-assign]


if __name__ == "__main__":
    hurry()
    cli.main()
