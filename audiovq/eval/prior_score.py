"""What utterances cost under a prior: nats, bits per code and per second, perplexity."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from audiovq.eval import prior_rates
from audiovq.eval.estimate import Estimate, ratio_over_speakers
from audiovq.eval.prior_likelihood import Each, nats, unigram_nats
from audiovq.eval.prior_rates import LABELS, Rate
from audiovq.prior._release import TrainedPrior
from audiovq.units.sequences import CodeSequences

__all__ = ["LABELS", "Rate", "Score", "UtteranceScore", "score"]

FORMAT, VERSION = "audiovq.prior_score", 1


@dataclass(frozen=True, kw_only=True)
class UtteranceScore:
    """What one utterance costs under the prior."""

    id: str
    speaker: str | None
    codes: int
    seconds: float
    nats: float

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        bits = self.nats / math.log(2)
        return {
            **asdict(self),
            "bits_per_code": bits / self.codes,
            "bits_per_second": bits / self.seconds,
            "perplexity": 2 ** (bits / self.codes),
        }


@dataclass(frozen=True, kw_only=True)
class Score:
    """What the utterances cost.

    Attributes:
        about: prior, codes and utterances.
        rates: in the order of `LABELS`.
        saved: share of the unigram's bits that the prior saves; None without training counts.
        utterances: one by one.
        unigram: nats of each utterance by the training codes' frequencies; None without counts.
    """

    about: Mapping[str, Any]
    rates: Sequence[Rate]
    saved: Estimate | None
    utterances: Sequence[UtteranceScore]
    unigram: Float64[np.ndarray, "U"] | None = None

    def __getitem__(self, name: str) -> Rate:
        """Return a rate by name."""
        return next(r for r in self.rates if r.name == name)

    @property
    def nats(self) -> Float64[np.ndarray, "U"]:
        """What each utterance costs."""
        return np.array([u.nats for u in self.utterances])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            **self.about,
            "nats": math.fsum(u.nats for u in self.utterances),
            "rates": {r.name: r.to_dict() for r in self.rates},
            "saved": None if self.saved is None else asdict(self.saved),
            "utterances": [u.to_dict() for u in self.utterances],
        }

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=1)

    def table(self) -> str:
        """Return the rates as a table for people."""
        a = self.about["data"]
        total = math.fsum(u.nats for u in self.utterances)
        lines = [
            f"{a['utterances']} utterances of {a['speakers']} speakers, split {a['split']}",
            f"{a['codes']:,} codes, {a['seconds']:,.1f} s, {total:,.1f} nats under the prior",
            *prior_rates.table(self.rates),
        ]
        if self.about["prior"]["given"]:
            lines.append("the prior is given other codes or features; what those cost is not in it")
        if self.saved is not None:
            percent = self.saved.scaled(100.0).text(1)
            lines.append(f"the prior saves {percent} % of the training unigram's bits")
        return "\n".join([*lines, prior_rates.intervals(self.rates)])

    def each(self) -> str:
        """Return the utterances as a table for people."""
        head = ("codes", "seconds", "nats", "bits/code", "bits/s", "perplexity")
        lines = [f"{'utterance':<28}" + "".join(f"{h:>12}" for h in head)]
        for u in self.utterances:
            d = u.to_dict()
            cells = f"{u.codes:>12}{u.seconds:>12.2f}{u.nats:>12.1f}{d['bits_per_code']:>12.3f}"
            more = f"{d['bits_per_second']:>12.1f}{d['perplexity']:>12.1f}"
            lines.append(f"{u.id:<28}{cells}{more}")
        return "\n".join(lines)


def score(
    trained: TrainedPrior,
    sequences: CodeSequences,
    split: str,
    where: str,
    each: Each | None = None,
) -> Score:
    """Score every utterance.

    Args:
        trained: the prior, in eval mode.
        sequences: codes of the model that the prior is of.
        split: what they are, to be said.
        where: their folder, to be said.
        each: is given the number of each utterance and the nats of its codes, in order.

    Raises:
        CheckpointError: the codes are of another model.
        NonFiniteError: the prior is damaged.
    """
    m = sequences.metadata
    trained.check(m.model_hash, m.codebook_sizes, where)
    costs = nats(trained, sequences, each=each)
    codes = sequences.frames * len(m.codebook_sizes)
    utterances = [
        UtteranceScore(id=i, speaker=s, codes=int(n), seconds=float(t), nats=float(c))
        for i, s, n, t, c in zip(
            sequences.ids, sequences.speakers, codes, sequences.seconds, costs, strict=True
        )
    ]
    unigram, saved = unigram_nats(trained, sequences.codes), None
    measured = {"prior": costs / math.log(2)}
    if unigram is not None:
        measured["unigram"] = unigram / math.log(2)
        saved = ratio_over_speakers(unigram - costs, unigram, sequences.speakers)
    return Score(
        about=_about(trained, sequences, split, where),
        rates=prior_rates.all_rates(sequences, measured),
        saved=saved,
        utterances=utterances,
        unigram=unigram,
    )


def _about(
    trained: TrainedPrior, sequences: CodeSequences, split: str, where: str
) -> dict[str, Any]:
    prior = trained.about.prior
    return {
        "prior": {
            "name": prior.name,
            "fingerprint": trained.fingerprint(),
            "given": sequences.given is not None,
        },
        "units": {"folder": where, **trained.about.codes.model_dump(mode="json")},
        "data": {
            "split": split,
            "utterances": len(sequences),
            "speakers": len({s for s in sequences.speakers if s is not None}),
            "codes": int(sequences.frames.sum()) * len(sequences.metadata.codebook_sizes),
            "seconds": float(sequences.seconds.sum()),
        },
    }
