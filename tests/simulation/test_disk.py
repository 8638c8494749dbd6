"""The model of the disk keeps what `ingest.spool.Spool` keeps."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from ingest.commit import Kept
from ingest.spool import Spool
from tests.simulation.device import Device
from tests.simulation.edge import Disk
from tests.simulation.menu import choose
from tests.simulation.run import run
from tests.simulation.setting import setting_of
from tests.simulation.world import Parts


def told(kept: Kept) -> dict[str, Any]:
    """Everything that a restart learns, in a form that compares."""
    return {
        "cold": kept.cold,
        "book": (kept.following, kept.contributes_from, kept.late, kept.dropped),
        "receipts": kept.receipts,
        "windows": {
            window: (found.salt, found.fingerprints, found.rows.tolist(), found.segments, found.gaps, found.refused)
            for window, found in kept.windows.items()
        },
    }


@pytest.mark.parametrize("kind", ["wall", "untimed"])
def test_the_model_and_the_spool_keep_the_same(kind: str, tmp_path: Path) -> None:
    """Whatever is committed, deleted and killed: a restart finds the same in both, and the same is still to be sent."""

    setting = setting_of(kind)
    compared = 0

    class Both(Disk):
        """Does everything twice."""

        def __init__(self) -> None:
            nonlocal compared
            super().__init__()
            self.spool = Spool(tmp_path / str(compared), task=bytes(32), gateway="north-1", secret=bytes(32))
            compared += 1

        def begin_epoch(self, now: int, nonce: bytes) -> Any:
            assert self.spool.begin_epoch(now, nonce) == super().begin_epoch(now, nonce)
            return self.epochs[-1]

        def begin_book(self, following: int | None, contributes_from: int | None) -> None:
            super().begin_book(following, contributes_from)
            if not self.committing:
                self.spool.begin_book(following, contributes_from)

        committing = False

        def commit(self, commit: Any, *, epoch: int) -> None:
            self.committing = True
            super().commit(commit, epoch=epoch)
            self.committing = False
            self.spool.commit(commit, epoch=epoch, now=0)
            self.compare()

        def delete(self, upto: int) -> None:
            super().delete(upto)
            self.spool.delete(upto)
            self.compare()

        def lose_power(self) -> None:
            """SQLite has synced more than it must have."""

        def kept(self) -> Kept:
            self.compare()
            return super().kept()

        def compare(self) -> None:
            nonlocal compared
            compared += 1
            assert told(self.spool.kept()) == told(Disk.kept(self))
            there = self.spool.after(0, most=1_000, most_bytes=1 << 30)
            assert [one.value for one in there] == [one.out.value for one in self.outgoing]

    class Doubled(Device):
        """A gateway over both."""

        def __init__(self, world: Any, name: str, **others: Any) -> None:
            super().__init__(world, name, disk=Both(), **others)

    for seed in range(6):
        assert run(kind, choose(setting, Random(seed)), Parts(device=Doubled)).violation is None
    assert compared > 50
