"""The first 40 bytes of a compressed file: what it is, and what made it.

    bytes   what
    4       magic, 9D 41 56 51 (no text starts with 9D; then "AVQ")
    1       version of the format, 1
    1       rows of codes (codebooks used), 1 to 255
    8       start of the model's SHA-256 (`Autoencoder.fingerprint`)
    8       start of the prior's SHA-256; zeros: bit-packed, without a prior
    3       sample rate (Hz)
    3       samples per frame
    3       frames per block; the last block holds what is left
    5       length (samples)
    4       CRC-32 of the 36 bytes above

Numbers are little endian and without sign.
"""

import zlib
from dataclasses import dataclass
from typing import Any

from audiovq.audio import MAX_RATE, MIN_RATE
from audiovq.errors import CompressedFileError, ConfigError

MAGIC, VERSION, SIZE = b"\x9dAVQ", 1, 40
MAX_BLOCK_SECONDS = 600.0
MAX_BLOCK_CODES = 1 << 22  # 32 MiB of codes
NO_PRIOR = bytes(8)

# Field and bytes, after magic and version.
_FIELDS = {
    "codebooks": 1, "model": 8, "prior": 8, "sample_rate": 3, "hop_length": 3, "block_frames": 3,
    "length": 5,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a compressed file says of itself.

    Attributes:
        codebooks: rows of codes.
        model: first 8 bytes of the model's SHA-256.
        prior: first 8 bytes of the prior's; zeros if the codes are bit-packed.
        sample_rate: Hz.
        hop_length: samples per frame.
        block_frames: frames of each block but the last, which holds what is left.
        length: samples.
    """

    codebooks: int
    model: bytes
    prior: bytes
    sample_rate: int
    hop_length: int
    block_frames: int
    length: int

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.length / self.sample_rate

    @property
    def frames(self) -> int:
        """Frames of codes."""
        return -(-self.length // self.hop_length)

    @property
    def blocks(self) -> int:
        """How many blocks."""
        return -(-self.frames // self.block_frames)

    @property
    def has_prior(self) -> bool:
        """Whether the codes were written with a prior."""
        return self.prior != NO_PRIOR

    def frames_of(self, block: int) -> int:
        """Return the frames of a block, by number."""
        return min(self.block_frames, self.frames - block * self.block_frames)

    def to_bytes(self) -> bytes:
        """Return the header as written."""
        data = MAGIC + bytes([VERSION])
        for name, size in _FIELDS.items():
            value = getattr(self, name)
            data += value if isinstance(value, bytes) else value.to_bytes(size, "little")
        assert len(data) == SIZE - 4
        return data + zlib.crc32(data).to_bytes(4, "little")

    def problem(self) -> str:
        """Return what no file of ours would have; empty if there is nothing."""
        block_codes = self.codebooks * self.block_frames
        block_samples = (self.block_frames - 1) * self.hop_length  # one frame is always accepted
        checks = {
            "no codebooks": self.codebooks < 1,
            f"a rate of {self.sample_rate} Hz": not MIN_RATE <= self.sample_rate <= MAX_RATE,
            "no samples per frame": self.hop_length < 1,
            "no frames per block": self.block_frames < 1,
            "no samples": self.length < 1,
            f"blocks of {block_codes} codes, where up to {MAX_BLOCK_CODES} are accepted": (
                block_codes > MAX_BLOCK_CODES
            ),
            f"blocks of more than {MAX_BLOCK_SECONDS:g} s": (
                block_samples > MAX_BLOCK_SECONDS * self.sample_rate
            ),
        }
        return next((what for what, wrong in checks.items() if wrong), "")


def parse(data: bytes, name: str) -> Header:
    """Return the header that a file begins with.

    Args:
        data: its first bytes.
        name: of the file, for errors.

    Raises:
        CompressedFileError: it is none of ours, damaged, of a newer version, or claims nonsense.
    """
    if data[:4] != MAGIC:
        raise CompressedFileError(
            f"{name} is not a compressed file of `audiovq encode`: it does not begin as one"
        )
    if len(data) < SIZE:
        raise CompressedFileError(f"{name} is cut off within its header: copy it again")
    if zlib.crc32(data[: SIZE - 4]) != int.from_bytes(data[SIZE - 4 : SIZE], "little"):
        raise CompressedFileError(f"{name} is damaged: the checksum of its header differs")
    if data[4] != VERSION:
        raise CompressedFileError(
            f"{name} has version {data[4]}; this audiovq reads {VERSION}: update audiovq"
        )
    at = 5
    values: dict[str, Any] = {}
    for field, size in _FIELDS.items():
        part = data[at : at + size]
        values[field] = part if field in {"model", "prior"} else int.from_bytes(part, "little")
        at += size
    header = Header(**values)
    if problem := header.problem():
        raise CompressedFileError(f"{name} states {problem}: it is hostile or damaged")
    return header


def block_frames(seconds: float, frame_rate: float, codebooks: int) -> int:
    """Return the frames of blocks of so many seconds, at least one.

    Raises:
        ConfigError: not a length that blocks can have.
    """
    if not 0.0 < seconds <= MAX_BLOCK_SECONDS:
        raise ConfigError(
            f"blocks of {seconds:g} s asked for; more than 0 and at most {MAX_BLOCK_SECONDS:g} s "
            f"is accepted"
        )
    frames = max(1, round(seconds * frame_rate))
    if frames * codebooks > MAX_BLOCK_CODES:
        raise ConfigError(
            f"blocks of {seconds:g} s would hold {frames * codebooks} codes each; up to "
            f"{MAX_BLOCK_CODES} are accepted, which is "
            f"{MAX_BLOCK_CODES // codebooks / frame_rate:.3g} s here"
        )
    return frames
