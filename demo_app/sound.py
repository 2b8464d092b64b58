"""What every function of the demo takes and gives: sound in memory, with its rate and a name."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from jaxtyping import Float, Int16
from torch import Tensor

from audiovq import audio
from audiovq.errors import AudioError
from audiovq.files import atomic_write


@dataclass(frozen=True)
class Recording:
    """Mono sound.

    Attributes:
        x: float32, nominally in [-1, 1]; on the CPU.
        sample_rate: Hz.
        name: what to call it, also in names of files to download: no path.
    """

    x: Float[Tensor, "1 1 L"]
    sample_rate: int
    name: str = "recording"

    @property
    def seconds(self) -> float:
        """Length (s)."""
        return self.x.shape[-1] / self.sample_rate

    def at(self, sample_rate: int) -> "Recording":
        """Return it at a rate (Hz): itself, or resampled."""
        if sample_rate == self.sample_rate:
            return self
        x = audio.resample(self.x, self.sample_rate, sample_rate)
        return replace(self, x=x, sample_rate=sample_rate)

    def part(self, start: float, end: float) -> "Recording":
        """Return what lies between two times (s), as far as it is there; at least a sample."""
        last = self.x.shape[-1]
        first = min(max(0, round(start * self.sample_rate)), last - 1)
        after = min(max(first + 1, round(end * self.sample_rate)), last)
        return replace(self, x=self.x[..., first:after])

    def pcm(self) -> Int16[np.ndarray, "L"]:
        """Return 16-bit samples, clipped at full scale: those that `wav` holds."""
        scaled = (self.x[0, 0].double() * 32768).round().clamp(-32768, 32767)
        return scaled.to(torch.int16).numpy()

    def wav(self) -> bytes:
        """Return it as a 16-bit WAV file."""
        buffer = io.BytesIO()
        soundfile.write(buffer, self.pcm(), self.sample_rate, format="WAV", subtype="PCM_16")
        return buffer.getvalue()

    def save(self, path: str | Path) -> None:
        """Write it as a 16-bit WAV file, in one step."""
        atomic_write(Path(path), self.wav())


def checked(recording: Recording) -> Recording:
    """Return a recording that can be worked on.

    Raises:
        AudioError: it is empty, or holds NaN or infinity.
    """
    if recording.x.numel() == 0:
        raise AudioError("the recording is empty: give one that holds sound")
    if not bool(torch.isfinite(recording.x).all()):
        raise AudioError("the recording holds NaN or infinity: export it again as 16-bit WAV")
    return recording
