"""What the tests of joint computation share: extreme values, shares from a seed, and programs run by all parties."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint import additive, replicated, shamir
from mpc_ops.joint.additive import Additive
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.shamir import Shamir
from mpc_ops.randomness import Stream
from mpc_ops.rings import F61, Z64
from mpc_ops.sessions import Party, Run, run

EXTREMES = [0, 1, 2, -1, -2, 1 << 63, (1 << 63) - 1, (1 << 64) - 1, -(1 << 63), 1 << 32, (1 << 61) - 1, (1 << 61) - 2]


def stream(label: object) -> Stream:
    """A stream of its own for each label."""
    return Stream(hashlib.sha256(repr(label).encode()).digest())


def words(label: object, count: int) -> NDArray[np.uint64]:
    """Random words, the extreme ones among them."""
    values = stream(("words", label)).words(count)
    some = Z64.element(EXTREMES)[:count]
    values[: len(some)] = some
    return values[np.random.default_rng(len(repr(label))).permutation(count)]


class Replicated3:
    """Programs on replicated shares over a ring."""

    def __init__(self, ring: Any) -> None:
        self.ring, self.parties, self.name = ring, 3, f"replicated-{ring.name}"

    def __repr__(self) -> str:
        return self.name

    def share(self, values: NDArray[Any], label: object = 0) -> list[NDArray[Any]]:
        return replicated.share(self.ring, values, stream((label, "share")))

    def side(self, party: Party) -> Any:
        return Replicated(party, self.ring)

    def reveal(self, shares: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return replicated.reveal(self.ring, list(shares))

    def run(self, program: Callable[..., Any], *inputs: NDArray[Any], **options: Any) -> Run[Any]:
        """Share the inputs, and let every party run program(side, *shares)."""
        shares = [self.share(values, index) for index, values in enumerate(inputs)]
        return run(
            lambda party: program(self.side(party), *(s[party.index] for s in shares)), parties=self.parties, **options
        )

    def __call__(self, program: Callable[..., Any], *inputs: NDArray[Any], **options: Any) -> NDArray[Any]:
        """Run, and reveal the share that comes out."""
        return self.reveal(self.run(program, *inputs, **options).results)


class Checked3(Replicated3):
    """As Replicated3, with every product checked."""

    def side(self, party: Party) -> Any:
        return Checked(party, self.ring)


class Shamir5(Replicated3):
    def __init__(self, parties: int, threshold: int) -> None:
        self.ring, self.parties, self.threshold = F61, parties, threshold
        self.name = f"shamir-{parties}-{threshold}"

    def share(self, values: NDArray[Any], label: object = 0) -> list[NDArray[Any]]:
        return shamir.share(values, stream((label, "share")), self.parties, self.threshold)

    def side(self, party: Party) -> Any:
        return Shamir(party, self.threshold)

    def reveal(self, shares: Sequence[NDArray[Any]]) -> NDArray[Any]:
        values, liars = shamir.reveal(dict(enumerate(shares)), self.threshold)
        assert not liars
        return values


class AdditiveDealt(Replicated3):
    """The last participant is the dealer."""

    def __init__(self, parties: int) -> None:
        self.ring, self.parties, self.name = Z64, parties + 1, f"additive-{parties}"

    def share(self, values: NDArray[Any], label: object = 0) -> list[NDArray[Any]]:
        shares = additive.share(self.ring, values, stream((label, "share")), self.parties - 1)
        return [*shares, np.zeros_like(shares[0])]

    def side(self, party: Party) -> Any:
        return Additive(party, dealer=True)

    def reveal(self, shares: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return additive.reveal(self.ring, list(shares[:-1]))


def assert_uniform(samples: NDArray[np.uint64], bits: int = 4) -> None:
    """Chi-square of the highest `bits` of 61 or 64-bit words at a level that one run in 10^9 misses."""
    top = (samples.reshape(-1) >> np.uint64(57 - bits + 1)) & np.uint64((1 << bits) - 1)
    counts = np.bincount(top.astype(np.intp), minlength=1 << bits)
    expected = samples.size / (1 << bits)
    chi = float(((counts - expected) ** 2 / expected).sum())
    freedom = (1 << bits) - 1
    assert chi < freedom + 9 * (2 * freedom) ** 0.5 + 20, chi
