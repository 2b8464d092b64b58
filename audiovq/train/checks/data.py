"""Signs that a corpus is not what a config needs."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from audiovq.data.manifest import SPLITS
from audiovq.train.checks._base import Finding, Severity, above, below, judge, worst
from audiovq.train.checks.learning import LITTLE_SPEECH
from audiovq.train.facts.plan import Plan

# Share of training records shorter than a segment, and of a batch that is silence added for it.
SHORT, PADDED = 0.25, 0.5
LITTLE, VERY_LITTLE = 600.0, 60.0  # seconds of training speech; models here begin to work at 1,000
FEW_SPEAKERS = 10.0  # of training; with fewer, codes of a new voice are a matter of luck
LITTLE_OF_A_VOICE = 20.0  # seconds of a speaker, of whom the decoder learns a row of a table
SHOWN = 3


def files(plan: Plan) -> Finding | None:
    """Find records without a file."""
    seen, total = plan.files, len(plan.manifest.records)
    if not seen.looked:
        return None
    figure = f"{len(seen.missing)} missing of {seen.looked} looked for, of {total} records"
    if seen.missing:
        figure += f": {_some(seen.missing)} not under {plan.manifest.root}"
    return judge(
        Severity.problem if seen.missing else Severity.ok,
        None,
        figure,
        good="the audio files are there",
        bad="audio files are missing",
        advice="correct `root` in line 1 of the manifest, mount the disk, or prepare the corpus "
        "again",
    )


def contents(plan: Plan) -> Finding | None:
    """Find files that are not as their records say."""
    wrong = plan.files.wrong
    if not wrong:
        return None
    return Finding(
        severity=Severity.problem,
        title="audio files are not as the manifest says",
        figure=f"{len(wrong)} of the few opened; {wrong[0]}",
        advice="prepare the corpus again: `audiovq prepare`",
    )


def rates(plan: Plan) -> Finding | None:
    """Find recordings of a lower rate than the model's."""
    own = plan.config.model.sample_rate
    counts = Counter(r.sample_rate for r in plan.manifest.records)
    low = sum(n for rate, n in counts.items() if rate < own) / max(1, len(plan.manifest.records))
    each = ", ".join(f"{rate} Hz: {n}" for rate, n in sorted(counts.items()))
    return judge(
        Severity.warning if low else Severity.ok,
        None,
        f"model.sample_rate is {own} Hz; records by rate: {each}"
        + (f"; {low:.0%} are below" if low else ""),
        good="no recording is upsampled",
        bad="recordings are upsampled: their upper frequencies are empty",
        advice=f"set model.sample_rate={min(counts, default=own)}, or use recordings of {own} Hz "
        "or more",
    )


