"""Texts that must not be found among random bytes: a short one is there by chance, so each has its own bound.

Three given bytes occur in one megabyte of ciphertext in one run of sixteen; eight bytes in none.
"""

from __future__ import annotations

import math

# Every test that asks takes this chance of failing although nothing is wrong.
ACCEPTED = 1e-9


def most_by_chance(length: int, size: int) -> int:
    """Return how often `length` given bytes may occur in `size` uniform ones: more does not happen by chance."""
    mean = size / 256**length
    most = 0
    # P(more than k) of a Poisson number is at most its first term times 1 / (1 - mean / (k + 2)).
    while True:
        term = math.exp(-mean + (most + 1) * math.log(mean) - math.lgamma(most + 2)) if mean else 0.0
        if most + 2 > mean and term / (1 - mean / (most + 2)) < ACCEPTED:
            return most
        most += 1


def shows(text: bytes, data: bytes) -> bool:
    """Tell whether `data` has `text` in it more often than uniform bytes do: for 8 bytes and more, at all."""
    return data.count(text) > most_by_chance(len(text), len(data))
