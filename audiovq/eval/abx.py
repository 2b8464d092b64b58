"""ABX: how often a phone is nearer to the same phone than to another; needs no classifier.

In a cell, A and X are items of one phone and B of another, in the same context: the error is the
share of triples with d(b, x) < d(a, x), ties counting half. Chance is 1/2.

    task     triphone: from the previous phone's onset to the next one's offset, both neighbours
             the same for A, B and X; phoneme: the phone alone, in any context
    mode     within: A, B, X from one speaker, x never a; across: A and B from one, X from another
    d        dynamic time warping over frames, cost divided by path length (`dtw`), of the
             identity, Euclidean or angular distance between frames (`frame_distance`)

Silence is never A, B or X but may be context. The error is the mean over contexts (across: and
speakers of X), then speakers of A and B, then ordered pairs of phones. All items are used unless
capped. Source: Schatz 2016; definitions as in fastabx, whose decisions on ids are the same; sums
are exact here, and a zero vector is at angle 1/2 from others.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiovq.errors import ConfigError, ManifestError
from audiovq.eval._abx_cells import MODES, Caps, units
from audiovq.eval._abx_collapse import Collapse, PairScore
from audiovq.eval._abx_items import TASKS, Items, Utterance, collect
from audiovq.eval._abx_run import Tally, run, sequences_of
from audiovq.eval.frame_distance import FrameDistance, frame_distance, number_frames

__all__ = ["CHANCE", "PairScore", "Score", "Utterance", "evaluate", "evaluate_all"]

CHANCE = 0.5
Vectors = npt.NDArray[np.floating] | None


@dataclass(frozen=True)
class Score:
    """One ABX figure.

    Attributes:
        error: in [0, 1]; chance is 1/2; None if there are no cells.
        low: lower end of the 95 % interval over speakers; None if there is none.
        high: upper end.
        interval: how the interval was made.
        task: `triphone` or `phoneme`.
        mode: `within` or `across` speakers.
        distance: between frames.
        excluded: pattern of the sentences left out; None: none are.
        items: phones that could be compared.
        speakers: of cells.
        cells: scored, over all contexts and speakers.
        triples: decided.
        pairs: different pairs of items compared, (a, x) and (x, a) being one.
        by_pair: ordered pairs of phones, worst first; look at how many triples each has.
        dropped: why phones are no items, and how many, of excluded sentences too.
        note: why there is no error; "" otherwise.
    """

    error: float | None
    low: float | None
    high: float | None
    interval: str
    task: str
    mode: str
    distance: str
    excluded: str | None
    items: int
    speakers: int
    cells: int
    triples: int
    pairs: int
    by_pair: tuple[PairScore, ...]
    dropped: dict[str, int]
    note: str = ""
    chance: float = CHANCE


def evaluate(
    utterances: Sequence[Utterance],
    *,
    task: str = "triphone",
    mode: str = "within",
    distance: str = "identity",
    vectors: Vectors = None,
    exclude_sentences: str | None = None,
    max_items: int | None = None,
    max_x_speakers: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Score:
    """Return one ABX figure.

    Args:
        utterances: aligned speech, all with ids or all with vectors.
        task: `triphone` or `phoneme`.
        mode: `within` or `across` speakers.
        distance: `identity` (0 or 1, on ids), `euclidean` or `angular`.
        vectors: (N, D), what each id stands for; for distances on vectors when frames are ids.
        exclude_sentences: regular expression; sentences it matches in full are left out (`sa.*`
            for the two that all of TIMIT's speakers read).
        max_items: use this many of each phone, context and speaker (ZeroSpeech: 10); None: all.
        max_x_speakers: across, take X from this many (ZeroSpeech: 5); None: all.
        seed: of both draws.
        progress: show a progress bar on stderr.

    Raises:
        ConfigError: a choice is not accepted, or does not fit the frames.
        ManifestError: an alignment does not fit, or there is nothing to compare.
        NonFiniteError: a vector has NaN or infinity.
    """
    (score,) = evaluate_all(
        utterances,
        tasks=(task,),
        modes=(mode,),
        distances=(distance,),
        vectors=vectors,
        exclusions=(exclude_sentences,),
        caps=Caps(max_items, max_x_speakers, seed),
        progress=progress,
    )
    if score.error is None:
        raise ManifestError(score.note)
    return score


def evaluate_all(
    utterances: Sequence[Utterance],
    *,
    tasks: Sequence[str] = TASKS,
    modes: Sequence[str] = MODES,
    distances: Sequence[str] | None = None,
    vectors: Vectors = None,
    exclusions: Sequence[str | None] = (None,),
    caps: Caps = Caps(),  # noqa: B008 - frozen
    progress: bool = False,
) -> list[Score]:
    """Return every combination of the choices; see `evaluate`.

    Modes and exclusions of one task and distance share their warpings.

    Args:
        utterances: aligned speech, all with ids or all with vectors.
        tasks: to do.
        modes: to do.
        distances: to use; None: identity for ids, euclidean and angular where there are vectors.
        vectors: (N, D), what each id stands for.
        exclusions: patterns of sentences to leave out, each in turn; None: none are.
        caps: sub-sampling.
        progress: show a progress bar on stderr.

    Returns:
        one score each, tasks outermost, then distances, exclusions, modes; one without cells has
        no error, and a note.

    Raises:
        ConfigError: a choice is not accepted, or does not fit the frames.
        ManifestError: an alignment does not fit its frames.
        NonFiniteError: a vector has NaN or infinity.
    """
    has_ids = _check(utterances)
    if distances is None:
        has_vectors = vectors is not None or not has_ids
        distances = ["identity"] * has_ids + ["euclidean", "angular"] * has_vectors
    choices = [(p, mode, _kept(utterances, p)) for p in exclusions for mode in modes]
    scores: list[Score] = []
    for task in tasks:
        items = collect(utterances, task)
        masks = [mask[items.utterance] for _, _, mask in choices]
        for name in distances:
            frames, distance = _frames(utterances, vectors, name)
            works = [
                units(items, mode, mask, caps, i)
                for i, ((_, mode, _), mask) in enumerate(zip(choices, masks, strict=True))
            ]
            tallies = run(works, *sequences_of(items, frames), distance, progress=progress)
            for tally, (pattern, mode, _), mask in zip(tallies, choices, masks, strict=True):
                what = (task, mode, name, pattern, int(mask.sum()))
                scores.append(_score(tally, items, what))
    return scores


def _frames(
    utterances: Sequence[Utterance], vectors: Vectors, name: str
) -> tuple[npt.NDArray[np.int64], FrameDistance]:
    """Return all frames, numbered, and the distance between numbers."""
    frames = [u.frames for u in utterances]
    numbers, table = number_frames(frames, None if name == "identity" else vectors)
    if name == "identity" and table is not None:
        raise ConfigError("the identity distance needs unit ids; these frames are vectors")
    return numbers, frame_distance(name, table)


def _score(tally: Tally, items: Items, what: tuple[str, str, str, str | None, int]) -> Score:
    """Return the score of one condition: task, mode, distance, exclusion, number of items."""
    cells = tally.cells()
    if not len(cells.a):
        note = _nothing(*what[:2], what[-1])
        return Score(None, None, None, "", *what, 0, 0, 0, 0, (), items.dropped, note)
    collapse = Collapse(cells)
    interval, speakers = collapse.interval()
    low, high = interval or (None, None)
    how = f"jackknife over {speakers} speakers" if interval else ""
    counts = (speakers, len(cells.a), int(cells.triples.sum()), tally.pairs)
    table = collapse.table(items.phones)
    return Score(collapse.error(), low, high, how, *what, *counts, table, items.dropped)


def _nothing(task: str, mode: str, number: int) -> str:
    """Return why there are no cells."""
    who = "two speakers must each" if mode == "across" else "a speaker must"
    what = "have one phone" if mode == "across" else "have one phone twice"
    where = ", between the same neighbours" if task == "triphone" else ""
    return (
        f"no cells for {task} ABX {mode} speakers among {number} items: {who} {what} and another "
        f"phone{where}; give more speech, or choose another task or mode"
    )


def _check(utterances: Sequence[Utterance]) -> bool:
    """Refuse utterances that do not go together; return whether they have ids."""
    if not utterances:
        raise ManifestError("there are no utterances to compare; give some with phones")
    seen: set[str] = set()
    kinds: dict[tuple[int, ...], str] = {}
    for u in utterances:
        if u.id in seen:
            raise ManifestError(f"the id {u.id!r} is there twice; ids must be unique")
        seen.add(u.id)
        ids = u.frames.ndim == 1 and np.issubdtype(u.frames.dtype, np.integer)
        if not ids and not (u.frames.ndim == 2 and np.issubdtype(u.frames.dtype, np.floating)):
            raise ConfigError(
                f"{u.id}: frames are {u.frames.dtype} of shape {u.frames.shape}; accepted: integer "
                "ids (T,) or floating-point vectors (T, D)"
            )
        kinds.setdefault(u.frames.shape[1:], u.id)
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise ConfigError(
            f"{one} and {other} have frames of different kinds; give ids for all, or vectors of "
            "one dimension for all"
        )
    return utterances[0].frames.ndim == 1


def _kept(utterances: Sequence[Utterance], pattern: str | None) -> npt.NDArray[np.bool_]:
    """Return which utterances stay."""
    if pattern is None:
        return np.ones(len(utterances), np.bool_)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{pattern!r} is no regular expression ({error}); for TIMIT give 'sa.*'"
        ) from None
    return np.array([not expression.fullmatch(u.sentence or "") for u in utterances])
