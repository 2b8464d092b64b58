"""VQ-VAE-2: slow codes for what lasts, fast codes, given the slow ones, for what does not."""

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from audiovq.bottlenecks import _codebook as codebook
from audiovq.bottlenecks._base import BottleneckOutput, Context, DiscreteBottleneck, Statistics
from audiovq.bottlenecks._ema import EMACodebook, EMAConfig, Quantised
from audiovq.bottlenecks._estimators import ESTIMATORS
from audiovq.bottlenecks._jitter import jitter, keys_of
from audiovq.errors import ConfigError
from audiovq.nn.activations import ActivationName, activation
from audiovq.nn.conv import Conv1d, Span
from audiovq.nn.residual import ResidualUnit


class Config(EMAConfig):
    """Settings of VQ-VAE-2."""

    dim: int = Field(64, ge=1, le=4096, description="code dimension D, of both rates")
    ratio: int = Field(4, ge=2, le=64, description="fast frames per slow frame")
    slow_codebook_size: int = Field(512, ge=2, le=1 << 20, description="number of slow codes")
    kernel_size: int = Field(3, ge=1, le=63, description="kernel of the layers inside, in frames")
    activation: ActivationName = Field("leaky_relu", description="nonlinearity inside")
    causal: bool = Field(False, description="whether a code may depend on no later slow frame")


