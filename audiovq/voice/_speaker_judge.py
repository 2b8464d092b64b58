"""Who of a closed set speaks in a waveform, said by a classifier of MFCC frames."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audiovq.eval.estimate import Floats
from audiovq.eval.probes import _classifier
from audiovq.units.features.mfcc import MFCCFeatures
from audiovq.voice.level import gain

_HOP_SECONDS = 0.01


class Describer:
    """Waveforms to vectors: mean and deviation of their MFCC frames, all at one level.

    Args:
        sample_rate: of the waveforms (Hz).
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.features = MFCCFeatures(sample_rate, round(_HOP_SECONDS * sample_rate))

    def __call__(self, x: Float[Tensor, "1 1 L"]) -> Floats:
        """Return the vector of a waveform."""
        x = x * gain([x], self.sample_rate)
        frames = torch.cat(list(self.features.blocks([x]))).double()
        return np.concatenate([frames.mean(0).numpy(), frames.std(0, unbiased=False).numpy()])


def spread(vector: Floats) -> Floats:
    """Return the deviations over time in a vector of `Describer`."""
    return vector[len(vector) // 2 :]


def named(train: Sequence[Floats], speakers: Sequence[str], test: Floats) -> list[str]:
    """Return who speaks in each test vector, after those whose speakers are known.

    Logistic regression, as in the speaker probe of units. It hears the channel as well as the
    voice, where a speaker was always recorded over the same one.
    """
    names, labels = np.unique(speakers, return_inverse=True)
    known = np.stack(train)
    scale = np.maximum(known.std(axis=0), 1e-9)
    found = _classifier.predict(known / scale, labels, test / scale)
    return [str(names[i]) for i in found]


def centred(made: Floats, known: Floats) -> Floats:
    """Return vectors of what a model made, with the mean and deviation of known recordings.

    A model smooths every voice alike (its spectra are means of many), which moves all vectors far
    beyond where speakers differ. That is taken out here, without asking who is who, so that what
    it does to each voice can be told from what it does to all. It is a fair measure only where
    every voice was made equally often.

    Args:
        made: of all outputs, (N, D).
        known: of recordings, (M, D).
    """
    scale = known.std(axis=0) / np.maximum(made.std(axis=0), 1e-9)
    found: Floats = (made - made.mean(axis=0)) * scale + known.mean(axis=0)
    return found
