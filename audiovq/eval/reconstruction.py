"""How far one reconstruction is from its original, by measures that know nothing of the training.

A measure that is not defined for an utterance gives the reason instead of a number; the report
counts the reasons and leaves those utterances out of that mean only. `edges.EDGES` is the table
of what each measure gives for silence, for short and for broken input.
"""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn

from audiovq import audio
from audiovq.errors import ConfigError
from audiovq.eval import perceptual, pitch
from audiovq.eval.undefined import Undefined as Undefined  # noqa: PLC0414  (its first home)
from audiovq.losses.reconstruction import LossConfig, ReconstructionLoss
from audiovq.losses.spectral import MelFilters, Spectrogram

Wave = Float[Tensor, "1 1 L"]

# Those taken when nothing is asked for: pitch tracking costs more than all of them together.
STANDARD = (
    "log_mel_distance", "stft_distance", "si_sdr", "stoi", "estoi", "pesq_wb", "pesq_nb", "clipped",
)  # fmt: skip
NAMES = (*STANDARD, *pitch.NAMES)
# measure -> the package of `audiovq[metrics]` it needs
EXTRAS = {
    "stoi": "pystoi",
    "estoi": "pystoi",
    "pesq_wb": "pesq",
    "pesq_nb": "pesq",
    **dict.fromkeys(pitch.NAMES, "librosa"),
}

MEL_SECONDS, MEL_BANDS = 0.064, 80
DYNAMIC_RANGE = 1e-4  # 80 dB: what lies further under the loudest band is taken for inaudible
SI_SDR_LIMITS = (-50.0, 100.0)  # dB
SILENCE = audio.SILENCE  # peak
# What the packages refuse, or warn of and give a constant.
MIN_SECONDS = {
    "stoi": 0.4,
    "estoi": 0.4,
    "pesq_wb": 0.25,
    "pesq_nb": 0.25,
    **dict.fromkeys(pitch.NAMES, 0.1),
}


def available(names: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """Return which measures can be computed here, and a note on each that cannot.

    Args:
        names: the measures wanted; None: `STANDARD`.

    Raises:
        ConfigError: a name is unknown.
    """
    unknown = sorted(set(names or ()) - set(NAMES))
    if unknown:
        raise ConfigError(f"no measure named {unknown[0]!r}; known: {', '.join(NAMES)}")
    wanted = [n for n in NAMES if n in (STANDARD if names is None else names)]
    missing = {n for n in wanted if n in EXTRAS and not importlib.util.find_spec(EXTRAS[n])}
    notes = [
        f'{n} left out: {EXTRAS[n]} is not installed (pip install "audiovq[metrics]")'
        for n in wanted
        if n in missing
    ]
    return [n for n in wanted if n not in missing], notes


class Original:
    """An original, and what is computed of it once for all its reconstructions.

    Args:
        x: the waveform.
        sample_rate: Hz.
    """

    def __init__(self, x: Wave, sample_rate: int) -> None:
        self.x, self.sample_rate = x.float().cpu(), sample_rate

    @cached_property
    def pitch(self) -> pitch.Track:
        """Its fundamental frequency."""
        return pitch.track(self.x, self.sample_rate)


class _Pair:
    """An original beside one reconstruction."""

    def __init__(self, original: Original, x_hat: Wave) -> None:
        self.original, self.x, self.x_hat = original, original.x, x_hat.float().cpu()

    @cached_property
    def pitch_errors(self) -> dict[str, float | str]:
        track = pitch.track(self.x_hat, self.original.sample_rate)
        return pitch.errors(self.original.pitch, track)


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
        self.measures: Mapping[str, Callable[[_Pair], float]] = {
            "log_mel_distance": self._log_mel_distance,
            "stft_distance": self._stft_distance,
            "si_sdr": lambda p: si_sdr(p.x, p.x_hat),
            "stoi": lambda p: perceptual.stoi(p.x, p.x_hat, sample_rate),
            "estoi": lambda p: perceptual.stoi(p.x, p.x_hat, sample_rate, extended=True),
            "pesq_wb": lambda p: perceptual.pesq(p.x, p.x_hat, sample_rate, "wb"),
            "pesq_nb": lambda p: perceptual.pesq(p.x, p.x_hat, sample_rate, "nb"),
            "clipped": lambda p: 100 * float((p.x_hat.abs() > 1).double().mean()),
            **{name: _pitch_error(name) for name in pitch.NAMES},
        }

    @torch.no_grad()
    def forward(self, x: Wave | Original, x_hat: Wave) -> dict[str, float | str]:
        """Return each measure of one utterance: a finite number, or why there is none.

        Args:
            x: original; an `Original` shares its pitch between several reconstructions.
            x_hat: reconstruction, as long.
        """
        original = x if isinstance(x, Original) else Original(x, self.sample_rate)
        pair = _Pair(original, x_hat)
        scores: dict[str, float | str] = {}
        for name in self.names:
            try:
                scores[name] = self._score(name, pair)
            except Undefined as reason:
                scores[name] = str(reason)
        return scores

    def _score(self, name: str, pair: _Pair) -> float:
        if not torch.isfinite(pair.x_hat).all():
            raise Undefined("the reconstruction holds NaN or infinity")
        if pair.x.abs().max() < SILENCE:
            raise Undefined("the original is silent")
        if pair.x.shape[-1] < MIN_SECONDS.get(name, 0.0) * self.sample_rate:
            raise Undefined(f"shorter than {MIN_SECONDS[name]} s")
        value = self.measures[name](pair)
        if not math.isfinite(value):  # pesq of a silent reconstruction
            raise Undefined(f"{name} gives no number for this reconstruction")
        return value

    def _log_mel_distance(self, pair: _Pair) -> float:
        mel, mel_hat = (self.filters(self.spectrogram(w)) for w in (pair.x, pair.x_hat))
        floor = mel.max() * DYNAMIC_RANGE
        level, level_hat = (20 * m.maximum(floor).log10() for m in (mel, mel_hat))
        return float((level - level_hat).abs().mean())

    def _stft_distance(self, pair: _Pair) -> float:
        length = torch.tensor([pair.x.shape[-1]])
        return float(self.stft(pair.x, pair.x_hat, length)["stft"])


def _pitch_error(name: str) -> Callable[[_Pair], float]:
    return lambda pair: pitch.defined(name, pair.pitch_errors)


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
