"""audiovq: discrete codes from speech.

The pipeline, in order:
    audio, data     speech on disk -> manifest -> waveforms (B, 1, L)
    encoders        x -> z_e (B, C, T)
    bottlenecks     z_e -> z, and codes (B, K, T) where it is discrete
    decoders        z -> x_hat (B, 1, L)
    losses          how far x_hat is from x
    autoencoder     encoder -> bottleneck -> decoder; encode, decode, save, load
    train           the loop, checkpoints, logs, doctor
    units           codes of a corpus on disk, for downstream models
    eval, report    what a model is worth, in figures and pages
    compare         several models on equal terms

Axis letters everywhere: B batch, C channels, L samples, T frames, D code dimension,
K codebooks, N codebook size.
"""

from typing import TYPE_CHECKING, Any

from audiovq.errors import AudioVQError

if TYPE_CHECKING:
    from audiovq import audio, units
    from audiovq.autoencoder import Autoencoder, AutoencoderConfig
    from audiovq.release import load

__version__ = "0.1.0"

__all__ = [
    "AudioVQError",
    "Autoencoder",
    "AutoencoderConfig",
    "__version__",
    "audio",
    "load",
    "units",
]

_FROM = {
    "Autoencoder": "audiovq.autoencoder",
    "AutoencoderConfig": "audiovq.autoencoder",
    "load": "audiovq.release",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a command that needs no torch starts at once."""
    import importlib  # noqa: PLC0415

    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name]), name)
    if name in __all__:
        return importlib.import_module(f"audiovq.{name}")
    raise AttributeError(f"module 'audiovq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
