"""What all signed records of a task's logs begin with: who says it, of which window, under which task and roster."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocol.codec import Reader, open_record, peek_kind
from protocol.errors import WireError
from protocol.roster import Roster
from protocol.task import Task


def open_signed(
    data: bytes,
    *,
    kinds: range,
    task: Task,
    roster: Roster,
    identity: Callable[[int, int], bytes],
    signed: Callable[[memoryview], bytes] | None,
) -> tuple[int, int, int, Reader]:
    """Check a record's bindings and signature: kind, window, sender, and the reader of what follows.

    `identity`: kind and sender to the key that must have signed; `signed`: all before the signature to what is signed
    of it, None where the signature is known to be right. Raises WireError.
    """
    kind = peek_kind(data)
    if kind not in kinds:
        raise WireError("other_kind")
    statement = memoryview(data)[:-64]
    reader = open_record(statement, kind)
    if reader.raw(32) != task.hash:
        raise WireError("other_task")
    if reader.raw(32) != roster.hash:
        raise WireError("other_roster")
    window, sender = reader.i64(), reader.u8()
    if not task.has_window(window):
        raise WireError("outside_task")
    key = identity(kind, sender)
    if signed is not None:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(data[-64:], signed(statement))
        except InvalidSignature:
            raise WireError("wrong_signature") from None
    return kind, window, sender, reader


def party_identity(task: Task, party: int) -> bytes:
    """The identity of a party by its number. Raises WireError where there is none."""
    if party >= len(task.party_names):
        raise WireError("other_party")
    return task.party[task.party_names[party]].identity
