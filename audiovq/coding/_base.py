"""The one contract of what turns codes into bytes and back."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor


class CodeCoder(ABC):
    """Turns blocks of codes into bytes and back, each block on its own.

    A block's bytes are a pure function of its codes: not of the blocks beside it, nor of threads,
    process or machine.

    Attributes:
        codebook_sizes: codebook size N of each row of codes.
        fingerprint: SHA-256 of all that decides the bytes, besides the codes; empty if nothing
            does but the codebook sizes.
    """

    codebook_sizes: tuple[int, ...]
    fingerprint: str = ""

    @abstractmethod
    def encode(self, blocks: Sequence[Int[Tensor, "K _"]]) -> list[bytes]:
        """Return the bytes of each block.

        Args:
            blocks: codes in [0, N) of each row, of at least one frame.
        """

    @abstractmethod
    def decode(self, payloads: Sequence[bytes], frames: Sequence[int]) -> list[Int[Tensor, "K _"]]:
        """Return the codes of each block, int64 in [0, N), so many frames of each.

        Bytes that `encode` did not write give some codes or an AudioVQError, in bounded time and
        memory; the caller compares checksums.
        """
