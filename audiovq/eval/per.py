"""Phone error rate of units that are named by their commonest phone."""

from itertools import groupby

import numpy as np
from jaxtyping import Int64

from audiovq.eval.boundaries import segments
from audiovq.eval.edit import edit_distance
from audiovq.eval.intervals import group, jackknife
from audiovq.eval.joint import fitting, join
from audiovq.eval.labelled import NO_LABEL, Corpus, Labelled
from audiovq.eval.phones import majority
from audiovq.eval.unit_values import Figure


def evaluate(corpus: Corpus) -> list[Figure]:
    """Return edits over phones, every utterance decoded by what the *other* speakers' units say.

    Empty with fewer than two speakers. An utterance whose speaker is unknown is left out.
    """
    joint = join(corpus)
    labelled = joint.labelled()
    total = labelled.counts()
    named = {
        name: majority(total - own)
        for name, own in labelled.by_speaker()
        if own.any() and (total - own).any()
    }
    utterances = [u for u in corpus.aligned if u.speaker in named]
    if not utterances:
        return []
    rows = [_errors(u, corpus, joint.codes, named[u.speaker or ""]) for u in utterances]
    table = np.array(rows, np.int64)
    groups = group([u.speaker for u in utterances])
    index = groups.index % fitting(2)
    by_group = np.zeros((int(index.max()) + 1, 2), np.int64)
    np.add.at(by_group, index, table)
    interval = jackknife(by_group, lambda c: float(c[0] / max(c[1], 1)))[1]
    low, high = interval or (None, None)
    edits, phones = table.sum(axis=0)
    return [
        Figure(
            "phone_error_rate",
            float(edits / max(phones, 1)),
            low=None if low is None else max(0.0, low),
            high=high,
            interval=f"jackknife over {len(by_group)} {groups.unit}" if interval else "",
            count=int(phones),
            over="phones",
        )
    ]


def _errors(
    utterance: Labelled,
    corpus: Corpus,
    codes: Int64[np.ndarray, "U"],
    named: Int64[np.ndarray, "U"],
) -> tuple[int, int]:
    """Return edits and phones of one utterance."""
    heard = utterance.units[utterance.labels != NO_LABEL]  # no phone, no edit
    guess = named[np.searchsorted(codes, heard)]
    guess = guess[np.flatnonzero(np.diff(guess, prepend=-1))]
    labels = [name for _, _, name in segments(utterance, dict(corpus.folding)) if name is not None]
    gold = [corpus.phones.index(name) for name, _ in groupby(labels)]
    return edit_distance(guess, np.array(gold, np.int64)), len(gold)
