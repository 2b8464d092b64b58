"""What codes cost in bits, in every way of writing them.

    nominal          fixed-length codes
    unigram          each code by how often it was in the prior's training data (cross-entropy), and
                     by how often it is here (plug-in entropy: fitted to what it is scored on)
    runs             repeats removed, without their durations, which is no rate of the same message,
                     and with them; plug-in, as in `eval.unit_rates`
    prior            minus the log-probability of each utterance, whole and on its own

All of one message: bits per second times seconds is bits per code times codes. No rate includes
the cost of the prior itself or of a table of probabilities.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from audiovq.eval import unit_rates
from audiovq.eval.coded import Coded
from audiovq.eval.estimate import Estimate, how, ratio_over_speakers
from audiovq.eval.labelled import Corpus, Labelled
from audiovq.units.sequences import CodeSequences

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

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "bits_per_code": asdict(self.bits_per_code),
            "bits_per_second": asdict(self.bits_per_second),
            "perplexity": self.perplexity,
        }


def all_rates(
    sequences: CodeSequences, measured: Mapping[str, Float64[np.ndarray, "U"]]
) -> list[Rate]:
    """Return every rate, in the order of `LABELS`.

    Args:
        sequences: the utterances.
        measured: bits of each utterance, for what was fitted elsewhere: the prior, the unigram.
    """
    found = _plug_in(sequences) | {k: _measured(k, v, sequences) for k, v in measured.items()}
    return [found[name] for name in LABELS if name in found]


def table(rates: Sequence[Rate]) -> list[str]:
    """Return the lines of a table for people."""
    lines = [f"{'':<32}{'bits per code':>26}{'bits per second':>30}{'perplexity':>12}"]
    for r in rates:
        code, second = r.bits_per_code.text(3), r.bits_per_second.text(1)
        lines.append(f"{LABELS[r.name]:<32}{code:>26}{second:>30}{r.perplexity:>12.1f}")
    return lines


def intervals(rates: Sequence[Rate]) -> str:
    """Return the line that says what the brackets are."""
    return how([r.bits_per_code for r in rates])


def _measured(name: str, bits: Float64[np.ndarray, "U"], sequences: CodeSequences) -> Rate:
    """Return a rate whose bits are known for each utterance."""
    codes = sequences.frames * float(len(sequences.metadata.codebook_sizes))
    return Rate(
        name=name,
        bits_per_code=ratio_over_speakers(bits, codes, sequences.speakers),
        bits_per_second=ratio_over_speakers(bits, sequences.seconds, sequences.speakers),
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
        rates[name] = Rate(name=name, bits_per_code=second.scaled(per_code), bits_per_second=second)
    mean = math.fsum(map(math.log2, sizes)) / len(sizes)
    nominal = Rate(
        name="nominal", bits_per_code=Estimate(mean), bits_per_second=Estimate(m.bitrate)
    )
    return {"nominal": nominal, **rates}