def lengths(plan: Plan) -> Finding | None:
    """Find a corpus shorter than the segments it is cut into."""
    records, each = plan.training, plan.config.data.segment_seconds
    if not records:
        return None
    short = sum(r.duration < each for r in records) / len(records)
    middle = sorted(r.duration for r in records)[len(records) // 2]
    severity = worst(
        above(short, SHORT, 1.0), Severity.problem if plan.padding > PADDED else Severity.ok
    )
    return judge(
        severity,
        None,
        f"{short:.0%} of {len(records)} training records are shorter than data.segment_seconds="
        f"{each:g}; shortest {min(r.duration for r in records):.2f} s, median {middle:.2f} s; "
        f"{plan.padding:.0%} of a batch is silence added",
        good="recordings are longer than the segments",
        bad="recordings are shorter than the segments: steps are spent on silence",
        advice=f"set data.segment_seconds={max(0.05, math.floor(middle * 20) / 20):g} or so, and a "
        "larger data.batch_size",
    )


def splits(plan: Plan) -> Finding | None:
    """Find splits without a record, and records without a split."""
    counts = Counter(r.split for r in plan.manifest.records)
    empty = [s for s in SPLITS if not counts[s]]
    severity = Severity.warning if empty or counts[None] else Severity.ok
    if {"train", "validation"} & set(empty):
        severity = Severity.problem
    figure = ", ".join(f"{s}: {counts[s]}" for s in SPLITS)
    return judge(
        severity,
        None,
        figure + (f", none: {counts[None]}" if counts[None] else "") + " records",
        good="every split has records",
        bad=f"there is no {' and no '.join(empty)} split" if empty else "records have no split",
        advice="prepare the corpus again, whole: audiovq prepare splits it; nothing can be "
        "trained without train, judged without validation, reported without test",
    )


def validation(plan: Plan) -> Finding | None:
    """Find too little validation speech to tell anything from."""
    records, train = plan.manifest.select("validation"), plan.config.train
    if not records:
        return None
    chosen = records[:: max(1, math.ceil(len(records) / train.validation_utterances))]
    seconds = sum(min(r.duration, train.validation_seconds) for r in chosen)
    return judge(
        below(seconds, LITTLE_SPEECH, 0.0),
        None,
        f"{seconds:.0f} s of {len(chosen)} utterances, of {len(records)} in the split",
        good="there is speech to validate on",
        bad="there is little speech to validate on: its figures will go up and down by themselves",
        advice="raise train.validation_utterances and train.validation_seconds, or move speakers "
        "to the validation split",
    )


def amount(plan: Plan) -> Finding | None:
    """Find too little training speech."""
    if not plan.training:
        return None
    return judge(
        below(plan.seconds, LITTLE, VERY_LITTLE),
        None,
        f"{plan.seconds / 60:.1f} minutes in {len(plan.training)} training records",
        good="there is speech to learn from",
        bad="there is little speech to learn from",
        advice="use more recordings; an hour gives a first model",
    )


def apart(plan: Plan) -> Finding | None:
    """Find speakers who train and are tested on."""
    found: dict[str, set[str]] = {}
    nameless = sum(r.speaker is None for r in plan.manifest.records)
    for r in plan.manifest.records:
        if r.speaker is not None and r.split is not None:
            found.setdefault(r.speaker, set()).add(r.split)
    shared = [f"{who} ({' and '.join(sorted(s))})" for who, s in found.items() if len(s) > 1]
    severity = Severity.problem if shared else Severity.warning if nameless else Severity.ok
    figure = f"{len(shared)} of {len(found)} speakers in more than one split"
    figure += f": {_some(shared)}" if shared else ""
    return judge(
        severity,
        None,
        figure + (f"; {nameless} records name no speaker" if nameless else ""),
        good="no speaker is in two splits",
        bad="speakers are in more than one split: held-out figures are too good"
        if shared
        else "records name no speaker: nobody can tell whether splits share voices",
        advice="leave `split` out of the corpus's own lists and prepare again, with more speakers: "
        "audiovq keeps them apart"
        if shared
        else "prepare the corpus with speakers: audiovq prepare folder ROOT speaker=folder",
    )


def speakers(plan: Plan) -> Finding | None:
    """Find few speakers to learn from."""
    names = {r.speaker for r in plan.training} - {None}
    if not names:
        return None
    each = ((s, len({r.speaker for r in plan.manifest.select(s)} - {None})) for s in SPLITS)
    return judge(
        below(float(len(names)), FEW_SPEAKERS, 0.0),
        None,
        "speakers: " + ", ".join(f"{s} {n}" for s, n in each),
        good="there are speakers to learn from",
        bad="there are few speakers to learn from",
        advice="the model may know these voices alone: add speakers, or keep to them",
    )


def voices(plan: Plan) -> Finding | None:
    """Find a table of speakers that is not that of the corpus."""
    table = getattr(plan.config.model.decoder, "speakers", None)
    if not table:
        return None
    heard: Mapping[str, float] = _seconds(plan)
    absent = [n for n in table if n not in heard]
    unknown = sorted(set(heard) - set(table))
    short = [n for n in table if 0.0 < heard.get(n, 0.0) < LITTLE_OF_A_VOICE]
    bad = "the decoder names speakers that no training record has"
    if not absent:
        bad = "training speakers are not in the decoder's table"
        bad = bad if unknown else "there is little speech of speakers in the decoder's table"
    figures = [f"{len(table)} speakers in the table"]
    figures += [f"{len(absent)} never heard: {_some(absent)}"] if absent else []
    figures += [f"{len(unknown)} heard and not in it: {_some(unknown)}"] if unknown else []
    figures += [f"{len(short)} below {LITTLE_OF_A_VOICE:g} s: {_some(short)}"] if short else []
    return judge(
        Severity.problem if absent else Severity.warning if unknown or short else Severity.ok,
        None,
        "; ".join(figures),
        good="the decoder's speakers are those of the corpus",
        bad=bad,
        advice="leave model.decoder.speakers out: the training speakers are taken"
        if absent or unknown
        else "add recordings of them; their voices will be guessed at",
    )


def _seconds(plan: Plan) -> dict[str, float]:
    """Return the training speech of each speaker (s)."""
    found: dict[str, float] = {}
    for r in plan.training:
        if r.speaker is not None:
            found[r.speaker] = found.get(r.speaker, 0.0) + r.duration
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


CHECKS: tuple[Callable[[Plan], Finding | None], ...] = (
    files,
    contents,
    splits,
    apart,
    speakers,
    voices,
    amount,
    lengths,
    rates,
    validation,
)
