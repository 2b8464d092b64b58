"""Vector quantizer with a frozen codebook seen through one learned linear map."""

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
from audiovq.nn.precision import without_autocast


class Config(learned.LearnedConfig):
    """Settings of SimVQ."""

    kmeans_iterations: int = Field(20, ge=0, description="k-means iterations of the frozen codes")


class SimVQ(DiscreteBottleneck):
    """Replace each frame by its nearest code C W, with C frozen and W learned.

    Every step moves every code, so none is left behind.

    Source: Zhu et al. 2024 (arXiv:2411.02038), section 4. Differs in: the frozen codes are
    clustered from the first frames, whose mean no linear map of random codes could reach.

    Buffers:
        frozen (N, D): the codes before the map.
    """

    frozen: Float[Tensor, "N D"]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim
        self.codebook_sizes = (config.codebook_size,)
        codes = random.normal(torch.arange(config.codebook_size), "codebook", config.dim)
        self.register_buffer("frozen", codes / config.dim**0.5)
        self.map = nn.Parameter(torch.eye(config.dim))

    @property
    def codebook(self) -> Float[Tensor, "N D"]:
        """The code vectors."""
        with without_autocast(self.frozen.device):
            return self.frozen @ self.map

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Quantise each frame to its nearest code; returns what `_learned.quantise` does."""
        return learned.quantise(z, self.codebook, self.config, context, training=self.training)

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return the index of each frame's nearest code, in [0, N); 0 where masked."""
        real = None if context.mask is None else context.mask.flatten()
        vectors = self.codebook
        return learned.search(learned.rows_of(z, vectors), vectors, real).view(z.shape[0], 1, -1)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the code vectors."""
        return rearrange(self.codebook[codes[:, 0]], "b t d -> b d t")

    @torch.no_grad()
    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Set the codes to k-means centres of encoder output, their size kept in W."""
        rows = learned.rows_of(z, self.frozen)
        rows = rows if context.mask is None else rows[context.mask.flatten()]
        iterations = self.config.kmeans_iterations
        centres = codebook.kmeans(rows, len(self.frozen), iterations=iterations)
        # Frozen codes of length 1 on average: the optimizer's steps in W then move them little.
        size = centres.norm(dim=1).mean().clamp_min(1e-6)
        self.frozen.copy_(centres / size)
        self.map.copy_(size * torch.eye(len(self.map), device=self.map.device))

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity, usage, drift and relative_error of the frames."""
        return describe_fit(statistics.sums, self.codebook.detach())
