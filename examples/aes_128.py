"""AES-128 as a netlist, generated from FIPS 197: its S-box by way of the field GF((2^4)^2), 45 ANDs of depth 4 each.

The text is in the Bristol fashion: key and block in, block out, 128 wires each. Read as a number whose highest byte is
the first one of FIPS 197, the lowest bit is wire 0.
"""

from __future__ import annotations

from functools import reduce
from itertools import product


def times(a: int, b: int) -> int:
    """Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    result = 0
    while b:
        if b & 1:
            result ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return result


def power(a: int, exponent: int) -> int:
    return reduce(times, [a] * exponent, 1)


SMALL = [x for x in range(256) if power(x, 16) == x]  # the subfield GF(2^4)
W = next(x for x in SMALL if len({power(x, k) for k in range(15)}) == 15)
Z = next(x for x in range(256) if x not in SMALL and x ^ power(x, 16) == 1)  # so Z^2 = Z + NU with NU in the subfield
NU = times(Z, Z) ^ Z
BASIS4 = [power(W, k) for k in range(4)]
BASIS8 = BASIS4 + [times(Z, b) for b in BASIS4]


def coordinates(value: int, basis: list[int]) -> list[int]:
    """Which basis elements add up to a value."""
    for bits in product((0, 1), repeat=len(basis)):
        if reduce(lambda s, pair: s ^ (pair[0] * pair[1]), zip(bits, basis, strict=True), 0) == value:
            return list(bits)
    raise ValueError(value)


SQUARE = [coordinates(times(b, b), BASIS4) for b in BASIS4]
BY_NU = [coordinates(times(NU, b), BASIS4) for b in BASIS4]
POWERS = [coordinates(power(W, k), BASIS4) for k in range(7)]
SPLIT = [coordinates(1 << k, BASIS8) for k in range(8)]
AFFINE = [[sum(b >> (row + k) % 8 & 1 for k in (0, 4, 5, 6, 7)) % 2 for row in range(8)] for b in BASIS8]
DOUBLE = [[times(1 << k, 2) >> row & 1 for row in range(8)] for k in range(8)]


class Builder:
    """Gates of a growing circuit; wire numbers are final once the outputs are copied to the end."""

    def __init__(self, inputs: list[int]) -> None:
        self.inputs, self.wires, self.lines = inputs, sum(inputs), list[str]()

    def gate(self, operation: str, *sources: int) -> int:
        self.lines.append(f"{len(sources)} 1 {' '.join(map(str, sources))} {self.wires} {operation}")
        self.wires += 1
        return self.wires - 1

    def xor(self, *sources: int) -> int:
        return reduce(lambda a, b: self.gate("XOR", a, b), sources) if sources else self.gate("EQ", 0)

    def linear(self, bits: list[int], images: list[list[int]]) -> list[int]:
        """The image of bits, given the image of each basis element."""
        return [
            self.xor(*(bit for bit, image in zip(bits, images, strict=True) if image[row]))
            for row in range(len(images[0]))
        ]

    def square4(self, a: list[int]) -> list[int]:
        return self.linear(a, SQUARE)

    def times4(self, a: list[int], b: list[int]) -> list[int]:
        """Product in GF(2^4) with 9 ANDs (Karatsuba twice)."""

        def poly(x: list[int], y: list[int]) -> list[int]:
            if len(x) == 1:
                return [self.gate("AND", x[0], y[0])]
            h = len(x) // 2
            low, high = poly(x[:h], y[:h]), poly(x[h:], y[h:])
            both = poly(
                [self.xor(*pair) for pair in zip(x[:h], x[h:], strict=True)],
                [self.xor(*pair) for pair in zip(y[:h], y[h:], strict=True)],
            )
            terms: list[list[int]] = [[] for _ in range(4 * h - 1)]
            for k in range(2 * h - 1):
                terms[k] += [low[k]]
                terms[k + h] += [low[k], high[k], both[k]]
                terms[k + 2 * h] += [high[k]]
            return [self.xor(*term) for term in terms]

        return self.linear(poly(a, b), POWERS)

    def sbox(self, byte: list[int]) -> list[int]:
        """FIPS 197, 5.1.1; bits from the lowest on."""
        parts = self.linear(byte, SPLIT)
        low, high = parts[:4], parts[4:]
        norm_high = self.linear(self.square4(high), BY_NU)
        norm = [self.xor(*bits) for bits in zip(norm_high, self.times4(high, low), self.square4(low), strict=True)]
        n2 = self.square4(norm)
        n4 = self.square4(n2)
        inverse = self.times4(self.times4(n2, n4), self.square4(n4))  # n^14
        sums = [self.xor(*pair) for pair in zip(low, high, strict=True)]
        result = self.times4(sums, inverse) + self.times4(high, inverse)
        return [self.gate("INV", bit) if 0x63 >> k & 1 else bit for k, bit in enumerate(self.linear(result, AFFINE))]

    def text(self, outputs: list[int]) -> str:
        for wire in outputs:
            self.gate("EQW", wire)
        head = [
            f"{len(self.lines)} {self.wires}",
            f"{len(self.inputs)} {' '.join(map(str, self.inputs))}",
            f"1 {len(outputs)}",
            "",
        ]
        return "\n".join([*head, *self.lines, ""])


def aes_128() -> str:
    """The text of the netlist; the same one each time."""
    b = Builder([128, 128])
    key, state = ([[base + 8 * (15 - byte) + k for k in range(8)] for byte in range(16)] for base in (0, 128))
    constant = 1

    def mix(x: list[list[int]], y: list[list[int]]) -> list[list[int]]:
        return [[b.xor(*pair) for pair in zip(p, q, strict=True)] for p, q in zip(x, y, strict=True)]

    def double(byte: list[int]) -> list[int]:
        return b.linear(byte, DOUBLE)

    state = mix(state, key)
    for number in range(1, 11):
        turned = [b.sbox(byte) for byte in (key[13], key[14], key[15], key[12])]
        turned[0] = [b.gate("INV", bit) if constant >> k & 1 else bit for k, bit in enumerate(turned[0])]
        constant = times(constant, 2)
        words = [mix(key[:4], turned)]
        for k in range(1, 4):
            words.append(mix(words[-1], key[4 * k : 4 * k + 4]))
        key = [byte for word in words for byte in word]
        state = [b.sbox(byte) for byte in state]
        state = [state[(5 * k) % 16] for k in range(16)]  # row r of column c comes from column c + r
        if number < 10:
            mixed = []
            for c in range(0, 16, 4):
                column = state[c : c + 4]
                twice = [double(byte) for byte in column]
                for r in range(4):
                    parts = (
                        twice[r],
                        twice[(r + 1) % 4],
                        column[(r + 1) % 4],
                        column[(r + 2) % 4],
                        column[(r + 3) % 4],
                    )
                    mixed.append([b.xor(*bits) for bits in zip(*parts, strict=True)])
            state = mixed
        state = mix(state, key)
    return b.text([bit for byte in reversed(state) for bit in byte])


if __name__ == "__main__":
    print(aes_128(), end="")
