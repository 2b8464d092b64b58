"""Unit cards: the units that tell most about phones, with their average sound and examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from audiovq.data.manifest import Manifest
from audiovq.eval.joint import Joint, join
from audiovq.eval.labelled import Corpus, Labelled
from audiovq.losses.spectral import MelFilters, Spectrogram

AROUND = 0.15  # s of spectrogram on either side of the frame's centre
CONTEXT = 0.1  # s of sound on either side of the run
_AVERAGED = 60  # occurrences in an average: more changes nothing one can see
_UTTERANCES = 100  # that occurrences are looked for in, so that a large corpus is not decoded whole
_BANDS = 40
_FLOOR = 1e-6


@dataclass(frozen=True)
class UnitCard:
    """What a unit is like.

    Attributes:
        code: its number in the codebook.
        frames: how often it occurs, on labelled frames.
        bits: what it adds to the mutual information with the phones.
        phones: share of its frames on each phone, commonest first, down to 5 %.
        level: average log-mel spectrogram (dB) around its frames.
        kilohertz: centre of each band.
        sounds: up to three, of different speakers where there are, with 0.1 s before and after.
    """

    code: int
    frames: int
    bits: float
    phones: Mapping[str, float]
    level: Float[np.ndarray, "M S"]
    kilohertz: Sequence[float]
    sounds: Mapping[str, Float[Tensor, "1 1 _"]]


@dataclass(frozen=True)
class _Place:
    utterance: int
    frame: int


def telling(counts: Int64[np.ndarray, "P U"]) -> Float[np.ndarray, "U"]:
    """Return each unit's own part of I(phone; unit), in bits: P(u) KL(P(phone | u) || P(phone))."""
    total = counts.sum()
    expected = counts.sum(axis=1, keepdims=True) * (counts.sum(axis=0, keepdims=True) / total)
    ratio = np.divide(counts, expected, where=counts > 0, out=np.ones(counts.shape))
    parts: np.ndarray = (counts / total * np.log2(ratio)).sum(axis=0)
    return parts


def varied(counts: Int64[np.ndarray, "P U"], number: int) -> list[int]:
    """Return the most telling units, of different phones as far as possible, most telling first."""
    bits, dominant = telling(counts), counts.argmax(axis=0)
    order = [int(u) for u in np.argsort(-bits, kind="stable") if counts[:, u].any()]
    rank: dict[int, int] = {}
    seen: dict[int, int] = {}
    for unit in order:  # how many more telling units of its phone there are
        rank[unit] = seen.get(int(dominant[unit]), 0)
        seen[int(dominant[unit])] = rank[unit] + 1
    chosen = sorted(order, key=lambda u: (rank[u], -bits[u]))[:number]
    return sorted(chosen, key=lambda u: -bits[u])


def make(corpus: Corpus, manifest: Manifest, *, number: int = 12, seed: int = 0) -> list[UnitCard]:
    """Return cards of the most telling units.

    Args:
        corpus: aligned.
        manifest: where the audio is.
        number: of cards.
        seed: of the choice of occurrences.

    Raises:
        AudioError: a recording cannot be read.
    """
    joint = join(corpus)
    counts = joint.labelled().counts()
    rng = np.random.default_rng(seed)
    few = rng.permutation(len(corpus.aligned))[:_UTTERANCES]
    utterances = {int(i): corpus.aligned[i] for i in sorted(few)}
    chosen = varied(counts, number)
    places = {u: _occurrences(utterances, int(joint.codes[u]), rng) for u in chosen}
    wanted = {p.utterance for found in places.values() for p in found}
    rate = corpus.coded.sample_rate
    records = {r.id: r for r in manifest.records}
    audio = {i: manifest.load(records[utterances[i].id], rate) for i in sorted(wanted)}
    mels, kilohertz = _mels(audio, rate)
    bits = telling(counts)
    return [
        UnitCard(
            code=int(joint.codes[u]),
            frames=int(counts[:, u].sum()),
            bits=float(bits[u]),
            phones=_shares(joint, counts[:, u]),
            level=_average(mels, places[u], corpus),
            kilohertz=kilohertz,
            sounds=_examples(audio, places[u], utterances, rate),
        )
        for u in chosen
        if places[u]
    ]


