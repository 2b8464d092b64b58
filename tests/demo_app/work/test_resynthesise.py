import math
from collections import Counter
from itertools import pairwise

import pytest
import torch

from audiovq.coding import avq
from audiovq.errors import AudioError, ConfigError
from audiovq.eval.reconstruction import Scorer
from demo_app.sound import Recording
from demo_app.work.rates import rates
from demo_app.work.resynthesise import compressed, resynthesise
from demo_app.work.scores import SHOWN, scores
from tests.coding.with_prior import prior_of
from tests.demo_app.work.small import folded
from tests.helpers import noise

VQ = folded("vq_ema")
RVQ = folded({"name": "rvq", "dim": 6, "codebook_size": 12, "num_codebooks": 3})
TWO = folded({"name": "vqvae2", "dim": 6, "codebook_size": 16, "ratio": 2})
AE, VAE = folded("identity"), folded({"name": "vae", "dim": 6})
X = Recording(noise(1, 8005), 16000, "x")
HELD = {"vq": VQ, "rvq": RVQ, "two": TWO}


def of(found, name):
    return next(r for r in found if r.name == name)


@pytest.mark.parametrize("name", ["vq", "rvq", "two"])
def test_codes_are_those_of_extract_and_the_sound_is_decoded_from_them(name):
    model = HELD[name]
    found = resynthesise(model, X, measure=False)
    assert torch.equal(found.codes, model.encode(X.x, exact=True)[0])
    assert torch.equal(found.reconstruction.x, model.decode(found.codes[None], 8005))
    assert found.codebook_sizes == model.codebook_sizes
    assert found.layout == model.layout
    assert found.scores == found.notes == ()
    assert found.real_time_factor == pytest.approx(1 / found.speed)
    assert found.encode_seconds > 0 < found.decode_seconds


def test_the_first_codebooks_of_a_residual_model():
    found = resynthesise(RVQ, X, 2, measure=False)
    whole = RVQ.encode(X.x, exact=True)
    assert torch.equal(found.codes, whole[0, :2])
    assert torch.equal(found.reconstruction.x, RVQ.decode(whole[:, :2], 8005))
    assert found.codebook_sizes == (12, 12)
    assert of(found.rates, "nominal").bits_per_second == pytest.approx(1600 * 2 * math.log2(12))
    for number in (0, 4, -1):
        with pytest.raises(ConfigError, match="has 1 to 3"):
            resynthesise(RVQ, X, number)
    with pytest.raises(ConfigError, match="needs all 3"):
        resynthesise(TWO, X, 1)
    with pytest.raises(ConfigError, match="continuous and has none"):
        resynthesise(AE, X, 1)


def test_continuous_models_have_no_codes_and_a_vae_is_a_sample():
    found = resynthesise(AE, X, measure=False)
    assert found.codes is None
    assert found.rates == ()
    torch.testing.assert_close(found.reconstruction.x, AE.reconstruct(X.x), atol=1e-5, rtol=0)
    twice = [resynthesise(VAE, X, measure=False) for _ in range(2)]
    assert torch.equal(twice[0].reconstruction.x, twice[1].reconstruction.x)
    assert not torch.allclose(twice[0].reconstruction.x, VAE.reconstruct(X.x), atol=1e-3)
    assert of(twice[0].rates, "kl").bits_per_second > 0
    assert "sample of the posterior" in twice[0].notes[0]
    with pytest.raises(ConfigError, match="continuous and has no codes to write"):
        compressed(AE, found)


def test_it_is_resampled_to_the_model_and_as_long():
    found = resynthesise(VQ, Recording(noise(1, 4410), 44100, "x"), measure=False)
    assert found.original.sample_rate == found.reconstruction.sample_rate == 16000
    assert found.original.x.shape == found.reconstruction.x.shape == (1, 1, 1600)


def test_what_is_no_sound_is_refused():
    for x in (torch.zeros(1, 1, 0), torch.full((1, 1, 9), torch.nan)):
        with pytest.raises(AudioError):
            resynthesise(VQ, Recording(x, 16000))


