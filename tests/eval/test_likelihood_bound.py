"""The bound on speech, where log p(x) is known: a decoder of two levels, all sequences summed."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import laplace, norm

from audiovq.config import parse
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError, CheckpointError, ConfigError, ManifestError
from audiovq.eval.decoded import Decodes, residuals
from audiovq.eval.likelihood_bound import Speech
from audiovq.eval.prior_likelihood import nats
from audiovq.prior._release import About, TrainedPrior, about_codes
from audiovq.units.sequences import CodeSequences
from tests.units.made import metadata

RATE, HOP, LEVELS = 1000, 4, torch.tensor([-0.2, 0.2])
DENSITY = {"gaussian": norm.logpdf, "laplace": laplace.logpdf}


class Levels:
    """A decoder that holds one level per frame; a speaker's is moved by what is told of them."""

    sample_rate = RATE

    def __init__(self, speakers=()):
        self.speakers = speakers

    def speaker_index(self, names, *, strict=True):
        assert not strict
        return torch.tensor(
            [1 + self.speakers.index(n) if n in self.speakers else 0 for n in names]
        )

    def decode(self, codes, length=None, condition=None):
        moved = 0.0 if condition is None else 0.05 * float(condition[0])
        return (LEVELS[codes].repeat_interleave(HOP, dim=-1) + moved)[..., :length]

    def fingerprint(self):
        return "0" * 64

    def parameters(self):
        return iter(())


@dataclass(frozen=True)
class Held(Manifest):
    """A corpus in memory, given in blocks of three samples."""

    sounds: dict

    def blocks(self, record, sample_rate):
        assert sample_rate == RATE
        yield from self.sounds[record.id].view(1, 1, -1).split(3, dim=-1)


def toy(noise=0.1, seed=0, **about):
    """Speech of six utterances of three frames, the last one cut, to score, and four to fit on."""
    rng = torch.Generator().manual_seed(seed)
    samples = 3 * HOP - 1
    sounds, codes = {}, {}
    for i in range(10):
        z = torch.randint(2, (1, 3), generator=rng)
        clean = Levels().decode(z[None], samples)[0, 0]
        sounds[f"u{i}"] = clean + noise * torch.randn(samples, generator=rng)
        codes[f"u{i}"] = z.int()
    records = [Record(id=i, path=f"{i}.wav", sample_rate=RATE, num_samples=samples) for i in sounds]
    m = metadata((2,)).model_copy(update={"hop_length": HOP})

    def chosen(names):
        speakers = [f"s{n[1:]}" for n in names]
        rows = [codes[n] for n in names]
        return CodeSequences(m, names, speakers, np.full(len(names), samples), rows)

    values = {
        "model": Levels(),
        "manifest": Held(Path("toy.jsonl"), Path(), {}, records, sounds),
        "sequences": chosen([f"u{i}" for i in range(6)]),
        "fit": chosen([f"u{i}" for i in range(6, 10)]),
        "fit_split": "validation",
        "where": "units",
    }
    return Speech(**values | about), sounds


@pytest.fixture(scope="module")
def prior():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codes = about_codes(metadata((2,)).model_copy(update={"hop_length": HOP}))
        values = {"prior": {"name": "wavenet", "dilations": [1, 2]}, "codes": codes.model_dump()}
        trained = TrainedPrior.build(parse(About, values))
    trained.module.eval().requires_grad_(requires_grad=False)
    return trained


def every_term(speech, prior, x, name, scale):
    """log p(x|z) + log P(z) of each of the eight sequences z, one by one."""
    terms = {}
    for z in itertools.product(range(2), repeat=3):
        codes = torch.tensor(z).view(1, 1, 3)
        x_hat = speech.model.decode(codes, len(x))[0, 0].numpy()
        density = DENSITY[name](x.numpy().astype(float), loc=x_hat, scale=scale).sum()
        terms[z] = density + float(prior.module.log_prob(codes).double().sum())
    return terms


@pytest.mark.parametrize(("noise", "reach"), [(0.3, 10.0), (0.02, 1e-6)])
def test_it_is_one_term_of_the_sum_that_is_known_and_tight_where_codes_are_clear(
    prior, noise, reach
):
    speech, sounds = toy(noise)
    assert isinstance(speech.model, Decodes)
    for bound in speech.bounds(nats(prior, speech.sequences)):
        gaps = []
        for i, name in enumerate(speech.sequences.ids):
            terms = every_term(speech, prior, sounds[name], bound.likelihood, bound.scale)
            mine = bound.terms()["bound"][i]
            own = tuple(speech.sequences.codes[i][0].tolist())
            assert mine == pytest.approx(terms[own], abs=1e-4)
            gaps.append(logsumexp(list(terms.values())) - terms[own])
            assert mine <= logsumexp(list(terms.values())) + 1e-4
        assert 0 <= min(gaps) <= max(gaps) < reach
        assert noise < 0.3 or max(gaps) > 0.1


