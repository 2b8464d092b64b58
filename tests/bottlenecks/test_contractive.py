"""Contractive autoencoder: Hutchinson's estimate against exact Jacobians."""

import pytest
import torch
from torch import nn

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.contractive import Config, Contractive
from audiovq.config import parse
from audiovq.errors import ConfigError
from tests.helpers import noise, small_config


def make(**values):
    return Contractive(parse(Config, {"dim": 3, "weight": 1.0, **values})).train()


def net(seed=0):
    """A small deep encoder with a hop of 4."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv1d(1, 5, 4, stride=2, padding=1), nn.Tanh(), nn.Conv1d(5, 3, 4, 2, 1)
    )


def exact(encoder, x):
    """The squared Frobenius norm of the Jacobian of sigmoid latents, by autograd, per frame."""
    jacobian = torch.autograd.functional.jacobian(lambda x: encoder(x).sigmoid(), x)
    per_sample = jacobian.square().flatten(0, 2).sum(0)  # (1, 1, L)
    return per_sample.view(-1, 4).sum(1)


def estimate(module, encoder, x, key):
    x = x.clone().requires_grad_()
    return module(encoder(x), Context(x=x, keys=torch.tensor([key]))).loss[0]


def test_the_estimate_is_unbiased_for_a_deep_encoder():
    encoder, x = net(), torch.randn(1, 1, 16)
    module, wanted = make(probes=8), exact(net(), x)
    draws = torch.stack([estimate(module, encoder, x, key).detach() for key in range(300)])
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - wanted).abs() < 4 * error + 1e-6).all()
    assert float(draws.mean(0).sum()) == pytest.approx(float(wanted.sum()), rel=0.02)


def test_one_sigmoid_layer_equals_the_papers_closed_form():
    """sum_j (h_j (1 - h_j))^2 |W_j|^2, Rifai et al. 2011, section 3; one latent, so exact."""
    layer, x = nn.Conv1d(1, 1, 4, stride=4), torch.randn(1, 1, 16)
    module = Contractive(parse(Config, {"dim": 1, "weight": 1.0})).train()
    h = layer(x).sigmoid()
    wanted = (h * (1 - h)).square() * layer.weight.square().sum()
    torch.testing.assert_close(estimate(module, layer, x, 5), wanted[0, 0])


def test_the_penaltys_gradient_equals_that_of_the_exact_norm():
    encoder, x = net(), torch.randn(1, 1, 16)
    module = make(probes=16)
    gradients = []
    for key in range(120):
        loss = estimate(module, encoder, x, key).sum()
        gradients.append(torch.autograd.grad(loss, encoder[0].weight)[0])
    jacobian = torch.autograd.functional.jacobian(
        lambda x: encoder(x).sigmoid(), x, create_graph=True
    )
    wanted = torch.autograd.grad(jacobian.square().sum(), encoder[0].weight)[0]
    mean = torch.stack(gradients).mean(0)
    assert (mean - wanted).norm() < 0.05 * wanted.norm()


def test_training_makes_codes_change_less_under_a_small_change_of_the_input():
    """Beside an equal autoencoder without the penalty, relative to how much codes vary at all."""
    x = noise(8, 400, seed=3)
    sensitivity = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        bottleneck = {"name": "contractive", "dim": 6, "weight": weight}
        model = Autoencoder(small_config(bottleneck)).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step in range(80):
            out = model(x, keys=torch.arange(8) + 8 * step)
            loss = (out.x_hat - x).square().mean() * 100 + out.bottleneck.loss.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        h, moved = model.embed(x), model.embed(x + 1e-3 * noise(8, 400, seed=9))
        sensitivity[weight] = float((moved - h).norm() / (h - h.mean((0, 2), True)).norm())
    assert sensitivity[1.0] < 0.5 * sensitivity[0.0]


def test_validation_has_the_penalty_and_keeps_no_graph():
    torch.manual_seed(0)
    model = Autoencoder(small_config({"name": "contractive", "dim": 6})).eval()
    with torch.no_grad():
        out = model(noise(2, 400))
    assert out.bottleneck.loss.sum() > 0
    assert not out.x_hat.requires_grad


def test_without_a_waveform_to_differentiate_by_the_error_says_so():
    with pytest.raises(ConfigError, match=r"Context\.x"):
        make()(torch.randn(1, 3, 5))


@pytest.mark.parametrize("probes", [1, 3])
def test_it_can_be_evaluated_and_differentiated_in_evaluation(probes):
    config = small_config({"name": "contractive", "dim": 4, "probes": probes})
    model = Autoencoder(config).eval()
    with torch.no_grad():
        assert torch.isfinite(model(noise(1, 200)).bottleneck.loss).all()
    model(noise(1, 200)).x_hat.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
