"""The decoder of DAC, as transformers has it."""

import math

from pydantic import Field
from torch import Tensor, nn

from audiovq.bottlenecks._base import Context
from audiovq.decoders._base import Decoder
from audiovq.errors import ConfigError
from audiovq.nn.conv import SPEECH_LEVEL, Span
from benchmarks.quality import _dac as dac
from benchmarks.quality._network import Masks, built, modelling


class Config(dac.PeerConfig):
    """Settings of DAC's decoder."""

    channels: int = Field(
        224, ge=1, description="channels at the frame rate, halved at each stride; published: 1536"
    )


class DACDecoder(Decoder):
    """Transposed convolutions, three residual units at every rate, Snake, and a tanh at the end.

    Source: `DacDecoder` of transformers; Kumar et al. 2023 (arXiv:2306.06546), section 3.1.
    Differs in: channels; an odd stride gives its last sample too (`output_padding`), without which
    8 of 320 samples per file are missing at strides 8, 5, 4, 2; masks; `start`.

    Raises:
        ConfigError: channels cannot be halved at every stride.
    """

    def __init__(self, config: Config, in_channels: int, encoder_strides: tuple[int, ...]) -> None:
        super().__init__()
        strides = encoder_strides[::-1]
        self.hop_length = math.prod(strides)
        if config.channels % 2 ** len(strides):
            raise ConfigError(
                f"decoder.channels={config.channels} cannot be halved {len(strides)} times; give a "
                f"multiple of {2 ** len(strides)}"
            )
        values = dac.settings(
            decoder_hidden_size=config.channels,
            hidden_size=in_channels,
            upsampling_ratios=list(strides),
        )
        self.network = built(lambda: modelling("dac").DacDecoder(values))
        for block, stride in zip(self.network.block, strides, strict=True):
            block.conv_t1.output_padding = (stride % 2,)
        dac.prepare(self.network, config.start, 1.0, SPEECH_LEVEL * dac.GAIN)
        self.masks = Masks(self.network, (nn.Conv1d, nn.ConvTranspose1d))

    def forward(self, z: Tensor, context: Context = Context()) -> Tensor:
        """Decode (B, D, T) to (B, 1, L); `context.mask` marks real frames."""
        with self.masks.of(context.mask):
            return self.network(z)

    def input_span(self, out: Span) -> Span:
        """Return the frames that the samples `out` depend on."""
        out = dac.before(self.network.conv2, out)
        for block in reversed(self.network.block):
            out = dac.before_transposed(block.conv_t1, dac.before_units(block, out))
        return dac.before(self.network.conv1, out)
