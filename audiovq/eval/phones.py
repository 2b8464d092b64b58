"""How well units tell phones: purity, PNMI, accuracy for a new speaker, and chance beside each.

With the joint distribution P(i, j) of phone i and unit j over labelled frames, as in fairseq's
`measure_teacher_quality.py` and in discophon: phone purity `sum_j max_i P(i, j)`, cluster purity
`sum_i max_j P(i, j)`, PNMI `I(phone; unit) / H(phone)`. All of these grow with the number of codes
and with the pace of speech alone, so the same is computed of codes shifted in time.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Int64

from audiovq.errors import ConfigError
from audiovq.eval.intervals import bootstrap_mean, group, jackknife
from audiovq.eval.joint import Joint, join
from audiovq.eval.labelled import Corpus
from audiovq.eval.unit_values import Figure, within

DRAWS = 20
_APART = 1.0  # s: a shift by less would leave a unit near the phone it was on
Counts = Int64[np.ndarray, "P U"]
Statistic = Callable[[Counts], float]


def phone_purity(counts: Counts) -> float:
    """Return sum_j max_i P(i, j), in (0, 1]."""
    return float(counts.max(axis=0).sum() / counts.sum())


def cluster_purity(counts: Counts) -> float:
    """Return sum_i max_j P(i, j), in (0, 1]."""
    return float(counts.max(axis=1).sum() / counts.sum())


def entropy(counts: Int64[np.ndarray, "..."]) -> float:
    """Return the plug-in entropy of a table of counts, in bits."""
    p = counts[counts > 0] / counts.sum()
    return max(0.0, float(-(p * np.log2(p)).sum()))


def mutual_information(counts: Counts) -> float:
    """Return I(phone; unit) in bits, 0 or more."""
    apart = entropy(counts.sum(axis=0)) + entropy(counts.sum(axis=1))
    return max(0.0, apart - entropy(counts))


def pnmi(counts: Counts) -> float:
    """Return I(phone; unit) / H(phone), in [0, 1]; 0 where there is one phone only."""
    whole = entropy(counts.sum(axis=1))
    return min(1.0, mutual_information(counts) / whole) if whole > 0 else 0.0


def one_to_one(counts: Counts) -> float:
    """Return the share of frames right under the best matching of phones to distinct units.

    Raises:
        ConfigError: scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  (optional)
    except ImportError:
        raise ConfigError('one-to-one accuracy needs scipy: pip install "audiovq[units]"') from None
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / counts.sum())


def majority(counts: Counts) -> Int64[np.ndarray, "U"]:
    """Return the commonest phone of each unit; of units that never occur, of all frames.

    Ties go to the first phone.
    """
    named: np.ndarray = counts.argmax(axis=0)
    named[counts.sum(axis=0) == 0] = counts.sum(axis=1).argmax()
    return named


def leave_one_out(joint: Joint) -> dict[str, float]:
    """Return each speaker's accuracy under the naming of units that all others agree on.

    Args:
        joint: labelled frames.

    Returns:
        by speaker; empty with fewer than two speakers.
    """
    total = joint.counts()
    accuracy = {}
    for name, own in joint.by_speaker():
        rest = total - own
        if own.any() and rest.any():
            named = majority(rest)
            accuracy[name] = float(own[named, np.arange(len(named))].sum() / own.sum())
    return accuracy


