"""Which of a few labels is said, read from a sequence of units, for a speaker never heard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiovq.eval.edit import deduplicated, edit_distances
from audiovq.eval.estimate import Estimate, Floats, mean_over_speakers, spread
from audiovq.eval.probes import _classifier
from audiovq.eval.probes._base import Frames, Ints, Probe, Units, checked
from audiovq.eval.probes._dtw import dtw_distances
from audiovq.eval.probes._features import histograms, moments, scaled
from audiovq.eval.probes._splits import Mask

PARTS = 3  # of an utterance: a beginning, a middle and an end keep some of the order
MOST_FOLDS = 40
MOST_LINEAR = 6000  # utterances; beyond it, this many are drawn
MOST_NEAREST = 1500  # the same for those that are compared pair by pair

# from a training part (a mask) and its labels, labels of the others
_Classifier = Callable[[Mask, Ints], Ints]


@dataclass(frozen=True)
class LabelProbe:
    """Closed-set recognition by two classifiers.

    Attributes:
        linear: logistic regression on shares of units in thirds of the utterance; of MFCC frames,
            on mean and deviation in thirds.
        nearest: the label of the nearest utterance by edit distance of deduplicated units over
            the longer one's length (mean over codebooks); of MFCC frames, by dynamic time warping.
    """

    linear: Probe
    nearest: Probe


def label_probe(
    units: Sequence[Units],
    labels: Sequence[str | None],
    speakers: Sequence[str | None],
    *,
    sizes: Sequence[int],
    mfcc: Frames | None = None,
    seed: int = 0,
) -> LabelProbe:
    """Return how well a label (a digit, a command) is recognised, leaving one speaker out.

    Trained on all other speakers, tested on the one left out; the figure is the mean over
    speakers. With more than 40 speakers, they are left out in 40 groups. `linear` is the main
    figure: it was fixed as such because it was as good or better on units and on MFCC frames.

    Args:
        units: of each utterance, (T,) or (K, T).
        labels: what is said; None: unknown, left out, as are labels that one speaker alone says.
        speakers: of each utterance; None: unknown, left out.
        sizes: codebook size of each row.
        mfcc: frames (T, D) of the utterance at a place of the list.
        seed: of permutations, and of the draw of utterances: 6000, and 1500 for the nearest.

    Returns:
        accuracies with their range over speakers; a reason, where there are fewer than two
        speakers or labels.

    Raises:
        ConfigError: lengths or units do not fit, or scikit-learn is missing.
    """
    rows = checked(units, sizes, labels=labels, speakers=speakers)
    _classifier.require()
    many = _usable(rows, labels, speakers, MOST_LINEAR, seed)
    few = _usable(rows, labels, speakers, MOST_NEAREST, seed)
    return LabelProbe(
        _Task(rows, labels, speakers, many, seed).probe(
            lambda t: _linear(histograms(t.rows, sizes, PARTS)),
            None if mfcc is None else lambda t: _linear(moments(mfcc, t.places, PARTS)),
        ),
        _Task(rows, labels, speakers, few, seed).probe(
            lambda t: _nearest(unit_distances(t.rows)),
            None if mfcc is None else lambda t: _nearest(dtw_distances(scaled(mfcc, t.places))),
        ),
    )


class _Task:
    """The utterances of a probe, and which are tested together."""

    def __init__(
        self,
        rows: Sequence[Ints],
        labels: Sequence[str | None],
        speakers: Sequence[str | None],
        places: Sequence[int],
        seed: int,
    ) -> None:
        self.rows, self.places = [rows[i] for i in places], places
        said = [str(labels[i]) for i in places]
        self.labels = np.unique(said, return_inverse=True)[1]
        self.speakers = [str(speakers[i]) for i in places]
        self.left_out = len(rows) - len(places)
        self.seed = seed
        names = {s: n % MOST_FOLDS for n, s in enumerate(dict.fromkeys(self.speakers))}
        self.folds = np.array([names[s] for s in self.speakers])

    def probe(
        self,
        of_units: Callable[["_Task"], _Classifier],
        of_mfcc: Callable[["_Task"], _Classifier] | None,
    ) -> Probe:
        """Return the figures of one kind of classifier; made only if there is enough to test."""
        people, kinds = len(set(self.speakers)), len(set(self.labels))
        if people < 2 or kinds < 2:
            reason = (
                f"{kinds} labels are said by two speakers or more (of {people}); it takes 2 labels"
            )
            return Probe(labels=kinds, left_out=self.left_out, reason=reason)
        classifier = of_units(self)
        hits = self._hits(classifier)
        rng = np.random.default_rng(self.seed)
        chance = [float(self._hits(classifier, rng) @ self._weights()) for _ in range(3)]
        who = np.array(self.speakers)
        return Probe(
            accuracy=self._mean(hits),
            majority=float(self._hits(_most_frequent) @ self._weights()),
            permuted=spread(chance, f"{len(chance)} permutations"),
            mfcc=None if of_mfcc is None else self._mean(self._hits(of_mfcc(self))),
            by_split={s: float(hits[who == s].mean()) for s in dict.fromkeys(self.speakers)},
            labels=kinds,
            utterances=len(self.places),
            left_out=self.left_out,
        )

    def _hits(self, classifier: _Classifier, rng: np.random.Generator | None = None) -> Floats:
        """Return which utterances were recognised; with rng, after training on shuffled labels."""
        hits = np.zeros(len(self.labels))
        for fold in np.unique(self.folds):
            tested = self.folds == fold
            known = self.labels[~tested]
            named = classifier(~tested, known if rng is None else rng.permutation(known))
            hits[tested] = named == self.labels[tested]
        return hits

    def _weights(self) -> Floats:
        """Return what each utterance weighs in the mean over speakers."""
        _, index, counts = np.unique(self.speakers, return_inverse=True, return_counts=True)
        return np.asarray(1 / (counts[index] * len(counts)))

    def _mean(self, hits: Floats) -> Estimate:
        return mean_over_speakers(hits, self.speakers, self._weights())


def unit_distances(rows: Sequence[Ints]) -> Floats:
    """Return edit distances (N, N) of deduplicated units over the longer one's length."""
    total = np.zeros((len(rows), len(rows)))
    for k in range(len(rows[0])):
        runs = [deduplicated(row[k]) for row in rows]
        lengths = np.array([len(run) for run in runs])
        total += edit_distances(runs, runs) / np.maximum(lengths[:, None], lengths)
    return total / len(rows[0])


def _usable(
    rows: Sequence[Ints],
    labels: Sequence[str | None],
    speakers: Sequence[str | None],
    most: int,
    seed: int,
) -> list[int]:
    """Return the places of at most so many utterances whose labels two speakers say."""
    whole = [
        i
        for i in range(len(rows))
        if labels[i] is not None and speakers[i] is not None and rows[i].shape[1]
    ]
    if len(whole) > most:
        drawn = np.random.default_rng(seed).choice(whole, most, replace=False)
        whole = sorted(drawn.tolist())
    said: dict[str, set[str]] = {}
    for i in whole:
        said.setdefault(str(labels[i]), set()).add(str(speakers[i]))
    return [i for i in whole if len(said[str(labels[i])]) > 1]


def _linear(vectors: Floats) -> _Classifier:
    return lambda known, labels: _classifier.predict(vectors[known], labels, vectors[~known])


def _nearest(distances: npt.NDArray[np.floating]) -> _Classifier:
    return lambda known, labels: labels[distances[~known][:, known].argmin(axis=1)]


def _most_frequent(known: Mask, labels: Ints) -> Ints:
    names, counts = np.unique(labels, return_counts=True)
    return np.full(int((~known).sum()), names[counts.argmax()])
