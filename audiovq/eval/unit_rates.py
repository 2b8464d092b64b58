"""What units cost in bits per second, in four forms, and how many of them are in use.

1. nominal: `f sum_k log2 N_k`, fixed-length codes.
2. unigram: `N / D * H(s)`, ZeroSpeech 2019 and 2020 (`bitrate.py` of zerospeech2020): N symbols
   over all files, D their seconds, H the entropy of the symbols; repeats count.
3. runs: repeats removed, runs per second times the entropy of their codes. Not a rate of the
   signal, since durations are lost, but what papers on deduplicated units print.
4. runs with durations: runs per second times (H(code) + H(frames of a run | code)).

Several rows of codes are costed one by one and added up. 2 to 4 are fitted to the very codes that
they are of; what a trained prior makes of them is in `eval.unit_prior`. No rate includes the cost
of a codebook or of a table of probabilities.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64

from audiovq.eval.intervals import Groups, group, jackknife
from audiovq.eval.joint import fitting, tally
from audiovq.eval.labelled import Corpus
from audiovq.eval.phones import entropy
from audiovq.eval.unit_values import Figure, within

_TICKS = 1_000_000  # durations are added up in whole microseconds

Symbols = Callable[[Int64[np.ndarray, "T"]], Int64[np.ndarray, "_"]]


def frames(row: Int64[np.ndarray, "T"]) -> Int64[np.ndarray, "T"]:
    """Return the symbols of ZeroSpeech's rate: every code."""
    return row


def runs(row: Int64[np.ndarray, "T"]) -> Int64[np.ndarray, "R"]:
    """Return the code of each run of equal codes."""
    symbols: np.ndarray = row[_starts(row)]
    return symbols


def runs_and_durations(row: Int64[np.ndarray, "T"]) -> Int64[np.ndarray, "R"]:
    """Return a number for each run, the same for the same code and number of frames."""
    # codes stay under 2^31 and runs under 2^32 frames (years)
    symbols: np.ndarray = runs(row) * (1 << 32) + run_lengths(row)
    return symbols


def run_lengths(row: Int64[np.ndarray, "T"]) -> Int64[np.ndarray, "R"]:
    """Return the number of frames of each run of equal codes."""
    return np.diff(_starts(row), append=row.size)


def rate(counts: Sequence[Int64[np.ndarray, "_"]], seconds: float) -> float:
    """Return symbols per second times their entropy, summed over rows of codes (bit/s).

    Args:
        counts: of each row, how often each symbol occurs.
        seconds: of audio.
    """
    return sum(float(c.sum()) / seconds * entropy(c) for c in counts if c.any())


def evaluate(corpus: Corpus) -> list[Figure]:
    """Return rates over all utterances, and the use of the chosen row, with intervals."""
    utterances, coded = corpus.utterances, corpus.coded
    groups = group([u.speaker for u in utterances])
    seconds = sum(u.duration for u in utterances)
    frame_rate = coded.sample_rate / coded.hop_length
    rows = [[u.codes[k] for u in utterances] for k in range(len(coded.codebook_sizes))]
    bits = sum(float(np.log2(n)) for n in coded.codebook_sizes)
    figures = [Figure("nominal_bitrate", frame_rate * bits)]
    for name, symbols in (
        ("unigram_bitrate", frames),
        ("run_bitrate", runs),
        ("run_duration_bitrate", runs_and_durations),
    ):
        figures.append(_rate(name, [[symbols(c) for c in row] for row in rows], corpus, groups))
    chosen = [runs(u.units).size for u in utterances]
    figures += [
        Figure("frame_rate", frame_rate),
        Figure("run_rate", sum(chosen) / seconds, count=sum(chosen), over="runs"),
    ]
    return figures + _usage(corpus, groups)


def _rate(
    name: str, rows: Sequence[Sequence[Int64[np.ndarray, "_"]]], corpus: Corpus, groups: Groups
) -> Figure:
    """Return a rate and its interval, of the symbols of each utterance in each row."""
    ticks = np.array([round(_TICKS * u.duration) for u in corpus.utterances], np.int64)
    known = [np.unique(np.concatenate(row)) for row in rows]
    number = min(groups.number, fitting(sum(k.size for k in known) + 1))
    index = groups.index % number
    time = np.zeros((number, 1), np.int64)
    np.add.at(time[:, 0], index, ticks)
    tables = [_by_group(row, k, index, number) for row, k in zip(rows, known, strict=True)]
    table = np.concatenate([*tables, time], axis=1)
    cuts = np.cumsum([k.size for k in known])

    def statistic(total: Int64[np.ndarray, "_"]) -> float:
        return rate(np.split(total, cuts)[:-1], max(int(total[-1]), 1) / _TICKS)

    interval = jackknife(table, statistic)[1]
    low, high = within(interval, 0.0, np.inf)
    how = f"jackknife over {number} {groups.unit}" if interval else ""
    count = sum(s.size for row in rows for s in row)
    over = "frames" if name == "unigram_bitrate" else "runs"
    value = statistic(table.sum(axis=0))
    return Figure(name, value, low=low, high=high, interval=how, count=count, over=over)


def _by_group(
    row: Sequence[Int64[np.ndarray, "_"]],
    known: Int64[np.ndarray, "S"],
    index: Int64[np.ndarray, "_"],
    number: int,
) -> Int64[np.ndarray, "G S"]:
    places = [
        np.searchsorted(known, symbols) + g * known.size
        for symbols, g in zip(row, index, strict=True)
    ]
    return tally(np.concatenate(places), number * known.size).reshape(number, known.size)


def _usage(corpus: Corpus, groups: Groups) -> list[Figure]:
    """Return entropy, perplexity and active codes of the chosen row."""
    row = [u.units for u in corpus.utterances]
    known = np.unique(np.concatenate(row))
    number = min(groups.number, fitting(known.size))
    table = _by_group(row, known, groups.index % number, number)
    total, count = table.sum(axis=0), int(table.sum())
    most = float(np.log2(corpus.size))
    bits = entropy(total)
    corrected, around = jackknife(table, entropy)
    low, high = within(around, 0.0, most)
    how = f"jackknife over {number} {groups.unit}" if around else ""
    active, used = float((total > 0).sum()), jackknife(table, lambda c: float((c > 0).sum()))[1]
    fewest, more = within(used, 0.0, float(corpus.size))

    def figure(name: str, value: float, a: float | None = None, b: float | None = None) -> Figure:
        there = how if a is not None else ""
        return Figure(name, value, low=a, high=b, interval=there, count=count, over="frames")

    return [
        figure("entropy", bits, low, high),
        figure("entropy_corrected", min(corrected, most)),
        figure(
            "perplexity",
            2**bits,
            None if low is None else 2**low,
            None if high is None else 2**high,
        ),
        figure("active_codes", active, fewest, more),
    ]


def _starts(row: Int64[np.ndarray, "T"]) -> Int64[np.ndarray, "R"]:
    return np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