def shifts(frames: int, hop: float, seed: int, draws: int = DRAWS) -> list[int]:
    """Return by how many frames to shift, uniform over those at least 1 s from no shift."""
    apart = min(round(_APART / hop), frames // 4)
    drawn = np.random.default_rng(seed).integers(apart, frames - apart + 1, size=draws)
    return [int(x) for x in drawn]


def evaluate(corpus: Corpus, *, seed: int = 0) -> tuple[list[Figure], list[str]]:
    """Return all figures on frames and phones, and notes on what could not be said.

    Args:
        corpus: with alignments.
        seed: of the shifts and of the bootstrap.
    """
    whole = join(corpus)
    joint, sounding = whole.labelled(), whole.labelled(silence=False)
    notes = []
    if not joint.phones.size:
        return [], ["no frame has a phone"]
    shifted = [
        whole.shifted(n).labelled() for n in shifts(whole.units.size, corpus.coded.hop, seed)
    ]
    figures = [*_chance("most_frequent_phone", joint), *_joint_figures(corpus, joint, shifted)]
    if sounding.phones.size and sounding.phones.size < joint.phones.size:
        figures += [
            *_chance("most_frequent_phone_no_silence", sounding),
            _jackknifed(corpus, sounding, "phone_purity_no_silence", phone_purity),
            _jackknifed(corpus, sounding, "pnmi_no_silence", pnmi),
        ]
    else:
        notes.append("no frame is silent, or all are: figures without silence are left out")
    found = _new_speaker(joint, sounding, shifted, seed)
    if not found:
        notes.append("accuracy for a new speaker needs two speakers or more")
    return figures + found, notes


def _chance(name: str, joint: Joint) -> list[Figure]:
    counts = joint.counts().sum(axis=1)
    frames = int(counts.sum())
    return [Figure(name, float(counts.max() / frames), count=frames, over="frames")]


def _joint_figures(corpus: Corpus, joint: Joint, shifted: Sequence[Joint]) -> list[Figure]:
    """Return purity, PNMI and what goes with them."""
    counts = joint.counts()
    frames = int(counts.sum())
    figures = []
    for name, statistic in (("phone_purity", phone_purity), ("pnmi", pnmi)):
        raw = _jackknifed(corpus, joint, name, statistic)
        figures += [raw, *_against(raw, [statistic(s.counts()) for s in shifted])]
    figures += [
        _jackknifed(corpus, joint, "cluster_purity", cluster_purity),
        Figure("phone_entropy", entropy(counts.sum(axis=1)), count=frames, over="frames"),
        _jackknifed(corpus, joint, "mutual_information", mutual_information, np.inf),
        Figure("one_to_one_accuracy", one_to_one(counts), count=frames, over="frames"),
    ]
    return figures


def _jackknifed(
    corpus: Corpus, joint: Joint, name: str, statistic: Statistic, most: float = 1.0
) -> Figure:
    groups = group([u.speaker for u in corpus.aligned])
    table = joint.by_group(groups.index[joint.utterances], groups.number)
    table = table[table.any(axis=(1, 2))]
    interval = jackknife(table, statistic)[1]
    low, high = within(interval, 0.0, most)
    how = f"jackknife over {len(table)} {groups.unit}" if interval else ""
    value = statistic(table.sum(axis=0))
    return Figure(
        name, value, low=low, high=high, interval=how, count=joint.phones.size, over="frames"
    )


def _against(raw: Figure, chance: Sequence[float]) -> list[Figure]:
    """Return the shifted figure, and the raw one corrected by it, its chance held fixed."""
    mean = float(np.mean(chance))

    def corrected(x: float | None) -> float | None:
        return None if x is None else (x - mean) / (1 - mean)

    shifted = Figure(
        f"{raw.name}_shifted",
        mean,
        count=len(chance),
        over="draws",
        lowest=min(chance),
        highest=max(chance),
    )
    if mean >= 1:  # one phone: nothing is left to be better at
        return [shifted]
    value = corrected(raw.value)
    assert value is not None
    return [
        shifted,
        Figure(
            f"{raw.name}_corrected",
            value,
            low=corrected(raw.low),
            high=corrected(raw.high),
            interval=raw.interval and f"{raw.interval}, the shifted value held fixed",
            count=raw.count,
            over=raw.over,
        ),
    ]


def _new_speaker(
    joint: Joint, sounding: Joint, shifted: Sequence[Joint], seed: int
) -> list[Figure]:
    """Return accuracy for a speaker left out, with, shifted, and without silence."""
    found = leave_one_out(joint)
    if not found:
        return []
    figures = [_over_speakers("phone_accuracy", found.values(), seed)]
    chance = [float(np.mean(list(leave_one_out(s).values()))) for s in shifted]
    figures.append(
        Figure(
            "phone_accuracy_shifted",
            float(np.mean(chance)),
            count=len(chance),
            over="draws",
            lowest=min(chance),
            highest=max(chance),
        )
    )
    quiet = leave_one_out(sounding) if sounding.phones.size < joint.phones.size else {}
    if quiet:
        figures.append(_over_speakers("phone_accuracy_no_silence", quiet.values(), seed))
    return figures


def _over_speakers(name: str, values: Iterable[float], seed: int) -> Figure:
    each = np.array(list(values))
    interval = bootstrap_mean(each, np.arange(len(each)), seed=seed)
    low, high = within(interval, 0.0, 1.0)
    return Figure(
        name,
        float(each.mean()),
        low=low,
        high=high,
        interval=f"bootstrap over {len(each)} speakers" if interval else "",
        count=len(each),
        over="speakers",
        lowest=float(each.min()),
        highest=float(each.max()),
    )
