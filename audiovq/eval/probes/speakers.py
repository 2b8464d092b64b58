"""Who speaks, read from a bag of units."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from audiovq.eval.estimate import Estimate, Floats, mean_over_speakers, spread
from audiovq.eval.probes import _classifier
from audiovq.eval.probes._base import Frames, Ints, Probe, Units, checked
from audiovq.eval.probes._features import histograms, moments
from audiovq.eval.probes._splits import Mask, split

MIN_UTTERANCES = 4  # of a speaker: fewer leave too little to learn from and to test
MIN_SPEAKERS = 2


def speaker_probe(
    units: Sequence[Units],
    speakers: Sequence[str | None],
    *,
    sizes: Sequence[int],
    texts: Sequence[str | None] | None = None,
    mfcc: Frames | None = None,
    repeats: int = 10,
    most_speakers: int = 100,
    most_utterances: int = 40,
    seed: int = 0,
) -> Probe:
    """Return how well a linear classifier names the speaker of an utterance.

    Multinomial logistic regression on the (square roots of the) shares of each unit, trained on
    three quarters of each speaker's utterances and tested on the others, in repeated random
    splits with no sentence on both sides. The ceiling is the same classifier, on the same splits,
    on mean and standard deviation of the MFCC frames. Both read channel and session as well as
    voice, where a speaker was recorded in one session.

    Args:
        units: of each utterance, (T,) or (K, T).
        speakers: of each utterance; None: unknown, left out.
        sizes: codebook size of each row.
        texts: what is said in each; None: every sentence is said once.
        mfcc: frames (T, D) of the utterance at a place of the list.
        repeats: splits.
        most_speakers: beyond it, this many are drawn.
        most_utterances: of one speaker; beyond it, this many are drawn.
        seed: of splits, draws and permutations.

    Returns:
        the accuracy over all tests, its interval over speakers (given the splits); without it, a
        reason, where fewer than two speakers have four utterances.

    Raises:
        ConfigError: lengths or units do not fit, or scikit-learn is missing.
    """
    rows = checked(units, sizes, speakers=speakers, texts=texts)
    _classifier.require()
    rng = np.random.default_rng(seed)
    lengths = [row.shape[1] for row in rows]
    chosen = _choose(speakers, lengths, most_speakers, most_utterances, rng)
    names = [str(speakers[i]) for i in chosen]
    said = [None if texts is None else texts[i] for i in chosen]
    splits = [split(names, said, rng) for _ in range(repeats)]
    splits = [tested for tested in splits if tested.any()]
    used = Probe(labels=len(set(names)), utterances=len(chosen), left_out=len(units) - len(chosen))
    if used.labels < MIN_SPEAKERS:
        reason = f"{used.labels} speakers have {MIN_UTTERANCES} utterances; it takes {MIN_SPEAKERS}"
        return replace(used, reason=reason)
    if not splits:
        reason = "the speakers' sentences are too much alike to keep any apart for testing"
        return replace(used, reason=reason)
    vectors = histograms([rows[i] for i in chosen], sizes)
    labels = np.unique(names, return_inverse=True)[1]
    hits = [_hits(vectors, labels, tested) for tested in splits]
    chance = [_hits(vectors, labels, tested, rng).mean() for tested in splits]
    ceiling = None
    if mfcc is not None:
        heard = moments(mfcc, chosen)
        ceiling = _over_all([_hits(heard, labels, tested) for tested in splits], splits, names)
    return replace(
        used,
        accuracy=_over_all(hits, splits, names),
        majority=float(np.mean([_majority(labels, tested) for tested in splits])),
        permuted=spread([float(c) for c in chance], f"{len(splits)} permutations"),
        mfcc=ceiling,
        by_split={str(n): float(h.mean()) for n, h in enumerate(hits)},
    )


def _choose(
    speakers: Sequence[str | None],
    lengths: Sequence[int],
    most_speakers: int,
    most_utterances: int,
    rng: np.random.Generator,
) -> list[int]:
    """Return the places of the utterances to use, in order."""
    owned: dict[str, list[int]] = {}
    for i, (speaker, length) in enumerate(zip(speakers, lengths, strict=True)):
        if speaker is not None and length:
            owned.setdefault(speaker, []).append(i)
    enough = [places for places in owned.values() if len(places) >= MIN_UTTERANCES]
    if len(enough) > most_speakers:
        enough = [enough[k] for k in rng.choice(len(enough), most_speakers, replace=False)]
    few = [
        rng.choice(places, most_utterances, replace=False).tolist()
        if len(places) > most_utterances
        else places
        for places in enough
    ]
    return sorted(i for places in few for i in places)


def _hits(
    vectors: Floats, labels: Ints, tested: Mask, rng: np.random.Generator | None = None
) -> Floats:
    """Return for each tested utterance whether it was named right; with rng, trained on chaos."""
    known = labels[~tested]
    known = known if rng is None else rng.permutation(known)
    named = _classifier.predict(vectors[~tested], known, vectors[tested])
    return np.asarray(named == labels[tested], np.float64)


def _majority(labels: Ints, tested: Mask) -> float:
    names, counts = np.unique(labels[~tested], return_counts=True)
    return float((labels[tested] == names[counts.argmax()]).mean())


def _over_all(hits: Sequence[Floats], splits: Sequence[Mask], names: Sequence[str]) -> Estimate:
    """Return the mean over all tests; an utterance weighs as often as it was tested."""
    times, right = np.zeros(len(names)), np.zeros(len(names))
    for hit, tested in zip(hits, splits, strict=True):
        times[tested] += 1
        right[tested] += hit
    ever = times > 0
    who = [n for n, e in zip(names, ever, strict=True) if e]
    return mean_over_speakers(right[ever] / times[ever], who, times[ever])
