"""The parts of an evaluation of units; each says what it measured, or why it did not."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from audiovq.data.manifest import Manifest
from audiovq.eval import boundaries, per, phones, unit_rates
from audiovq.eval.labelled import Corpus
from audiovq.eval.unit_values import Figure
from audiovq.units.coder import Coder


@dataclass(frozen=True, kw_only=True)
class Aids:
    """What parts need besides codes and labels.

    Attributes:
        manifest: where the audio is.
        seed: of every draw.
        coder: makes the codes, for stability; None: not given.
        progress: show bars on stderr.
    """

    manifest: Manifest
    seed: int = 0
    coder: Coder | None = None
    progress: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a part gave.

    Attributes:
        figures: none where it was left out.
        notes: what to know about them.
        left_out: why nothing was measured; "" where something was.
    """

    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    left_out: str = ""


Part = Callable[[Corpus, Aids], Outcome]
_UNALIGNED = "the manifest has no phones; give --alignments, or prepare a corpus that has them"


def rates(corpus: Corpus, aids: Aids) -> Outcome:
    """Measure rates and the use of the codebook."""
    del aids
    return Outcome(unit_rates.evaluate(corpus))


def purity(corpus: Corpus, aids: Aids) -> Outcome:
    """Measure how well units tell phones, frame by frame."""
    if not corpus.aligned:
        return Outcome(left_out=_UNALIGNED)
    figures, notes = phones.evaluate(corpus, seed=aids.seed)
    return Outcome(figures, notes, "" if figures else "; ".join(notes))


def segmentation(corpus: Corpus, aids: Aids) -> Outcome:
    """Compare where units and phones change."""
    del aids
    if not corpus.aligned:
        return Outcome(left_out=_UNALIGNED)
    return Outcome(boundaries.evaluate(corpus))


def error_rate(corpus: Corpus, aids: Aids) -> Outcome:
    """Measure the phone error rate of named units."""
    del aids
    if not corpus.aligned:
        return Outcome(left_out=_UNALIGNED)
    figures = per.evaluate(corpus)
    return Outcome(figures, left_out="" if figures else "needs two speakers or more")


def speakers_of(corpus: Corpus) -> Counter[str]:
    """Return how many utterances each known speaker has."""
    return Counter(u.speaker for u in corpus.utterances if u.speaker is not None)


PARTS: Mapping[str, Part] = {
    "rates": rates,
    "phones": purity,
    "boundaries": segmentation,
    "per": error_rate,
}
