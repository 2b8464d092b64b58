"""How the STFT encoder sees a spectrum."""

import math

import torch

from audiovq import registry
from audiovq.config import parse
from audiovq.encoders.stft import _seen
from audiovq.nn.conv import SPEECH_LEVEL
from tests.helpers import noise


def test_a_spectrum_is_seen_as_its_level_and_compressed_with_its_phase():
    relative = torch.tensor([0.1, 1.0, 10.0, 30.0], dtype=torch.float64)
    angle = torch.tensor([0.3, -2.0, 1.2, 3.0], dtype=torch.float64)
    spectrum = torch.polar(SPEECH_LEVEL * relative, angle).view(1, 1, -1)
    level, real, imaginary = _seen(spectrum.real, spectrum.imag).chunk(3, dim=-1)
    wanted = torch.polar(relative**0.3, angle)
    found = torch.complex(real, imaginary)[0, 0]
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(level[0, 0], 1 + 0.5 * relative.log(), atol=1e-3, rtol=0)


def test_silence_has_the_lowest_level_and_no_phase():
    zero = torch.zeros(1, 1, 3)
    level, *parts = _seen(zero, zero).chunk(3, dim=-1)
    torch.testing.assert_close(level, torch.full_like(level, 1 + 0.5 * math.log(1e-3)))
    assert not any(p.any() for p in parts)


def test_a_frames_spectra_are_folded_in_order_of_time():
    """Saved models depend on it: a frame's channels are those of its first spectrum, second, ..."""
    found = registry.get("encoders", "stft")
    values = {"strides": [4, 5], "stft_hop": 5, "blocks": 0, "fast_blocks": 0, "fast_channels": 3}
    torch.manual_seed(0)
    encoder = found.cls(parse(found.config, {"name": "stft", "channels": 7, **values}), 2).double()
    x = noise(1, 60).double()
    spectra = encoder.first(_seen(*encoder.stft(x)))[0]  # 12 of them, 4 to a frame
    frames = [torch.cat([spectra[4 * t + k] for k in range(4)]) for t in range(3)]
    wanted = encoder.last(encoder.down(torch.stack(frames)).T.unsqueeze(0), None)
    torch.testing.assert_close(encoder(x), wanted)
