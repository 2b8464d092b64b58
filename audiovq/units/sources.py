"""What a user names as the source of units: a model, a transformers model, or MFCC."""

from collections.abc import Collection
from pathlib import Path

import torch

from audiovq import release
from audiovq.data.manifest import Manifest
from audiovq.errors import ConfigError
from audiovq.units import kmeans
from audiovq.units.coder import Coder, ModelCoder
from audiovq.units.features._base import Features
from audiovq.units.kmeans_coder import KMeansCoder
from audiovq.units.kmeans_fit import fit

HF, MFCC = "hf:", "mfcc"


def open_coder(
    source: str,
    *,
    size: int | None = None,
    manifest: Manifest,
    fit_manifest: Manifest | None = None,
    kmeans_from: str | Path | None = None,
    layer: int | None = None,
    hop_length: int | None = None,
    sample_rate: int | None = None,
    seed: int = 0,
    folder: str | Path,
    device: str | torch.device = "cpu",
    plugins: Collection[str] = (),
    threads: int = 1,
    progress: bool = True,
) -> Coder:
    """Return a source of codes; where that needs k-means, fit it first, or go on fitting it.

    Args:
        source: a model folder; `hf:PATH[:LAYER]`, a transformers model on disk; or `mfcc`.
        size: centres of k-means to fit; for continuous sources.
        manifest: the corpus to be coded.
        fit_manifest: the corpus whose training split k-means is fitted on; None: the same.
        kmeans_from: folder of a k-means to use in place of fitting one.
        layer: of a transformers model; None: 3/4 of the depth.
        hop_length: of MFCC (samples); None: 320.
        sample_rate: of MFCC (Hz); None: 16,000.
        seed: of k-means.
        folder: the units folder; k-means is kept in its `kmeans`.
        device: where to compute.
        plugins: dotted names of plug-in components you trust, if the model uses any.
        threads: recordings that k-means looks at side by side.
        progress: show bars on stderr.

    Raises:
        ConfigError: options that do not fit the source or each other.
        CheckpointError: a model or k-means cannot be read, or is of something else.
        ManifestError: there is nothing to fit on.
    """
    if size is not None and kmeans_from is not None:
        raise ConfigError("--kmeans N fits k-means and --kmeans-from DIR uses one: give only one")
    _check_options(source, layer, hop_length, sample_rate)
    features = _open(
        source, device, plugins, layer=layer, hop_length=hop_length, sample_rate=sample_rate
    )
    if isinstance(features, Coder):
        if size is not None or kmeans_from is not None:
            raise ConfigError(
                f"{source} is a discrete model with codes of its own: leave out --kmeans and "
                f"--kmeans-from"
            )
        return features
    if kmeans_from is not None:
        return KMeansCoder(features, kmeans.load(kmeans_from, features))
    if size is None:
        raise ConfigError(
            f"{source} is continuous and has no codes: give --kmeans 512 to fit k-means on the "
            f"training split, or --kmeans-from DIR to use one"
        )
    fitted = fit(
        features,
        manifest if fit_manifest is None else fit_manifest,
        size,
        folder=Path(folder) / "kmeans",
        seed=seed,
        threads=threads,
        progress=progress,
    )
    return KMeansCoder(features, fitted)


def _check_options(
    source: str, layer: int | None, hop_length: int | None, sample_rate: int | None
) -> None:
    if layer is not None and not source.startswith(HF):
        raise ConfigError(f"--layer {layer} is for hf:PATH; {source} has no layers to choose from")
    if source != MFCC and (hop_length is not None or sample_rate is not None):
        raise ConfigError(f"--hop and --sample-rate are for mfcc; {source} has its own")


def _open(
    source: str,
    device: str | torch.device,
    plugins: Collection[str],
    *,
    layer: int | None,
    hop_length: int | None,
    sample_rate: int | None,
) -> Features | Coder:
    """Return the features that a source gives, or the coder that it is."""
    if source == MFCC:
        from audiovq.units.features.mfcc import MFCCFeatures  # noqa: PLC0415  (torchaudio)

        rate = 16000 if sample_rate is None else sample_rate
        return MFCCFeatures(rate, 320 if hop_length is None else hop_length, device)
    if source.startswith(HF):
        from audiovq.units.features import transformers  # noqa: PLC0415

        path, named = transformers.parse(source.removeprefix(HF))
        if layer is not None and named is not None and layer != named:
            raise ConfigError(f"{source} names layer {named}, --layer {layer}: give only one")
        chosen = named if layer is None else layer
        return transformers.TransformersFeatures(path, chosen, device)
    from audiovq.units.features.latent import LatentFeatures  # noqa: PLC0415

    model = release.load(source, plugins).to(device)
    return ModelCoder(model) if model.is_discrete else LatentFeatures(model)
