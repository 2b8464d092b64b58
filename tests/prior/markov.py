"""Sources of known entropy rate, and training on them."""

import math

import numpy as np
import torch
from torch import Tensor

from audiovq.prior._base import Condition, Prior

NEXT = np.array(
    [[0.7, 0.1, 0.1, 0.1], [0.05, 0.05, 0.8, 0.1], [0.3, 0.3, 0.0, 0.4], [0.6, 0.2, 0.2, 0.0]]
)
BELOW = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.0, 0.5, 0.5], [0.2, 0.2, 0.6]])


def sizes(rows: int) -> tuple[int, ...]:
    return (4, 3)[:rows]


def draw(items: int, frames: int, *, rows: int, seed: int) -> Tensor:
    """Row 0 is a Markov chain in its stationary state; row 1 is drawn given row 0 of its frame."""
    generator = np.random.default_rng(seed)
    codes = np.empty((items, 2, frames), np.int64)
    state = _draw(generator, np.broadcast_to(_stationary(), (items, 4)))
    for t in range(frames):
        codes[:, 0, t], codes[:, 1, t] = state, _draw(generator, BELOW[state])
        state = _draw(generator, NEXT[state])
    return torch.from_numpy(codes)[:, :rows]


def entropy_rate(rows: int) -> float:
    """Bits per frame."""
    stationary = _stationary()
    return float(sum(stationary @ _entropy(table) for table in (NEXT, BELOW)[:rows]))


def ideal_bits(codes: Tensor) -> float:
    """Bits per frame that the source itself gives codes."""
    x = codes.numpy()
    total = -np.log2(_stationary()[x[:, 0, 0]]).sum()
    total -= np.log2(NEXT[x[:, 0, :-1], x[:, 0, 1:]]).sum()
    if x.shape[1] > 1:
        total -= np.log2(BELOW[x[:, 0], x[:, 1]]).sum()
    return float(total / (x.shape[0] * x.shape[2]))


@torch.no_grad()
def bits(prior: Prior, codes: Tensor) -> float:
    """Bits per frame that a prior gives codes."""
    found = prior.eval().log_prob(codes).double().sum() / math.log(2)
    return -float(found) / (codes.shape[0] * codes.shape[2])


def train(prior: Prior, codes: Tensor, *, steps: int, batch: int = 16, lr: float = 1e-2) -> None:
    optimizer = torch.optim.Adam(prior.parameters(), lr)
    prior.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps)
        items = torch.arange(step * batch, (step + 1) * batch) % len(codes)
        loss = -prior.log_prob(codes[items], None, Condition(keys=items + step * 1000)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def check_learnt(prior: Prior, rows: int) -> None:
    """On what it has not seen, a prior is within 1 % of the source, and of its entropy rate."""
    codes = draw(64, 1000, rows=rows, seed=99)
    assert abs(ideal_bits(codes) / entropy_rate(rows) - 1) < 0.005  # the sample is fair
    found = bits(prior, codes)
    assert found > ideal_bits(codes) * 0.999
    assert abs(found / ideal_bits(codes) - 1) < 0.01
    assert abs(found / entropy_rate(rows) - 1) < 0.01


def _stationary() -> np.ndarray:
    values, vectors = np.linalg.eig(NEXT.T)
    found = np.real(vectors[:, np.argmax(np.real(values))])
    return found / found.sum()


def _entropy(table: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.nansum(table * np.log2(table), axis=1)


def _draw(generator: np.random.Generator, probability: np.ndarray) -> np.ndarray:
    return (generator.random((len(probability), 1)) > probability.cumsum(1)[:, :-1]).sum(1)
