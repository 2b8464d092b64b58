"""audiovq: discrete codes from speech.

The pipeline, in order:
    audio, data     speech on disk -> manifest -> waveforms (B, 1, L)
    encoders        x -> z_e (B, C, T)
    bottlenecks     z_e -> z, and codes (B, K, T) where it is discrete
    decoders        z -> x_hat (B, 1, L)
    losses          how far x_hat is from x
    autoencoder     encoder -> bottleneck -> decoder; encode, decode, save, load
    shipped, cards  models that come with audiovq, by name; what a model is, in words and figures
    train           the loop, checkpoints, logs, doctor
    units           codes of a corpus on disk, for downstream models
    export          a model as graphs that run without audiovq: ONNX, torch.export
    eval, report    what a model is worth, in figures and pages
    compare         several models on equal terms

Axis letters everywhere: B batch, C channels, L samples, T frames, D code dimension,
K codebooks, N codebook size.
"""

from typing import TYPE_CHECKING

from audiovq.errors import AudioVQError
from audiovq.lazy import attributes

if TYPE_CHECKING:
    from audiovq import audio, units
    from audiovq.autoencoder import Autoencoder, AutoencoderConfig
    from audiovq.release import load
    from audiovq.shipped import models

__version__ = "0.1.0"

__all__ = [
    "AudioVQError",
    "Autoencoder",
    "AutoencoderConfig",
    "__version__",
    "audio",
    "load",
    "models",
    "units",
]

__getattr__ = attributes(
    __name__,
    {
        "Autoencoder": "audiovq.autoencoder",
        "AutoencoderConfig": "audiovq.autoencoder",
        "audio": None,
        "load": "audiovq.release",
        "models": "audiovq.shipped",
        "units": None,
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
