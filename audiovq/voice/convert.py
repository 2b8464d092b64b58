"""A recording in another voice."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import audio
from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Condition
from audiovq.errors import AudioError
from audiovq.inference import finite
from audiovq.resynth import Resynthesis, resynthesise
from audiovq.voice.normalise import SECONDS, How, Normaliser


@torch.no_grad()
def convert(
    model: Autoencoder, x: Float[Tensor, "1 1 L"], condition: Condition, how: How = "spectrum"
) -> Float[Tensor, "1 1 L"]:
    """Return a waveform said in another voice, as long and as loud.

    It is encoded at one level and long-term spectrum, whatever its own (`Normaliser`).

    Args:
        model: one whose decoder is told who speaks.
        x: in [-1, 1] at the model's rate.
        condition: whose voice: of `model.speaker_index([name])`, or of `hear`.
        how: what is normalised, for comparison.

    Raises:
        ConfigError: the model takes no speakers, or not this condition.
        AudioError: x is empty or not finite.
    """
    if not x.numel():
        raise AudioError("the recording is empty")
    finite(x)
    normal = Normaliser.of(x, model.sample_rate, how)
    like = normal(x.cpu()).to(next(model.parameters()).device)
    return model.reconstruct(like, condition=condition) * normal.back


def convert_file(
    model: Autoencoder, source: Path, target: Path, condition: Condition
) -> Resynthesis:
    """Convert one file, of any length, to a 16-bit wav at the model's rate; as `convert`.

    Its first minute is read twice: for its level and spectrum, and for what is said.
    """
    info = audio.probe(source)
    most = round(SECONDS * info.sample_rate)
    start = most if info.num_samples > most else None
    heard = audio.load(source, model.sample_rate, num_samples=start)
    normal = Normaliser.of(heard, model.sample_rate)
    return resynthesise(model, source, target, condition, before=normal.blocks, after=normal.back)
