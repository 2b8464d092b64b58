import math

import pytest
import torch

from audiovq.nn.mel import mel_bands, mel_centres

LIKE = torch.zeros(1, dtype=torch.float64)


@pytest.mark.parametrize(("bins", "bands"), [(257, 64), (33, 64), (401, 20), (2, 1)])
def test_every_band_is_a_mean_of_bins(bins, bands):
    weights = mel_bands(bins, bands, LIKE)
    assert weights.shape == (bins, bands)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(bands, dtype=torch.float64))


def test_middles_are_equally_far_apart_in_mel():
    hertz = 8000 * mel_centres(40, LIKE)
    mel = torch.tensor([2595 * math.log10(1 + f / 700) for f in hertz.tolist()])
    steps = mel.diff()
    torch.testing.assert_close(steps, steps.mean().expand_as(steps), rtol=1e-4, atol=1e-2)


def test_a_tone_is_in_the_band_about_it():
    weights, bins = mel_bands(1025, 40, LIKE), torch.linspace(0, 1, 1025)
    for band, centre in enumerate(mel_centres(40, LIKE).tolist()):
        nearest = int((bins - centre).abs().argmin())
        assert int(weights[nearest].argmax()) == band
