"""A random order of any number of things that is never written down: each place is worked out when it is asked for."""

from __future__ import annotations

import math

_ROUNDS = 8
_MASK = (1 << 64) - 1


class Permutation:
    """A keyed permutation of 0 … size-1 in constant memory.

    Numbers are written as two digits in a base near the square root of `size` and pass through a Feistel network that
    adds instead of xor-ing, so that any base will do; what comes out beyond `size`, fewer than one in a base's worth,
    goes through again until it falls inside. Source: Black and Rogaway, "Ciphers with arbitrary finite domains",
    CT-RSA 2002 (the generalised Feistel construction, and cycle walking). It shuffles; it does not keep secrets. The
    order for a key must never change, or runs could not be continued exactly.
    """

    def __init__(self, size: int, key: int) -> None:
        """Take `size` of at least 1 and a 64-bit key."""
        self.size = size
        self._rows = max(1, math.isqrt(size - 1) + 1)
        self._columns = -(-size // self._rows)
        self._keys = [_mixed(key + number * 0x9E3779B97F4A7C15) for number in range(1, _ROUNDS + 1)]

    def __getitem__(self, place: int) -> int:
        """Return what comes at `place`, 0 … size-1."""
        rows, columns = self._rows, self._columns
        number = place
        while True:
            row, column = divmod(number, columns)
            for turn in range(0, _ROUNDS, 2):
                row = (row + _mixed(column ^ self._keys[turn])) % rows
                column = (column + _mixed(row ^ self._keys[turn + 1])) % columns
            number = row * columns + column
            if number < self.size:
                return number


def _mixed(value: int) -> int:
    """Spread 64 bits over 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
