"""What codes cost under a prior, beside what they cost without one.

    nominal          fixed-length codes
    unigram          each code by how often it was in the prior's training data (cross-entropy), and
                     by how often it is here (plug-in entropy: fitted to what it is scored on)
    runs             repeats removed, without their durations, which is no rate of the same message,
                     and with them; plug-in, as in `eval.unit_rates`
    prior            minus the log-probability of each utterance, whole and on its own

All of one message: bits per second times seconds is bits per code times codes. No rate includes
the cost of the prior itself or of a table of probabilities.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from audiovq.eval import unit_rates
from audiovq.eval.coded import Coded
from audiovq.eval.estimate import Estimate, mean_over_speakers
from audiovq.eval.labelled import Corpus, Labelled
from audiovq.eval.prior_likelihood import nats
from audiovq.prior._release import TrainedPrior
from audiovq.units.sequences import CodeSequences

FORMAT, VERSION = "audiovq.prior_score", 1

LABELS = {
    "nominal": "nominal",
    "unigram": "unigram, of the training codes",
    "unigram_plug_in": "unigram, of these codes",
    "runs": "runs, their durations lost",
    "runs_with_durations": "runs with durations",
    "prior": "prior",
}
_PLUG_IN = {
    "unigram_plug_in": "unigram_bitrate",
    "runs": "run_bitrate",
    "runs_with_durations": "run_duration_bitrate",
}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What codes cost in one way of writing them.

    Attributes:
        name: key in `LABELS`.
        bits_per_code: over all codes of all rows.
        bits_per_second: of audio.
    """

    name: str
    bits_per_code: Estimate
    bits_per_second: Estimate

    @property
    def perplexity(self) -> float:
        """Number of equally likely codes that would cost as much."""
        return float(2**self.bits_per_code.value)


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
        saved: share of the unigram's bits that the prior saves.
        utterances: one by one.
    """

    about: Mapping[str, Any]
    rates: Sequence[Rate]
    saved: Estimate | None
    utterances: Sequence[UtteranceScore]

    def __getitem__(self, name: str) -> Rate:
        """Return a rate by name."""
        return next(r for r in self.rates if r.name == name)

    def to_json(self) -> str:
        """Return everything as JSON."""
        rates = {
            r.name: {
                "bits_per_code": asdict(r.bits_per_code),
                "bits_per_second": asdict(r.bits_per_second),
                "perplexity": r.perplexity,
            }
            for r in self.rates
        }
        values = {
            "format": FORMAT,
            "version": VERSION,
            **self.about,
            "nats": math.fsum(u.nats for u in self.utterances),
            "rates": rates,
            "saved": None if self.saved is None else asdict(self.saved),
            "utterances": [u.to_dict() for u in self.utterances],
        }
        return json.dumps(values, allow_nan=False, ensure_ascii=False, indent=1)

    def table(self) -> str:
        """Return the rates as a table for people."""
        a = self.about["data"]
        total = math.fsum(u.nats for u in self.utterances)
        lines = [
            f"{a['utterances']} utterances of {a['speakers']} speakers, split {a['split']}",
            f"{a['codes']:,} codes, {a['seconds']:,.1f} s, {total:,.1f} nats under the prior",
            f"{'':<32}{'bits per code':>26}{'bits per second':>26}{'perplexity':>12}",
        ]
        for r in self.rates:
            code, second = _cell(r.bits_per_code, 3), _cell(r.bits_per_second, 1)
            lines.append(f"{LABELS[r.name]:<32}{code:>26}{second:>26}{r.perplexity:>12.1f}")
        if self.saved is not None:
            percent = _cell(_scaled(self.saved, 100.0), 1)
            lines.append(f"the prior saves {percent} % of the training unigram's bits")
        how = dict.fromkeys(r.bits_per_code.interval for r in self.rates)
        shown = ", ".join(h for h in how if h)
        lines.append(f"in brackets: 95 % intervals; {shown}" if shown else "too few for intervals")
        return "\n".join(lines)

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


def score(trained: TrainedPrior, sequences: CodeSequences, split: str, where: str) -> Score:
    """Score every utterance.

    Args:
        trained: the prior, in eval mode.
        sequences: codes of the model that the prior is of.
        split: what they are, to be said.
        where: their folder, to be said.

    Raises:
        CheckpointError: the codes are of another model.
    """
    m = sequences.metadata
    trained.check(m.model_hash, m.codebook_sizes, where)
    costs = nats(trained, sequences)
    codes = sequences.frames * len(m.codebook_sizes)
    utterances = [
        UtteranceScore(id=i, speaker=s, codes=int(n), seconds=float(t), nats=float(c))
        for i, s, n, t, c in zip(
            sequences.ids, sequences.speakers, codes, sequences.seconds, costs, strict=True
        )
    ]
    unigram = _unigram_bits(trained, sequences)
    measured = {"prior": costs / math.log(2)} | ({} if unigram is None else {"unigram": unigram})
    rates = _plug_in(sequences) | {k: _measured(k, v, sequences) for k, v in measured.items()}
    saved = None
    if unigram is not None:
        saved = mean_over_speakers(1 - measured["prior"] / unigram, sequences.speakers, unigram)
    return Score(
        about=_about(trained, sequences, split, where),
        rates=[rates[name] for name in LABELS if name in rates],
        saved=saved,
        utterances=utterances,
    )


def _measured(name: str, bits: Float64[np.ndarray, "U"], sequences: CodeSequences) -> Rate:
    """Return a rate whose bits are known for each utterance."""
    codes = sequences.frames * float(len(sequences.metadata.codebook_sizes))
    seconds, speakers = sequences.seconds, sequences.speakers
    return Rate(
        name=name,
        bits_per_code=mean_over_speakers(bits / codes, speakers, codes),
        bits_per_second=mean_over_speakers(bits / seconds, speakers, seconds),
    )


def _unigram_bits(
    trained: TrainedPrior, sequences: CodeSequences
) -> Float64[np.ndarray, "U"] | None:
    """Return what each utterance costs by the counts of the training data; None without them."""
    costs = [-row.log2().numpy() for row in trained.unigram()]
    if not costs:
        return None
    return np.array(
        [
            sum(float(cost[row.numpy()].sum()) for cost, row in zip(costs, codes, strict=True))
            for codes in sequences.codes
        ]
    )


def _plug_in(sequences: CodeSequences) -> dict[str, Rate]:
    """Return the nominal rate and those fitted to the very codes they are of."""
    m = sequences.metadata
    sizes = m.codebook_sizes
    coded = Coded("units", m.sample_rate, m.hop_length, sizes, codes={}, lengths={})
    utterances = tuple(
        Labelled(
            id=i, speaker=s, split=None, text=None, codes=c.numpy().astype(np.int64), codebook=0,
            hop=coded.hop, duration=float(t), phones=(), labels=np.full(c.shape[1], -1, np.int64),
        )
        for i, s, c, t in zip(
            sequences.ids, sequences.speakers, sequences.codes, sequences.seconds, strict=True
        )
    )  # fmt: skip
    figures = {f.name: f for f in unit_rates.evaluate(Corpus(coded, utterances, 0, (), {}))}
    per_code = float(sequences.seconds.sum() / (sequences.frames.sum() * len(sizes)))
    rates = {}
    for name, key in _PLUG_IN.items():
        f = figures[key]
        second = Estimate(f.value, f.low, f.high, f.interval)
        code = _scaled(second, per_code)
        rates[name] = Rate(name=name, bits_per_code=code, bits_per_second=second)
    mean = math.fsum(map(math.log2, sizes)) / len(sizes)
    nominal = Rate(
        name="nominal", bits_per_code=Estimate(mean), bits_per_second=Estimate(m.bitrate)
    )
    return {"nominal": nominal, **rates}


def _about(
    trained: TrainedPrior, sequences: CodeSequences, split: str, where: str
) -> dict[str, Any]:
    prior = trained.about.prior
    return {
        "prior": {"name": prior.name, "fingerprint": trained.fingerprint()},
        "units": {"folder": where, **trained.about.codes.model_dump(mode="json")},
        "data": {
            "split": split,
            "utterances": len(sequences),
            "speakers": len({s for s in sequences.speakers if s is not None}),
            "codes": int(sequences.frames.sum()) * len(sequences.metadata.codebook_sizes),
            "seconds": float(sequences.seconds.sum()),
        },
    }


def _scaled(e: Estimate, by: float) -> Estimate:
    low, high = (None if v is None else by * v for v in (e.low, e.high))
    return Estimate(by * e.value, low, high, e.interval)


def _cell(e: Estimate, digits: int) -> str:
    shown = f"{e.value:,.{digits}f}"
    if e.low is None or e.high is None:
        return shown
    return f"{shown} [{e.low:,.{digits}f}, {e.high:,.{digits}f}]"
