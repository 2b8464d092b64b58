"""The parts of an evaluation of units; each says what it measured, or why it did not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from audiovq.data.manifest import Manifest
from audiovq.errors import AudioError
from audiovq.eval import boundaries, per, phones, unit_abx, unit_leaks, unit_prior, unit_rates
from audiovq.eval.labelled import Corpus
from audiovq.eval.unit_values import Figure
from audiovq.prior._release import TrainedPrior
from audiovq.units.coder import Coder


@dataclass(frozen=True, kw_only=True)
class Aids:
    """What parts need besides codes and labels.

    Attributes:
        manifest: where the audio is.
        seed: of every draw.
        coder: makes the codes, for stability; None: not given.
        frames: MFCC of an utterance, for the ceilings of probes; None: without ceilings.
        progress: show bars on stderr.
        priors: of any of the codes, for the rates of those.
    """

    manifest: Manifest
    seed: int = 0
    coder: Coder | None = None
    frames: unit_leaks.Frames | None = None
    progress: bool = False
    priors: Sequence[TrainedPrior] = ()


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
    figures = unit_rates.evaluate(corpus)
    trained = unit_prior.of(corpus.coded, aids.priors)
    if trained is None:
        return Outcome(figures)
    more, notes = unit_prior.evaluate(corpus, trained)
    return Outcome([*figures, *more], notes)


def purity(corpus: Corpus, aids: Aids) -> Outcome:
    """Measure how well units tell phones, frame by frame."""
    if not corpus.aligned:
        return Outcome(left_out=_UNALIGNED)
    return _outcome(phones.evaluate(corpus, seed=aids.seed))


def segmentation(corpus: Corpus, aids: Aids) -> Outcome:
    """Compare where units and phones change."""
    if not corpus.aligned:
        return Outcome(left_out=_UNALIGNED)
    figures = boundaries.evaluate(corpus, seed=aids.seed)
    return Outcome(figures, left_out="" if figures else "phones never change")


def error_rate(corpus: Corpus, aids: Aids) -> Outcome:
    """Measure the phone error rate of named units."""
    del aids
    if not corpus.aligned:
        return Outcome(left_out=_UNALIGNED)
    figures = per.evaluate(corpus)
    return Outcome(figures, left_out="" if figures else "needs two speakers or more")


def discrimination(corpus: Corpus, aids: Aids) -> Outcome:
    """Measure ABX errors."""
    if not corpus.aligned:
        return Outcome(left_out=_UNALIGNED)
    return _outcome(unit_abx.evaluate(corpus, seed=aids.seed, progress=aids.progress))


def speaker(corpus: Corpus, aids: Aids) -> Outcome:
    """Ask a probe who speaks."""
    return _with_ceiling(unit_leaks.speaker, corpus, aids)


def verification(corpus: Corpus, aids: Aids) -> Outcome:
    """Match halves of recordings."""
    return _with_ceiling(unit_leaks.halves, corpus, aids)


def words(corpus: Corpus, aids: Aids) -> Outcome:
    """Ask a probe which of a few texts is said."""
    return _with_ceiling(unit_leaks.words, corpus, aids)


def stability(corpus: Corpus, aids: Aids) -> Outcome:
    """Change the sound, and see how far units move."""
    if aids.coder is None:
        return Outcome(left_out="extracts anew from changed speech; give --stability")
    return _outcome(unit_leaks.perturbed(corpus, aids.manifest, aids.coder, aids.seed))


def _with_ceiling(
    probe: Callable[[Corpus, unit_leaks.Frames | None, int], unit_leaks.Said],
    corpus: Corpus,
    aids: Aids,
) -> Outcome:
    """Probe units, and MFCC frames beside; without those where the audio is not to be had."""
    try:
        return _outcome(probe(corpus, aids.frames, aids.seed))
    except AudioError as error:
        figures, notes = probe(corpus, None, aids.seed)
        return _outcome((figures, [*notes, f"no ceiling on MFCC frames: {error}"]))


def _outcome(found: tuple[list[Figure], list[str]]) -> Outcome:
    """Return figures with their notes; notes without figures say why there are none."""
    figures, notes = found
    return Outcome(figures, notes) if figures else Outcome(left_out="; ".join(notes))


PARTS: Mapping[str, Part] = {
    "rates": rates,
    "phones": purity,
    "boundaries": segmentation,
    "per": error_rate,
    "abx": discrimination,
    "speaker": speaker,
    "verification": verification,
    "words": words,
    "stability": stability,
}
