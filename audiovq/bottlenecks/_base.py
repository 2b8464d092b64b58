"""The one contract of every bottleneck, continuous or discrete."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from audiovq.nn.tree import register_output

Condition = Int[Tensor, "B"] | Float[Tensor, "B E"]


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a bottleneck or decoder may know besides its input; every field is optional.

    Attributes:
        mask: which frames are real; None when all are.
        x: the waveform as a leaf with gradient, given to bottlenecks that ask for it
            (`needs_input_gradient`).
        keys: one integer per item, from which every random draw derives (`audiovq.nn.random`).
        condition: who speaks in each item, as a row of the decoder's table or as a vector.
        reference: in training, another segment of each item's speaker.
    """

    mask: Bool[Tensor, "B 1 T"] | None = None
    x: Float[Tensor, "B 1 L"] | None = None
    keys: Int[Tensor, "B"] | None = None
    condition: Condition | None = None
    reference: Float[Tensor, "B 1 _"] | None = None


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """A few frames drawn from a batch: those with the smallest hashes.

    Keeping the smallest hashes makes a draw from a union the union of draws: merging two sets is
    joining them and selecting again, in any order and on any number of ranks.

    Attributes:
        hashes: ascending; `EMPTY` marks a slot without a frame.
        frames: the drawn frames.
    """

    hashes: Int[Tensor, "M"]
    frames: Float[Tensor, "M D"]

    def __add__(self, other: "Candidates") -> "Candidates":
        size = max(len(self.hashes), len(other.hashes))
        hashes, order = torch.cat([self.hashes, other.hashes]).sort(stable=True)
        return Candidates(
            hashes=hashes[:size], frames=torch.cat([self.frames, other.frames])[order[:size]]
        )


EMPTY = torch.iinfo(torch.int64).max  # the hash of a candidate slot without a frame


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """What a bottleneck learns from a batch outside the gradient; adds up over batches and ranks.

    Attributes:
        sums: float32 sums over real frames, merged by adding.
        candidates: frames for revival, merged by selecting again; may be empty.
    """

    sums: Mapping[str, Tensor]
    candidates: Mapping[str, Candidates] = field(default_factory=dict)

    @staticmethod
    def nest(parts: Mapping[str, "Statistics"]) -> "Statistics":
        """Return the statistics of several named codebooks as one, by names like `slow/count`."""
        return Statistics(
            sums={f"{name}/{k}": v for name, p in parts.items() for k, v in p.sums.items()},
            candidates={
                f"{name}/{k}": v for name, p in parts.items() for k, v in p.candidates.items()
            },
        )

    def part(self, name: str) -> "Statistics":
        """Return what `nest` was given under that name."""
        start = f"{name}/"
        return Statistics(
            sums={k.removeprefix(start): v for k, v in self.sums.items() if k.startswith(start)},
            candidates={
                k.removeprefix(start): v for k, v in self.candidates.items() if k.startswith(start)
            },
        )

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(
            sums={k: v + other.sums[k] for k, v in self.sums.items()},
            candidates={k: v + other.candidates[k] for k, v in self.candidates.items()},
        )


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class BottleneckOutput:
    """What every bottleneck returns.

    Attributes:
        z: what the decoder receives, gradient attached.
        loss: the bottleneck's own term per frame, already weighted; 0 where masked.
        codes: one row per codebook, 0 past an item's end; None for continuous bottlenecks.
        statistics: for `update` and `describe`; detached. None if nothing is learned that way.
        metrics: detached sums per item.
    """

    z: Float[Tensor, "B D T"]
    loss: Float[Tensor, "B T"]
    codes: Int[Tensor, "B K Tk"] | None = None
    statistics: Statistics | None = None
    metrics: Mapping[str, Float[Tensor, "B"]] = field(default_factory=dict)


class Bottleneck(nn.Module, ABC):
    """Base of every bottleneck: what stands between encoder and decoder.

    `forward` is pure: it changes no buffer, in training or evaluation, so recomputation,
    accumulation, compilation and a NaN step are all safe. What is learned outside the gradient
    travels in `BottleneckOutput.statistics` and is applied by `update`, which the training loop
    calls after a finite optimizer step.

    Attributes:
        in_channels: channels the encoder must emit.
        out_channels: channels the decoder gets.
        stride: encoder frames per frame of codes.
        context: frames of codes to the left and right that one code depends on.
        needs_input_gradient: whether `Context.x` must be a leaf with gradient.
        has_rate: whether `metrics["kl"]` holds the nats an item costs under the bottleneck's own
            prior. Distortion at that rate is that of samples, which `forward` gives with keys.
        estimates: whether `estimate` does something.
    """

    in_channels: int
    out_channels: int
    stride: int = 1
    context: tuple[int, int] = (0, 0)
    needs_input_gradient: bool = False
    has_rate: bool = False
    estimates: bool = False

    @abstractmethod
    def forward(self, z: Float[Tensor, "B C T"], context: Context = ...) -> BottleneckOutput:
        """Pass encoder output on to the decoder, with this bottleneck's loss and statistics."""

    def update(self, statistics: Statistics) -> None:
        """Learn from a step's merged statistics; in place, without synchronising with the host."""

    def estimate(self, statistics: Statistics) -> None:
        """Set what is learned outside the gradient from the statistics of many frames at once."""

    def describe(self, statistics: Statistics) -> dict[str, float]:
        """Return what the statistics of a step, a window or an epoch say, by metric name."""
        del statistics
        return {}

    def embed(self, z: Float[Tensor, "B C T"], context: Context) -> Float[Tensor, "B D T"]:
        """Return what the decoder would receive, at inference."""
        return self.forward(z, context).z


class DiscreteBottleneck(Bottleneck):
    """Base of bottlenecks that emit codes.

    Attributes:
        codebook_sizes: codebook size N of each row of codes.
        layout: what each row of codes holds, e.g. `("codebook 0",)`.
    """

    codebook_sizes: tuple[int, ...]

    @property
    def layout(self) -> tuple[str, ...]:
        """What each row of codes holds."""
        return tuple(f"codebook {k}" for k in range(len(self.codebook_sizes)))

    @property
    def books(self) -> tuple[int, ...]:
        """Which codebook each row of codes is from; rows of one stream share theirs."""
        return tuple(range(len(self.codebook_sizes)))

    @abstractmethod
    def initialise(self, z: Float[Tensor, "B C T"], context: Context = ...) -> None:
        """Set the codebooks from encoder output, once, before training."""

    @abstractmethod
    def encode(self, z: Float[Tensor, "B C T"], context: Context = ...) -> Int[Tensor, "B K Tk"]:
        """Return the codes of encoder output; 0 where masked."""

    @abstractmethod
    def decode(self, codes: Int[Tensor, "B K Tk"]) -> Float[Tensor, "B D T"]:
        """Return what the decoder receives for these codes."""

    def embed(self, z: Float[Tensor, "B C T"], context: Context) -> Float[Tensor, "B D T"]:
        """Return what the decoder would receive, at inference."""
        return self.decode(self.encode(z, context))
