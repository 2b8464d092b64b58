"""Codes at their nominal size: ceil(log2 N) bits each, nothing learned."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from audiovq.coding._base import CodeCoder
from audiovq.errors import CompressedFileError


class PackedCodes(CodeCoder):
    """Writes each code with ceil(log2 N) bits, frame by frame and row by row.

    Most significant bit first; zeros fill the last byte. A row of one code takes no bits.
    """

    def __init__(self, codebook_sizes: Sequence[int]) -> None:
        self.codebook_sizes = tuple(codebook_sizes)
        self._widths = [(n - 1).bit_length() for n in self.codebook_sizes]

    def size(self, frames: int) -> int:
        """Return the bytes of a block of so many frames."""
        return -(-frames * sum(self._widths) // 8)

    def encode(self, blocks: Sequence[Int[Tensor, "K _"]]) -> list[bytes]:
        """Return the bytes of each block."""
        return [np.packbits(self._to_bits(codes)).tobytes() for codes in blocks]

    def decode(self, payloads: Sequence[bytes], frames: Sequence[int]) -> list[Int[Tensor, "K _"]]:
        """Return the codes of each block.

        Raises:
            CompressedFileError: bytes that `encode` does not write for so many frames.
        """
        return [self._unpack(data, n) for data, n in zip(payloads, frames, strict=True)]

    def _to_bits(self, codes: Int[Tensor, "K T"]) -> UInt8[np.ndarray, "T W"]:
        rows = codes.numpy()
        bits = np.empty((rows.shape[1], sum(self._widths)), np.uint8)
        column = 0
        for row, width in zip(rows, self._widths, strict=True):
            for shift in reversed(range(width)):  # bit by bit, so that no int64 is held per bit
                bits[:, column] = (row >> shift) & 1
                column += 1
        return bits

    def _unpack(self, data: bytes, frames: int) -> Int[Tensor, "K _"]:
        if len(data) != self.size(frames):
            raise CompressedFileError(
                f"a block of {frames} frames has {len(data)} bytes where bit-packed codes of the "
                f"codebooks {self.codebook_sizes} take {self.size(frames)}"
            )
        flat = np.unpackbits(np.frombuffer(data, np.uint8))
        used = frames * sum(self._widths)
        if flat[used:].any():
            raise CompressedFileError("a block of bit-packed codes does not end with zeros")
        columns = iter(flat[:used].reshape(frames, -1).T)
        rows = np.zeros((len(self._widths), frames), np.int64)
        for row, width in zip(rows, self._widths, strict=True):
            for _ in range(width):
                np.left_shift(row, 1, out=row)
                np.bitwise_or(row, next(columns), out=row)
        if (rows >= np.array(self.codebook_sizes)[:, None]).any():
            raise CompressedFileError(
                f"a block of bit-packed codes holds one beyond the codebooks {self.codebook_sizes}"
            )
        return torch.from_numpy(rows)
