"""What both peers' quantizers share: settings, how deep an item goes, what is counted."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import Context, Statistics
from audiovq.bottlenecks._health import describe_counts, over_rows
from audiovq.bottlenecks._jitter import keys_of
from audiovq.config import ComponentConfig
from audiovq.errors import ConfigError
from audiovq.nn import random


class ResidualConfig(ComponentConfig):
    """Settings of a residual quantizer."""

    codebook_size: int = Field(1024, ge=2, description="codes N per codebook")
    num_codebooks: int = Field(12, ge=1, description="codebooks K, coarse to fine")
    dropout: float = Field(
        0.5, ge=0, le=1, description="share of training items that use only the first few codebooks"
    )


def depth(config: ResidualConfig, context: Context, z: Tensor) -> Tensor:
    """Return how many codebooks each item uses in training (B, 1): the draws of our own `rvq`."""
    keys, K = keys_of(context, z), config.num_codebooks
    shallow = random.uniform(keys, "quantizer dropout", 1) < config.dropout
    drawn = 1 + (random.uniform(keys, "quantizer depth", 1) * K).long()
    return torch.where(shallow, drawn, K)


def counted(codes: Sequence[Tensor], size: int, mask: Tensor | None) -> dict[str, Statistics]:
    """Return, per codebook, how often each code was used by real frames; codes are (B, T)."""
    real = None if mask is None else mask.flatten()
    return {
        str(k): Statistics(sums={"count": codebook.count(row.flatten(), size, real)})
        for k, row in enumerate(codes)
    }


def describe(statistics: Statistics, books: int) -> dict[str, float]:
    """Return perplexity and usage, per codebook and together."""
    return over_rows([describe_counts(statistics.sums[f"{k}/count"]) for k in range(books)])


def real_rows(z: Tensor, context: Context) -> Tensor:
    """Return the real frames (R, D) of (B, D, T), from which codebooks start.

    Raises:
        ConfigError: there is none, or one is not finite.
    """
    rows = z.transpose(1, 2).flatten(0, 1).float()
    rows = rows if context.mask is None else rows[context.mask.flatten()]
    if not len(rows) or not bool(torch.isfinite(rows).all()):
        raise ConfigError(f"a codebook starts from real, finite frames; {len(rows)} given")
    return rows
