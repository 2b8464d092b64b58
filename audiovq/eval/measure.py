"""Passing utterances through a model, one at a time: scores, codes and times."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from audiovq.autoencoder import Autoencoder
from audiovq.data.corruption import Corruption, fixed_key
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import AudioError
from audiovq.eval import codebook, machine
from audiovq.eval.codebook import Counts
from audiovq.eval.intervals import Groups
from audiovq.eval.reconstruction import Scorer
from audiovq.eval.streams import side_by_side

LONG_SECONDS = 60.0  # longer utterances are streamed, and scored in pieces of this length

# Measures that are also taken of corrupted input, to see what the model gains.
INPUT = ("log_mel_distance", "si_sdr", "stoi")

T = TypeVar("T")
Scores = dict[str, float | str]


@dataclass
class Measurements:
    """What is gathered while the utterances go by.

    Attributes:
        corrupt: what is done to what the model hears; the target stays clean.
        rows: one per utterance: id, speaker, seconds, measures (None: not defined), times.
        kept: index of each row's record.
        rejected: id and reason of each utterance that could not be read.
        undefined: by measure, how many utterances have no value for which reason.
        counts: how often each code occurred, per block of groups (G, K, largest N).
    """

    model: Autoencoder
    manifest: Manifest
    scorer: Scorer
    groups: Groups
    corrupt: Corruption | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    undefined: dict[str, Counter[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = self.model.codebook_sizes
        self.counts = np.zeros(
            (int(self.groups.blocks.max()) + 1, len(sizes), max(sizes, default=0)), np.int64
        )
        self.device = next(self.model.parameters()).device
        self.warm = False

    def add(self, index: int, record: Record) -> None:
        """Reconstruct and score one utterance."""
        row: dict[str, Any] = {
            "id": record.id,
            "speaker": record.speaker,
            "seconds": record.duration,
        }
        long = record.duration > LONG_SECONDS
        if long and self.corrupt is not None:
            raise AudioError(f"{record.id} is over {LONG_SECONDS:.0f} s, too long to be corrupted")
        scores, counts, times = self._long(record) if long else self._whole(record)
        if counts is not None:
            self.counts[self.groups.blocks[index]] += counts
        for name, score in scores.items():
            if isinstance(score, str):
                self.undefined.setdefault(name, Counter())[score] += 1
            row[name] = None if isinstance(score, str) else score
        self.rows.append(row | times)
        self.kept.append(index)

    def _whole(self, record: Record) -> tuple[Scores, Counts | None, dict[str, float]]:
        x = self.manifest.load(record, self.model.sample_rate).to(self.device)
        if not self.warm:  # the first call pays for kernels, caches and memory
            self.model.reconstruct(x)
            self.warm = True
        seconds = x.shape[-1] / self.model.sample_rate
        heard = x if self.corrupt is None else self._corrupted(x, record.id)
        if self.model.is_discrete:
            codes, encode = self._timed(lambda: self.model.encode(heard))
            x_hat, decode = self._timed(lambda: self.model.decode(codes, x.shape[-1]))
            counts = codebook.count(codes, self.model.codebook_sizes)
        else:
            z, encode = self._timed(lambda: self.model.embed(heard))
            x_hat, decode = self._timed(lambda: self.model.decode_embedding(z, x.shape[-1]))
            counts = None
        times = {"encode_rtf": encode / seconds, "decode_rtf": decode / seconds}
        if self.model.bottleneck.has_rate:
            x_hat, times["kl_bitrate"] = self._sampled(heard, record.id)
        scores = self.scorer(x, x_hat)
        if self.corrupt is not None:
            scores |= {f"input_{k}": v for k, v in self.scorer(x, heard).items() if k in INPUT}
        return scores, counts, times

    def _corrupted(self, x: Tensor, name: str) -> Tensor:
        assert self.corrupt is not None
        return self.corrupt(x.cpu(), fixed_key(name)).to(self.device)

    def _long(self, record: Record) -> tuple[Scores, Counts | None, dict[str, float]]:
        """Stream an utterance through the model, and average its pieces' scores by length."""
        rate = self.model.sample_rate
        pieces: list[tuple[int, Scores]] = []
        blocks = self.manifest.blocks(record, rate)
        for x, x_hat in side_by_side(self.model, blocks, round(LONG_SECONDS * rate)):
            pieces.append((x.shape[-1], self.scorer(x, x_hat)))
        scores = {name: _mean_score([(n, s[name]) for n, s in pieces]) for name in pieces[0][1]}
        if not self.model.is_discrete:
            return scores, None, {}
        heard = (b.to(self.device) for b in self.manifest.blocks(record, rate))
        counts = np.zeros_like(self.counts[0])
        for codes in self.model.encode_blocks(heard):
            counts += codebook.count(codes, self.model.codebook_sizes)
        return scores, counts, {}

    def _sampled(self, x: Tensor, name: str) -> tuple[Tensor, float]:
        """Return a reconstruction from a sample of the posterior, and the bits per second it costs.

        A posterior's mean costs more than its KL to send: the two belong together.
        """
        key = torch.tensor([fixed_key(name)], device=self.device)
        out = self.model(x, keys=key)
        bits = float(out.bottleneck.metrics["kl"].double().sum()) / math.log(2)
        return out.x_hat, bits * self.model.sample_rate / x.shape[-1]

    def _timed(self, compute: Callable[[], T]) -> tuple[T, float]:
        machine.synchronise(self.device)
        start = time.perf_counter()
        result = compute()
        machine.synchronise(self.device)
        return result, time.perf_counter() - start


def _mean_score(pieces: Sequence[tuple[int, float | str]]) -> float | str:
    """Return the mean of pieces weighted by length, or the first reason if none has a value."""
    defined = [(n, s) for n, s in pieces if not isinstance(s, str)]
    if not defined:
        return pieces[0][1]
    return sum(n * s for n, s in defined) / sum(n for n, _ in defined)
