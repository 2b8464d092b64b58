"""What EnCodec's encoder and decoder share: settings, start, masks, how far they look."""

from typing import Any

from pydantic import Field
from torch import nn

from audiovq.config import ComponentConfig
from audiovq.nn.conv import GAIN
from benchmarks.quality._network import START, Masks, Start, keep_level, modelling

# Frames that convolutions look ahead together, at most, where they are not causal.
AHEAD = 8


class PeerConfig(ComponentConfig):
    """Settings of either side."""

    channels: int = Field(10, ge=1, description="channels at the full rate; published: 32")
    causal: bool = Field(
        True, description="as the published 24 kHz model; false: as the 48 kHz one"
    )
    memory: int = Field(
        512,
        ge=1,
        description="frames that the LSTM is taken to remember where a file of over 40 s is worked "
        "through in pieces; shorter ones are not, and training is not",
    )
    start: Start = Field("level", description=START)


def settings(config: PeerConfig, strides: tuple[int, ...], hidden: int) -> Any:
    """Return transformers' settings.

    Centred layers pad with zeros instead of mirroring, which could not be told from a batch's
    padding; none has the 48 kHz model's group norm over time, by which a code would depend on how
    long its file is.

    Raises:
        ConfigError: transformers is not installed.
    """
    return modelling("encodec").EncodecConfig(
        num_filters=config.channels,
        hidden_size=hidden,
        codebook_dim=hidden,
        upsampling_ratios=list(strides[::-1]),
        use_causal_conv=config.causal,
        pad_mode="reflect" if config.causal else "constant",
    )


def prepare(network: nn.Module, start: Start, first: float, last: float) -> Masks:
    """Start every convolution, and return the masks of the network's layers."""
    found = modelling("encodec")
    convs = (found.EncodecConv1d, found.EncodecConvTranspose1d)
    if start == "level":
        blocks = [m for m in network.modules() if isinstance(m, found.EncodecResnetBlock)]
        gains = {network.layers[0]: first, network.layers[-1]: last}
        gains |= {b.block[-1]: 0.5 for b in blocks}
        gains |= {b.shortcut: 1.0 for b in blocks if isinstance(b.shortcut, convs)}
        for module in network.modules():
            if isinstance(module, convs):
                keep_level(module.conv, gains.get(module, GAIN))
    return Masks(network, (*convs, found.EncodecLSTM))
