import math

import pytest
import torch
from torch import nn

from audiovq.train.optim import OptimConfig, Optimizer, learning_rate


def test_schedule_is_warm_up_then_cosine_then_constant():
    c = OptimConfig(lr=1.0, warmup_steps=10, decay_steps=110, final_share=0.1)
    assert learning_rate(c, 0) == pytest.approx(0.1, rel=1e-3)
    assert learning_rate(c, 9) == pytest.approx(
        0.1 + 0.9 * (1 + math.cos(math.pi * 9 / 110)) / 2, rel=1e-6
    )
    assert learning_rate(c, 55) == pytest.approx(0.55)
    assert learning_rate(c, 110) == learning_rate(c, 10_000) == pytest.approx(0.1)
    flat = OptimConfig(lr=1.0, warmup_steps=0, decay_steps=0)
    assert learning_rate(flat, 0) == learning_rate(flat, 999) == 1.0


def test_equals_plain_adamw():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    config = OptimConfig(lr=0.01, warmup_steps=0, weight_decay=0.1, clip_norm=1e9)
    a = Optimizer([ours], config)
    b = torch.optim.AdamW(
        [
            {"params": [theirs.weight], "weight_decay": 0.1},
            {"params": [theirs.bias], "weight_decay": 0.0},
        ],
        lr=0.01,
        betas=config.betas,
    )
    for step in range(20):
        x = torch.randn(5, 4)
        for model, optimizer in ((ours, a), (theirs, b)):
            optimizer.zero_grad()
            model(x).square().sum().backward()
        a.clip()
        a.step(step, torch.tensor(data=True))
        b.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_a_step_that_is_not_ok_changes_nothing():
    model = nn.Linear(4, 3)
    optimizer = Optimizer([model], OptimConfig(warmup_steps=0))
    for step, ok in enumerate((True, False, True)):
        before = [p.clone() for p in model.parameters()]
        moments = {
            k: {n: v.clone() for n, v in s.items()} for k, s in optimizer.adamw.state.items()
        }
        optimizer.zero_grad()
        model(torch.randn(2, 4)).sum().backward()
        if not ok:
            model.weight.grad[0, 0] = torch.nan
        optimizer.clip()
        optimizer.step(step, torch.tensor(ok))
        same = all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        assert same != ok
        if not ok:
            for k, s in optimizer.adamw.state.items():
                assert all(torch.equal(s[n], v) for n, v in moments[k].items())


def test_clipping_returns_the_norm_before():
    model = nn.Linear(2, 1, bias=False)
    optimizer = Optimizer([model], OptimConfig(clip_norm=1.0))
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    assert float(optimizer.clip()) == pytest.approx(5.0)
    assert float(model.weight.grad.norm()) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_clipping_does_not_spread_what_is_not_finite(bad):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    model[1].weight.grad[0, 0] = bad
    optimizer = Optimizer([model], OptimConfig())
    assert not bool(torch.isfinite(optimizer.clip()))
    assert [n for n, p in model.named_parameters() if not p.grad.isfinite().all()] == ["1.weight"]


def test_vectors_do_not_decay():
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    groups = Optimizer([model], OptimConfig()).adamw.param_groups
    assert [len(g["params"]) for g in groups] == [1, 3]
    assert groups[1]["weight_decay"] == 0.0
