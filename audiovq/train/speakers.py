"""Which speakers a model learns, and which of them a batch is spoken by."""

from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from audiovq import config as configs
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.data.manifest import Manifest
from audiovq.errors import ManifestError


def name_speakers(config: AutoencoderConfig, manifest: Manifest) -> AutoencoderConfig:
    """Return the config with the training speakers in its decoder, if that asks for them.

    A decoder that takes speakers has a setting `speakers`; names that are given are kept.

    Raises:
        ManifestError: no training record says who speaks.
        ConfigError: there are more speakers than the decoder takes.
    """
    decoder = config.decoder
    if getattr(decoder, "speakers", None) != ():
        return config
    records = manifest.select("train")
    names = sorted({r.speaker for r in records if r.speaker is not None})
    if not names:
        raise ManifestError(
            f"{manifest.path}: none of {len(records)} training records names its speaker, which "
            f"the decoder {decoder.name!r} learns from; prepare the corpus with speakers, or "
            f"choose model.decoder.name=conv"
        )
    values = {**decoder.model_dump(), "speakers": names}
    return config.model_copy(
        update={"decoder": configs.parse(type(decoder), values, "model.decoder")}
    )


def condition_of(model: Autoencoder, speakers: Sequence[str | None]) -> Int[Tensor, "B"] | None:
    """Return the condition of a batch; held-out speakers are anyone. None if the model has none."""
    return model.speaker_index(speakers, strict=False) if model.speakers else None
