"""The encoder of EnCodec, as transformers has it."""

import math

from pydantic import Field
from torch import Tensor

from audiovq.config import Factor
from audiovq.encoders._base import Encoder
from audiovq.nn.conv import GAIN, SPEECH_LEVEL, Span
from benchmarks.quality import _encodec as encodec
from benchmarks.quality._network import built, modelling


class Config(encodec.PeerConfig):
    """Settings of EnCodec's encoder."""

    strides: tuple[Factor, ...] = Field((2, 4, 5, 8), min_length=1, description="downsampling")


class EncodecEncoder(Encoder):
    """SEANet: a residual unit and a strided convolution per rate, two layers of LSTM, weight norm.

    Source: `EncodecEncoder` of transformers; Défossez et al. 2022 (arXiv:2210.13438), section 3.1.
    Differs in: channels, at the frame rate as many as the quantizer asks for; layers see zeros past
    an item's end; centred, if so: see `_encodec.settings`; `start`. The LSTM hears an item from its
    start, so its receptive field has no end: what is stated is `memory`, and `exact=True`, which
    cuts an item into windows, gives other codes than the whole.
    """

    def __init__(self, config: Config, out_channels: int) -> None:
        super().__init__()
        self.strides, self.hop_length = config.strides, math.prod(config.strides)
        self.memory, self.ahead = config.memory, 0 if config.causal else encodec.AHEAD
        values = encodec.settings(config, config.strides, out_channels)
        self.network = built(lambda: modelling("encodec").EncodecEncoder(values))
        self.masks = encodec.prepare(self.network, config.start, 1 / SPEECH_LEVEL, GAIN)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode (B, 1, L) to (B, C, T); every layer sees zeros where `mask` is 0."""
        with self.masks.of(mask):
            return self.network(x)

    def input_span(self, out: Span) -> Span:
        """Return the samples that the frames `out` are taken to depend on."""
        hop = self.hop_length
        return Span((out.start - self.memory) * hop, (out.end + self.ahead) * hop)
