"""How surprised a prior is by each code: where in an utterance, and by which codes."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int, Int64
from torch import Tensor

from audiovq.eval.prior_likelihood import code_nats, sequence_nats
from audiovq.prior._base import Condition
from audiovq.prior._generate import condition_of_drawn
from audiovq.prior._release import TrainedPrior
from audiovq.units.sequences import CodeSequences

MOST = 48.0  # bits; one code in 10^14
Bits = Float64[np.ndarray, "K _"]


def bits(
    trained: TrainedPrior, codes: Int[Tensor, "K T"], condition: Condition
) -> Float64[np.ndarray, "K T"]:
    """Return minus log2 of each code's probability given all before it, as the prior was learned.

    Args:
        trained: the prior, in eval mode.
        codes: of one utterance.
        condition: what the prior is told of it.
    """
    told = condition.to(trained.module.device)
    ((_, nats),) = code_nats(trained, [codes], [None], tell=lambda _: told)
    return of_nats(nats)


def of_drawn(
    priors: Sequence[TrainedPrior],
    codes: Int[Tensor, "K T"],
    label: str | None = None,
    given: Sequence[Condition] = (),
) -> Float64[np.ndarray, "K T"]:
    """Return the surprise (bits) of codes that several priors drew, one after the other.

    Args:
        priors: each of some rows of the codes, given rows of those before it; or one, of all.
        codes: of one piece.
        label: what the priors are told, where they take labels and know this one.
        given: of each prior, what else it was told.
    """
    found = torch.zeros(codes.shape, dtype=torch.float64)
    for trained, more in zip(priors, given or [Condition()] * len(priors), strict=True):
        part = trained.about.part
        told = condition_of_drawn(trained, codes[None], trained.label_index([label]), more)
        mine = codes if part is None else part.modelled(codes)
        cost = torch.from_numpy(bits(trained, mine, told))
        found = cost if part is None else part.put(cost, found)
    return found.numpy()


def of_each(trained: TrainedPrior, sequences: CodeSequences) -> list[Bits]:
    """Return the surprise (bits) of every utterance, of each of which the prior is told its own."""
    return [of_nats(nats) for _, nats in sequence_nats(trained, sequences)]


def of_nats(nats: Float32[np.ndarray, "K T"]) -> Float64[np.ndarray, "K T"]:
    """Return the surprise (bits) of codes that cost so much."""
    found: np.ndarray = np.maximum(nats.astype(np.float64) / math.log(2), 0.0)
    return found


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
