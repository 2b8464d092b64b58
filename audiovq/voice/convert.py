"""A recording in another voice."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from audiovq import audio
from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Condition
from audiovq.resynth import Resynthesis, resynthesise
from audiovq.voice.level import gain


@torch.no_grad()
def convert(
    model: Autoencoder, x: Float[Tensor, "1 1 L"], condition: Condition
) -> Float[Tensor, "1 1 L"]:
    """Return a waveform said in another voice, as long and as loud.

    It is encoded at one level (`LEVEL_DB`), whatever its own, as in the training of vq_voice.

    Args:
        model: one whose decoder is told who speaks.
        x: in [-1, 1] at the model's rate.
        condition: whose voice: of `model.speaker_index([name])`, or of `hear`.

    Raises:
        ConfigError: the model takes no speakers, or not this condition.
        AudioError: x is empty or not finite.
    """
    factor = gain([x], model.sample_rate) if x.numel() else 1.0
    x = x.to(next(model.parameters()).device)
    return model.reconstruct(x * factor, condition=condition) / factor


def convert_file(
    model: Autoencoder, source: Path, target: Path, condition: Condition
) -> Resynthesis:
    """Convert one file, of any length, to a 16-bit wav at the model's rate; as `convert`.

    It is read twice: for its level, and for what is said.
    """
    factor = gain(audio.blocks(source, model.sample_rate), model.sample_rate)
    return resynthesise(model, source, target, condition, factor=factor)
