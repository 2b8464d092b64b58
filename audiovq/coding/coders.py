"""Which coder writes the codes of a model, and which one reads a file."""

from typing import TYPE_CHECKING

import torch

from audiovq.coding._base import CodeCoder
from audiovq.coding.container import ENTRY, Container
from audiovq.coding.header import NO_PRIOR, SIZE, Header
from audiovq.coding.packed import PackedCodes
from audiovq.errors import CompressedFileError, ConfigError

if TYPE_CHECKING:
    from audiovq.autoencoder import Autoencoder
    from audiovq.prior import TrainedPrior


def to_write(
    model: "Autoencoder", prior: "TrainedPrior | CodeCoder | None", codebooks: int | None
) -> CodeCoder:
    """Return what writes the first so many rows of a model's codes.

    Raises:
        ConfigError: the model has no codes, cannot decode that many rows alone, or the prior is of
            other rows.
        CheckpointError: the prior is of another model's codes.
    """
    sizes = model.codebook_sizes
    if not sizes:
        raise ConfigError(
            f"a model with the bottleneck {model.config.bottleneck.name!r} is continuous and has "
            f"no codes to compress; train a discrete one"
        )
    if codebooks is not None and not 1 <= codebooks <= len(sizes):
        raise ConfigError(f"{codebooks} codebooks asked for; 1 to {len(sizes)} are accepted")
    if prior is None:
        coder: CodeCoder = PackedCodes(sizes[: codebooks or len(sizes)])
    else:
        coder = _of_prior(model, prior)
    rows = len(coder.codebook_sizes)
    if codebooks not in {None, rows}:
        raise ConfigError(
            f"{codebooks} codebooks asked for, and the prior is of {rows}: leave --codebooks out, "
            f"or train a prior on so many"
        )
    if rows > 255:  # a byte of the header
        raise ConfigError(f"codes of {rows} rows given; a compressed file holds up to 255")
    _check_prefix(model, rows)
    return coder


def to_read(
    container: Container, model: "Autoencoder", prior: "TrainedPrior | CodeCoder | None"
) -> CodeCoder:
    """Return what reads a file's codes; a prior is left aside where the file needs none.

    Raises:
        CompressedFileError: the file is of another model or prior, or needs a prior.
        CheckpointError: the prior is of another model's codes.
    """
    header, name = container.header, container.name
    mine = bytes.fromhex(model.fingerprint())[:8]
    if header.model != mine:
        raise CompressedFileError(
            f"{name} was made with the model {header.model.hex()}..., and this one is "
            f"{mine.hex()}...: give the model it was made with"
        )
    facts = (header.sample_rate, header.hop_length)
    rows = header.codebooks
    if facts != (model.sample_rate, model.hop_length) or rows > model.num_codebooks:
        raise CompressedFileError(f"{name} does not fit the model it names: hostile or damaged")
    if not header.has_prior:
        return PackedCodes(model.codebook_sizes[:rows])
    if prior is None:
        raise CompressedFileError(
            f"{name} was written with the prior {header.prior.hex()}...: give it (--prior)"
        )
    coder = _of_prior(model, prior)
    if prior_hash(coder) != header.prior or len(coder.codebook_sizes) != rows:
        raise CompressedFileError(
            f"{name} was written with the prior {header.prior.hex()}..., and this one is "
            f"{prior_hash(coder).hex()}...: give the prior it was written with"
        )
    return coder


def prior_hash(coder: CodeCoder) -> bytes:
    """Return the 8 bytes that a header names the coder's prior by."""
    if isinstance(coder, PackedCodes):
        return NO_PRIOR
    return bytes.fromhex(coder.fingerprint)[:8]


def packed_size(model: "Autoencoder", header: Header) -> int:
    """Return the bytes that a whole file would have if its codes were bit-packed."""
    packed, last = PackedCodes(model.codebook_sizes[: header.codebooks]), header.blocks - 1
    payloads = last * packed.size(header.block_frames) + packed.size(header.frames_of(last))
    return SIZE + ENTRY * header.blocks + payloads


def _of_prior(model: "Autoencoder", prior: "TrainedPrior | CodeCoder") -> CodeCoder:
    if isinstance(prior, CodeCoder):
        coder = prior
    else:
        from audiovq.coding.prior_codes import PriorCodes  # noqa: PLC0415  (heavy)
        from audiovq.prior import TrainedPrior  # noqa: PLC0415

        if not isinstance(prior, TrainedPrior):
            raise ConfigError(
                f"a {type(prior).__name__} given as the prior; give what audiovq.prior.load returns"
            )
        _check_part(prior)
        sizes = prior.about.codes.codebook_sizes
        prior.check(model.fingerprint(), model.codebook_sizes[: len(sizes)], "the model")
        coder = PriorCodes(prior)
    rows = len(coder.codebook_sizes)
    if coder.codebook_sizes != model.codebook_sizes[:rows]:
        raise ConfigError(
            f"the prior is of codebooks {coder.codebook_sizes}, the model's are "
            f"{model.codebook_sizes}: use a prior of this model's codes"
        )
    return coder


def _check_part(prior: "TrainedPrior") -> None:
    """Refuse a prior of other rows than the first, which are what a file holds."""
    part = prior.about.part
    if part is not None and not part.is_first:
        raise ConfigError(
            f"the prior is of {', '.join(part.names)}, and a compressed file holds all rows of a "
            f"model's codes, or the first of a residual model's: use a prior of those"
        )


def _check_prefix(model: "Autoencoder", rows: int) -> None:
    """Let the bottleneck refuse, in its own words, fewer rows than it can decode."""
    if rows < model.num_codebooks:
        device = next(model.parameters()).device
        with torch.no_grad():
            model.bottleneck.decode(torch.zeros(1, rows, 1, dtype=torch.int64, device=device))  # type: ignore[operator]
