"""Several priors on the same codes, compared utterance by utterance."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from audiovq.eval.estimate import Estimate, how, ratio_over_speakers
from audiovq.eval.prior_score import Score


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A prior among others.

    Attributes:
        label: where it is.
        score: what the codes cost under it.
        counts: whether it has no weights to learn: an n-gram.
        more: share of bits that it needs more than the first; paired; None of the first.
        fewer: share of the unigram's bits that it saves; None without training counts.
    """

    label: str
    score: Score
    counts: bool
    more: Estimate | None
    fewer: Estimate | None

    @property
    def bits_per_code(self) -> Estimate:
        """Over all codes of all rows."""
        return self.score["prior"].bits_per_code

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, without what all have in common."""
        rate, more, fewer = self.score["prior"], self.more, self.fewer
        return {
            "label": self.label,
            "prior": self.score.about["prior"],
            "counts": self.counts,
            **rate.to_dict(),
            "more_than_the_first": None if more is None else asdict(more),
            "saved": None if fewer is None else asdict(fewer),
            "nats": self.score.nats.tolist(),
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Priors side by side.

    Attributes:
        priors: the first is what the others are compared with.
        neural: the best that learns weights; None if none does.
        counting: the best n-gram; None if there is none.
        between: share of the n-gram's bits that the neural one saves; paired.
        one_unigram: whether all were trained on the same counts of codes.
    """

    priors: Sequence[Compared]
    neural: Compared | None
    counting: Compared | None
    between: Estimate | None
    one_unigram: bool

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "priors": [p.to_dict() for p in self.priors],
            "best_neural": None if self.neural is None else self.neural.label,
            "best_ngram": None if self.counting is None else self.counting.label,
            "best_neural_under_best_ngram": None if self.between is None else asdict(self.between),
        }

    def table(self) -> str:
        """Return the table for people, and what it says of learning against counting."""
        wide = max(len(_name(p)) for p in self.priors) + 2
        heads = ("bits per code", "% to the first", "% under the unigram")
        lines = [" " * wide + "".join(f"{h:>28}" for h in heads)]
        for p in self.priors:
            cells = [p.bits_per_code.text(3), _percent(p.more, "+"), _percent(p.fewer)]
            lines.append(f"{_name(p):<{wide}}" + "".join(f"{c:>28}" for c in cells))
        first = self.priors[0].score
        if self.one_unigram:
            shown = first["unigram"].bits_per_code.text(3)
            lines.append(f"{'unigram, of the training codes':<{wide}}{shown:>28}")
        else:
            lines.append("they were trained on other codes, so each has a unigram of its own")
        if self.between is not None:
            assert self.neural is not None
            assert self.counting is not None
            lines.append(
                f"{self.neural.label}, the best that learns, needs {_percent(self.between)} % "
                f"fewer bits than {self.counting.label}, the best that counts, and "
                f"{_percent(self.neural.fewer) or '?'} % fewer than the unigram"
            )
        lines.append(f"{how([p.bits_per_code for p in self.priors])}; differences are paired")
        return "\n".join(lines)


def compare(labels: Sequence[str], scores: Sequence[Score], counts: Sequence[bool]) -> Comparison:
    """Put priors beside the first.

    Args:
        labels: of each, to be said.
        scores: of each, of the same utterances.
        counts: whether each has no weights to learn.
    """
    first = scores[0]
    assert all([u.id for u in s.utterances] == [u.id for u in first.utterances] for s in scores)
    speakers = [u.speaker for u in first.utterances]
    priors = [
        Compared(
            label=label,
            score=s,
            counts=counting,
            more=ratio_over_speakers(s.nats - first.nats, first.nats, speakers) if i else None,
            fewer=s.saved,
        )
        for i, (label, s, counting) in enumerate(zip(labels, scores, counts, strict=True))
    ]
    neural, ngram = (_best([p for p in priors if p.counts == c]) for c in (False, True))
    between = None
    if neural is not None and ngram is not None:
        saved = ngram.score.nats - neural.score.nats
        between = ratio_over_speakers(saved, ngram.score.nats, speakers)
    return Comparison(
        priors=priors,
        neural=neural,
        counting=ngram,
        between=between,
        one_unigram=_same([s.unigram for s in scores]),
    )


def _best(priors: Sequence[Compared]) -> Compared | None:
    """Return the one of the fewest bits."""
    return min(priors, key=lambda p: math.fsum(p.score.nats), default=None)


def _same(unigrams: Sequence[Any]) -> bool:
    return all(u is not None and (u == unigrams[0]).all() for u in unigrams)


def _name(p: Compared) -> str:
    return f"{p.label} ({p.score.about['prior']['name']})"


def _percent(e: Estimate | None, sign: str = "") -> str:
    return "" if e is None else e.scaled(100.0).text(1, sign)
