import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from audiovq import audio
from audiovq.voice.level import LEVEL_DB
from audiovq.voice.normalise import TAPS, Normaliser, coloured, long_term
from tests.helpers import noise

RATE = 16000


def leaning(tilt, level=1.0, seed=0):
    """A second of noise, darker or brighter, with pauses."""
    x = noise(1, RATE, seed=seed)
    y = lfilter([1.0, -tilt], [1.0], x.numpy(), axis=-1).astype(np.float32)
    return torch.from_numpy(y) * level


def db(x):
    return 10 * float(x.square().mean().log10())


def test_recordings_of_other_level_and_spectrum_become_alike():
    whole = [leaning(0.9), leaning(-0.9, 0.02)]
    same = [Normaliser.of(x, RATE)(x) for x in whole]
    before, after = (long_term(a) - long_term(b) for a, b in (whole, same))
    apart = [float((d - d.mean()).abs().mean()) for d in (before, after)]
    assert apart[1] < apart[0] / 3
    assert abs(db(same[0]) - db(same[1])) < 1
    assert abs(db(same[0]) - LEVEL_DB) < 3  # pauses count here and do not there


def test_a_recording_is_coloured_like_another():
    x, wanted = leaning(0.9), long_term(leaning(-0.9, seed=1))
    y = coloured(x, wanted)
    assert y.shape == x.shape
    left, apart = (long_term(a) - wanted for a in (y, x))
    assert float((left - left.mean()).abs().mean()) < 0.2 * float(
        (apart - apart.mean()).abs().mean()
    )


@pytest.mark.parametrize("rate", [8000, 24000])
def test_the_filter_is_of_frequencies_and_not_of_the_rate(rate):
    x = leaning(0.9)
    at_16k, other = (Normaliser.of(audio.resample(x, RATE, r), r).taps for r in (RATE, rate))
    hz = torch.tensor([500.0, 1000.0, 2000.0, 3000.0])
    found = []
    for taps, r in ((at_16k, RATE), (other, rate)):
        response = torch.fft.rfft(taps, 8192).abs().log10() * 20
        found.append(response[(hz * 8192 / r).long()])
    apart = found[1] - found[0]
    assert float((apart - apart.mean()).abs().max()) < 2  # dB


def test_the_level_alone_leaves_the_shape_and_none_leaves_all():
    x = leaning(0.5, 0.1)
    assert torch.equal(Normaliser.of(x, RATE, "none")(x), x)
    normal = Normaliser.of(x, RATE, "level")
    y = normal(x)
    torch.testing.assert_close(y / y.abs().max(), x / x.abs().max(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(y * normal.back, x, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("sizes", [[1] * 5, [700, 1, 2000], [3], [TAPS], [256, 255]])
def test_blocks_of_any_size_give_what_a_plain_convolution_does(sizes):
    x = noise(1, sum(sizes), seed=2)
    taps = torch.randn(TAPS, generator=torch.Generator().manual_seed(0))
    normal = Normaliser(taps, 1.0)
    joined = torch.cat(list(normal.blocks(torch.split(x, sizes, dim=-1))), dim=-1)
    full = np.convolve(x[0, 0].double().numpy(), taps.double().numpy())
    middle = full[TAPS // 2 : TAPS // 2 + x.shape[-1]]
    np.testing.assert_allclose(joined[0, 0].numpy(), middle, atol=1e-4)
    assert list(normal.blocks([])) == []


@pytest.mark.parametrize("length", [1, 100, 5000])
def test_silence_and_short_recordings(length):
    silent = torch.zeros(1, 1, length)
    normal = Normaliser.of(silent, RATE)
    assert torch.equal(normal(silent), silent)
    assert normal.back == 1.0
    x = noise(1, length, seed=3) + 0.01
    y = Normaliser.of(x, RATE)(x)
    assert y.shape == x.shape
    assert torch.isfinite(y).all()


def test_of_a_long_recording_the_first_minute_decides():
    x = leaning(0.9).repeat(1, 1, 60)
    longer = torch.cat([x, leaning(-0.9)], dim=-1)
    assert torch.equal(Normaliser.of(longer, RATE).taps, Normaliser.of(x, RATE).taps)
