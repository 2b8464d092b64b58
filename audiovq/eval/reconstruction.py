"""How far one reconstruction is from its original, by measures that know nothing of the training.

A measure that is not defined for an utterance (silence, too short) gives the reason instead of a
number; the report counts the reasons and leaves those utterances out of that mean only.
"""

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from audiovq import audio
from audiovq.errors import ConfigError
from audiovq.losses.reconstruction import LossConfig, ReconstructionLoss
from audiovq.losses.spectral import MelFilters, Spectrogram

Wave = Float[Tensor, "1 1 L"]

NAMES = ("log_mel_distance", "stft_distance", "si_sdr", "stoi", "pesq")
EXTRAS = {"stoi": "pystoi", "pesq": "pesq"}  # measure -> the package of `audiovq[metrics]` it needs

MEL_SECONDS, MEL_BANDS = 0.064, 80
DYNAMIC_RANGE = 1e-4  # 80 dB: what lies further under the loudest band is taken for inaudible
SI_SDR_LIMITS = (-50.0, 100.0)  # dB
SILENCE = audio.SILENCE  # peak
MIN_SECONDS = {"stoi": 0.4, "pesq": 0.25}  # the packages refuse, or warn and give a constant


class Undefined(Exception):  # noqa: N818  (not an error: a value that does not exist)
    """A measure has no value for an utterance; the message says why."""


def available(names: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """Return which measures can be computed here, and a note on each that cannot.

    Args:
        names: the measures wanted; None: all.

    Raises:
        ConfigError: a name is unknown.
    """
    unknown = sorted(set(names or ()) - set(NAMES))
    if unknown:
        raise ConfigError(f"no measure named {unknown[0]!r}; known: {', '.join(NAMES)}")
    wanted = [n for n in NAMES if names is None or n in names]
    missing = {n for n in wanted if n in EXTRAS and not importlib.util.find_spec(EXTRAS[n])}
    notes = [
        f'{n} left out: {EXTRAS[n]} is not installed (pip install "audiovq[metrics]")'
        for n in wanted
        if n in missing
    ]
    return [n for n in wanted if n not in missing], notes


class Scorer(nn.Module):
    """Scores reconstructions against originals.

    Args:
        sample_rate: of both (Hz).
        names: measures to compute, of `NAMES`; all of them must be available.
    """

    def __init__(self, sample_rate: int, names: Sequence[str]) -> None:
        super().__init__()
        self.sample_rate, self.names = sample_rate, tuple(names)
        n_fft = 2 ** round(math.log2(MEL_SECONDS * sample_rate))
        self.spectrogram = Spectrogram(n_fft)
        self.filters = MelFilters(sample_rate, n_fft, MEL_BANDS)
        self.stft = ReconstructionLoss(LossConfig(waveform_l1=0.0, mel=0.0, stft=1.0), sample_rate)
        self.measures: Mapping[str, Callable[[Wave, Wave], float]] = {
            "log_mel_distance": self._log_mel_distance,
            "stft_distance": self._stft_distance,
            "si_sdr": si_sdr,
            "stoi": self._stoi,
            "pesq": self._pesq,
        }

    @torch.no_grad()
    def forward(self, x: Wave, x_hat: Wave) -> dict[str, float | str]:
        """Return each measure of one utterance: a finite number, or why there is none.

        Args:
            x: original.
            x_hat: reconstruction, as long.
        """
        scores: dict[str, float | str] = {}
        for name in self.names:
            try:
                scores[name] = self._score(name, x.float().cpu(), x_hat.float().cpu())
            except Undefined as reason:
                scores[name] = str(reason)
        return scores

    def _score(self, name: str, x: Wave, x_hat: Wave) -> float:
        if not torch.isfinite(x_hat).all():
            raise Undefined("the reconstruction holds NaN or infinity")
        if x.abs().max() < SILENCE:
            raise Undefined("the original is silent")
        if x.shape[-1] < MIN_SECONDS.get(name, 0.0) * self.sample_rate:
            raise Undefined(f"shorter than {MIN_SECONDS[name]} s")
        value = self.measures[name](x, x_hat)
        if not math.isfinite(value):  # pesq of a silent reconstruction
            raise Undefined(f"{name} gives no number for this reconstruction")
        return value

    def _log_mel_distance(self, x: Wave, x_hat: Wave) -> float:
        mel, mel_hat = (self.filters(self.spectrogram(w)) for w in (x, x_hat))
        floor = mel.max() * DYNAMIC_RANGE
        level, level_hat = (20 * m.maximum(floor).log10() for m in (mel, mel_hat))
        return float((level - level_hat).abs().mean())

    def _stft_distance(self, x: Wave, x_hat: Wave) -> float:
        return float(self.stft(x, x_hat, torch.tensor([x.shape[-1]]))["stft"])

    def _stoi(self, x: Wave, x_hat: Wave) -> float:
        from pystoi import stoi  # noqa: PLC0415  (optional)

        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                return float(stoi(x[0, 0].numpy(), x_hat[0, 0].numpy(), self.sample_rate))
            except RuntimeWarning:  # it would go on to return 1e-5
                raise Undefined("under 0.4 s of sound") from None

    def _pesq(self, x: Wave, x_hat: Wave) -> float:
        import pesq  # noqa: PLC0415  (optional)

        rate, mode = (16000, "wb") if self.sample_rate >= 16000 else (8000, "nb")
        reference, degraded = (
            audio.resample(w, self.sample_rate, rate)[0, 0].numpy() for w in (x, x_hat)
        )
        try:
            return float(pesq.pesq(rate, reference, degraded, mode))
        except pesq.NoUtterancesError:
            raise Undefined("no speech found") from None
        except (pesq.PesqError, ValueError) as error:
            raise Undefined(f"pesq: {type(error).__name__}") from None


def si_sdr(x: Wave, x_hat: Wave) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB, within [-50, 100].

    Source: Le Roux et al. 2019 (arXiv:1811.02508), eq. 3, of zero-mean signals. A silent
    reconstruction is the worst there is.

    Raises:
        Undefined: the original is constant.
    """
    s, e = (w.double() - w.double().mean() for w in (x, x_hat))
    power = s.square().sum()
    if power <= 0:
        raise Undefined("the original is constant")
    target = (s * e).sum() / power * s
    rest = (e - target).square().sum().clamp_min(torch.finfo(torch.float64).tiny)
    ratio = target.square().sum() / rest
    return float((10 * ratio.log10()).clamp(*SI_SDR_LIMITS))
