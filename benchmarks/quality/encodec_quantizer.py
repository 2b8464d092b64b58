"""The quantizer of EnCodec, from vector-quantize-pytorch."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import (
    EMPTY,
    BottleneckOutput,
    Context,
    DiscreteBottleneck,
    Statistics,
)
from audiovq.bottlenecks._estimators import straight_through
from audiovq.bottlenecks._jitter import keys_of
from audiovq.errors import ConfigError
from audiovq.nn.precision import without_autocast
from benchmarks.quality import _residual as residual
from benchmarks.quality._network import built


class Config(residual.ResidualConfig):
    """Settings of EnCodec's quantizer; what is not said to differ is as published."""

    dim: int = Field(72, ge=1, description="code dimension D; published: 128")
    decay: float = Field(0.99, ge=0, lt=1, description="of counts and sums, per step")
    kmeans_iterations: int = Field(50, ge=1, description="iterations of the first codebooks")
    dead_share: float = Field(
        0.4,
        ge=0,
        description="a code is dead below this share of the mean count of a step; published: 2 of "
        "4.7 (4,800 frames a step, 1,024 codes)",
    )
    frames: int = Field(400, ge=1, description="frames of a step, which give the mean count")
    candidates: int = Field(2048, ge=1, description="most frames of a step it learns from")
    commitment_weight: float = Field(0.25, ge=0, description="as in our `rvq`, on a mean over D")


class EncodecQuantizer(DiscreteBottleneck):
    """Residual VQ whose codebooks follow a moving average; dead codes are replaced by frames.

    Source: `ResidualVQ` of vector-quantize-pytorch; Défossez et al. 2022 (arXiv:2210.13438),
    section 3.2 and appendix. transformers has a codebook, too, which is a buffer of zeros and
    learns nothing. Differs in: the library searches, and learns in `update`, from the step's frames
    and with random numbers of their own, so that a forward changes nothing and every codebook
    learns from every frame; dropout is per item, as in our `rvq`, and not per batch, nor in steps
    of a bandwidth; what counts as a dead code is relative to the frames of a step, of which a small
    batch has few; commitment adds up over the codebooks an item uses.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.in_channels = self.out_channels = config.dim
        self.codebook_sizes = (config.codebook_size,) * config.num_codebooks
        self.library = built(lambda: _library(config)).eval()

    def train(self, mode: bool = True) -> "EncodecQuantizer":
        """Set the mode; the library learns in `update` only."""
        super().train(mode)
        self.library.eval()
        return self

    def forward(self, z: Tensor, context: Context = Context()) -> BottleneckOutput:
        """Quantise each frame K times, each time what is left; returns what `RVQ.forward` does."""
        c, rows = self.config, self._rows(z)
        real = None if context.mask is None else context.mask.flatten()
        codes = self.encode(z, context)
        deep = None
        if self.training and c.dropout:
            deep = residual.depth(c, context, z).expand(-1, z.shape[2]).flatten()
        total, loss, left = torch.zeros_like(rows), rows.new_zeros(len(rows)), rows
        for k, vectors in enumerate(self._vectors(codes)):
            used = None if deep is None else (deep > k).to(rows.dtype)
            error = (left - vectors).square().mean(dim=1)
            total = total + (vectors if used is None else vectors * used.unsqueeze(1))
            loss = loss + (error if used is None else error * used)
            left = left - vectors
        error = left.detach().square().mean(dim=1)
        if real is not None:
            loss, error = loss.where(real, 0.0), error.where(real, 0.0)
        B, _, T = z.shape
        drawn = codebook.draw(keys_of(context, z), T, real, c.candidates, "frames")
        counts = residual.counted(codes.unbind(dim=1), c.codebook_size, context.mask)
        counts["all"] = Statistics(sums={}, candidates={"frames": drawn.of(rows.detach())})
        return BottleneckOutput(
            z=self._columns(straight_through(rows, total), B),
            loss=c.commitment_weight * loss.view(B, T),
            codes=codes,
            statistics=Statistics.nest(counts),
            metrics={"quantization_error": error.view(B, T).sum(dim=1)},
        )

    def encode(self, z: Tensor, context: Context = Context()) -> Tensor:
        """Return codes (B, K, T) of frames (B, D, T), in [0, N); 0 where masked."""
        with torch.no_grad(), without_autocast(z.device):
            found = self.library(self._rows(z).unsqueeze(0))[1][0]  # (R, K)
        codes = found.view(len(z), -1, found.shape[1]).transpose(1, 2).contiguous()
        return codes if context.mask is None else codes.where(context.mask, 0)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the sum of the codes; the first rows of codes suffice."""
        total: Tensor | None = None
        for vectors in self._vectors(codes):
            total = vectors if total is None else total + vectors
        assert total is not None
        return self._columns(total, len(codes))

    def initialise(self, z: Tensor, context: Context = Context()) -> None:
        """Let the library cluster frames into its codebooks."""
        rows = residual.real_rows(z, context)
        books = [layer._codebook for layer in self.library.layers]  # noqa: SLF001
        for book in books:
            book.initted.fill_(False)  # the library has no other way
        self._learn(rows, seed=0)
        # As if the frames of one step had been clustered: with the counts of many, codes that the
        # encoder leaves behind at the start would live on for hundreds of steps.
        for book in books:
            book.cluster_size.mul_(self.config.frames / len(rows))
            book.embed_avg.mul_(self.config.frames / len(rows))

    def update(self, statistics: Statistics) -> None:
        """Let the library learn from the frames of a step, as in its own forward."""
        found = statistics.candidates["all/frames"]
        if len(rows := found.frames[found.hashes != EMPTY]):
            self._learn(rows, int(found.hashes[0]))

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return perplexity and usage, per codebook and together."""
        return residual.describe(statistics, len(self.codebook_sizes))

    @torch.no_grad()
    def _learn(self, rows: Tensor, seed: int) -> None:
        devices = [] if rows.device.type == "cpu" else [rows.device]
        with torch.random.fork_rng(devices), without_autocast(rows.device):
            torch.manual_seed(seed & 0x7FFFFFFF)
            self.library.train()
            self.library(rows.unsqueeze(0))
            self.library.eval()

    def _vectors(self, codes: Tensor) -> list[Tensor]:
        """Return the code vectors (R, D) of each row of codes."""
        books = self.library.codebooks
        rows = codes.unbind(dim=1)
        return [book[row.flatten()] for book, row in zip(books, rows, strict=False)]

    def _rows(self, z: Tensor) -> Tensor:
        return z.transpose(1, 2).flatten(0, 1).float()

    def _columns(self, rows: Tensor, items: int) -> Tensor:
        return rows.unflatten(0, (items, -1)).transpose(1, 2)


def _library(config: Config) -> Any:
    try:
        from vector_quantize_pytorch import ResidualVQ
    except ImportError as error:
        raise ConfigError(
            f"EnCodec's quantizer is vector-quantize-pytorch's ({error}): "
            f"pip install 'audiovq[dev]'"
        ) from None
    return ResidualVQ(
        dim=config.dim,
        num_quantizers=config.num_codebooks,
        codebook_size=config.codebook_size,
        decay=config.decay,
        kmeans_iters=config.kmeans_iterations,
        threshold_ema_dead_code=config.dead_share * config.frames / config.codebook_size,
        rotation_trick=False,
        sync_codebook=False,  # the frames of all processes come together
    )
