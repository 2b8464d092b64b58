"""Edit distance (Levenshtein): the fewest insertions, deletions and substitutions.

Bit-parallel: a column of the textbook table is two integers, one bit per row, that say where the
distance grows or falls by one from row to row. Python's integers have any number of bits, so many
sequences are laid end to end, a spare bit after each to stop its carry, and compared at once.

Source: Myers 1999 ("A fast bit-vector algorithm for approximate string matching based on dynamic
programming"), in the form for whole sequences of Hyyro 2003 ("A bit-vector algorithm for computing
Levenshtein and Damerau edit distances").
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Symbols = Sequence[Hashable] | npt.NDArray[np.generic]
Distances = npt.NDArray[np.int64]

_MOST_BITS = 1 << 14  # of sequences laid end to end: 2 KiB, which stays in the fastest cache


def edit_distance(a: Symbols, b: Symbols) -> int:
    """Return the edit distance of two sequences, in [0, longer one's length].

    Args:
        a: any symbols that compare by value: units, phone labels, letters.
        b: the same.
    """
    return int(edit_distances([a], [b])[0, 0])


def edit_distances(rows: Sequence[Symbols], columns: Sequence[Symbols]) -> Distances:
    """Return the edit distances (R, C) of every row's sequence to every column's."""
    texts, patterns = [_plain(s) for s in rows], [_plain(s) for s in columns]
    found = np.zeros((len(texts), len(patterns)), np.int64)
    start = 0
    for stop in _chunks(patterns):
        packed = _pack(patterns[start:stop])
        for i, text in enumerate(texts):
            found[i, start:stop] = _against(packed, text)
        start = stop
    return found


def deduplicated(units: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return units (T,) without those that repeat the one before."""
    kept = np.append(True, units[1:] != units[:-1])[: len(units)]
    return np.asarray(units[kept])


@dataclass(frozen=True)
class _Packed:
    """Sequences laid end to end, lowest bits first, each followed by one spare bit."""

    where: dict[Hashable, int]  # symbol -> bits of its places
    full: int  # every place
    first: int  # the first place of each; a spare bit, dropped by `full`, if it is empty
    starts: Distances
    bits: int


def _plain(symbols: Symbols) -> list[Hashable]:
    """Return Python's own values: NumPy's hash more slowly."""
    return list(symbols.tolist() if isinstance(symbols, np.ndarray) else symbols)


def _chunks(patterns: Sequence[Sequence[Hashable]]) -> list[int]:
    """Return where to cut, so that a chunk has few bits and at least one sequence."""
    stops, bits = [], 0
    for i, pattern in enumerate(patterns):
        bits += len(pattern) + 1
        if bits > _MOST_BITS or i + 1 == len(patterns):
            stops.append(i + 1)
            bits = 0
    return stops


def _pack(patterns: Sequence[Sequence[Hashable]]) -> _Packed:
    where: dict[Hashable, int] = {}
    full = first = bit = 0
    starts = []
    for pattern in patterns:
        starts.append(bit)
        first |= 1 << bit
        full |= ((1 << len(pattern)) - 1) << bit
        for symbol in pattern:
            where[symbol] = where.get(symbol, 0) | 1 << bit
            bit += 1
        bit += 1
    return _Packed(where, full, first, np.array(starts), bit)


def _against(packed: _Packed, text: Sequence[Hashable]) -> Distances:
    """Return the distance of each packed sequence to the text."""
    full, first, where = packed.full, packed.first, packed.where
    up, down = full, 0  # rows where the distance is one more, or one less, than in the row above
    for symbol in text:
        equal = where.get(symbol, 0)
        kept = ((((equal & up) + up) ^ up) | equal | down) & full  # free diagonal steps
        right = down | (full & ~(kept | up))  # where the distance grows from column to column
        left = kept & up
        right = ((right << 1) & full) | first
        left = (left << 1) & full
        up = (left | (full & ~(kept | right))) & full
        down = right & kept
    return len(text) + _per_sequence(up, packed) - _per_sequence(down, packed)


def _per_sequence(value: int, packed: _Packed) -> Distances:
    """Count the bits of each packed sequence."""
    data = np.frombuffer(value.to_bytes(packed.bits // 8 + 1, "little"), np.uint8)
    bits = np.unpackbits(data, bitorder="little")[: packed.bits]
    return np.add.reduceat(bits, packed.starts, dtype=np.int64)
