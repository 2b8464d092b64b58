import subprocess
import sys

import librosa
import numpy as np
import pytest
import torch

from audiovq.config import parse
from audiovq.errors import ConfigError
from audiovq.losses import spectral, waveform
from audiovq.losses.reconstruction import TERMS, LossConfig, ReconstructionLoss
from tests.helpers import noise

ALL = LossConfig(waveform_l1=1, waveform_l2=1, stft=1, mel=1, complex=1)
LOSS = ReconstructionLoss(ALL, 16000)


def pair(lengths, size):
    x, x_hat = noise(len(lengths), size), noise(len(lengths), size, seed=5)
    for i, n in enumerate(lengths):
        x[i, :, n:] = 0
    return x, x_hat, torch.tensor(lengths)


def test_spectrogram_and_mels_equal_librosas():
    x = noise(1, 8000)
    for n_fft, n_mels in ((512, 40), (1024, 80)):
        ours = spectral.Spectrogram(n_fft)(x)
        theirs = np.abs(
            librosa.stft(x[0, 0].numpy(), n_fft=n_fft, hop_length=n_fft // 4, pad_mode="constant")
        )
        np.testing.assert_allclose(ours[0].numpy(), theirs, atol=2e-4)
        filters = spectral.MelFilters(16000, n_fft, n_mels).filters
        np.testing.assert_allclose(
            filters.numpy(), librosa.filters.mel(sr=16000, n_fft=n_fft, n_mels=n_mels), atol=1e-6
        )


def reference(x, x_hat):
    """Every term of one item alone, written out in numpy from the definitions."""
    a, b = x[0, 0].double().numpy(), x_hat[0, 0].double().numpy()
    out = {"waveform_l1": np.abs(a - b).mean(), "waveform_l2": ((a - b) ** 2).mean()}
    stft, mel, complex_ = [], [], []
    for n, m in zip(ALL.n_ffts, ALL.n_mels, strict=True):
        frames = -(-len(a) // (n // 4))
        A, B = (
            librosa.stft(s, n_fft=n, hop_length=n // 4, pad_mode="constant")[:, :frames]
            for s in (a, b)
        )
        root = lambda S: np.sqrt(np.abs(S)) * np.exp(1j * np.angle(S))  # noqa: E731
        missed = np.linalg.norm(root(A) - root(B)) ** 2
        complex_.append(missed / np.linalg.norm(root(A)) ** 2)
        A, B = np.abs(A), np.abs(B)
        log = lambda s: np.log(np.maximum(s, 1e-5))  # noqa: E731
        stft.append(np.linalg.norm(A - B) / np.linalg.norm(A) + np.abs(log(A) - log(B)).mean())
        w = librosa.filters.mel(sr=16000, n_fft=n, n_mels=m)
        mel.append(np.abs(log(w @ A) - log(w @ B)).mean())
    return out | {"stft": np.mean(stft), "mel": np.mean(mel), "complex": np.mean(complex_)}


def test_a_padded_batch_gives_what_each_item_gives_alone():
    lengths = [4000, 3001, 517, 1]
    x, x_hat, n = pair(lengths, 4321)
    terms = LOSS(x, x_hat, n)
    assert tuple(terms) == TERMS
    for i, length in enumerate(lengths):
        alone = LOSS(x[i : i + 1, :, :length], x_hat[i : i + 1, :, :length], n[i : i + 1])
        for k in terms:
            torch.testing.assert_close(terms[k][i : i + 1], alone[k], rtol=1e-4, atol=1e-5)
        if length > 500:
            expected = reference(x[i : i + 1, :, :length], x_hat[i : i + 1, :, :length])
            for k, v in expected.items():
                assert float(terms[k][i]) == pytest.approx(v, rel=2e-3), k


def test_what_lies_past_an_end_is_ignored():
    x, x_hat, n = pair([3000, 2000], 3000)
    changed = x_hat.clone()
    changed[1, :, 2000:] = torch.nan
    for k, v in LOSS(x, x_hat, n).items():
        assert torch.equal(v, LOSS(x, changed, n)[k])


def test_global_normalisation_does_not_depend_on_how_a_batch_is_cut():
    x, x_hat, n = pair([3000, 900, 2000, 1500], 3000)
    whole = LOSS.total(LOSS(x, x_hat, n), n, float(n.sum()))
    parts = [
        LOSS.total(LOSS(x[s], x_hat[s], n[s]), n[s], float(n.sum()))
        for s in (slice(0, 1), slice(1, 4))
    ]
    for k in whole:
        torch.testing.assert_close(parts[0][k] + parts[1][k], whole[k], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("silent", ["target", "estimate", "both"])
def test_silence_has_finite_terms_and_gradients(silent):
    x, x_hat, n = pair([2000], 2000)
    x = torch.zeros_like(x) if silent != "estimate" else x
    x_hat = (torch.zeros_like(x) if silent != "target" else x_hat).requires_grad_()
    terms = LOSS(x, x_hat, n)
    sum(v.sum() for v in terms.values()).backward()
    assert all(torch.isfinite(v).all() for v in terms.values())
    assert torch.isfinite(x_hat.grad).all()
    if silent == "both":
        assert all(v.abs().max() < 1e-6 for v in terms.values())


def test_identity_costs_nothing_and_gradient_flows_to_the_estimate_only():
    x, _, n = pair([2000], 2000)
    assert all(v.abs().max() < 1e-6 for v in LOSS(x, x, n).values())


def test_terms_are_float32_under_autocast():
    x, x_hat, n = pair([2000], 2000)
    plain = LOSS(x, x_hat, n)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for k, v in LOSS(x, x_hat, n).items():
            assert v.dtype == torch.float32
            assert torch.equal(v, plain[k])


def test_a_term_of_weight_zero_is_not_computed():
    loss = ReconstructionLoss(LossConfig(waveform_l1=0, mel=2.0), 16000)
    x, x_hat, n = pair([2000], 2000)
    assert list(loss(x, x_hat, n)) == ["mel"]
    assert loss.weights == {"mel": 2.0}
    only = ReconstructionLoss(LossConfig(mel=0), 16000)
    assert list(only(x, x_hat, n)) == ["waveform_l1"]
    assert not list(only.spectrograms)


def test_only_the_complex_term_hears_that_phases_are_wrong():
    x, _, n = pair([4000], 4000)
    turned = LOSS(x, -x, n)
    assert turned["mel"].item() < 1e-5
    assert turned["stft"].item() < 1e-5
    assert turned["complex"].item() == pytest.approx(4.0, rel=1e-3)
    assert LOSS(x, 0 * x, n)["complex"].item() == pytest.approx(1.0, rel=1e-3)


def test_waveform_terms_by_hand():
    x, x_hat = torch.tensor([[[1.0, 0.0, 9.0]]]), torch.tensor([[[0.0, 2.0, 0.0]]])
    n = torch.tensor([2])
    assert waveform.waveform_l1(x, x_hat, n).item() == 1.5
    assert waveform.waveform_l2(x, x_hat, n).item() == 2.5


def test_resolutions_without_bands_are_refused():
    with pytest.raises(ConfigError, match="equally many"):
        parse(LossConfig, {"n_ffts": [256, 512]})


@pytest.mark.slow
def test_compiled_terms_and_gradients_are_the_same():
    code = """
import torch
from audiovq.losses.reconstruction import LossConfig, ReconstructionLoss
torch.manual_seed(0)
loss = ReconstructionLoss(LossConfig(waveform_l2=1, stft=1, complex=1), 16000)
x, y, n = torch.randn(2, 1, 4000), torch.randn(2, 1, 4000), torch.tensor([4000, 3100])
out = []
for f in (loss, torch.compile(loss, fullgraph=True)):
    estimate = y.clone().requires_grad_()
    terms = f(x, estimate, n)
    sum(v.sum() for v in terms.values()).backward()
    out.append((terms, estimate.grad))
torch.testing.assert_close(*out)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
