"""ABX figures of labelled units: what `abx` needs, taken from a corpus."""

import re

from audiovq.eval import abx, folding
from audiovq.eval.labelled import Corpus, Labelled
from audiovq.eval.unit_values import Figure

SHIBBOLETHS = r"sa\d+"  # TIMIT's two sentences that all speakers read


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


def evaluate(corpus: Corpus, *, progress: bool = False) -> tuple[list[Figure], list[str]]:
    """Return every ABX figure that the speech allows, and notes on sizes and on what it does not.

    Distances on code vectors need them: they are left out where the codes have none, or where
    another row than the first is looked at.
    """
    items = utterances(corpus)
    if not items:
        return [], ["ABX needs aligned utterances of known speakers"]
    # of TIMIT alone: elsewhere an id that ends in `sa1` means nothing
    shared = folding.is_timit(corpus.folding) and any(
        re.fullmatch(SHIBBOLETHS, u.sentence or "") for u in items
    )
    scores = abx.evaluate_all(
        items,
        vectors=corpus.coded.vectors if corpus.codebook == 0 else None,
        exclusions=(None, SHIBBOLETHS) if shared else (None,),
        progress=progress,
    )
    figures, notes = [], []
    for s in scores:
        detail = f"{s.task}, {s.mode}, {s.distance}" + (", without SA" if s.excluded else "")
        if s.error is None:
            notes.append(f"ABX, {detail}: {s.note}")
            continue
        figures.append(
            Figure(
                "abx",
                s.error,
                detail=detail,
                low=s.low,
                high=s.high,
                interval=s.interval,
                count=s.triples,
                over="triples",
            )
        )
        notes.append(
            f"ABX, {detail}: {s.cells:,} cells, {s.triples:,} triples, {s.pairs:,} pairs warped"
        )
    return figures, notes
