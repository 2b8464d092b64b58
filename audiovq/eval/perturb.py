"""Changes to speech that leave the words as they are, for measuring how stable units are."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import audio
from audiovq.data.corruption import add_at_snr
from audiovq.errors import AudioError
from audiovq.nn import random

_MU = 255  # of G.711's mu-law, 8 bits


@dataclass(frozen=True)
class Setting:
    """What a perturbation may depend on besides the waveform.

    Attributes:
        sample_rate: Hz.
        hop_length: samples per frame.
        key: of the utterance, for random draws.
    """

    sample_rate: int
    hop_length: int
    key: int


@dataclass(frozen=True)
class Perturbation:
    """A change to a waveform.

    Attributes:
        name: for tables.
        apply: from a waveform (1, 1, L) to the changed one; raises AudioError where it cannot be
            done at that sample rate.
        aligned: whether frame t is about the same time before and after.
    """

    name: str
    apply: Callable[[Float[Tensor, "1 1 L"], Setting], Float[Tensor, "1 1 _"]]
    aligned: bool = True


def speed(factor: float) -> Perturbation:
    """Return a change of tempo and pitch together, as of a tape: L / factor samples."""

    def apply(x: Float[Tensor, "1 1 L"], setting: Setting) -> Float[Tensor, "1 1 _"]:
        return audio.resample(x, round(setting.sample_rate * factor), setting.sample_rate)

    return Perturbation(f"speed x{factor:g}", apply, aligned=False)


def gain(db: float) -> Perturbation:
    """Return a change of level (dB); nothing is clipped, floating point goes beyond full scale."""
    return Perturbation(f"gain {db:+g} dB", lambda x, _: x * 10.0 ** (db / 20.0))


def noise(snr_db: float) -> Perturbation:
    """Return the addition of white Gaussian noise, that far below the speech's power (dB)."""

    def apply(x: Float[Tensor, "1 1 L"], setting: Setting) -> Float[Tensor, "1 1 L"]:
        white = random.normal(torch.tensor([setting.key]), "stability noise", x.shape[-1])
        return add_at_snr(x, x, white[0], snr_db)

    return Perturbation(f"noise {snr_db:g} dB SNR", apply)


def codec(kind: str, subtype: str | None = None) -> Perturbation:
    """Return writing to a lossy format and reading back, at libsndfile's usual quality.

    Args:
        kind: soundfile's name of the format: MP3 or OGG.
        subtype: such as VORBIS; None: the usual one.
    """

    def apply(x: Float[Tensor, "1 1 L"], setting: Setting) -> Float[Tensor, "1 1 L"]:
        file = io.BytesIO()
        try:
            samples = x.flatten().clamp(-1, 1).numpy()
            soundfile.write(file, samples, setting.sample_rate, format=kind, subtype=subtype)
            file.seek(0)
            heard = torch.from_numpy(soundfile.read(file, dtype="float32")[0])
        except (RuntimeError, ValueError) as error:
            raise AudioError(f"{kind} at {setting.sample_rate} Hz: {error}") from None
        short = x.shape[-1] - len(heard)  # some versions leave padding at the end
        return torch.nn.functional.pad(heard, (0, short)).view(1, 1, -1)

    return Perturbation((subtype or kind).lower(), apply)


def mu_law() -> Perturbation:
    """Return rounding to the 256 levels of mu-law companding (the formula behind G.711)."""

    def apply(x: Float[Tensor, "1 1 L"], _: Setting) -> Float[Tensor, "1 1 L"]:
        clipped = x.clamp(-1, 1)
        level = clipped.sign() * torch.log1p(_MU * clipped.abs()) / math.log1p(_MU)
        level = torch.round((level + 1) / 2 * _MU) / _MU * 2 - 1
        return level.sign() * torch.expm1(level.abs() * math.log1p(_MU)) / _MU

    return Perturbation("mu-law 8 bit", apply)


def band_limit(rate: int) -> Perturbation:
    """Return resampling to a lower rate (Hz) and back: nothing is left above half of it."""

    def apply(x: Float[Tensor, "1 1 L"], setting: Setting) -> Float[Tensor, "1 1 L"]:
        if setting.sample_rate <= rate:
            raise AudioError(f"speech at {setting.sample_rate} Hz has nothing above {rate // 2} Hz")
        low = audio.resample(x, setting.sample_rate, rate)
        return audio.resample(low, rate, setting.sample_rate)[..., : x.shape[-1]]

    return Perturbation(f"{rate / 1000:g} kHz sampling", apply)


def shift(share: float) -> Perturbation:
    """Return a delay by a share of a frame: zeros in front, as many samples off the end."""

    def apply(x: Float[Tensor, "1 1 L"], setting: Setting) -> Float[Tensor, "1 1 L"]:
        delay = round(share * setting.hop_length)
        return torch.nn.functional.pad(x, (delay, 0))[..., : x.shape[-1]]

    return Perturbation(f"shift {share:g} frame", apply)


DEFAULT: tuple[Perturbation, ...] = (
    speed(0.9),
    speed(1.1),
    gain(-6.0),
    gain(6.0),
    noise(20.0),
    noise(10.0),
    codec("MP3"),
    codec("OGG", "VORBIS"),
    mu_law(),
    band_limit(8000),
    shift(0.25),
    shift(0.5),
)
