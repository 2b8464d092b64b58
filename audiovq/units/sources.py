"""What a user names as the source of units: a model, a transformers model, or MFCC."""

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from audiovq import distributed, release, shipped
from audiovq.data.manifest import Manifest
from audiovq.errors import CheckpointError, ConfigError
from audiovq.units import kmeans
from audiovq.units.coder import Coder, ModelCoder
from audiovq.units.features._base import Features
from audiovq.units.kmeans_coder import KMeansCoder
from audiovq.units.kmeans_fit import fit
from audiovq.units.reading import Units

HF, MFCC = "hf:", "mfcc"


def open_coder(
    source: str,
    *,
    size: int | None = None,
    manifest: Manifest | None = None,
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
    max_rejected: float = 0.01,
    progress: bool = True,
) -> Coder:
    """Return a source of codes; where that needs k-means, fit it first, or go on fitting it.

    Args:
        source: a model folder, or the name of a model that comes with audiovq;
            `hf:PATH[:LAYER]`, a transformers model on disk; or `mfcc`.
        size: centres of k-means to fit; for continuous sources.
        manifest: the corpus to be coded; needed where k-means is fitted.
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
        max_rejected: share of recordings that k-means may find unusable, in [0, 1].
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
    own = Path(folder) / "kmeans"
    if kmeans_from is not None:
        used = kmeans.load(kmeans_from, features)
        if not (own / kmeans.ABOUT).is_file():  # the units' own copy, should the other go
            own.mkdir(parents=True, exist_ok=True)
            used.save(own)
        return KMeansCoder(features, used)
    if size is None:
        raise ConfigError(
            f"{source} is continuous and has no codes: give --kmeans 512 to fit k-means on the "
            f"training split, or --kmeans-from DIR to use one"
        )
    corpus = manifest if fit_manifest is None else fit_manifest
    assert corpus is not None, "k-means is fitted on a corpus"
    fitted = fit(
        features,
        corpus,
        size,
        folder=own,
        seed=seed,
        max_rejected=max_rejected,
        threads=threads,
        progress=progress,
    )
    return KMeansCoder(features, fitted)


def open_coder_among(source: str, *, size: int | None, folder: Path, **options: Any) -> Coder:
    """Return a coder as `open_coder` does, where several processes want one.

    The first fits k-means; the others wait until it is there.
    """
    place = distributed.place()
    if size is not None and place is not None and place[0] > 0:
        kept = folder / "kmeans"
        while not (kept / kmeans.ABOUT).is_file():  # if the first fails, torchrun ends this one
            time.sleep(1.0)
        return open_coder(source, folder=folder, **options | {"kmeans_from": kept})
    return open_coder(source, size=size, folder=folder, **options)


def where(source: str, manifest: Path, **options: object) -> dict[str, str]:
    """Return what `reopen` needs to find a coder again: absolute paths, names, options."""
    if source == MFCC or shipped.is_name(source):
        place = source
    elif source.startswith(HF):
        place = HF + str(Path(source.removeprefix(HF)).expanduser().resolve())
    else:
        place = str(Path(source).resolve())
    told = {k: str(v) for k, v in options.items() if v is not None}
    return {"source": place, "manifest": str(manifest.resolve())} | told


def reopen(
    units: Units,
    source: str | None = None,
    *,
    device: str | torch.device = "cpu",
    plugins: Collection[str] = (),
) -> Coder:
    """Return what made units, which their folder remembers the place of.

    Args:
        units: the units.
        source: where it is now, if it has moved.
        device: where to compute.
        plugins: dotted names of plug-in components you trust, if the model uses any.

    Raises:
        ConfigError: the folder does not say what made the units.
        CheckpointError: it is no longer there, or another.
    """
    told = units.metadata.made_from
    if source is None and "source" not in told:
        raise ConfigError(f"{units.folder} does not say what made it: give --model")
    layer, hop, rate = (
        int(told[k]) if k in told else None for k in ("layer", "hop_length", "sample_rate")
    )
    coder = open_coder(
        source or told["source"],
        kmeans_from=units.folder / "kmeans" if "kmeans" in told else None,
        layer=layer,
        hop_length=hop,
        sample_rate=rate,
        folder=units.folder,
        device=device,
        plugins=plugins,
        progress=False,
    )
    if coder.fingerprint() != units.metadata.model_hash:
        raise CheckpointError(
            f"{units.folder} was not made by {source or told['source']}, or that has changed "
            f"since: give --model the one that made it"
        )
    return coder


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
