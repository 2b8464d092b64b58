"""Whether the same is said after conversion, by a classifier that labelled speech was shown to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Condition
from audiovq.data.manifest import Manifest
from audiovq.eval.estimate import Estimate, mean_over_speakers
from audiovq.voice._phone_judge import (
    Frames,
    Looker,
    PhoneJudge,
    agreement,
    aligned_records,
    counts,
)
from audiovq.voice.convert import convert
from audiovq.voice.normalise import How

Phones = Callable[[Float[Tensor, "1 1 L"]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class PhoneAccuracy:
    """Share of frames whose phone is named right, pauses left out, for speakers never seen.

    Attributes:
        original: of the recordings as they are: the ceiling.
        anyone: of the recordings passed through the model with no speaker said.
        converted: of the recordings in other voices.
        majority: of always naming the commonest phone.
    """

    original: Estimate
    anyone: Estimate
    converted: Estimate
    majority: float


def phone_judge(labelled: Manifest, sample_rate: int) -> Phones:
    """Return the function from a waveform to its phones, one every 10 ms, after a whole corpus.

    Raises:
        ConfigError: fewer than two speakers of it have phone times.
    """
    looker = Looker(sample_rate)
    frames, labels = [], []
    for record in aligned_records(labelled):
        frames.append(looker(labelled.load(record, sample_rate)))
        labels.append(looker.labels(record, len(frames[-1])))
    judge = PhoneJudge(frames, labels)
    return lambda x: judge(looker(x))


def phone_accuracy(
    model: Autoencoder,
    labelled: Manifest,
    voices: Sequence[Condition],
    *,
    voices_each: int = 2,
    how: How = "spectrum",
) -> PhoneAccuracy:
    """Return how many frames of labelled speech are told right before and after conversion.

    Each speaker in turn is left out of what the classifier learns from, and heard.

    Args:
        model: one whose decoder is told who speaks.
        labelled: a corpus with phone times.
        voices: targets, of which each recording gets a few, in turn.
        voices_each: how many.
        how: what is normalised.

    Raises:
        ConfigError: fewer than two speakers of the corpus have phone times.
    """
    looker, records = Looker(model.sample_rate), aligned_records(labelled)
    heard: list[dict[str, list[Frames]]] = []
    labels = []
    for i, record in enumerate(records):
        x = labelled.load(record, model.sample_rate)
        chosen = [voices[(i * voices_each + k) % len(voices)] for k in range(voices_each)]
        heard.append({
            "original": [looker(x)],
            "anyone": [looker(convert(model, x, model.speaker_index([None]), how).cpu())],
            "converted": [looker(convert(model, x, voice, how).cpu()) for voice in chosen],
        })  # fmt: skip
        labels.append(looker.labels(record, len(heard[-1]["original"][0])))
    speakers = [str(r.speaker) for r in records]
    found = _over_speakers(heard, labels, speakers)
    common = counts(labels)
    return PhoneAccuracy(**found, majority=float(common.max() / common.sum()))


def _over_speakers(
    heard: Sequence[Mapping[str, Sequence[Frames]]],
    labels: Sequence[np.ndarray],
    speakers: Sequence[str],
) -> dict[str, Estimate]:
    """Return the accuracy of each kind, over speakers left out in turn."""
    values: dict[str, list[float]] = {kind: [] for kind in heard[0]}
    who = []
    for speaker in sorted(set(speakers)):
        others = [i for i, s in enumerate(speakers) if s != speaker]
        judge = PhoneJudge([heard[i]["original"][0] for i in others], [labels[i] for i in others])
        for i in (i for i, s in enumerate(speakers) if s == speaker):
            rates = {
                kind: [agreement(labels[i], judge(frames)) for frames in heard[i][kind]]
                for kind in values
            }
            if rates["original"][0] is None:  # nothing but pauses
                continue
            who.append(speaker)
            for kind, each in rates.items():
                values[kind].append(float(np.mean([r for r in each if r is not None])))
    return {kind: mean_over_speakers(np.array(v), who) for kind, v in values.items()}
