"""The contract of every discriminator, and the layer that all of them are made of.

A discriminator looks at a waveform in one or several ways, its views. What a view computes has two
axes: time, of which an item has as many steps as its length asks for, and another, which is always
whole. Past an item's end every layer sees zeros, so that an item gives the same values alone and in
a padded batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import ComponentConfig
from audiovq.nn.conv import weight_norm
from audiovq.nn.tree import register_output


class DiscriminatorConfig(ComponentConfig):
    """What every discriminator can be asked for."""

    width: float = Field(
        1.0, gt=0, le=4, description="channels over those published: 1 for a GPU, 0.125 for a CPU"
    )


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class Map:
    """Values over time and another axis, and how many of them are an item's own.

    Attributes:
        values: S steps of time, F of the other axis.
        steps: real steps of time per item; at least 1 where the item has a sample.
    """

    values: Float[Tensor, "B C S F"]
    steps: Int[Tensor, "B"]

    def mean(self, each: Float[Tensor, "B C S F"] | None = None) -> Float[Tensor, "B"]:
        """Return the mean over each item's own steps, of `values` or of `each`; 0 of none."""
        x = self.values if each is None else each
        count = self.steps.clamp_min(1) * (x.shape[1] * x.shape[3])
        return x.float().where(_inside(x, self.steps), 0.0).sum(dim=(1, 2, 3)) / count


@register_output
@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What one view of a waveform gives.

    Attributes:
        logits: the verdicts, one channel; high means original.
        features: of the layers before, in order.
    """

    logits: Map
    features: tuple[Map, ...]


class Discriminator(nn.Module, ABC):
    """Base of every discriminator.

    Attributes:
        labels: the name of each view, as logged.
    """

    labels: tuple[str, ...]

    @abstractmethod
    def forward(self, x: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]) -> tuple[View, ...]:
        """Return each view of waveforms.

        Args:
            x: waveforms, zero past each item's end.
            lengths: real samples per item.
        """


class Layer(nn.Module):
    """A weight-normalised convolution over time and the other axis, and a leaky ReLU.

    Each axis is padded by zeros to as many outputs as strides fit into it: ceil(S / stride).

    Args:
        channels: in and out.
        kernel: over time and the other axis; both odd.
        stride: likewise.
        slope: of the leaky ReLU; None: there is none, as in the last layer, whose outputs are
            then near 0 at the start.
        gain: of the first weights.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        *,
        slope: float | None,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        pad = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(*channels, kernel, stride, pad)
        self.slope, self.stride = slope, stride[0]
        size = (2.0 / (1.0 + slope**2)) ** 0.5 if slope is not None else 0.1
        fan_in = channels[0] * kernel[0] * kernel[1]
        nn.init.normal_(self.conv.weight, std=gain * size / fan_in**0.5)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)
        weight_norm(self.conv)

    def forward(self, x: Map) -> Map:
        """Convolve x, which is 0 past an item's end, to what is so, too."""
        y, steps = self._convolve(x.values), -(-x.steps // self.stride)
        if self.slope is not None:
            y = F.leaky_relu(y, self.slope)
        return masked(y, steps)

    def _convolve(self, x: Float[Tensor, "B C S F"]) -> Float[Tensor, "B C_out S_out F_out"]:
        """Convolve; along time alone, as sequences of their own, which a CPU does much faster."""
        conv = self.conv
        if conv.kernel_size[1] > 1:
            return conv(x)  # type: ignore[no-any-return]
        # neither reshape copies: between layers, time is the axis whose values lie side by side
        rows = x.permute(0, 3, 1, 2).flatten(0, 1)
        weight = conv.weight[..., 0]
        y = F.conv1d(rows, weight, conv.bias, self.stride, weight.shape[-1] // 2)
        return torch.unflatten(y, 0, (len(x), x.shape[3])).permute(0, 2, 3, 1)


def masked(values: Float[Tensor, "B C S F"], steps: Int[Tensor, "B"]) -> Map:
    """Return values that are 0 past each item's end."""
    return Map(values=values.where(_inside(values, steps), 0.0), steps=steps)


def through(layers: Iterable[nn.Module], x: Map) -> tuple[Map, ...]:
    """Return what each layer gives, one after the other."""
    maps: list[Map] = []
    for layer in layers:
        x = layer(x)
        maps.append(x)
    return tuple(maps)


def channels(published: int, width: float) -> int:
    """Return that many channels times `width`; at least one."""
    return max(1, round(published * width))


def _inside(x: Float[Tensor, "B C S F"], steps: Int[Tensor, "B"]) -> Bool[Tensor, "B 1 S 1"]:
    return torch.arange(x.shape[2], device=x.device).view(-1, 1) < steps.view(-1, 1, 1, 1)
