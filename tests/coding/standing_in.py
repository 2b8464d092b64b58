"""A coder that stands in for one with a prior: any bytes decode to some codes, and each depends on
all before it, so that nothing but the checksum tells a block gone astray."""

import hashlib
import zlib

import torch

from audiovq.coding._base import CodeCoder


class Chained(CodeCoder):
    """Two bytes a code, mixed with those before it; several pairs of bytes stand for one code."""

    def __init__(self, codebook_sizes, name="chained"):
        self.codebook_sizes = tuple(codebook_sizes)
        self.fingerprint = hashlib.sha256(name.encode()).hexdigest()
        self.calls = []  # blocks of each call of `decode`

    def encode(self, blocks):
        return [self._chain(codes.T.flatten().tolist()) for codes in blocks]

    def _chain(self, codes):
        out, seen = b"", b""
        for code in codes:
            out += ((code + zlib.crc32(seen)) % (1 << 16)).to_bytes(2, "little")
            seen += bytes([code % 256])
        return out

    def decode(self, payloads, frames):
        self.calls.append(len(payloads))
        return [self._unchain(data, n) for data, n in zip(payloads, frames, strict=True)]

    def _unchain(self, data, frames):
        rows = len(self.codebook_sizes)
        data, seen, codes = data[: 2 * rows * frames].ljust(2 * rows * frames, b"\0"), b"", []
        for i in range(rows * frames):
            value = int.from_bytes(data[2 * i : 2 * i + 2], "little") - zlib.crc32(seen)
            codes.append(value % (1 << 16) % self.codebook_sizes[i % rows])
            seen += bytes([codes[-1] % 256])
        return torch.tensor(codes).view(frames, rows).T
