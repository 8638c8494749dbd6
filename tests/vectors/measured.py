"""What the work of `make bench` takes: rounds and bytes, and a hash of all messages."""

from __future__ import annotations

import hashlib
from typing import Any

from benchmarks.joint_party import SIDES
from benchmarks.joint_work import Operation, opened, operations
from mpc_ops.sessions import HEADER_SIZE, Run, run

SEED = b"measured"


def run_operation(operation: Operation, scheme: str, *, seed: bytes = SEED) -> tuple[Run[Any], str]:
    """All three parties in one process, and the hash of what they said."""
    transcript = hashlib.sha256()
    shares = operation.shares()

    def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
        transcript.update(bytes([number, sender, receiver]) + len(message).to_bytes(8, "little") + message)

    result = run(
        lambda party: operation.program(SIDES[scheme](party, operation.ring), *shares[party.index]),
        parties=3,
        seed=seed,
        observe=observe,
    )
    assert all(opened(operation, value) == operation.expected for value in result.results)
    return result, transcript.hexdigest()


def measured() -> dict[str, Any]:
    """Each operation in each scheme."""
    cases = []
    for operation in operations():
        for scheme in SIDES:
            result, transcript = run_operation(operation, scheme)
            took = {"rounds": result.rounds, "sent": list(result.sent), "transcript": transcript}
            cases.append({"operation": operation.name, "scheme": scheme, **took})
    return {
        "about": f"the work of `make bench`: rounds, bytes sent by each party without headers ({HEADER_SIZE} bytes a "
        "message), SHA-256 over all messages as in joint.json",
        "cases": cases,
    }


def measured_table(vectors: dict[str, Any]) -> str:
    """Markdown: rounds, and what the busiest party sends, by operation and scheme."""
    found = {(case["operation"], case["scheme"]): case for case in vectors["cases"]}
    lines = ["| operation | rounds | kB | rounds, checked | kB, checked |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(name for name, _ in found):
        cells = [
            cell
            for scheme in SIDES
            for cell in (str(found[name, scheme]["rounds"]), f"{max(found[name, scheme]['sent']) / 1000:,.1f}")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
