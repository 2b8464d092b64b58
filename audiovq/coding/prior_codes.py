"""Codes as bytes by a prior: range coding with the frequencies that its fixed copy gives."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor

from audiovq.coding._base import CodeCoder
from audiovq.coding.fixed import copy_of
from audiovq.coding.range import Decoder, Encoder
from audiovq.errors import ConfigError
from audiovq.prior import TrainedPrior

_TOGETHER = 64  # blocks at a time
_FRAMES = 1 << 14  # of all blocks that are encoded at a time; a longer one is alone
_TABLES = 1 << 21  # frequencies at a time, 8 bytes each

Parts = Int64[np.ndarray, "3 K T"]  # of every code: frequencies before it, its own, all


class PriorCodes(CodeCoder):
    """Every block starts the prior afresh; those of a call advance together, which is faster.

    A block takes at most 2 bytes more than its `bits` / 8.

    Args:
        trained: the prior; its weights are read now.

    Raises:
        ConfigError: it has no copy that is the same on every machine, or needs more than codes.
        CheckpointError: its weights do not fit the grids of the copy.
    """

    def __init__(self, trained: TrainedPrior) -> None:
        self._copy = copy_of(trained.module)
        self.codebook_sizes = self._copy.codebook_sizes
        self.fingerprint = trained.fingerprint()

    def encode(self, blocks: Sequence[Int[Tensor, "K _"]]) -> list[bytes]:
        """Return the bytes of each block.

        Args:
            blocks: codes in [0, N) of each row, of at least one frame.

        Raises:
            ConfigError: codes do not fit the codebooks.
        """
        return [self._written(parts) for parts in self._parts(blocks)]

    def bits(self, blocks: Sequence[Int[Tensor, "K _"]]) -> list[float]:
        """Return what each block's codes cost under the copy, in bits; arguments as in `encode`."""
        return [math.fsum(np.log2(parts[2] / parts[1]).ravel()) for parts in self._parts(blocks)]

    def decode(self, payloads: Sequence[bytes], frames: Sequence[int]) -> list[Int[Tensor, "K _"]]:
        """Return the codes of each block, so many frames of each.

        Raises:
            AudioError: `encode` did not write a payload.
        """
        assert len(payloads) == len(frames)
        assert all(count > 0 for count in frames)
        found: dict[int, Tensor] = {}
        order = sorted(range(len(frames)), key=frames.__getitem__)  # so that few wait for others
        for start in range(0, len(order), _TOGETHER):
            part = order[start : start + _TOGETHER]
            codes = self._read([payloads[i] for i in part], [frames[i] for i in part])
            found |= dict(zip(part, codes, strict=True))
        return [found[i] for i in range(len(frames))]

    def _parts(self, blocks: Sequence[Int[Tensor, "K _"]]) -> Iterator[Parts]:
        """Yield, of each block in turn, the part of the range that every code has."""
        known = [self._checked(block) for block in blocks]
        for start, stop in _together([block.shape[1] for block in known]):
            longest = max(block.shape[1] for block in known[start:stop])
            codes = np.full((stop - start, len(self.codebook_sizes), longest), -1)
            for item, block in zip(codes, known[start:stop], strict=True):
                item[:, : block.shape[1]] = block
            hidden = self._copy.hidden(codes)
            for i, block in enumerate(known[start:stop]):
                yield self._of_block(block, [row[i, : block.shape[1]] for row in hidden])

    def _of_block(self, block: Int64[np.ndarray, "K T"], hidden: Sequence[np.ndarray]) -> Parts:
        found = np.empty((3, *block.shape), dtype=np.int64)
        for k, size in enumerate(self.codebook_sizes):
            step = max(1, _TABLES // size)
            for start in range(0, block.shape[1], step):
                part = slice(start, start + step)
                codes = block[k, part, np.newaxis]
                own = self._copy.frequencies(k, hidden[k][part])
                upto = own.cumsum(axis=1)
                found[1, k, part] = np.take_along_axis(own, codes, axis=1)[:, 0]
                found[0, k, part] = np.take_along_axis(upto, codes, axis=1)[:, 0]
                found[2, k, part] = upto[:, -1]
        found[0] -= found[1]
        return found

    def _written(self, parts: Parts) -> bytes:
        encoder = Encoder()
        places = [place for group in self._copy.groups(parts.shape[2]) for place in group]
        rows, times = np.array(places).T
        for before, share, total in parts[:, rows, times].T.tolist():
            encoder.push(before, share, total)
        return encoder.finish()

    def _read(self, payloads: Sequence[bytes], frames: Sequence[int]) -> list[Tensor]:
        codes = np.full((len(frames), len(self.codebook_sizes), max(frames)), -1)
        decoders = [Decoder(payload) for payload in payloads]
        steps = self._copy.steps(len(frames), max(frames))
        for group in self._copy.groups(max(frames)):
            for (k, t), hidden in zip(group, steps.hidden(), strict=True):
                upto = self._copy.frequencies(k, hidden).cumsum(axis=1)
                for b, count in enumerate(frames):
                    if t < count:
                        codes[b, k, t] = _pop(decoders[b], upto[b])
            rows, times = zip(*group, strict=True)
            steps.push(codes[:, rows, times])
        for decoder in decoders:
            decoder.finish()
        return [torch.from_numpy(c[:, :n].copy()) for c, n in zip(codes, frames, strict=True)]

    def _checked(self, block: Int[Tensor, "K _"]) -> Int64[np.ndarray, "K T"]:
        codes = block.cpu().numpy().astype(np.int64)
        sizes = np.array(self.codebook_sizes)[:, np.newaxis]
        if len(codes) != len(sizes) or not codes.shape[1]:
            raise ConfigError(
                f"codes of shape {tuple(codes.shape)} are given; this prior is of {len(sizes)} "
                f"rows of at least one frame"
            )
        if ((codes < 0) | (codes >= sizes)).any():
            raise ConfigError(
                f"codes from {codes.min()} to {codes.max()} are given; this prior is of codebooks "
                f"of {self.codebook_sizes}: give codes of its model"
            )
        return codes


def _pop(decoder: Decoder, upto: Int64[np.ndarray, "N"]) -> int:
    """Return the next code, given the frequencies up to and with each."""
    total = int(upto[-1])
    code = int(upto.searchsorted(decoder.target(total), side="right"))
    before = int(upto[code - 1]) if code else 0
    decoder.pop(before, int(upto[code]) - before, total)
    return code


def _together(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield runs of blocks, first and last plus one, that are encoded at once."""
    start = 0
    for stop in range(1, len(lengths) + 1):
        longest = max(lengths[start : stop + 1])
        full = stop - start == _TOGETHER or (stop - start + 1) * longest > _FRAMES
        if stop == len(lengths) or full:
            yield start, stop
            start = stop
