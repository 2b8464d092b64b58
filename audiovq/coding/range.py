"""A range coder: symbols of stated integer frequencies to bytes, and back.

The bytes are one number in [0, 1), each symbol a part of what the symbols before it have left:
from `before` / `total` on, `share` / `total` wide.

Source: Martin 1979, "Range encoding"; carries are added into the bytes already written, as in
Schindler's coder. Registers have 64 bits, which Python's integers make no dearer than 32: the part
of a symbol is then rounded by less than 2^-12 of itself at the largest total, 2^-23 at 2^33.
"""

from audiovq.errors import AudioError

MAX_TOTAL = 1 << 44  # of the frequencies of one symbol
_BITS = 64
_BYTES = _BITS // 8
_TOP = 1 << _BITS
_LEAST = 1 << (_BITS - 8)  # of the range, before a symbol


class Encoder:
    """Collects symbols."""

    def __init__(self) -> None:
        self._low, self._range, self._out = 0, _TOP, bytearray()

    def push(self, before: int, share: int, total: int) -> None:
        """Add a symbol.

        Args:
            before: frequencies of the symbols that come before it in the alphabet.
            share: its own, at least 1.
            total: all of them, at most 2^44.
        """
        assert 0 <= before < before + share <= total <= MAX_TOTAL
        unit = self._range // total
        self._low += unit * before
        self._range = unit * share
        if self._low >= _TOP:
            self._carry()
        while self._range < _LEAST:
            self._out.append(self._low >> (_BITS - 8))
            self._low = (self._low << 8) & (_TOP - 1)
            self._range <<= 8

    def finish(self) -> bytes:
        """Return the bytes: at most one more than the symbols' bits, and what rounding cost."""
        for kept in (0, 1):  # the range holds a number whose first byte is its last
            mask = (_TOP >> (8 * kept)) - 1
            value = (self._low + mask) & ~mask
            if value < self._low + self._range:
                break
        self._low = value
        if self._low >= _TOP:
            self._carry()
        return bytes(self._out + self._low.to_bytes(_BYTES, "big")[:kept])

    def _carry(self) -> None:
        """Add one to the number written so far; it stays below 1, so a byte below 255 is there."""
        self._low -= _TOP
        place = len(self._out) - 1
        while self._out[place] == 255:
            self._out[place] = 0
            place -= 1
        self._out[place] += 1


class Decoder:
    """Gives back symbols; what no encoder wrote gives some symbols, or an error.

    Args:
        data: what `Encoder.finish` returned; past its end are zeros, as many as an encoder may
            have left out.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._range = data, _TOP
        self._place = _BYTES
        self._value = int.from_bytes(data[:_BYTES].ljust(_BYTES, b"\0"), "big")

    def target(self, total: int) -> int:
        """Return a number in [0, total) that lies within the next symbol's part.

        Raises:
            AudioError: no encoder wrote these bytes.
        """
        assert 0 < total <= MAX_TOTAL
        found = self._value // (self._range // total)
        if found >= total:
            raise AudioError("a block's bytes are damaged: they stand for no code")
        return found

    def pop(self, before: int, share: int, total: int) -> None:
        """Say which symbol the target lies in; arguments as in `Encoder.push`."""
        unit = self._range // total
        self._value -= unit * before
        self._range = unit * share
        while self._range < _LEAST:
            self._value = (self._value << 8) | self._next()
            self._range <<= 8

    def finish(self) -> None:
        """Look whether all bytes were needed.

        Raises:
            AudioError: some are left, so that no encoder wrote these bytes.
        """
        if self._place < len(self._data):
            raise AudioError(
                f"a block's bytes are damaged: {len(self._data) - self._place} of "
                f"{len(self._data)} are left when its codes are all there"
            )

    def _next(self) -> int:
        place, self._place = self._place, self._place + 1
        if place < len(self._data):
            return self._data[place]
        if place >= len(self._data) + _BYTES:
            raise AudioError("a block's bytes end before its codes do: they are damaged")
        return 0
