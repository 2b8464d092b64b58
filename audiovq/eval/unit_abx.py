"""ABX figures of labelled units: what `abx` needs, taken from a corpus."""

import re
from collections.abc import Sequence

import numpy as np

from audiovq.eval import abx, folding
from audiovq.eval.labelled import Corpus, Labelled
from audiovq.eval.unit_values import Figure

SHIBBOLETHS = r"sa\d+"  # TIMIT's two sentences that all speakers read
# Pairs to warp grow with the square of the phones: beyond these numbers of phones, speakers are
# drawn, and all of their phones compared.
LIMITS = {"triphone": 30_000, "phoneme": 5_000}


def sentence(utterance: Labelled) -> str:
    """Return the last part of an id: `sa1` of TIMIT's `dr1-fvmh0-sa1`."""
    return utterance.id.replace("/", "-").rpartition("-")[2]


def utterances(corpus: Corpus) -> list[abx.Utterance]:
    """Return the aligned utterances of known speakers, labels folded."""
    return [
        abx.Utterance(
            id=u.id,
            speaker=u.speaker,
            sentence=sentence(u),
            hop=u.hop,
            phones=tuple((a, b, corpus.folding[name]) for a, b, name in u.phones),
            frames=u.units,
        )
        for u in corpus.aligned
        if u.speaker is not None
    ]


def drawn(items: Sequence[abx.Utterance], limit: int, seed: int) -> list[abx.Utterance]:
    """Return utterances of as many speakers, in a drawn order, as have that many phones."""
    speakers = list(dict.fromkeys(u.speaker for u in items))
    places = np.random.default_rng(seed).permutation(len(speakers))
    order = dict(zip(speakers, places, strict=True))
    chosen: set[str] = set()
    phones = 0
    for u in sorted(items, key=lambda u: order[u.speaker]):
        if phones + len(u.phones) > limit and chosen:
            break
        chosen.add(u.id)
        phones += len(u.phones)
    return [u for u in items if u.id in chosen]


def evaluate(
    corpus: Corpus, *, seed: int = 0, progress: bool = False
) -> tuple[list[Figure], list[str]]:
    """Return every ABX figure that the speech allows, and notes on sizes and on what it does not.

    Distances on code vectors need them: they are left out where the codes have none, or where
    another row than the first is looked at.

    Args:
        corpus: aligned.
        seed: of the draw of speakers, where there is very much speech.
        progress: show bars on stderr.
    """
    items = utterances(corpus)
    if not items:
        return [], ["ABX needs aligned utterances of known speakers"]
    # of TIMIT alone: elsewhere an id that ends in `sa1` means nothing
    shared = folding.is_timit(corpus.folding) and any(
        re.fullmatch(SHIBBOLETHS, u.sentence or "") for u in items
    )
    figures: list[Figure] = []
    sizes: list[str] = []
    notes: list[str] = []
    for task, limit in LIMITS.items():
        few = drawn(items, limit, seed)
        if len(few) < len(items):
            notes.append(f"{task} ABX: on {len(few)} of {len(items)} utterances, speakers drawn")
        for s in abx.evaluate_all(
            few,
            tasks=(task,),
            vectors=corpus.coded.vectors if corpus.codebook == 0 else None,
            exclusions=(None, SHIBBOLETHS) if shared else (None,),
            progress=progress,
        ):
            which = f"{s.task}, {s.mode}" + (", without SA" if s.excluded else "")
            if s.error is None:
                notes.append(f"ABX, {which}: {s.note}")
                continue
            sizes.append(f"{which}: {s.cells:,}, {s.triples:,}, {s.pairs:,}")
            figures.append(_figure(s))
    if corpus.coded.vectors is None or corpus.codebook:
        which = "rows other than the first" if corpus.codebook else "these codes"
        notes.append(f"ABX on ids alone: no vectors of {which} are known")
    if sizes:
        notes.append(f"ABX cells, triples, pairs warped: {'; '.join(dict.fromkeys(sizes))}")
    return figures, list(dict.fromkeys(notes))


def _figure(score: abx.Score) -> Figure:
    assert score.error is not None
    without = ", without SA" if score.excluded else ""
    return Figure(
        "abx",
        score.error,
        detail=f"{score.task}, {score.mode}, {score.distance}{without}",
        low=score.low,
        high=score.high,
        interval=score.interval,
        count=score.triples,
        over="triples",
    )