@pytest.mark.parametrize("name", ["vq", "rvq", "two"])
def test_rates_are_those_of_the_definition(name):
    """An obvious count of what each form spends."""
    model = HELD[name]
    codes, seconds = model.encode(X.x, exact=True)[0], 8005 / 16000
    found = rates(model, codes, 8005)
    unigram = runs = 0.0
    books = model.bottleneck.books
    for book in sorted(set(books)):
        rows = [k for k, b in enumerate(books) if b == book]
        stream = [int(codes[k, t]) for t in range(codes.shape[1]) for k in rows]
        unigram += cost(stream)
        starts = [i for i, c in enumerate(stream) if i == 0 or c != stream[i - 1]] + [len(stream)]
        runs += cost([(stream[a], b - a) for a, b in pairwise(starts)])
    assert of(found, "nominal").bits_per_second == pytest.approx(model.bitrate)
    assert of(found, "unigram").bits_per_second == pytest.approx(unigram / seconds)
    assert of(found, "runs").bits_per_second == pytest.approx(runs / seconds)
    assert of(found, "packed").size == len(model.compress(X.x))
    assert of(found, "packed").bits_per_second == pytest.approx(
        8 * len(model.compress(X.x)) / seconds
    )
    assert {r.name for r in found} == {"nominal", "unigram", "runs", "packed"}
    assert all(r.label and r.about and "bit/s" in r.text for r in found)


def cost(symbols):
    """Bits of symbols at their plug-in entropy."""
    counts = Counter(symbols)
    return -sum(n * math.log2(n / len(symbols)) for n in counts.values())


def test_with_a_prior_the_file_is_the_one_that_encode_writes():
    prior = prior_of(VQ)
    found = resynthesise(VQ, X, prior=prior, measure=False)
    whole = VQ.compress(X.x, prior)
    assert of(found.rates, "prior").size == len(whole)
    assert compressed(VQ, found, prior) == whole
    assert compressed(VQ, found) == VQ.compress(X.x)
    heard = avq.decompress(compressed(VQ, found), VQ)
    torch.testing.assert_close(heard, found.reconstruction.x, atol=1e-5, rtol=0)


def test_files_of_codes_are_files_of_the_waveform():
    for model, rows in ((RVQ, 3), (RVQ, 2), (TWO, 3)):
        codes = model.encode(X.x, exact=True)[0, :rows]
        for block in (60.0, 0.05):
            made = avq.compress_codes(model, codes, 8005, block_seconds=block)
            assert made == model.compress(X.x, codebooks=rows, block_seconds=block)
    for wrong in (codes + 20, codes[:, :-1]):
        with pytest.raises(ConfigError):
            avq.compress_codes(TWO, wrong, 8005)


def test_scores_are_those_of_evaluate():
    made = Recording(X.x + 0.05 * noise(1, 8005, seed=3), 16000)
    found = scores(X, made)
    expected = Scorer(16000, SHOWN)(X.x, made.x)
    assert [s.name for s in found] == list(SHOWN)
    for score in found:
        assert (
            score.value == pytest.approx(expected[score.name]) or score.why == expected[score.name]
        )
        assert score.label
        assert score.about
        assert score.text
    assert found[0].text.endswith(" dB")


def test_scores_that_are_not_defined_say_why(monkeypatch):
    from audiovq.eval import reconstruction

    silent = Recording(torch.zeros(1, 1, 8000), 16000)
    assert {s.why for s in scores(silent, silent)} == {"the original is silent"}
    short = Recording(noise(1, 800), 16000)
    said = {s.name: s for s in scores(short, short)}
    assert said["stoi"].text == "shorter than 0.4 s"
    assert said["stoi"].value is None
    monkeypatch.setattr(reconstruction.importlib.util, "find_spec", lambda name: None)
    missing = {s.name: s.text for s in scores(short, short)}
    assert missing["pesq_wb"] == "needs the package pesq (audiovq[metrics])"
    assert missing["si_sdr"].endswith(" dB")
