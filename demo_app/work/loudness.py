"""Loudness by ITU-R BS.1770-4, and recordings brought to the same, for fair listening."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import audio

from ..sound import Recording

HOW = (
    "All are brought to the loudness of the original (ITU-R BS.1770-4; the level where that is not "
    "defined, as under 0.4 s), and all turned down together where one of them would clip."
)
_BLOCK, _STEP = 0.4, 0.1  # seconds (BS.1770-4, annex 1)
_ABSOLUTE, _RELATIVE = -70.0, -10.0  # gates: LUFS, LU
_OFFSET = -0.691  # LUFS of a full-scale power of 1 after weighting
_MOST = 30.0  # dB: what is nearly silent is not turned into noise


def loudness(recording: Recording) -> float | None:
    """Return the integrated loudness (LUFS); None of silence, or of less than 0.4 s."""
    rate = recording.sample_rate
    block, step = round(_BLOCK * rate), round(_STEP * rate)
    if recording.x.shape[-1] < block:
        return None
    squared = _weighted(recording.x[0, 0].double(), rate).square()
    power = squared.unfold(0, block, step).mean(dim=1)
    heard = power[_level(power) > _ABSOLUTE]
    if not len(heard):
        return None
    gate = float(_level(heard.mean())) + _RELATIVE
    return float(_level(heard[_level(heard) > gate].mean()))


def matched(original: Recording, others: Sequence[Recording]) -> list[tuple[Recording, float]]:
    """Return the original and the others at one loudness, each with the gain it got (dB).

    Silent ones are left as they are, and none is raised by more than 30 dB.
    """
    sounds = [original, *others]
    gains = [0.0, *(_gain(original, other) for other in others)]
    peaks = [float(s.x.abs().max()) * 10 ** (g / 20) for s, g in zip(sounds, gains, strict=True)]
    down = -20 * math.log10(max(1.0, *peaks))
    return [
        (replace(s, x=s.x * 10 ** ((g + down) / 20)), g + down)
        for s, g in zip(sounds, gains, strict=True)
    ]


def _gain(original: Recording, other: Recording) -> float:
    """Return what brings a recording to the loudness of another (dB)."""
    if min(float(r.x.abs().max()) for r in (original, other)) < audio.SILENCE:
        return 0.0
    wanted, has = loudness(original), loudness(other)
    if wanted is None or has is None:
        wanted, has = _rms(original.x), _rms(other.x)
    return min(wanted - has, _MOST)


def _rms(x: Float[Tensor, "1 1 L"]) -> float:
    """Return the level of a sound (dB)."""
    return 20 * math.log10(float(x.double().square().mean().sqrt()))


def _level(power: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    return _OFFSET + 10 * power.clamp_min(1e-20).log10()


def _weighted(x: Float[Tensor, "L"], rate: int) -> Float[Tensor, "L"]:
    """Return a signal through the K-weighting filters, applied to its spectrum.

    Zeros as long as the filters ring are put behind it, so that nothing comes round.
    """
    size = 1 << (len(x) + rate // 2 - 1).bit_length()
    z = torch.exp(-2j * math.pi * torch.arange(size // 2 + 1, dtype=torch.float64) / size)
    response = torch.ones_like(z)
    for b, a in (_shelf(rate), _high_pass(rate)):
        top, bottom = (c[0] + c[1] * z + c[2] * z * z for c in (b, a))
        response = response * top / bottom
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(x, size) * response, size)
    return filtered[: len(x)]


Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]


def _shelf(rate: int) -> Biquad:
    """Return the high shelf of BS.1770-4 at any rate.

    Source: De Man 2014, "Evaluation of implementations of the EBU R128 loudness measurement".
    """
    gain, q, frequency = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k = math.tan(math.pi * frequency / rate)
    high = 10 ** (gain / 20)
    middle = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    b = (
        (high + middle * k / q + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - middle * k / q + k * k) / a0,
    )
    return b, (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)


def _high_pass(rate: int) -> Biquad:
    """Return the high pass of BS.1770-4 at any rate, from the same source."""
    q, frequency = 0.5003270373238773, 38.13547087602444
    k = math.tan(math.pi * frequency / rate)
    a0 = 1 + k / q + k * k
    return (1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)
