"""Three parties of a joint run over a log in memory: each reads at its own pace, and can be started again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from mpc_ops.rounds import Interactive
from mpc_ops.sessions import Party
from protocol import rounds
from protocol.rounds import RoundsRecord
from streams.joint.keys import PartyKeys, RunPlace
from streams.joint.run import JointRun
from tests.trial import START, Trial, make_trial

Program = Callable[[Party], Interactive[Any]]
DIGEST = bytes(range(32))


def place_of(trial: Trial, digest: bytes = DIGEST) -> RunPlace:
    return RunPlace(task_hash=trial.task.hash, roster_hash=trial.roster.hash, window=START, digest=digest)


def keys_of(trial: Trial, party: int, kind: type[PartyKeys] = PartyKeys) -> PartyKeys:
    names = trial.task.party_names
    return kind(key=trial.keys[names[party]], cards=[trial.cards[name] for name in names], party=party)


class RoundsLog:
    """The log, and the three parties that read and write it. `runs` by party; `make` is what makes one."""

    def __init__(self, program: Program, *, trial: Trial | None = None, digest: bytes = DIGEST) -> None:
        self.trial = trial or make_trial()
        self.place = place_of(self.trial, digest)
        self.log: list[bytes] = []
        self.made: dict[int, Callable[[], JointRun[Any]]] = {
            party: lambda party=party: JointRun(  # type: ignore[misc]  # mypy does not see a lambda's default
                place=self.place, keys=keys_of(self.trial, party), program=program
            )
            for party in range(3)
        }
        self.runs: list[JointRun[Any]] = []
        self._decoded: dict[bytes, RoundsRecord] = {}
        self.read = [0, 0, 0]

    def start(self) -> RoundsLog:
        self.runs = [self.made[party]() for party in range(3)]
        return self

    def restart(self, party: int) -> None:
        """Forget all but the keys: the party reads the log from its beginning."""
        self.runs[party], self.read[party] = self.made[party](), 0

    def encode(self, record: RoundsRecord) -> bytes:
        identity = self.trial.keys[self.trial.task.party_names[record.party]].identity
        return rounds.encode(record, task=self.trial.task, roster=self.trial.roster, identity=identity)

    def decode(self, raw: bytes) -> RoundsRecord:
        if raw not in self._decoded:
            self._decoded[raw] = rounds.decode(raw, task=self.trial.task, roster=self.trial.roster)
        return self._decoded[raw]

    def catch_up(self, party: int, upto: int | None = None) -> None:
        """Read what is in the log, at most to `upto`."""
        end = len(self.log) if upto is None else min(upto, len(self.log))
        while self.read[party] < end:
            raw = self.log[self.read[party]]
            self.runs[party].take(self.decode(raw), raw)
            self.read[party] += 1

    def write(self, party: int) -> list[bytes]:
        """Append what the party has to say now."""
        written = [self.encode(record) for record in self.runs[party].pending()]
        self.log += written
        return written

    def step(self) -> bool:
        """All read all, then all write. False when nobody had anything to say."""
        for party in range(3):
            self.catch_up(party)
        return sum(len(self.write(party)) for party in range(3)) > 0

    def finish(self) -> Sequence[JointRun[Any]]:
        """Go on until nobody has anything more to say."""
        while self.step():
            pass
        return self.runs

    def disorder(self, chance: random.Random, steps: int, *, restarts: bool = True) -> None:
        """Any party reads a part, or writes without having read all, or starts again."""
        for _ in range(steps):
            party = chance.randrange(3)
            match chance.randrange(8 if restarts else 7):
                case 0 | 1 | 2:
                    self.catch_up(party)
                case 3:
                    self.catch_up(party, self.read[party] + chance.randrange(1, 4))
                case 4 | 5 | 6:
                    self.write(party)
                case _:
                    self.restart(party)
