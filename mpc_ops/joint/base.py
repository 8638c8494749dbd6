"""What every scheme of joint computation offers, in the view of one party.

A share is an array whose axis 0 counts what the party holds of each value (replicated 2, additive and Shamir 1);
the other axes are the values'. So linear operations are the ring's, on whole shares:

    scheme.ring.add(x, y)      scheme.ring.mul(x, public)      x[:, 3:7]

and only what involves a constant (`plus`), an opening or a product is the scheme's business.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpc_ops.rings import Ring
from mpc_ops.rounds import Array, Interactive, Item, Round, Sent
from mpc_ops.sessions import Party


class SchemeError(ValueError):
    """An operation that this scheme, or its ring, does not offer."""


class Scheme(Protocol):
    """One party's side of a sharing scheme over a ring."""

    @property
    def party(self) -> Party: ...
    @property
    def ring(self) -> Ring: ...
    @property
    def held(self) -> int:
        """How many ring elements the party holds of each value."""
        ...

    def public(self, values: Array) -> Array:
        """A share of what everybody knows, without a message."""
        ...

    def zero(self, shape: tuple[int, ...]) -> Array:
        """A share of zeros that hides nothing."""
        ...

    def open(self, share: Array) -> Interactive[Array]:
        """Tell all parties the values. Rounds: 1. Raises CheckFailedError where the scheme notices a lie."""
        ...

    def multiply(self, x: Array, y: Array) -> Interactive[Array]:
        """The products, elementwise; shapes must be equal. Rounds: 1."""
        ...

    def matmul(self, x: Array, y: Array) -> Interactive[Array]:
        """Shares of matrices (n, k) and (k, m), or stacks of them; one element is sent for each result. Rounds: 1."""
        ...


def plus(scheme: Scheme, share: Array, values: Array) -> Array:
    """Add public values to a share: as many, or fewer that are broadcast."""
    return scheme.ring.add(share, scheme.public(np.broadcast_to(values, share.shape[1:])))


def negated(scheme: Scheme, share: Array) -> Array:
    """The share of -x."""
    return scheme.ring.sub(scheme.zero(share.shape[1:]), share)


def inner(scheme: Scheme, x: Array, y: Array) -> Interactive[Array]:
    """Inner products along the last axis: shares (held, ..., k) twice give (held, ...). Rounds: 1."""
    result: Array = yield from scheme.matmul(x[..., None, :], y[..., :, None])
    return result[..., 0, 0]


def image(scheme: Scheme, matrix: Array, x: Array) -> Array:
    """A x along the last axis for a public A: (m, k) and a share (held, ..., k) give (held, ..., m). Rounds: 0."""
    if matrix.ndim != 2 or matrix.shape[1] != x.shape[-1]:
        raise ValueError(f"a matrix of shape {matrix.shape} and vectors of {x.shape[-1]} do not match")
    return scheme.ring.matmul(matrix, x[..., None])[..., 0]


def sums_by_label(scheme: Scheme, share: Array, labels: NDArray[np.intp], groups: int) -> Array:
    """Sums along the last axis of what bears one label: a share (held, ..., n) gives (held, ..., groups). Rounds: 0.

    `labels` (n,) are public, in 0..groups - 1; a label that nothing bears has the sum 0. Raises ValueError for others.
    """
    if labels.shape != share.shape[-1:] or (labels.size and not 0 <= labels.min() <= labels.max() < groups):
        raise ValueError(f"{share.shape[-1]} values need as many labels from 0 to {groups - 1}")
    sorted_share = share[..., np.argsort(labels, kind="stable")]
    ends = np.cumsum(np.bincount(labels, minlength=groups))[:-1]
    return np.stack([scheme.ring.total(part, -1) for part in np.split(sorted_share, ends, axis=-1)], axis=-1)


def same_shape(x: Array, y: Array) -> None:
    """Raises ValueError: broadcasting in silence would compute something else than what was meant."""
    if x.shape != y.shape:
        raise ValueError(f"shapes {x.shape[1:]} and {y.shape[1:]} do not match")


def matrix_shape(x: Array, y: Array) -> tuple[int, ...]:
    """Shape of the product of two shares of matrices. Raises ValueError where they do not match."""
    if x.ndim < 3 or y.ndim != x.ndim or x.shape[:-2] != y.shape[:-2] or x.shape[-1] != y.shape[-2]:
        raise ValueError(f"matrices of shapes {x.shape[1:]} and {y.shape[1:]} do not match")
    return (*x.shape[1:-1], y.shape[-1])


def pass_on(ring: Ring, *, to: int, values: Array, source: int) -> Interactive[Array]:
    """Send values to one party and get as many from another. Rounds: 1."""
    received = yield Round(send={to: (Sent(ring, values),)}, expect={source: (Item(ring, values.shape),)})
    return received[source][0]


def exchange(ring: Ring, party: Party, values: Array, peers: range) -> Interactive[dict[int, Array]]:
    """Send the same values to all `peers`, and get as many from each: by party, one's own too. Rounds: 1."""
    others = [peer for peer in peers if peer != party.index]
    received = yield Round(
        send={peer: (Sent(ring, values),) for peer in others},
        expect={peer: (Item(ring, values.shape),) for peer in others},
    )
    return {party.index: values} | {peer: received[peer][0] for peer in others}
