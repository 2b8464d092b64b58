"""How surprised a prior is by each code: where in an utterance, and by which codes."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from audiovq.prior._base import Condition
from audiovq.prior._release import TrainedPrior
from audiovq.units.sequences import CodeSequences

MOST = 48.0  # bits; one code in 10^14
Bits = Float64[np.ndarray, "K _"]


@torch.no_grad()
def bits(
    trained: TrainedPrior, codes: Int[Tensor, "K T"], label: str | None = None
) -> Float64[np.ndarray, "K T"]:
    """Return minus log2 of each code's probability given all before it, as the prior was learned.

    Args:
        trained: the prior, in eval mode.
        codes: of one utterance.
        label: what the prior is told, if it takes labels and knows this one.
    """
    prior = trained.module
    device = next((t.device for t in [*prior.parameters(), *prior.buffers()]), torch.device("cpu"))
    told = trained.label_index([label]).to(device) if prior.labels else None
    found = prior.log_prob(codes[None].long().to(device), None, Condition(label=told))[0]
    measured: np.ndarray = np.maximum(-found.double().cpu().numpy() / math.log(2), 0.0)
    return measured


def of_each(trained: TrainedPrior, sequences: CodeSequences) -> list[Bits]:
    """Return the surprise (bits) of every utterance, each told its own speaker."""
    pairs = zip(sequences.codes, sequences.speakers, strict=True)
    return [bits(trained, codes, speaker) for codes, speaker in pairs]


def histogram(
    found: Sequence[Bits], codes: Sequence[Int[Tensor, "K _"]], width: float = 0.5
) -> Int64[np.ndarray, "2 X"]:
    """Count codes by surprise: those equal to the code before them in their row, and the others.

    Args:
        found: surprise (bits) of each utterance.
        codes: of each.
        width: of a bin (bits); the first begins at 0, and the last holds all from `MOST` on.
    """
    new = [_is_new(c) for c in codes]
    flat, changed = np.concatenate([b.ravel() for b in found]), np.concatenate(new)
    bins = (np.minimum(flat, MOST) / width).astype(np.int64)
    size = int(bins.max(initial=0)) + 1
    return np.stack([np.bincount(bins[which], minlength=size) for which in (~changed, changed)])


def _is_new(codes: Int[Tensor, "K T"]) -> np.ndarray:
    new = torch.ones(codes.shape, dtype=torch.bool)
    new[:, 1:] = codes[:, 1:] != codes[:, :-1]
    found: np.ndarray = new.flatten().numpy()
    return found


def by_position(
    found: Sequence[Bits],
) -> tuple[Float64[np.ndarray, "K P"], Int64[np.ndarray, "P"]]:
    """Return the mean surprise (bits) of each row at positions from an utterance's beginning.

    Position p is frames 2^p - 1 to 2^(p + 1) - 2: the first frame, the next two, the next four ...

    Returns:
        means, and how many frames each is of.
    """
    longest = max((b.shape[1] for b in found), default=0)
    position = np.log2(np.arange(longest) + 1.0).astype(np.int64)
    size = int(position[-1]) + 1 if longest else 0
    frames = np.zeros(size, np.int64)
    total = np.zeros((found[0].shape[0] if found else 0, size))
    for each in found:
        here = position[: each.shape[1]]
        frames += np.bincount(here, minlength=size)
        for k, row in enumerate(each):
            total[k] += np.bincount(here, weights=row, minlength=size)
    return total / np.maximum(frames, 1), frames


def telling(found: Sequence[Bits]) -> list[int]:
    """Return the utterances with least, middling and most bits per code, by number."""
    order = sorted(range(len(found)), key=lambda i: float(found[i].mean()))
    return list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]])) if order else []


def row_means(found: Sequence[Bits]) -> Float[np.ndarray, "K"]:
    """Return the mean surprise (bits) of each row."""
    means: np.ndarray = np.concatenate(found, axis=1).mean(axis=1)
    return means
