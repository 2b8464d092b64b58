"""Discriminators of waveforms folded at several periods."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from audiovq.config import Factor
from audiovq.discriminators._base import (
    Discriminator,
    DiscriminatorConfig,
    Layer,
    Map,
    View,
    channels,
    through,
)
from audiovq.nn.conv import SPEECH_LEVEL

WIDTHS, STRIDES, SLOPE = (32, 128, 512, 1024, 1024), (3, 3, 3, 3, 1), 0.1  # HiFi-GAN, appendix A


class Config(DiscriminatorConfig):
    """Settings of the multi-period discriminator."""

    periods: tuple[Factor, ...] = Field(
        (2, 3, 5, 7, 11), min_length=1, max_length=16, description="one view per period (samples)"
    )


class MultiPeriodDiscriminator(Discriminator):
    """Sees every p-th sample side by side, for several periods p.

    Source: HiFi-GAN (Kong et al. 2020, arXiv:2010.05646), section 2.3 and its published layers.
    Differs in: the end is padded by zeros, not reflected; layers see zeros past an item's end;
    first weights keep the variance of speech; the verdicts are not counted as features.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.periods = config.periods
        self.labels = tuple(f"period_{p}" for p in config.periods)
        self.views = nn.ModuleList(_layers(config.width) for _ in config.periods)

    def forward(self, x: Float[Tensor, "B 1 L"], lengths: Int[Tensor, "B"]) -> tuple[View, ...]:
        """Return the view of each period; a step of time is a row of p samples."""
        views = []
        for period, layers in zip(self.periods, self.views, strict=True):
            rows = torch.unflatten(F.pad(x, (0, -x.shape[-1] % period)), -1, (-1, period))
            *features, logits = through(layers, Map(values=rows, steps=-(-lengths // period)))  # type: ignore[arg-type]
            views.append(View(logits=logits, features=tuple(features)))
        return tuple(views)


def _layers(width: float) -> nn.ModuleList:
    sizes = [1, *(channels(n, width) for n in WIDTHS)]
    gains = [1.0 / SPEECH_LEVEL, *[1.0] * (len(WIDTHS) - 1)]
    layers = [
        Layer((sizes[i], sizes[i + 1]), (5, 1), (stride, 1), slope=SLOPE, gain=gains[i])
        for i, stride in enumerate(STRIDES)
    ]
    return nn.ModuleList([*layers, Layer((sizes[-1], 1), (3, 1), slope=None)])
