"""Rings that shares live in: Z/2^64, words of bits, the prime field of 2^61 - 1, and large Mersenne primes."""

from mpc_ops.rings.base import DIGEST, Ring
from mpc_ops.rings.mersenne import F61
from mpc_ops.rings.primes import F127, F521, F1279, PrimeField
from mpc_ops.rings.words import BITS, Z64, Bits

__all__ = ["BITS", "DIGEST", "F61", "F127", "F521", "F1279", "Z64", "Bits", "PrimeField", "Ring"]
