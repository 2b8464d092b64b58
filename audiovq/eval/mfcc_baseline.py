"""k-means on MFCC: the row every table of units needs beside it."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from audiovq.data.manifest import Manifest, Record
from audiovq.units.features.mfcc import MFCCFeatures
from audiovq.units.kmeans_coder import KMeansCoder
from audiovq.units.kmeans_fit import fit


def mfcc_units(
    manifest: Manifest,
    records: Sequence[Record],
    *,
    sample_rate: int,
    hop_length: int,
    size: int,
    fit_manifest: Manifest | None = None,
    split: str | None = "train",
    seed: int = 0,
    folder: Path | None = None,
    progress: bool = True,
) -> Mapping[str, npt.NDArray[np.int64]]:
    """Return MFCC units, at the rate and in the number of the units they stand beside.

    Args:
        manifest: the corpus.
        records: which of its records.
        sample_rate: Hz.
        hop_length: samples per frame.
        size: number of units.
        fit_manifest: the corpus to fit k-means on; None: the same.
        split: which split of it to fit on; None: all of it.
        seed: of k-means.
        folder: where to keep k-means, found there finished the next time; None: nowhere.
        progress: show bars on stderr.

    Returns:
        by id, the units of each record, (T,).

    Raises:
        ManifestError, AudioError, CheckpointError: as `audiovq.units.kmeans_fit.fit`, or a record
            cannot be decoded.
    """
    features = MFCCFeatures(sample_rate, hop_length)
    with tempfile.TemporaryDirectory() as temporary:
        fitted = fit(
            features,
            fit_manifest or manifest,
            size,
            folder=Path(temporary) / "kmeans" if folder is None else folder,
            split=split,
            seed=seed,
            progress=progress,
        )
    coder = KMeansCoder(features, fitted)
    units = {}
    for record in tqdm(records, desc="mfcc units", unit="utterance", disable=not progress):
        parts = list(coder.encode_blocks(manifest.blocks(record, sample_rate)))
        units[record.id] = np.concatenate([p[0].numpy() for p in parts])
    return units
