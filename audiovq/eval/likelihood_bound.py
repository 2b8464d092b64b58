"""A lower bound on the log-density of speech: what the decoder explains, and what the codes cost.

    log p(x) = log sum_z p(x|z) P(z) >= log p(x | z_q(x)) + log P(z_q(x))

The sum over all code sequences z holds the term of x's own, and all terms are positive. Source:
van den Oord et al. 2017 (arXiv:1711.00937), section 3.1. p(x|z) is a density around the decoded
waveform, the same for every sample, with one scale that was fitted on other utterances:

    Gaussian         N(x; x_hat, s^2)              s^2 = mean of (x - x_hat)^2
    Laplace          exp(-|x - x_hat| / b) / 2b    b = mean of |x - x_hat|

x is continuous, so a density may exceed 1 and its logarithm may be of either sign. Times the step
of 16-bit samples, 2^-15 as x spans [-1, 1], it is about the probability of x rounded to 16 bits;
minus its log2 is bits per sample that compare with a lossless coder's. That holds while the scale
is well above the step.

Beside it the density around silence, for which nothing is coded. A decoder that was trained on
spectra need not get the phase right, and may explain samples no better than that.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from audiovq.data.manifest import Manifest
from audiovq.errors import ConfigError
from audiovq.eval.decoded import Decodes, Residuals, check, residuals
from audiovq.eval.estimate import Estimate, how, ratio_over_speakers
from audiovq.units.sequences import CodeSequences

STEP = 2.0**-15  # of 16-bit samples in [-1, 1)
LIKELIHOODS = ("gaussian", "laplace")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Both terms of the bound, of each utterance (nats).

    Attributes:
        likelihood: `gaussian` or `laplace`.
        scale: standard deviation, or Laplace's b; x lies in [-1, 1].
        fitted: where the scale is from.
        density: log p(x | codes).
        rate: log P(codes).
        silence: log p(x) around silence, no codes told, with a scale of its own.
        sequences: the utterances.
    """

    likelihood: str
    scale: float
    fitted: Mapping[str, Any]
    density: Float64[np.ndarray, "U"]
    rate: Float64[np.ndarray, "U"]
    silence: Float64[np.ndarray, "U"]
    sequences: CodeSequences

    def terms(self) -> dict[str, Float64[np.ndarray, "U"]]:
        """Return density, rate, their sum, which is the bound, and what silence gives."""
        bound = self.density + self.rate
        return {
            "density": self.density, "rate": self.rate, "bound": bound, "silence": self.silence,
        }  # fmt: skip

    def per_second(self) -> dict[str, Estimate]:
        """Return each term in nats per second."""
        return self._over(self.sequences.seconds, 1.0)

    def per_sample(self) -> dict[str, Estimate]:
        """Return each term in bits per sample."""
        return self._over(self.sequences.samples.astype(np.float64), 1 / math.log(2))

    def as_16_bit(self) -> Estimate | None:
        """Return the bits per sample that the bound would cost as a coder of 16-bit samples.

        None where the scale is under their step, so that densities are no probabilities.
        """
        return None if self.scale < STEP else self.per_sample()["bound"].scaled(-1.0, 15.0)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        second, sample, coded = self.per_second(), self.per_sample(), self.as_16_bit()
        return {
            "likelihood": self.likelihood,
            "scale": self.scale,
            "fitted": dict(self.fitted),
            "nats_per_second": {k: asdict(v) for k, v in second.items()},
            "bits_per_sample": {k: asdict(v) for k, v in sample.items()},
            "bits_per_sample_as_16_bit": None if coded is None else asdict(coded),
            "utterances": list(self._utterances()),
        }

    def table(self) -> str:
        """Return both terms as a table for people."""
        labels = {
            "density": "log p(x | codes), a density",
            "rate": "log P(codes), the prior",
            "bound": "their sum, at most log p(x)",
            "silence": "no codes: x around silence",
        }
        f = self.fitted
        where = f"{f['utterances']} utterances ({f['seconds']:,.0f} s) of the split {f['split']}"
        lines = [
            f"{self.likelihood}, scale {self.scale:.6f}, fitted on {where}",
            f"{'':<32}{'nats per second':>34}{'bits per sample':>28}",
        ]
        second, sample, coded = self.per_second(), self.per_sample(), self.as_16_bit()
        for name, label in labels.items():
            cells = f"{second[name].text(1):>34}{sample[name].text(4):>28}"
            lines.append(f"{label:<32}{cells}")
        if coded is None:
            lines.append("the scale is under the step of 16 bits: no reading as 16-bit samples")
        else:
            lines.append(f"{'cost as 16-bit samples':<32}{'':>34}{coded.text(4):>28}")
        return "\n".join([*lines, how(list(second.values()))])

    def _over(self, under: Float64[np.ndarray, "U"], by: float) -> dict[str, Estimate]:
        speakers = self.sequences.speakers
        return {k: ratio_over_speakers(by * v, under, speakers) for k, v in self.terms().items()}

    def _utterances(self) -> Iterator[dict[str, Any]]:
        s, terms = self.sequences, self.terms()
        for i, name in enumerate(s.ids):
            nats = {k: float(v[i]) for k, v in terms.items()}
            yield {
                "id": name,
                "speaker": s.speakers[i],
                "samples": int(s.samples[i]),
                "seconds": float(s.seconds[i]),
                "nats": nats,
                "nats_per_second": {k: v / float(s.seconds[i]) for k, v in nats.items()},
                "bits_per_sample": {
                    k: v / int(s.samples[i]) / math.log(2) for k, v in nats.items()
                },
            }


