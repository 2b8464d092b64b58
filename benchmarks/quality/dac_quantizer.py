"""The quantizer of DAC, as transformers has it."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._estimators import straight_through
from audiovq.nn.precision import without_autocast
from benchmarks.quality import _dac as dac
from benchmarks.quality import _residual as residual
from benchmarks.quality._network import Start, built, modelling


class Config(residual.ResidualConfig):
    """Settings of DAC's quantizer."""

    dim: int = Field(144, ge=1, description="channels of a frame; published: 1024")
    codebook_dim: int = Field(8, ge=1, description="dimension in which codes are looked up")
    commitment_weight: float = Field(
        0.005, ge=0, description="as published beside a mel loss: 0.25 to 15 of 7 in log10"
    )
    codebook_weight: float = Field(0.02, ge=0, description="likewise, of 1.0")
    kmeans_iterations: int = Field(
        20, ge=0, description="k-means iterations of the first codebooks; published: none"
    )
    start: Start = Field(
        "level",
        description="level: what leaves a codebook's space is what entered it; published: noise",
    )


class DACQuantizer(DiscreteBottleneck):
    """Residual VQ in 8 dimensions, nearest by angle, codebooks learned by gradient.

    Source: `DacResidualVectorQuantizer` of transformers; Kumar et al. 2023 (arXiv:2306.06546),
    section 3.2. Differs in: codebooks start from k-means and not from noise, as those of the other
    architectures here; `start`; dropout draws as our `rvq` does, the share of items a probability
    and not the first of a batch; losses are per frame; straight-through is bit for bit; weights of
    commitment and codebook relative to the mel loss are the published ones, not their values: at
    0.25 and 1.0 beside a mel loss of 1.0 nearly all codes were lost within 75 steps.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim
        self.codebook_sizes = (config.codebook_size,) * config.num_codebooks
        values = dac.settings(
            hidden_size=config.dim,
            codebook_dim=config.codebook_dim,
            codebook_size=config.codebook_size,
            n_codebooks=config.num_codebooks,
        )
        found = built(lambda: modelling("dac").DacResidualVectorQuantizer(values))
        for layer in found.quantizers:
            _start(layer, config.start)
            parametrizations.weight_norm(layer.in_proj)
            parametrizations.weight_norm(layer.out_proj)
        self.layers = found.quantizers

    def forward(self, z: Tensor, context: Context = Context()) -> BottleneckOutput:
        """Quantise each frame K times, each time what is left.

        Returns:
            z: the sum of the codes an item uses. loss: commitment and codebook terms of the used
            codebooks, weighted, summed. codes: all K rows. metrics: `quantization_error`, the
            summed squared distance left at the end, a mean over D.
        """
        c = self.config
        deep = residual.depth(c, context, z) if self.training and c.dropout else None
        with without_autocast(z.device):
            left = z = z.float()
            total, loss, rows = torch.zeros_like(z), z.new_zeros(len(z), z.shape[2]), []
            for k, layer in enumerate(self.layers):
                p = layer.in_proj(left)
                q, codes = layer.decode_latents(p)
                passed = layer.out_proj(straight_through(p, q))
                used = 1.0 if deep is None else (deep > k).to(z.dtype)  # (B, 1)
                total = total + passed * (used if deep is None else used.unsqueeze(2))
                term = c.commitment_weight * (p - q.detach()).square().mean(dim=1)
                term = term + c.codebook_weight * (q - p.detach()).square().mean(dim=1)
                left, loss = left - passed, loss + term * used
                rows.append(codes)
        error = left.detach().square().mean(dim=1)
        if context.mask is not None:
            real = context.mask.squeeze(1)
            loss, error = loss.where(real, 0.0), error.where(real, 0.0)
            rows = [row.where(real, 0) for row in rows]
        return BottleneckOutput(
            z=total,
            loss=loss,
            codes=torch.stack(rows, dim=1),
            statistics=Statistics.nest(residual.counted(rows, c.codebook_size, context.mask)),
            metrics={"quantization_error": error.sum(dim=1)},
        )

    def encode(self, z: Tensor, context: Context = Context()) -> Tensor:
        """Return codes (B, K, T) of frames (B, D, T), in [0, N); 0 where masked."""
        with torch.no_grad(), without_autocast(z.device):
            left, rows = z.float(), []
            for layer in self.layers:
                q, codes = layer.decode_latents(layer.in_proj(left))
                left = left - layer.out_proj(q)
                rows.append(codes)
        found = torch.stack(rows, dim=1)
        return found if context.mask is None else found.where(context.mask, 0)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the sum of the codes; the first rows of codes suffice."""
        total: Tensor | float = 0.0
        with without_autocast(codes.device):
            for layer, row in zip(self.layers, codes.unbind(dim=1), strict=False):
                total = total + layer.out_proj(layer.codebook(row).transpose(1, 2))
        assert isinstance(total, Tensor)
        return total

    @torch.no_grad()
    def initialise(self, z: Tensor, context: Context = Context()) -> None:
        """Set each codebook to k-means centres of what the ones before it leave over."""
        left = residual.real_rows(z, context).T.unsqueeze(0)
        for layer in self.layers:
            p = layer.in_proj(left)
            size, iterations = self.config.codebook_size, self.config.kmeans_iterations
            layer.codebook.weight.copy_(codebook.kmeans(p[0].T, size, iterations=iterations))
            left = left - layer.out_proj(layer.decode_latents(p)[0])

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity and usage, per codebook and together."""
        return residual.describe(statistics, len(self.layers))


def _start(layer: nn.Module, start: Start) -> None:
    """Start the projections of one codebook."""
    for conv in (layer.in_proj, layer.out_proj):
        nn.init.trunc_normal_(conv.weight, std=0.02)
        nn.init.zeros_(conv.bias)
    if start == "level":
        nn.init.orthogonal_(layer.in_proj.weight.data[..., 0])
        layer.out_proj.weight.data.copy_(layer.in_proj.weight.data.transpose(0, 1))