def test_scales_are_the_likeliest_of_other_utterances(prior):
    speech, sounds = toy()
    rest = [
        (sounds[n] - Levels().decode(c[None].long(), len(sounds[n]))[0, 0]).double()
        for n, c in zip(speech.fit.ids, speech.fit.codes, strict=True)
    ]
    rest = torch.cat(rest).numpy()
    gaussian, absolute = speech.bounds(nats(prior, speech.sequences))
    assert gaussian.scale == pytest.approx(norm.fit(rest, floc=0)[1])
    assert absolute.scale == pytest.approx(laplace.fit(rest, floc=0)[1])
    assert gaussian.fitted == {"split": "validation", "utterances": 4, "seconds": 4 * 0.011}


def test_rates_and_the_reading_as_16_bits(prior):
    """Of x rounded to 16 bits the probability is the mass of a step, here by the distribution."""
    speech, sounds = toy()
    costs = nats(prior, speech.sequences)
    (bound,) = toy(likelihoods=("laplace",))[0].bounds(costs)
    total = float(bound.terms()["bound"].sum())
    seconds, samples = 6 * 0.011, 6 * 11
    assert bound.per_second()["bound"].value == pytest.approx(total / seconds)
    assert bound.per_sample()["rate"].value == pytest.approx(-costs.sum() / math.log(2) / samples)
    mass = 0.0
    for name, codes in zip(speech.sequences.ids, speech.sequences.codes, strict=True):
        x_hat = Levels().decode(codes[None].long(), 11)[0, 0].numpy()
        x = np.round(sounds[name].numpy().astype(float) * 2**15) / 2**15
        ends = [laplace.cdf(x + s * 2**-16, x_hat, bound.scale) for s in (1, -1)]
        mass += np.log2(ends[0] - ends[1]).sum()
    exact = (costs.sum() / math.log(2) - mass) / samples
    assert bound.as_16_bit().value == pytest.approx(exact, abs=1e-3)
    low, high = bound.as_16_bit().low, bound.as_16_bit().high
    assert low < bound.as_16_bit().value < high
    x = torch.cat([sounds[n] for n in speech.fit.ids]).double().numpy()
    y = torch.cat([sounds[n] for n in speech.sequences.ids]).double().numpy()
    silence = laplace.logpdf(y, scale=laplace.fit(x, floc=0)[1]).sum()
    assert bound.terms()["silence"].sum() == pytest.approx(silence)
    values = bound.to_dict()["utterances"]
    assert sum(u["nats"]["bound"] for u in values) == pytest.approx(total)
    assert values[0]["bits_per_sample"]["density"] == pytest.approx(
        bound.density[0] / math.log(2) / 11
    )
    for word in ("laplace, scale 0.0", "4 utterances", "split validation", "as 16-bit samples"):
        assert word in bound.table()


def test_under_the_step_of_16_bits_there_is_no_such_reading(prior):
    (bound,) = toy(1e-6, likelihoods=("gaussian",))[0].bounds(np.zeros(6))
    assert bound.as_16_bit() is None
    assert bound.to_dict()["bits_per_sample_as_16_bit"] is None
    assert "no reading as 16-bit samples" in bound.table()


def test_a_decoder_that_takes_speakers_is_told_them(prior):
    speech, _ = toy(0.0, model=Levels(("s2", "s0")))
    found, silent = residuals(speech.model, speech.manifest, speech.sequences)
    assert silent.absolute / silent.samples == pytest.approx([0.2] * 6)
    moved = [0.1, 0.0, 0.05, 0.0, 0.0, 0.0]
    assert found.absolute / found.samples == pytest.approx(moved, abs=1e-6)


def test_what_does_not_belong_together_is_refused():
    speech, _ = toy()
    records = speech.manifest.records

    class Another(Levels):
        def fingerprint(self):
            return "f" * 64

    def having(records):
        return Held(Path("toy.jsonl"), Path(), {}, records, speech.manifest.sounds)

    longer = [*records[:-1], records[-1].model_copy(update={"num_samples": 12})]
    for about, error, message in (
        ({"model": Another()}, CheckpointError, "of the model 000000000000, and --model is ffff"),
        ({"manifest": having(records[1:])}, ManifestError, "no utterance 'u0', of which units"),
        ({"manifest": having(longer)}, ManifestError, "'u9' has 12 samples at 1000 Hz, and 11 in"),
        ({"fit": speech.sequences}, ConfigError, "fitted on 6 of the utterances .* 'u0'"),
    ):
        with pytest.raises(error, match=message):
            toy(**about)[0].check()


def test_sounds_that_are_not_what_was_said_of_them(prior):
    speech, sounds = toy()
    for sound, message in (
        (sounds["u9"][:-1], "has not the 11 samples"),
        (torch.cat([sounds["u9"], sounds["u9"]]), "has not the 11 samples"),
        (sounds["u9"] * math.nan, "holds NaN"),
    ):
        with pytest.raises(AudioError, match=message):
            residuals(speech.model, _with(speech.manifest, sound), speech.fit)
    with pytest.raises(ConfigError, match="exactly"):
        toy(0.0)[0].bounds(np.zeros(6))


def _with(manifest, sound):
    sounds = {**manifest.sounds, "u9": sound}
    return Held(manifest.path, manifest.root, manifest.header, manifest.records, sounds)
