"""Compressed files: speech as a model's codes, bit-packed or written with a prior.

`audiovq.coding.header` and `container` say what lies where. Blocks are independent: each is read on
its own, and a prior starts afresh in each.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audiovq import inference
from audiovq.coding._base import CodeCoder
from audiovq.coding.coders import prior_hash, to_read, to_write
from audiovq.coding.container import Container, assemble, checksum
from audiovq.coding.excerpt import excerpt
from audiovq.coding.header import Header, block_frames
from audiovq.errors import AudioError, AudioVQError, CompressedFileError, ConfigError

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder
    from audiovq.prior import TrainedPrior

# Some bytes may stand for any length of very predictable codes: what a file claims is limited.
MAX_SECONDS = 24 * 3600.0
_TOGETHER = 16  # blocks that a prior works on at a time
_TOGETHER_CODES = 1 << 20  # in them, unless one block alone has more


def compress(
    model: "Autoencoder",
    x: Float[Tensor, "1 1 L"],
    prior: "TrainedPrior | CodeCoder | None" = None,
    *,
    codebooks: int | None = None,
    block_seconds: float = 60.0,
) -> bytes:
    """Return a waveform as the bytes of a compressed file; see `Autoencoder.compress`."""
    if x.ndim != 3 or x.shape[:2] != (1, 1) or x.numel() == 0:
        raise AudioError(f"a waveform of shape {tuple(x.shape)} given; (1, 1, L) is accepted")
    return compress_blocks(model, [x], prior, codebooks=codebooks, block_seconds=block_seconds)


def compress_blocks(
    model: "Autoencoder",
    blocks: Iterable[Float[Tensor, "1 1 _"]],
    prior: "TrainedPrior | CodeCoder | None" = None,
    *,
    codebooks: int | None = None,
    block_seconds: float = 60.0,
) -> bytes:
    """Return a waveform that arrives in blocks as the bytes of a compressed file.

    Holds the file's bytes, a few blocks of codes, and a few seconds of audio. The same bytes
    however the waveform arrives. Arguments and errors as in `Autoencoder.compress`.
    """
    coder = to_write(model, prior, codebooks)
    rows = len(coder.codebook_sizes)
    frames = block_frames(block_seconds, model.frame_rate, rows)
    length = 0

    def counted() -> Iterator[Tensor]:
        nonlocal length
        for block in blocks:
            length += block.shape[-1]
            yield block

    codes = (part[0, :rows].cpu() for part in model.encode_blocks(counted()))
    written = _written(coder, codes, frames)
    return _assembled(model, coder, frames, length, written)


def compress_codes(
    model: "Autoencoder",
    codes: Int[Tensor, "K T"],
    length: int,
    prior: "TrainedPrior | CodeCoder | None" = None,
    *,
    block_seconds: float = 60.0,
) -> bytes:
    """Return codes as the bytes of a compressed file, as `compress` makes of their waveform.

    Args:
        model: whose codes they are.
        codes: all rows, or the first ones, on the CPU.
        length: of the waveform (samples).
        prior: as in `compress`.
        block_seconds: as in `compress`.

    Raises:
        ConfigError: codes and length are not of this model.
    """
    coder = to_write(model, prior, len(codes))
    inference.check_codes(codes.unsqueeze(0), model.codebook_sizes)
    inference.fit_lengths(length, 1, codes.shape[1], model.hop_length)
    frames = block_frames(block_seconds, model.frame_rate, len(codes))
    return _assembled(model, coder, frames, length, _written(coder, [codes], frames))


def _written(
    coder: CodeCoder, parts: Iterable[Int[Tensor, "K _"]], frames: int
) -> tuple[list[int], list[bytes]]:
    """Return the checksum and the payload of each block of codes that arrive in parts."""
    checksums: list[int] = []
    payloads: list[bytes] = []
    each = _in_blocks(parts, frames)
    while group := list(islice(each, _together(frames, len(coder.codebook_sizes)))):
        for block, payload in zip(group, coder.encode(group), strict=True):
            checksums.append(checksum(len(checksums), block, payload))
            payloads.append(payload)
    return checksums, payloads


def _assembled(
    model: "Autoencoder",
    coder: CodeCoder,
    frames: int,
    length: int,
    written: tuple[list[int], list[bytes]],
) -> bytes:
    """Return the bytes of a whole file of blocks of so many frames."""
    header = Header(
        codebooks=len(coder.codebook_sizes),
        model=bytes.fromhex(model.fingerprint())[:8],
        prior=prior_hash(coder),
        sample_rate=model.sample_rate,
        hop_length=model.hop_length,
        block_frames=frames,
        length=length,
    )
    _check_writable(header)
    return assemble(header, *written)


def decompress(
    source: str | Path | bytes,
    model: "Autoencoder",
    prior: "TrainedPrior | CodeCoder | None" = None,
    *,
    start: int = 0,
    num_samples: int | None = None,
    condition: Int[Tensor, "1"] | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Float[Tensor, "1 1 _"]:
    """Return the waveform of a compressed file, or an excerpt of it.

    An excerpt equals that part of the whole bit for bit, on one machine and at one thread count;
    only the blocks it depends on are read.

    Args:
        source: a path, or the bytes of a file.
        model: that it was made with.
        prior: that it was written with, if any.
        start: first sample.
        num_samples: how many; None: to the end.
        condition: who speaks, by `model.speaker_index`; None: anyone.
        max_seconds: audio that the file may claim to hold (s).

    Raises:
        CompressedFileError: the file is damaged, hostile, or of another model or prior.
        CheckpointError: the prior is of another model's codes.
        AudioError: the file does not hold this excerpt.
    """
    with Container(source) as container:
        parts = sound(
            container, model, prior, start=start, num_samples=num_samples, condition=condition,
            max_seconds=max_seconds,
        )  # fmt: skip
        return torch.cat([part.cpu() for part in parts], dim=-1)


def codes_of(
    source: str | Path | bytes,
    model: "Autoencoder",
    prior: "TrainedPrior | CodeCoder | None" = None,
    *,
    start: int = 0,
    num_frames: int | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Int[Tensor, "1 K _"]:
    """Return the codes in a compressed file, or a range of frames of them, on the CPU.

    Arguments and errors as in `decompress`, with frames where it has samples.
    """
    with Container(source) as container:
        coder = _checked(container, model, prior, max_seconds)
        header = container.header
        start, stop = _range(container, start, num_frames, header.frames, "frames")
        first, after = start // header.block_frames, -(-stop // header.block_frames)
        codes = torch.cat(list(read_blocks(container, coder, first, after)), dim=-1)
        offset = first * header.block_frames
        return codes[None, :, start - offset : stop - offset]


def sound(
    container: Container,
    model: "Autoencoder",
    prior: "TrainedPrior | CodeCoder | None" = None,
    *,
    start: int = 0,
    num_samples: int | None = None,
    condition: Int[Tensor, "1"] | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Iterator[Float[Tensor, "1 1 _"]]:
    """Return the waveform of an open file in parts, in bounded memory; as `decompress`.

    What the arguments have wrong is said at once, what the blocks have wrong when they are read.
    """
    coder = _checked(container, model, prior, max_seconds)
    header = container.header
    start, stop = _range(container, start, num_samples, header.length, "samples")

    def read(first: int, after: int) -> Iterator[Tensor]:
        return read_blocks(container, coder, first, after)

    return excerpt(model, header, read, range(start, stop), condition)


def read_blocks(
    container: Container, coder: CodeCoder, first: int, after: int
) -> Iterator[Int[Tensor, "K _"]]:
    """Yield the codes of the blocks [first, after), each compared with its checksum.

    Raises:
        CompressedFileError: a block is damaged.
    """
    header = container.header
    step = _together(header.block_frames, header.codebooks)
    for at in range(first, after, step):
        numbers = range(at, min(at + step, after))
        payloads = [container.payload(n) for n in numbers]
        try:
            decoded = coder.decode(payloads, [header.frames_of(n) for n in numbers])
        except AudioVQError as error:
            raise CompressedFileError(f"{container.name} is damaged: {error}") from None
        for number, codes, payload in zip(numbers, decoded, payloads, strict=True):
            container.check(number, codes, payload)
            yield codes


def _checked(
    container: Container,
    model: "Autoencoder",
    prior: "TrainedPrior | CodeCoder | None",
    max_seconds: float,
) -> CodeCoder:
    header = container.header
    if not header.seconds <= max_seconds:  # which is so of NaN, too
        raise CompressedFileError(
            f"{container.name} claims {header.seconds / 3600:.3g} h of audio in {container.size} "
            f"bytes; up to {max_seconds / 3600:g} h is accepted (--max-hours): raise it if you "
            f"trust the file"
        )
    return to_read(container, model, prior)


def _range(
    container: Container, start: int, number: int | None, total: int, unit: str
) -> tuple[int, int]:
    stop = total if number is None else start + number
    if not 0 <= start < stop <= total:
        raise AudioError(
            f"{container.name} has {total} {unit}; those from {start} to {stop} were asked for"
        )
    return start, stop


def _in_blocks(parts: Iterable[Int[Tensor, "K _"]], frames: int) -> Iterator[Int[Tensor, "K _"]]:
    """Yield codes in blocks of so many frames, the last one of what is left."""
    held: list[Tensor] = []
    count = 0
    for part in parts:
        held.append(part)
        count += part.shape[-1]
        if count < frames:
            continue
        joined = torch.cat(held, dim=-1)
        whole = count // frames * frames
        yield from torch.split(joined[:, :whole], frames, dim=-1)
        held, count = [joined[:, whole:]], count - whole
    if count:
        yield torch.cat(held, dim=-1)


def _together(frames: int, rows: int) -> int:
    """Return how many blocks are worked on at a time."""
    return max(1, min(_TOGETHER, _TOGETHER_CODES // (frames * rows)))


def _check_writable(header: Header) -> None:
    """Refuse what a header has no room for, or what would not be read again."""
    if header.length >= 1 << 40 or header.hop_length >= 1 << 24:
        raise ConfigError(
            f"{header.length} samples in frames of {header.hop_length} do not fit a compressed "
            f"file; cut the recording, or use frames of less than {1 << 24} samples"
        )
    if header.length == 0:
        raise AudioError("the waveform has no samples; there is nothing to compress")
    assert not header.problem(), header.problem()
