"""What else units say, and whether they stay put: probes and stability of labelled units."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.data.manifest import Manifest
from audiovq.eval.estimate import Estimate
from audiovq.eval.labelled import Corpus
from audiovq.eval.probes import Probe, label_probe, speaker_probe, verification
from audiovq.eval.stability import Waveform, stability
from audiovq.eval.unit_values import CEILING, Figure
from audiovq.units.coder import Coder
from audiovq.units.features.mfcc import MFCCFeatures

MOST_LABELS = 60  # more different texts are no closed set
MIN_PER_LABEL = 4  # utterances on average
_HEARD = 20  # utterances that stability is measured on
_HELD = 4096  # utterances whose MFCC are kept while probes run: 40 KiB each for 5 s

Frames = Callable[[int], npt.NDArray[np.floating]]
Said = tuple[list[Figure], list[str]]


def mfcc_frames(corpus: Corpus, manifest: Manifest) -> Frames:
    """Return a function from the place of an utterance to its MFCC, at the pace of the units."""
    rate = corpus.coded.sample_rate
    features = MFCCFeatures(rate, corpus.coded.hop_length)
    records = {r.id: r for r in manifest.records}

    @lru_cache(maxsize=_HELD)
    def frames(place: int) -> npt.NDArray[np.floating]:
        return features(manifest.load(records[corpus.utterances[place].id], rate)).numpy()

    return frames


def speaker(corpus: Corpus, frames: Frames | None, seed: int) -> Said:
    """Return how well a probe names the speaker; a reason alone if there are too few."""
    probe = speaker_probe(
        [u.units for u in corpus.utterances],
        [u.speaker for u in corpus.utterances],
        sizes=[corpus.size],
        texts=[u.text for u in corpus.utterances],
        mfcc=frames,
        seed=seed,
    )
    return _probed("speaker_accuracy", "", probe)


def halves(corpus: Corpus, frames: Frames | None, seed: int) -> Said:
    """Return how well halves of recordings find each other."""
    found = verification(
        [u.units for u in corpus.utterances],
        [u.speaker for u in corpus.utterances],
        sizes=[corpus.size],
        mfcc=frames,
        seed=seed,
    )
    figures = [
        *_estimated("verification_eer", "", found.eer, found.speakers, "speakers"),
        *_estimated("verification_eer", CEILING, found.mfcc_eer, found.speakers, "speakers"),
        *_estimated("verification_rank1", "", found.rank1, found.speakers, "speakers"),
        *_estimated("verification_rank1", CEILING, found.mfcc_rank1, found.speakers, "speakers"),
    ]
    if found.chance_rank1 is not None:
        figures.append(Figure("verification_rank1", found.chance_rank1, detail="chance"))
    return figures, [found.reason] if found.reason else []


def words(corpus: Corpus, frames: Frames | None, seed: int) -> Said:
    """Return how well the text is recognised where it is one of a few; else why not."""
    texts = [u.text for u in corpus.utterances]
    kinds, known = len(set(texts) - {None}), sum(t is not None for t in texts)
    if kinds < 2 or kinds > MOST_LABELS or known < MIN_PER_LABEL * kinds:
        why = (
            f"{kinds} different texts in {known} utterances: a closed set has 2 to {MOST_LABELS}, "
            f"each said {MIN_PER_LABEL} times or more"
        )
        return [], [why]
    probe = label_probe(
        [u.units for u in corpus.utterances],
        texts,
        [u.speaker for u in corpus.utterances],
        sizes=[corpus.size],
        mfcc=frames,
        seed=seed,
    )
    linear, said = _probed("label_accuracy", "linear", probe.linear)
    nearest, more = _probed("label_accuracy", "nearest", probe.nearest)
    return linear + nearest, list(dict.fromkeys(said + more))


def perturbed(corpus: Corpus, manifest: Manifest, coder: Coder, seed: int) -> Said:
    """Return how far units move when up to 20 utterances, spread over the corpus, are changed."""
    few = np.unique(
        np.linspace(0, len(corpus.utterances) - 1, min(_HEARD, len(corpus.utterances)))
    ).astype(int)
    records = {r.id: r for r in manifest.records}

    def encode(x: Float[Tensor, "1 1 _"]) -> Int[Tensor, "1 _"]:
        return coder.encode([x], exact=True)[0][corpus.codebook : corpus.codebook + 1]

    def heard() -> Iterator[Waveform]:
        for place in few:
            u = corpus.utterances[place]
            yield u.id, u.speaker, manifest.load(records[u.id], coder.sample_rate)

    figures: list[Figure] = []
    notes = [f"stability on {len(few)} utterances, spread over the corpus"]
    for s in stability(encode, heard(), coder.sample_rate, coder.hop_length, seed=seed):
        figures += _estimated(
            "unit_edit_distance", s.perturbation, s.ued, s.utterances, "utterances"
        )
        figures += _estimated(
            "frames_changed", s.perturbation, s.frame_error, s.utterances, "utterances"
        )
        if s.reason:
            notes.append(f"stability under {s.perturbation}: {s.reason}")
    return figures, notes


def _probed(name: str, detail: str, probe: Probe) -> Said:
    def named(what: str) -> str:
        return ", ".join(part for part in (detail, what) if part)

    count = probe.utterances
    figures = [
        *_estimated(name, detail, probe.accuracy, count, "utterances", around=probe.range),
        *_estimated(name, named("labels shuffled"), probe.permuted, count, "utterances"),
        *_estimated(name, named(CEILING), probe.mfcc, count, "utterances"),
    ]
    if probe.majority is not None:
        figures.append(Figure(name, probe.majority, detail=named("commonest label")))
    return figures, [probe.reason] if probe.reason else []


def _estimated(
    name: str,
    detail: str,
    found: Estimate | None,
    count: int,
    over: str,
    *,
    around: tuple[float, float] | None = None,
) -> list[Figure]:
    """Return an estimate as a figure; nothing for none. A range is no interval."""
    if found is None:
        return []
    ranged = found.interval.startswith("range")
    low, high = (None, None) if ranged else (found.low, found.high)
    lowest, highest = (found.low, found.high) if ranged else (around or (None, None))
    return [
        Figure(
            name,
            found.value,
            detail=detail,
            low=low,
            high=high,
            interval="" if ranged else found.interval,
            count=count,
            over=over,
            lowest=lowest,
            highest=highest,
        )
    ]
