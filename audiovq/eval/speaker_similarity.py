"""How alike the voices of an original and its reconstruction are to a speaker model of the user's.

The score is the cosine of two vectors, in [-1, 1]; what value two recordings of one speaker reach
depends on the model, so figures of different models do not compare.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from audiovq import audio
from audiovq.data.manifest import Record
from audiovq.errors import ConfigError
from audiovq.eval import plugged
from audiovq.eval.plugged import HF, Judge, Samples, Verdict, Wave
from audiovq.eval.undefined import Undefined

NAME = "speaker_similarity"
MIN_SECONDS = 0.5

Vector = npt.NDArray[np.float64]
Embed = Callable[[Samples, int], Any]  # waveform (L,), sample rate -> vector


class SpeakerJudge(Judge):
    """Cosine of speaker vectors.

    Args:
        name: `hf:FOLDER`, `hf:OWNER/NAME` (WavLM, wav2vec 2.0, UniSpeech-SAT ... with an x-vector
            head), or the dotted name of a callable (waveform, sample_rate) -> vector.
        device: for a transformers model.

    Raises:
        ConfigError: there is no such callable, or transformers is not installed.
        CheckpointError: the model cannot be used.
    """

    names = (NAME,)

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        self.about = {"speaker_model": name}
        self.embed: Embed
        if name.startswith(HF):
            self.embed = _XVector(name.removeprefix(HF), device)
        else:
            self.embed = plugged.dotted(name, "speaker model")

    def __call__(
        self,
        record: Record,  # noqa: ARG002  (a contract)
        x: Wave,
        x_hats: Sequence[Wave],
        sample_rate: int,
    ) -> list[Verdict]:
        """Return the cosine of the vectors of each reconstruction and the original."""
        try:
            reference = self._vector(x, sample_rate, "original")
        except Undefined as reason:
            return [self.refuse(str(reason))] * len(x_hats)
        return [Verdict({NAME: self._cosine(reference, y, sample_rate)}) for y in x_hats]

    def refuse(self, reason: str) -> Verdict:
        """Return the verdict that there is none."""
        return Verdict({NAME: reason})

    def _cosine(self, reference: Vector, x_hat: Wave, sample_rate: int) -> float | str:
        try:
            other = self._vector(x_hat, sample_rate, "reconstruction")
        except Undefined as reason:
            return str(reason)
        if other.shape != reference.shape:
            raise ConfigError(
                f"the speaker model gave vectors of {reference.shape} and {other.shape}; one shape "
                f"for every waveform is needed"
            )
        return float(np.clip(reference @ other, -1, 1))

    def _vector(self, x: Wave, sample_rate: int, what: str) -> Vector:
        if x.shape[-1] < MIN_SECONDS * sample_rate:
            raise Undefined(f"shorter than {MIN_SECONDS} s")
        if not torch.isfinite(x).all():
            raise Undefined(f"the {what} holds NaN or infinity")
        if x.abs().max() < audio.SILENCE:
            raise Undefined(f"the {what} is silent")
        vector = np.asarray(self.embed(x[0, 0].numpy(), sample_rate), np.float64).reshape(-1)
        length = np.linalg.norm(vector)
        if not np.isfinite(length) or length == 0:
            raise Undefined(f"the speaker model gives no vector for the {what}")
        unit: Vector = vector / length
        return unit


class _XVector:
    """A transformers model with an x-vector head."""

    def __init__(self, place: str, device: torch.device | str) -> None:
        library = plugged.transformers()
        self.model = plugged.weights(library.AutoModelForAudioXVector, place).to(device)
        self.extractor = plugged.pretrained(library.AutoFeatureExtractor, place)
        self.device = device

    @torch.no_grad()
    def __call__(self, x: Samples, sample_rate: int) -> Samples:
        rate = self.extractor.sampling_rate
        heard = audio.resample(torch.from_numpy(x), sample_rate, rate).numpy()
        given = self.extractor(heard, sampling_rate=rate, return_tensors="pt")
        vector: Samples = self.model(given.input_values.to(self.device)).embeddings[0].cpu().numpy()
        return vector