class VQVAE2(DiscreteBottleneck):
    """Two sequences of codes: one every `ratio` frames, and one every frame that knows the first.

    Codes are (B, 1 + ratio, T) at the slow rate: row 0 is the slow code, rows 1 to ratio are the
    fast codes of its frames, in time order.

    Source: Razavi et al. 2019 (arXiv:1906.00446), section 3.1 and algorithm 1, in one dimension.
    Differs in: what goes from slow to fast and to the decoder is linear and within one slow frame,
    so that codes decode without knowing where an item ends; codebooks as in `EMACodebook`.
    """

    estimates = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        D, r = config.dim, config.ratio
        self.in_channels = self.out_channels = D
        self.stride = r
        self.codebook_sizes = (config.slow_codebook_size, *([config.codebook_size] * r))
        self.unit = ResidualUnit(
            D,
            kernel_size=config.kernel_size,
            dilation=1,
            activation_name=config.activation,
            causal=config.causal,
        )
        self.act = activation(config.activation, D)
        self.down = Conv1d(D, D, 2 * r, stride=r, causal=config.causal)
        self.up = nn.Linear(D, r * D)
        self.fuse = Conv1d(2 * D, D, config.kernel_size, causal=config.causal)
        self.out = Conv1d(2 * D, D, 1, gain=1.0)
        self.slow = EMACodebook(config, config.slow_codebook_size, D)
        self.fast = EMACodebook(config, config.codebook_size, D)
        self.context = self._reach()

    @property
    def layout(self) -> tuple[str, ...]:
        """What each row of codes holds."""
        return ("slow", *(f"fast {i}" for i in range(self.config.ratio)))

    @property
    def books(self) -> tuple[int, ...]:
        """Which codebook each row of codes is from."""
        return (0, *(1 for _ in range(self.config.ratio)))

    def forward(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> BottleneckOutput:
        """Quantise at both rates.

        Returns:
            z: both sequences of code vectors, joined. loss: commitment_weight times the mean
            squared distances of both rates. codes: slow, then fast in time order. metrics:
            `quantization_error`, the summed distances of the fast frames without the weight.
        """
        B, _, T = z.shape
        r, keys = self.config.ratio, keys_of(context, z)
        rows = self._slow_rows(z, context)
        slow = self._quantise(self.slow, rows, context, keys, r)
        given = self._spread(ESTIMATORS[self.config.estimator](rows, slow.z_q), B)
        fast_rows = self._fast_rows(z, given, context)
        fast = self._quantise(self.fast, fast_rows, context, keys, 1)
        passed = ESTIMATORS[self.config.estimator](fast_rows, fast.z_q)
        joined = self._join(rearrange(passed, "(b t) d -> b d t", b=B), given)
        slow_error = repeat(slow.error, "(b t) -> b (t r)", b=B, r=r)
        error = fast.error.view(B, T)
        return BottleneckOutput(
            z=jitter(joined, self.config.jitter if self.training else 0.0, context),
            loss=self.config.commitment_weight * (error + slow_error),
            codes=self._stack(slow.codes, fast.codes, B),
            statistics=Statistics.nest({"slow": slow.statistics, "fast": fast.statistics}),
            metrics={"quantization_error": error.detach().sum(dim=1)},
        )

    def encode(
        self, z: Float[Tensor, "B D T"], context: Context = Context()
    ) -> Int[Tensor, "B K Tk"]:
        """Return slow and fast codes; 0 where masked."""
        slow = self.slow.search(self._slow_rows(z, context), _real(context, self.config.ratio))
        given = self._spread(self.slow.vectors[slow], z.shape[0])
        fast = self.fast.search(self._fast_rows(z, given, context), _real(context, 1))
        return self._stack(slow, fast, z.shape[0])

    def decode(self, codes: Int[Tensor, "B K Tk"]) -> Float[Tensor, "B D T"]:
        """Return both sequences of code vectors, joined.

        Raises:
            ConfigError: not all rows are there; fast codes mean nothing without the slow ones.
        """
        if codes.shape[1] != len(self.codebook_sizes):
            raise ConfigError(
                f"{codes.shape[1]} rows of codes given; vqvae2 needs all "
                f"{len(self.codebook_sizes)}, the slow one and {self.config.ratio} fast ones"
            )
        B = codes.shape[0]
        given = self._spread(self.slow.vectors[codes[:, 0].flatten()], B)
        fast = self.fast.vectors[rearrange(codes[:, 1:], "b r t -> (b t r)")]
        return self._join(rearrange(fast, "(b t) d -> b d t", b=B), given)

    @torch.no_grad()
    def initialise(self, z: Float[Tensor, "B D T"], context: Context = Context()) -> None:
        """Set both codebooks to k-means centres, the fast one given the slow one."""
        T = z.shape[-1] - z.shape[-1] % self.config.ratio  # whole slow frames only
        mask = None if context.mask is None else context.mask[..., :T]
        z, context = z[..., :T], Context(mask=mask, keys=context.keys)
        rows, real = self._slow_rows(z, context), _real(context, self.config.ratio)
        self.slow.initialise(rows if real is None else rows[real])
        given = self._spread(self.slow.vectors[self.slow.search(rows, real)], len(z))
        rows, real = self._fast_rows(z, given, context), _real(context, 1)
        self.fast.initialise(rows if real is None else rows[real])

    def update(self, statistics: Statistics) -> None:
        """Move both codebooks towards their frames of a step, and revive dead codes."""
        self.slow.update(statistics.part("slow"))
        self.fast.update(statistics.part("fast"))

    def estimate(self, statistics: Statistics) -> None:
        """Set each code to the mean of its frames; see `EMACodebook.estimate`."""
        self.slow.estimate(statistics.part("slow"))
        self.fast.estimate(statistics.part("fast"))

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return what `EMACodebook.describe` does of the fast codes, and `.../slow` of the slow."""
        slow = self.slow.describe(statistics.part("slow"))
        return self.fast.describe(statistics.part("fast")) | {
            f"{k}/slow": v for k, v in slow.items()
        }

    def _slow_rows(self, z: Float[Tensor, "B D T"], context: Context) -> Float[Tensor, "R D"]:
        mask = None if context.mask is None else context.mask.to(z.dtype)
        low = self.down(self.act(self.unit(z, mask)), mask)
        rows: Tensor = rearrange(low, "b d t -> (b t) d").to(self.slow.ema_sum.dtype)
        return rows

    def _spread(self, rows: Float[Tensor, "R D"], items: int) -> Float[Tensor, "B D T"]:
        """Return what each fast frame is told by its slow frame's code."""
        each: Tensor = self.up(rows)
        return rearrange(each, "(b t) (r d) -> b d (t r)", b=items, r=self.config.ratio)

    def _fast_rows(
        self, z: Float[Tensor, "B D T"], given: Float[Tensor, "B D T"], context: Context
    ) -> Float[Tensor, "R D"]:
        mask = None if context.mask is None else context.mask.to(z.dtype)
        fused = self.fuse(torch.cat([z.to(given.dtype), given], dim=1), mask)
        rows: Tensor = rearrange(fused, "b d t -> (b t) d").to(self.fast.ema_sum.dtype)
        return rows

    def _join(
        self, fast: Float[Tensor, "B D T"], given: Float[Tensor, "B D T"]
    ) -> Float[Tensor, "B D T"]:
        return self.out(torch.cat([fast, given.to(fast.dtype)], dim=1))  # type: ignore[no-any-return]

    def _quantise(
        self,
        book: EMACodebook,
        rows: Float[Tensor, "R D"],
        context: Context,
        keys: Int[Tensor, "B"],
        every: int,
    ) -> Quantised:
        real = _real(context, every)
        name = "revival fast" if every == 1 else "revival slow"
        drawn = codebook.draw(keys, len(rows) // len(keys), real, self.config.candidates, name)
        return book(rows, real, drawn)  # type: ignore[no-any-return]

    def _stack(
        self, slow: Int[Tensor, "Rs"], fast: Int[Tensor, "Rf"], items: int
    ) -> Int[Tensor, "B K Tk"]:
        rows = rearrange(fast, "(b t r) -> b r t", b=items, r=self.config.ratio)
        return torch.cat([slow.view(items, 1, -1), rows], dim=1)

    def _reach(self) -> tuple[int, int]:
        """Return the slow frames before and after a slow frame that its codes depend on."""
        r = self.config.ratio
        fused = self.fuse.input_span(Span(0, r))
        slow = Span(fused.start // r, -(-fused.end // r))  # slow frames whose codes are fused in
        span = self.unit.input_span(self.down.input_span(slow)) | fused
        return -(span.start // r), -(-span.end // r) - 1


def _real(context: Context, every: int) -> Tensor | None:
    """Return which rows are real, taking every so many frames; None: all."""
    return None if context.mask is None else context.mask[..., ::every].flatten()
