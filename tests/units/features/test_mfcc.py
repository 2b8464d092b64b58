"""MFCC: Kaldi's numbers, our frames."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq._torchaudio import torchaudio
from audiovq.errors import AudioError, ConfigError
from audiovq.units.features.mfcc import MFCCFeatures
from tests.helpers import noise


def reference(x, rate, hop):
    """Frame by frame, each cut out with zeros beyond the ends, through Kaldi's own mfcc."""
    size, L = int(rate * 0.025), x.shape[-1]
    frames = []
    for t in range(-(-L // hop)):
        start = t * hop - (size - hop) // 2
        index = torch.arange(start, start + size)
        inside = (index >= 0) & (index < L)
        cut = torch.where(inside, x[0, 0][index.clamp(0, L - 1)], 0.0)
        kaldi = torchaudio.compliance.kaldi.mfcc(
            cut[None], sample_frequency=float(rate), frame_length=25.0, use_energy=False
        )
        frames.append(kaldi[0])
    cepstra = torch.stack(frames).t()
    deltas = torchaudio.functional.compute_deltas(cepstra)
    return torch.cat([cepstra, deltas, torchaudio.functional.compute_deltas(deltas)]).t()


@pytest.mark.parametrize(
    ("rate", "hop", "length"),
    [(16000, 320, 4001), (16000, 640, 9000), (16000, 160, 161), (24000, 300, 5000), (8000, 80, 1)],
)
def test_it_is_kaldis_mfcc_on_our_frames(rate, hop, length):
    x = noise(1, length, seed=length)
    if length > 2000:
        x[..., 900:1800] = 0.0  # digital silence, where Kaldi's floor shows
    found = MFCCFeatures(rate, hop)(x)
    torch.testing.assert_close(found, reference(x, rate, hop), rtol=1e-3, atol=2e-3)


def test_long_audio_is_kaldis_too_across_windows():
    x = noise(1, 320 * 700, seed=3)
    torch.testing.assert_close(MFCCFeatures()(x), reference(x, 16000, 320), rtol=1e-3, atol=2e-3)


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 9000),
    hop=st.sampled_from([80, 160, 320, 400, 401, 640, 1000]),
    cuts=st.lists(st.integers(0, 9000), max_size=4),
)
def test_every_length_has_its_frames_however_it_arrives(length, hop, cuts):
    x, features = noise(1, length, seed=length), MFCCFeatures(16000, hop)
    whole = features(x)
    assert whole.shape == (-(-length // hop), 39)
    assert bool(torch.isfinite(whole).all())
    edges = [0, *sorted(min(c, length) for c in cuts), length]
    blocks = [x[..., a:b] for a, b in itertools.pairwise(edges)]
    assert torch.equal(torch.cat(list(features.blocks(blocks))), whole)


def test_an_impulse_shows_in_the_frame_that_it_lies_in():
    features = MFCCFeatures()
    silent = features(torch.zeros(1, 1, 320 * 40))[:, 0]
    for t in (5, 20, 39):
        x = torch.zeros(1, 1, 320 * 40)
        x[..., t * 320 + 160] = 0.5  # in the middle, reached by no other frame's window
        changed = (features(x)[:, 0] != silent).nonzero()[:, 0].tolist()
        assert changed == [t]


def test_settings_it_cannot_have_are_refused():
    with pytest.raises(ConfigError, match="4000 Hz or more"):
        MFCCFeatures(2000)
    with pytest.raises(ConfigError, match="a hop of 1"):
        MFCCFeatures(16000, 0)
    assert MFCCFeatures(16000, 320).fingerprint() != MFCCFeatures(16000, 640).fingerprint()


def test_audio_without_samples_or_with_nan_is_refused():
    with pytest.raises(AudioError, match="no samples"):
        MFCCFeatures()(torch.zeros(1, 1, 0))
    with pytest.raises(AudioError, match="NaN"):
        MFCCFeatures()(torch.full((1, 1, 500), torch.nan))
