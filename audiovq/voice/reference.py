"""Who speaks in a recording, as a model's condition."""

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import audio
from audiovq.autoencoder import Autoencoder
from audiovq.errors import AudioError

MIN_SECONDS = 1.0  # of sound, pauses left out; the length of a training segment
MAX_SECONDS = 60.0  # what is used of a longer recording
_FRAME = 0.02  # s
_PAUSE = 1e-4  # of the loudest frame's power, 40 dB below: a frame under it is a pause


def hear(
    model: Autoencoder, reference: Float[Tensor, "1 1 L"], sample_rate: int
) -> Float[Tensor, "1 E"]:
    """Return the `condition` for the voice of a recording, of any speaker.

    Args:
        model: one with a reference encoder (autoencoder/vq_reference).
        reference: speech of one person, in [-1, 1]; of a longer one the first 60 s are used.
        sample_rate: of the reference (Hz); it is resampled.

    Raises:
        ConfigError: the model has no reference encoder.
        AudioError: the reference is empty, not finite, silent, or holds less than 1 s of sound.
    """
    if not reference.numel() or not bool(torch.isfinite(reference).all()):
        what = "is empty" if not reference.numel() else "holds NaN or infinity"
        raise AudioError(f"the reference {what}; give a recording of the voice that is wanted")
    start = reference[..., : round(MAX_SECONDS * sample_rate)].float().cpu()
    x = audio.resample(start, sample_rate, model.sample_rate)
    if float(x.abs().max()) < audio.SILENCE:
        raise AudioError("the reference is silent; give a recording of the voice that is wanted")
    if (seconds := sounding(x, model.sample_rate)) < MIN_SECONDS:
        raise AudioError(
            f"the reference holds {seconds:.2f} s of sound (pauses left out); {MIN_SECONDS:g} s or "
            f"more is accepted, and 5 s or more is better: give a longer recording"
        )
    return model.voice(x)


def sounding(x: Float[Tensor, "1 1 L"], sample_rate: int) -> float:
    """Return how long a waveform is within 40 dB of its loudest 20 ms (s)."""
    size = max(1, round(_FRAME * sample_rate))
    parts = torch.split(x[0, 0].double(), size)
    powers = [float(part.square().mean()) for part in parts]
    least = _PAUSE * max(powers)
    return sum(len(p) for p, w in zip(parts, powers, strict=True) if w > least) / sample_rate
