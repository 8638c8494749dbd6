"""The contract of an interactive protocol: a generator that does no I/O.

A protocol is written once, from the view of one party. It yields a `Round` (what it sends to whom, what it expects
from whom) and is resumed with what the others sent. The same code runs all parties in one process
(`mpc_ops.sessions.run`) and one party per process on any transport (`mpc_ops.sessions.Session`).

    def double_open(party: Party, share: Array) -> Protocol[Array]:
        received = yield Round(send={...}, expect={...})
        return share + received[1][0]

What is sent is typed: every array has a `Kind`, which knows its size on the wire and refuses what is not canonical.
What is expected is typed too, so a wrong message is an error and never a wrong number.

Many operations share one round: `together` runs protocols side by side and merges their messages.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Received: TypeAlias = Mapping[int, Sequence[Array]]
T = TypeVar("T")
MAX_PARTIES = 255


class MessageError(ValueError):
    """A message that is not what its receiver must get at this point. Never carries what was in it."""

    def __init__(self, reason: str, *, sender: int | None = None, round_number: int | None = None) -> None:
        where = "" if sender is None else f" from party {sender} in round {round_number}"
        super().__init__(f"joint message{where}: {reason}")
        self.reason, self.sender, self.round_number = reason, sender, round_number


class CheckFailedError(ValueError):
    """A party has deviated from the protocol: nothing is revealed, and no result exists."""


class Kind(Protocol):
    """What the elements of an array are, in memory and on the wire."""

    @property
    def name(self) -> str: ...

    def size(self, count: int) -> int:
        """Bytes of `count` elements on the wire."""
        ...

    def encode(self, values: Array) -> bytes:
        """The canonical bytes. Raises ValueError for elements that this kind does not have: a bug of the sender."""
        ...

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Array:
        """The array of `size(prod(shape))` bytes, writable. Raises MessageError for bytes that no encoder gives."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """An array that is to come: its kind and its shape."""

    kind: Kind
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """An array on its way; a share, or what masks one, so it is never printed."""

    kind: Kind
    values: Array = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One step of one party: what goes to whom, what has to come from whom, in this order.

    A party that neither sends nor expects anything still has the round: all parties count alike.
    """

    send: Mapping[int, tuple[Sent, ...]] = field(default_factory=dict)
    expect: Mapping[int, tuple[Item, ...]] = field(default_factory=dict)


Interactive: TypeAlias = Generator[Round, Received, T]
"""One party's side of a protocol that ends with a T."""


def together(*protocols: Interactive[Any]) -> Interactive[tuple[Any, ...]]:
    """Run protocols side by side, so that each round of all of them is one round: the results in order.

    All parties must give the same protocols in the same order; each round's messages are the parts in that order.
    A protocol that ends early leaves the others alone; the whole takes as many rounds as the longest.
    """
    results: list[Any] = [None] * len(protocols)
    open_rounds: dict[int, Round] = {}

    def resume(index: int, received: Received | None) -> None:
        try:
            if received is None:
                open_rounds[index] = next(protocols[index])
            else:
                open_rounds[index] = protocols[index].send(received)
        except StopIteration as stop:
            open_rounds.pop(index, None)
            results[index] = stop.value

    for index in range(len(protocols)):
        resume(index, None)
    while open_rounds:
        received = yield _merged(list(open_rounds.values()))
        taken = dict.fromkeys(received, 0)
        for index, part in list(open_rounds.items()):
            mine: dict[int, Sequence[Array]] = {}
            for sender, items in part.expect.items():
                mine[sender] = received[sender][taken[sender] : taken[sender] + len(items)]
                taken[sender] += len(items)
            resume(index, mine)
    return tuple(results)


def _merged(parts: Sequence[Round]) -> Round:
    if len(parts) == 1:
        return parts[0]
    send: dict[int, tuple[Sent, ...]] = {}
    expect: dict[int, tuple[Item, ...]] = {}
    for part in parts:
        for receiver, sent in part.send.items():
            send[receiver] = send.get(receiver, ()) + sent
        for sender, items in part.expect.items():
            expect[sender] = expect.get(sender, ()) + items
    return Round(send=send, expect=expect)
