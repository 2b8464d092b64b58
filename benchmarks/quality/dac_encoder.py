"""The encoder of DAC, as transformers has it."""

import math

from pydantic import Field
from torch import Tensor, nn

from audiovq.encoders._base import Encoder
from audiovq.nn.conv import SPEECH_LEVEL, Span
from benchmarks.quality import _dac as dac
from benchmarks.quality._network import Masks, built, modelling


class Config(dac.SidedConfig):
    """Settings of DAC's encoder."""

    channels: int = Field(9, ge=1, description="channels at the full rate; published: 64")


class DACEncoder(Encoder):
    """Snake, three residual units of dilation 1, 3 and 9 and kernel 7 at every rate, strided.

    Source: `DacEncoder` of transformers; Kumar et al. 2023 (arXiv:2306.06546), section 3.1.
    Differs in: channels; frames of as many channels as the quantizer asks for, in the 16 kHz model
    16 times those of the full rate; layers see zeros past an item's end; `start`.
    """

    def __init__(self, config: Config, out_channels: int) -> None:
        super().__init__()
        self.strides, self.hop_length = config.strides, math.prod(config.strides)
        values = dac.settings(
            encoder_hidden_size=config.channels,
            hidden_size=out_channels,
            downsampling_ratios=list(config.strides),
        )
        self.network = built(lambda: modelling("dac").DacEncoder(values))
        dac.prepare(self.network, config.start, 1 / SPEECH_LEVEL, dac.GAIN)
        self.masks = Masks(self.network, (nn.Conv1d,))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode (B, 1, L) to (B, C, T); every layer sees zeros where `mask` is 0."""
        with self.masks.of(mask):
            return self.network(x)

    def input_span(self, out: Span) -> Span:
        """Return the samples that the frames `out` depend on."""
        out = dac.before(self.network.conv2, out)
        for block in reversed(self.network.block):
            out = dac.before_units(block, dac.before(block.conv1, out))
        return dac.before(self.network.conv1, out)
