"""The decoder of EnCodec, as transformers has it."""

import math

from torch import Tensor

from audiovq.bottlenecks._base import Context
from audiovq.decoders._base import Decoder
from audiovq.nn.conv import GAIN, SPEECH_LEVEL, Span
from benchmarks.quality import _encodec as encodec
from benchmarks.quality._network import built, modelling


class Config(encodec.PeerConfig):
    """Settings of EnCodec's decoder."""


class EncodecDecoder(Decoder):
    """Two layers of LSTM, then a transposed convolution and a residual unit per rate, weight norm.

    Source: `EncodecDecoder` of transformers; Défossez et al. 2022 (arXiv:2210.13438), section 3.1.
    Differs in what `EncodecEncoder` does.
    """

    def __init__(self, config: Config, in_channels: int, encoder_strides: tuple[int, ...]) -> None:
        super().__init__()
        self.hop_length = math.prod(encoder_strides)
        self.memory, self.ahead = config.memory, 0 if config.causal else encodec.AHEAD
        values = encodec.settings(config, encoder_strides, in_channels)
        self.network = built(lambda: modelling("encodec").EncodecDecoder(values))
        self.masks = encodec.prepare(self.network, config.start, 1.0, SPEECH_LEVEL * GAIN)

    def forward(self, z: Tensor, context: Context = Context()) -> Tensor:
        """Decode (B, D, T) to (B, 1, L); `context.mask` marks real frames."""
        with self.masks.of(context.mask):
            return self.network(z)

    def input_span(self, out: Span) -> Span:
        """Return the frames that the samples `out` are taken to depend on."""
        hop = self.hop_length
        return Span(out.start // hop - self.memory, -(-out.end // hop) + self.ahead)
