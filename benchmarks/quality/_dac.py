"""What DAC's encoder and decoder share: settings, weight norm, start, how far layers look."""

from typing import Any

from pydantic import Field
from torch import nn
from torch.nn.utils import parametrizations

from audiovq.config import ComponentConfig, Factor
from audiovq.nn.conv import Span
from benchmarks.quality._network import START, Start, keep_level, modelling

GAIN = 0.88  # 1 / rms(n + sin(n)^2) for n ~ N(0, 1): keeps the level over Snake and layer
RESIDUAL_GAIN = 0.3  # of what a unit adds: three per rate together change the level little


class PeerConfig(ComponentConfig):
    """Settings of either side."""

    start: Start = Field("level", description=START)


class SidedConfig(PeerConfig):
    """Settings of the side that states the strides."""

    strides: tuple[Factor, ...] = Field((2, 4, 5, 8), min_length=1, description="downsampling")


def settings(**values: Any) -> Any:
    """Return transformers' settings with these values, whatever it would derive them from.

    Raises:
        ConfigError: transformers is not installed.
    """
    config = modelling("dac").DacConfig()
    for name, value in values.items():
        setattr(config, name, value)
    return config


def prepare(network: nn.Module, start: Start, first: float, last: float) -> None:
    """Give every convolution its start and weight norm, as DAC has them.

    Args:
        network: transformers' encoder or decoder.
        start: how weights start.
        first: gain of the first convolution, of `level`.
        last: of the last.
    """
    convs = [m for m in network.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    second = {m.conv2 for m in network.modules() if type(m).__name__ == "DacResidualUnit"}
    for conv in convs:
        gain = GAIN
        if conv is network.conv1 or conv is network.conv2:
            gain = first if conv is network.conv1 else last
        elif conv in second:
            gain = RESIDUAL_GAIN
        if start == "level":
            keep_level(conv, gain)
        elif isinstance(conv, nn.Conv1d):  # transposed ones keep PyTorch's own
            nn.init.trunc_normal_(conv.weight, std=0.02)
            nn.init.zeros_(conv.bias)
        parametrizations.weight_norm(conv)


def before(conv: nn.Conv1d, out: Span) -> Span:
    """Return the inputs that outputs of a convolution depend on."""
    (s,), (k,), (d,), (p,) = conv.stride, conv.kernel_size, conv.dilation, conv.padding
    return Span(out.start * s - p, (out.end - 1) * s - p + (k - 1) * d + 1)


def before_transposed(conv: nn.ConvTranspose1d, out: Span) -> Span:
    """Return the inputs that outputs of a transposed convolution depend on."""
    (s,), (k,), (p,) = conv.stride, conv.kernel_size, conv.padding
    return Span(-((k - 1 - p - out.start) // s), (out.end - 1 + p) // s + 1)


def before_units(block: nn.Module, out: Span) -> Span:
    """Return what three residual units see of what passes them."""
    for unit in (block.res_unit3, block.res_unit2, block.res_unit1):
        out = out | before(unit.conv1, out)
    return out
