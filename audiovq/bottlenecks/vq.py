"""Vector quantizer whose codebook is learned by gradient: the VQ-VAE paper's three terms."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks import _learned as learned
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._health import describe_fit
from audiovq.nn import random


class Config(learned.LearnedConfig):
    """Settings of the vector quantizer with a learned codebook."""

    kmeans_iterations: int = Field(20, ge=0, description="k-means iterations of the first codebook")


class VQ(DiscreteBottleneck):
    """Replace each frame by its nearest code; the codes are parameters of the optimizer.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), eq. 1-3. The decoder learns from the
    reconstruction only, the codebook from the second term only, the encoder from the
    reconstruction and the third. Differs in: the first codebook is clustered from frames.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim
        self.codebook_sizes = (config.codebook_size,)
        codes = random.normal(torch.arange(config.codebook_size), "codebook", config.dim)
        self.codebook = nn.Parameter(codes / config.dim**0.5)

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Quantise each frame to its nearest code; returns what `_learned.quantise` does."""
        return learned.quantise(z, self.codebook, self.config, context, training=self.training)

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return the index of each frame's nearest code, in [0, N); 0 where masked."""
        real = None if context.mask is None else context.mask.flatten()
        rows = learned.rows_of(z, self.codebook)
        return learned.search(rows, self.codebook, real).view(z.shape[0], 1, -1)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the code vectors."""
        return rearrange(self.codebook[codes[:, 0]], "b t d -> b d t")

    @torch.no_grad()
    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Set the codebook to k-means centres of encoder output."""
        rows = learned.rows_of(z, self.codebook)
        rows = rows if context.mask is None else rows[context.mask.flatten()]
        iterations = self.config.kmeans_iterations
        self.codebook.copy_(codebook.kmeans(rows, len(self.codebook), iterations=iterations))

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity, usage, drift and relative_error of the frames."""
        return describe_fit(statistics.sums, self.codebook.detach())
