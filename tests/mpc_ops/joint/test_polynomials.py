"""Polynomials at shared points, against Python integers, in every scheme that multiplies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import polynomials
from mpc_ops.rings import F61, F127, Z64
from tests.mpc_ops.joint.common import EXTREMES, AdditiveDealt, Replicated3, Shamir5, stream

SCHEMES = [Replicated3(Z64), Replicated3(F61), Replicated3(F127), Shamir5(3, 1), Shamir5(5, 2), AdditiveDealt(3)]


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 7, 8])
def test_polynomials(scheme: Any, degree: int) -> None:
    """Public and shared coefficients give the same, exactly; a degree of 8 takes 3 rounds, one more if shared."""
    ring = scheme.ring
    x = np.concatenate([ring.element(EXTREMES), ring.draw(stream("x"), (20,))])
    coefficients = ring.draw(stream(degree), (degree + 1,))
    expected = [sum(c * a**k for k, c in enumerate(ring.integers(coefficients))) % ring.order for a in ring.integers(x)]
    public = scheme.run(lambda side, a: polynomials.evaluate(side, coefficients, a), x)
    shared = scheme.run(polynomials.evaluate_shared, coefficients, x)
    assert ring.integers(scheme.reveal(public.results)).tolist() == expected
    assert ring.integers(scheme.reveal(shared.results)).tolist() == expected
    depth = max(degree - 1, 0).bit_length()
    assert (public.rounds, shared.rounds) == (depth, depth + (degree > 0))


def test_powers_begin_with_the_first() -> None:
    """x^0 is no product."""
    with pytest.raises(ValueError, match="begin with the first"):
        Replicated3(Z64).run(lambda side, x: polynomials.powers(side, x, 0), Z64.element([1]))