def _occurrences(
    utterances: Mapping[int, Labelled], code: int, rng: np.random.Generator
) -> list[_Place]:
    found = [
        _Place(i, int(t)) for i, u in utterances.items() for t in np.flatnonzero(u.units == code)
    ]
    order = rng.permutation(len(found))[:_AVERAGED]
    return [found[i] for i in order]


def _shares(joint: Joint, counts: Int64[np.ndarray, "P"]) -> dict[str, float]:
    shares = counts / counts.sum()
    return {
        joint.names[i]: float(shares[i])
        for i in np.argsort(-shares, kind="stable")
        if shares[i] >= 0.05
    }


def _mels(
    audio: Mapping[int, Float[Tensor, "1 1 _"]], rate: int
) -> tuple[dict[int, Float[np.ndarray, "M _"]], list[float]]:
    """Return log-mel levels (dB) of each recording, and the bands' centres (kHz)."""
    n_fft = 1 << round(np.log2(0.032 * rate))
    spectrogram, filters = Spectrogram(n_fft), MelFilters(rate, n_fft, _BANDS)
    centres = filters.filters.argmax(dim=1).numpy() * rate / n_fft / 1000
    levels = {
        i: (20 * torch.log10(filters(spectrogram(x))[0].clamp_min(_FLOOR))).numpy()
        for i, x in audio.items()
    }
    return levels, [float(c) for c in centres]


def _average(
    mels: Mapping[int, Float[np.ndarray, "M _"]], places: Sequence[_Place], corpus: Corpus
) -> Float[np.ndarray, "M S"]:
    rate, hop = corpus.coded.sample_rate, corpus.coded.hop_length
    step = (1 << round(np.log2(0.032 * rate))) // 4
    reach = round(AROUND * rate / step)
    total = np.zeros((_BANDS, 2 * reach + 1))
    for place in places:
        level = mels[place.utterance]
        centre = round((place.frame + 0.5) * hop / step)
        index = np.clip(np.arange(centre - reach, centre + reach + 1), 0, level.shape[1] - 1)
        total += level[:, index]
    mean: np.ndarray = total / max(len(places), 1)
    return mean


def _examples(
    audio: Mapping[int, Float[Tensor, "1 1 _"]],
    places: Sequence[_Place],
    utterances: Mapping[int, Labelled],
    rate: int,
    number: int = 3,
) -> dict[str, Float[Tensor, "1 1 _"]]:
    """Return stretches of sound, of different speakers first."""
    seen: dict[str | None, int] = {}
    ranked = []
    for order, place in enumerate(places):
        speaker = utterances[place.utterance].speaker
        ranked.append((seen.get(speaker, 0), order))
        seen[speaker] = seen.get(speaker, 0) + 1
    sounds: dict[str, Tensor] = {}
    for _, order in sorted(ranked):
        place = places[order]
        u = utterances[place.utterance]
        start, end = _run(u.units, place.frame)
        first = max(0, round((start * u.hop - CONTEXT) * rate))
        last = round((end * u.hop + CONTEXT) * rate)
        sounds[f"{u.id}, {start * u.hop:.2f} s"] = audio[place.utterance][..., first:last]
        if len(sounds) == number:  # two places in one run are one sound
            break
    return sounds


def _run(units: Int64[np.ndarray, "T"], frame: int) -> tuple[int, int]:
    """Return the run of equal units around a frame, [start, end)."""
    edges = np.flatnonzero(np.diff(units)) + 1
    place = int(np.searchsorted(edges, frame, side="right"))
    start = int(edges[place - 1]) if place else 0
    return start, int(edges[place]) if place < len(edges) else len(units)
