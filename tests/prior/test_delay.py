"""What the LSTM and the transformer share: columns of the delay pattern."""

import pytest
import torch
from torch import nn

from audiovq.errors import ConfigError
from audiovq.prior._base import Condition
from audiovq.prior._condition import ConditionConfig
from audiovq.prior._delay import DelayedPrior, Network

SIZES = (3, 4, 2)


class Plain(DelayedPrior):
    """A network that passes on the sum of all columns so far."""

    def columns(self, x, keys):
        return x.cumsum(dim=1)

    def begin(self, batch, columns):
        class Sum(Network):
            total = 0.0

            def __call__(self, x):
                self.total = self.total + x
                return self.total

        return Sum()


def plain(sizes=SIZES, labels=2, **given):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Plain(ConditionConfig(**given), sizes, labels, 8).eval()


def draw(sizes, items, frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(n, (items, frames), generator=generator) for n in sizes]
    return torch.stack(rows, dim=1)


def slowly(prior, codes, label, features):
    """The logits of one item, code by code, from the codes of earlier columns."""
    K, T = codes.shape
    table, offset, nothing = prior.rows.table.weight, prior.rows.offset, prior.rows.nothing
    total, logits = torch.zeros(table.shape[1]), torch.full((K, max(SIZES), T), -torch.inf)
    for column in range(T + K - 1):
        for k in range(K):
            t = column - 1 - k
            inside = 0 <= t < T
            total = total + table[codes[k, t] + offset[k] if inside else nothing[k]]
        total = total + prior.conditioner.label.weight[label]
        if column < T:
            total = total + prior.conditioner.features(features[:, column])
        for k in range(K):
            if 0 <= column - k < T:
                largest = max(SIZES)
                found = prior.heads.linear(total)[k * largest : (k + 1) * largest]
                logits[k, : SIZES[k], column - k] = found[: SIZES[k]]
    return logits


@torch.no_grad()
def test_forward_and_steps_are_the_code_by_code_computation():
    prior, frames, lengths = plain(condition_features=3), 6, torch.tensor([6, 2, 4])
    codes, features = draw(SIZES, 3, frames), torch.randn(3, 3, frames)
    label = torch.tensor([1, 2, 0])
    whole = prior(codes, lengths, Condition(label=label, features=features))
    for i, length in enumerate(lengths.tolist()):
        part = (codes[i, :, :length], features[i, :, :length])
        expected = slowly(prior, part[0], label[i], part[1])
        torch.testing.assert_close(whole[i, :, :, :length], expected)
        condition = Condition(label=label[[i]], features=part[1][None])
        steps = prior.steps(1, length, condition)
        for group in prior.groups(length):
            wanted = torch.stack([expected[k, :, t] for k, t in group])
            torch.testing.assert_close(steps.logits()[0], wanted)
            steps.push(torch.tensor([[codes[i, k, t] for k, t in group]]))


def test_groups_are_columns_last_row_first():
    prior = plain()
    assert [list(g) for g in prior.groups(2)] == [
        [(0, 0)],
        [(1, 0), (0, 1)],
        [(2, 0), (1, 1)],
        [(2, 1)],
    ]
    assert [list(g) for g in plain(sizes=(5,)).groups(3)] == [[(0, 0)], [(0, 1)], [(0, 2)]]


def test_steps_need_not_be_asked_for_logits():
    prior, codes = plain(), draw(SIZES, 2, 5)
    groups, steps = list(prior.groups(5)), prior.steps(2, 5)
    for group in groups[:-1]:
        steps.push(torch.stack([codes[:, k, t] for k, t in group], dim=1))
    expected = prior(codes)[:, 2, :, 4]
    torch.testing.assert_close(steps.logits()[:, 0], expected)


def test_steps_forget_the_mode_and_leave_it():
    """Training hides labels; steps do not, and training goes on as before."""
    prior, codes = plain(label_dropout=0.9), draw(SIZES, 4, 1)
    condition = Condition(label=torch.tensor([1, 2, 1, 2]))
    expected = prior(codes, None, condition)[:, 0, :, 0]
    steps = prior.train().steps(4, 1, condition)
    torch.testing.assert_close(steps.logits()[:, 0], expected)
    assert all(module.training for module in prior.modules() if isinstance(module, nn.Module))


def test_steps_end_and_need_something():
    prior = plain()
    steps = prior.steps(1, 1)
    for group in prior.groups(1):
        steps.push(torch.zeros(1, len(group), dtype=torch.int64))
    with pytest.raises(ConfigError, match="all 1 frames"):
        steps.logits()
    with pytest.raises(ConfigError, match="0 frames"):
        prior.steps(1, 0)