@dataclass(frozen=True, kw_only=True)
class Speech:
    """What a bound is computed from, beside the prior.

    Attributes:
        model: what made the codes.
        manifest: the corpus they are of.
        sequences: the utterances.
        fit: others, for the scale.
        fit_split: what these are, to be said.
        where: the folder of all these codes, to be said.
        likelihoods: some of `LIKELIHOODS`.
    """

    model: Decodes
    manifest: Manifest
    sequences: CodeSequences
    fit: CodeSequences
    fit_split: str
    where: str
    likelihoods: Sequence[str] = LIKELIHOODS

    def check(self) -> None:
        """Look whether model and corpus are those of the codes, and no utterance is fitted on.

        Raises:
            CheckpointError: the model is another.
            ManifestError: the corpus lacks an utterance, or has one of another length.
            ConfigError: a scale would be fitted on what it is scored on.
        """
        if both := set(self.fit.ids) & set(self.sequences.ids):
            raise ConfigError(
                f"the scale would be fitted on {len(both)} of the utterances that are scored, such "
                f"as {min(both)!r}: score another split than {self.fit_split}, or fit on another"
            )
        for sequences in (self.sequences, self.fit):
            check(self.model, self.manifest, sequences, self.where)

    def bounds(self, costs: Float64[np.ndarray, "U"], *, progress: bool = False) -> list[Bound]:
        """Return the bound under each likelihood; decodes all utterances.

        Args:
            costs: minus log P(codes) of each utterance (nats).
            progress: show bars on stderr.

        Raises:
            AudioError: a recording cannot be read, or is not as long as its codes say.
            ConfigError: the decoder gives what scales are fitted on exactly.
        """
        self.check()
        (fit, fit_silent), (scored, silent) = (
            residuals(self.model, self.manifest, s, progress=progress)
            for s in (self.fit, self.sequences)
        )
        fitted = {
            "split": self.fit_split,
            "utterances": len(self.fit),
            "seconds": float(self.fit.seconds.sum()),
        }
        scales = {n: (fitted_scale(fit, n), fitted_scale(fit_silent, n)) for n in self.likelihoods}
        return [
            Bound(
                likelihood=name,
                scale=scale,
                fitted=fitted,
                density=log_density(scored, name, scale),
                rate=-costs,
                silence=log_density(silent, name, around_silence),
                sequences=self.sequences,
            )
            for name, (scale, around_silence) in scales.items()
        ]


def fitted_scale(fit: Residuals, likelihood: str) -> float:
    """Return the scale of the greatest likelihood over all samples.

    Raises:
        ConfigError: all residuals are 0, so that no scale is.
    """
    total = float(fit.samples.sum())
    if not fit.absolute.any():
        raise ConfigError(
            "the decoder gives the audio that scales are fitted on exactly, so the density "
            "has no bound: fit them on another split"
        )
    if likelihood == "laplace":
        return float(fit.absolute.sum()) / total
    return math.sqrt(float(fit.squared.sum()) / total)


def log_density(scored: Residuals, likelihood: str, scale: float) -> Float64[np.ndarray, "U"]:
    """Return log p(x|z) of each utterance (nats)."""
    if likelihood == "laplace":
        return -scored.samples * math.log(2 * scale) - scored.absolute / scale
    norm = 0.5 * math.log(2 * math.pi * scale**2)
    return -scored.samples * norm - scored.squared / (2 * scale**2)
