"""Vector quantizer with a codebook that follows an exponential moving average."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._ema import EMACodebook, EMAConfig, Quantised
from audiovq.bottlenecks._estimators import ESTIMATORS
from audiovq.bottlenecks._factorised import Direct, Factorised, FactorisedConfig
from audiovq.bottlenecks._jitter import jitter, keys_of


class Config(EMAConfig):
    """Settings of the EMA vector quantizer."""

    dim: int = Field(64, ge=1, le=4096, description="dimension D of what the decoder gets")
    factorised: FactorisedConfig | None = Field(
        None, description="look codes up in a smaller space of their own; null: in D dimensions"
    )


class VQEMA(DiscreteBottleneck):
    """Replace each frame by its nearest code; the codebook is an average of its own frames.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), eq. 1-3 and appendix A.1; how the codebook
    differs is said in `EMACodebook`.
    """

    estimates = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim
        self.codebook_sizes = (config.codebook_size,)
        self.space: Factorised | Direct = (
            Factorised(config.factorised, config.dim) if config.factorised else Direct(config.dim)
        )
        self.codebook = EMACodebook(
            config, config.codebook_size, self.space.dim, sphere=self.space.sphere
        )

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Quantise each frame to its nearest code.

        Returns:
            z: the code vectors. loss: commitment_weight times the mean squared distance to the
            code. codes: in [0, N). metrics: `quantization_error`, the summed distance without the
            weight.
        """
        B, _, T = z.shape
        real = None if context.mask is None else context.mask.flatten()
        rows = self._rows(z)
        drawn = codebook.draw(keys_of(context, z), T, real, self.config.candidates, "revival")
        q: Quantised = self.codebook(rows, real, drawn)
        passed = self.space.leave(ESTIMATORS[self.config.estimator](rows, q.z_q))
        z_q = rearrange(passed, "(b t) d -> b d t", b=B)
        error = q.error.view(B, T)
        return BottleneckOutput(
            z=jitter(z_q, self.config.jitter if self.training else 0.0, context),
            loss=self.config.commitment_weight * error,
            codes=q.codes.view(B, 1, T),
            statistics=q.statistics,
            metrics={"quantization_error": error.detach().sum(dim=1)},
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K T"]:
        """Return the index of each frame's nearest code, in [0, N); 0 where masked."""
        real = None if context.mask is None else context.mask.flatten()
        return self.codebook.search(self._rows(z), real).view(z.shape[0], 1, -1)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Return the code vectors, at the decoder's dimension."""
        rows = self.codebook.vectors[codes[:, 0].flatten()]
        return rearrange(self.space.leave(rows), "(b t) d -> b d t", b=codes.shape[0])

    @torch.no_grad()
    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Set the codebook to k-means centres of encoder output."""
        rows = self._rows(z)
        self.codebook.initialise(rows if context.mask is None else rows[context.mask.flatten()])

    def update(self, statistics: Statistics) -> None:
        """Move the codebook towards the frames of a step, and revive dead codes."""
        self.codebook.update(statistics)

    def estimate(self, statistics: Statistics) -> None:
        """Set each code to the mean of its frames; see `EMACodebook.estimate`."""
        self.codebook.estimate(statistics)

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return what `EMACodebook.describe` does."""
        return self.codebook.describe(statistics)

    def _rows(self, z: Float[Tensor, "B D T"]) -> Float[Tensor, "R d"]:
        return self.space.enter(rearrange(z, "b d t -> (b t) d").to(self.codebook.ema_sum.dtype))
