"""k-means on MFCC of the same size and pace as the units it stands beside."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from audiovq.data.manifest import Manifest
from audiovq.eval.coded import Coded
from audiovq.eval.labelled import Corpus
from audiovq.eval.mfcc_baseline import mfcc_units
from audiovq.units import kmeans

SPLIT = "train"


def baseline(
    corpus: Corpus,
    manifest: Manifest,
    fit_manifest: Manifest | None = None,
    *,
    seed: int = 0,
    folder: Path | None = None,
    progress: bool = False,
) -> Coded:
    """Return MFCC units of the utterances of a corpus.

    k-means is fitted on the training split of `fit_manifest`, or on all of it where it has none.

    Args:
        corpus: the units to stand beside.
        manifest: where the audio is.
        fit_manifest: where to fit; None: the same manifest.
        seed: of k-means.
        folder: where to keep k-means, each fit under a name of its own, found there finished the
            next time; None: nowhere.
        progress: show bars on stderr.

    Raises:
        AudioError: a recording cannot be read.
        ManifestError: too little speech for that many clusters.
    """
    coded, source = corpus.coded, fit_manifest or manifest
    ids = {u.id for u in corpus.utterances}
    records = [r for r in manifest.records if r.id in ids]
    split = SPLIT if source.select(SPLIT) else None
    pace = f"{corpus.size}-{coded.sample_rate}-{coded.hop_length}"
    name = f"{pace}-{source.fingerprint()[:12]}-{split or 'all'}-{seed}"
    with TemporaryDirectory() as temporary:
        place = (Path(temporary) if folder is None else folder) / name
        place.parent.mkdir(parents=True, exist_ok=True)
        units = mfcc_units(
            manifest,
            records,
            sample_rate=coded.sample_rate,
            hop_length=coded.hop_length,
            size=corpus.size,
            fit_manifest=source,
            split=split,
            seed=seed,
            folder=place,
            progress=progress,
        )
        vectors = kmeans.load(place).centres.numpy() if kmeans.read_about(place) else None
    return Coded(
        label=f"MFCC k-means {corpus.size}",
        sample_rate=coded.sample_rate,
        hop_length=coded.hop_length,
        codebook_sizes=(corpus.size,),
        codes={k: np.asarray(v, np.int64)[None] for k, v in units.items()},
        lengths={r.id: r.samples_at(coded.sample_rate) for r in records},
        vectors=vectors,
        notes=_notes(source, split, {(manifest.root / r.path) for r in records}),
    )


def _notes(source: Manifest, split: str | None, evaluated: set[Path]) -> tuple[str, ...]:
    fitted = source.select(split)
    where = f"the {split} split of {source.path.name}" if split else f"all of {source.path.name}"
    both = sum(source.file(r) in evaluated for r in fitted)
    said = f"fitted on {where} ({len(fitted)} utterances)"
    if both:
        said += (
            f", {both} of which are evaluated here, which flatters it; give --fit-manifest another "
            f"corpus, such as the one the units were learned on"
        )
    return (said,)
