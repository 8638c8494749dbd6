"""What the work of `make bench` takes on the topic of a joint computation, counted from what it takes in memory."""

from __future__ import annotations

import pytest

from benchmarks.joint_party import SIDES
from benchmarks.joint_work import COMPARISONS, MAXIMUM, PRODUCTS, SUM, opened, operations
from mpc_ops.sessions import run
from protocol.rounds import Keys
from tests.streams.joint.rounds_log import RoundsLog

RECORD = 4 + 32 + 32 + 8 + 1 + 32 + 4 + 32 + 1 + 64
"""Header, task, roster, window, party, set, round, history, number of messages, signature."""
MESSAGE = 1 + 4 + 16
"""Receiver, size, and what AES-SIV adds."""
OPERATIONS = {operation.name: operation for operation in operations()}


@pytest.mark.parametrize("scheme", SIDES)
@pytest.mark.parametrize("name", [SUM, PRODUCTS, COMPARISONS, MAXIMUM])
def test_rounds_and_bytes_on_the_topic(name: str, scheme: str) -> None:
    """As many rounds as in memory, one of keys before them; of each record all bytes are accounted for."""
    operation = OPERATIONS[name]
    shares = operation.shares()
    messages = [0, 0, 0]

    def observe(_round: int, sender: int, _receiver: int, _message: bytes) -> None:
        messages[sender] += 1

    took = run(
        lambda party: operation.program(SIDES[scheme](party, operation.ring), *shares[party.index]),
        parties=3,
        observe=observe,
    )
    log = RoundsLog(lambda party: operation.program(SIDES[scheme](party, operation.ring), *shares[party.index]))
    runs = log.start().finish()
    assert [opened(operation, one.result) for one in runs] == [operation.expected] * 3
    for party in range(3):
        records = [raw for raw in log.log if log.decode(raw).party == party]
        said = [raw for raw in records if not isinstance(log.decode(raw), Keys)]
        assert len(said) == len(records) - 1 == took.rounds
        assert sum(map(len, said)) == took.rounds * RECORD + messages[party] * MESSAGE + took.wire[party]
