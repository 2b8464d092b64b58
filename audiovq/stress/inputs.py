"""What may happen to sound before a model hears it; draws are a function of the recording's key.

`eval.perturb` has the changes that units are held against elsewhere too; here are those beside it,
and how a known change of level or tempo is taken back before a reconstruction is compared.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import audio
from audiovq.data.corruption import add_at_snr
from audiovq.eval import perturb
from audiovq.eval.anchors import Opus
from audiovq.eval.perturb import Perturbation, Setting
from audiovq.nn import random

Wave = Float[Tensor, "1 1 _"]

TELEPHONE = 8000  # Hz
TAIL_DELAY = 0.0025  # seconds from the direct sound to the first of its reverberation


@dataclass(frozen=True)
class Scene:
    """A recording, and what its changes are drawn from.

    Attributes:
        x: the recording (1, 1, L).
        setting: sample rate (Hz), hop length (samples), key.
        talkers: returns other speakers at once, as long; raises AudioError where none are known.
    """

    x: Wave
    setting: Setting
    talkers: Callable[[], Float[Tensor, "_"]]

    @cached_property
    def babble(self) -> Float[Tensor, "_"]:
        """Other speakers at once, as long as the recording."""
        return self.talkers()

    @cached_property
    def white(self) -> Float[Tensor, "_"]:
        """Gaussian noise, the same at every level: what differs between levels is the level."""
        return random.normal(torch.tensor([self.setting.key]), "stress.noise", self.x.shape[-1])[0]

    @cached_property
    def pink(self) -> Float[Tensor, "_"]:
        """Noise whose power falls by 3 dB per octave."""
        spectrum = torch.fft.rfft(self.white.double())
        order = torch.arange(len(spectrum), dtype=torch.float64)
        order[0] = math.inf  # no constant offset
        shaped: Tensor = torch.fft.irfft(spectrum / order.sqrt(), n=len(self.white))
        return shaped.float()


@dataclass(frozen=True)
class Change:
    """What is done to a recording.

    Attributes:
        apply: returns the changed sound; raises AudioError where it cannot be done.
        undo: takes back what is known to have changed beside the quality: level or tempo.
        aligned: whether frame t is about the same time before and after.
    """

    apply: Callable[[Scene], Wave]
    undo: Callable[[Wave, Scene], Wave] = lambda y, _: y
    aligned: bool = True


def noise(kind: str, snr_db: float) -> Change:
    """Return noise added so far below the recording's power (dB).

    Args:
        kind: `white`, `pink` or `babble`.
        snr_db: signal-to-noise ratio over the whole recording.
    """
    return Change(lambda s: add_at_snr(s.x, s.x, getattr(s, kind), snr_db))


def clipping(share: float) -> Change:
    """Return clipping at the level that this share of the samples reaches or exceeds."""

    def apply(scene: Scene) -> Wave:
        size = scene.x.abs().flatten()
        above = max(1, round(share * len(size)))
        most = float(size.kthvalue(max(1, len(size) - above + 1)).values)
        return scene.x.clamp(-most, most)

    return Change(apply)


def reverb(seconds: float) -> Change:
    """Return the sound of a room: as loud as before, direct sound and reverberation equally strong.

    The impulse response is Gaussian noise that falls by 60 dB in so many `seconds`, 2.5 ms after
    the direct sound. Source: Polack 1988 (thesis, Universite du Maine), the statistical model.
    """

    def apply(scene: Scene) -> Wave:
        rate, x = scene.setting.sample_rate, scene.x.flatten().double()
        size, delay = round(1.25 * seconds * rate), round(TAIL_DELAY * rate)
        fall = torch.exp(-3 * math.log(10) / (seconds * rate) * torch.arange(size).double())
        key = torch.tensor([scene.setting.key])
        tail = random.normal(key, "stress.room", size)[0].double() * fall
        tail[:delay] = 0
        response = tail / tail.square().sum().sqrt()
        response[0] = 1.0
        longest = len(x) + size
        spectrum = torch.fft.rfft(x, longest) * torch.fft.rfft(response, longest)
        y: Tensor = torch.fft.irfft(spectrum, longest)[: len(x)]
        power = y.square().sum()
        return (y * (x.square().sum() / power).sqrt() if power > 0 else y).float().view(1, 1, -1)

    return Change(apply)


def g711() -> Change:
    """Return a telephone call: 8 kHz, mu-law companding to 8 bits, and back."""
    rounded = perturb.mu_law()

    def apply(scene: Scene) -> Wave:
        rate, setting = scene.setting.sample_rate, scene.setting
        if rate <= TELEPHONE:
            return rounded.apply(scene.x, setting)
        low = rounded.apply(audio.resample(scene.x, rate, TELEPHONE), setting)
        return audio.resample(low, TELEPHONE, rate)[..., : scene.x.shape[-1]]

    return Change(apply)


def opus(kbit_per_s: int) -> Change:
    """Return Opus at about that rate, by libsndfile's encoder."""

    def apply(scene: Scene) -> Wave:
        coded = Opus(str(kbit_per_s), scene.setting.sample_rate).code(scene.x.flatten().numpy())
        return torch.from_numpy(coded[0]).view(1, 1, -1)

    return Change(apply)


def gain(db: float) -> Change:
    """Return a change of level (dB), taken back from what is reconstructed."""
    change = _plain(perturb.gain(db))
    return Change(change.apply, lambda y, _: y * 10.0 ** (-db / 20.0))


def speed(factor: float) -> Change:
    """Return a change of tempo and pitch, taken back from what is reconstructed."""

    def undo(y: Wave, scene: Scene) -> Wave:
        rate = scene.setting.sample_rate
        return audio.resample(y, rate, round(rate * factor))

    return Change(_plain(perturb.speed(factor)).apply, undo, aligned=False)


def _plain(perturbation: Perturbation) -> Change:
    return Change(lambda s: perturbation.apply(s.x, s.setting), aligned=perturbation.aligned)


SNRS = (20, 10, 5, 0)  # dB
CLIPPED = (1, 5, 10, 25)  # % of samples

# name -> change, and what it is in words
CHANGES: dict[str, tuple[Change, str]] = {
    **{
        f"{kind}-{db}": (noise(kind, float(db)), f"{kind} noise, {db} dB SNR")
        for kind in ("white", "pink")
        for db in SNRS
    },
    **{f"babble-{db}": (noise("babble", float(db)), f"other speakers, {db} dB SNR") for db in SNRS},
    **{f"clip-{p}": (clipping(p / 100), f"{p} % of samples clipped") for p in CLIPPED},
    "reverb-300": (reverb(0.3), "reverberation, T60 0.3 s"),
    "reverb-600": (reverb(0.6), "reverberation, T60 0.6 s"),
    "band-8k": (_plain(perturb.band_limit(TELEPHONE)), "8 kHz sampling"),
    "g711": (g711(), "8 kHz, mu-law 8 bits (G.711)"),
    "mp3": (_plain(perturb.codec("MP3")), "MP3, libsndfile's usual quality"),
    "vorbis": (_plain(perturb.codec("OGG", "VORBIS")), "Vorbis, libsndfile's usual quality"),
    "opus-6": (opus(6), "Opus, about 6 kbit/s"),
    "opus-16": (opus(16), "Opus, about 16 kbit/s"),
    "gain+12": (gain(12.0), "12 dB louder"),
    "gain-12": (gain(-12.0), "12 dB softer"),
    "speed-0.9": (speed(0.9), "tempo and pitch x0.9"),
    "speed-1.1": (speed(1.1), "tempo and pitch x1.1"),
}
