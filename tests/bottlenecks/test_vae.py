"""VAE, beta-VAE and the constrained VAE against Monte Carlo and the conditions of an optimum."""

import math

import pytest
import torch
from torch import nn

from audiovq.bottlenecks import _gaussian as gaussian
from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.vae import VAE
from audiovq.bottlenecks.vae import Config as VAEConfig
from audiovq.bottlenecks.vae_constrained import Config, ConstrainedVAE
from audiovq.config import parse
from audiovq.errors import ConfigError


def make(**values):
    return VAE(parse(VAEConfig, {"dim": 3, "beta": 1.0, **values})).train()


def encoded(items=4, length=50, dim=3, seed=0):
    return torch.randn(items, 2 * dim, length, generator=torch.Generator().manual_seed(seed))


def test_closed_form_kl_equals_monte_carlo():
    q = gaussian.split(encoded(1, 4))
    posterior = torch.distributions.Normal(q.mean.double(), (q.log_variance.double() / 2).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    draws = torch.stack([q.sample(torch.tensor([key])) for key in range(8000)]).double()
    ratios = posterior.log_prob(draws) - prior.log_prob(draws)
    error = ratios.std(0) / math.sqrt(len(draws))
    assert ((ratios.mean(0) - q.kl().double()).abs() < 5 * error).all()
    torch.testing.assert_close(
        q.kl().double(), torch.distributions.kl_divergence(posterior, prior), atol=1e-5, rtol=1e-4
    )


def test_samples_have_the_posteriors_moments():
    q = gaussian.split(encoded(1, 4))
    draws = torch.stack([q.sample(torch.tensor([key])) for key in range(5000)])
    sigma = (q.log_variance / 2).exp()
    assert ((draws.mean(0) - q.mean).abs() < 0.08 * sigma).all()
    assert ((draws.std(0) / sigma - 1).abs() < 0.05).all()


def test_samples_are_drawn_in_training_and_where_there_are_keys():
    vae, z = make(), encoded()
    context = Context(keys=torch.arange(4))
    assert torch.equal(vae(z, context).z, vae(z, context).z)
    assert not torch.equal(vae(z, Context(keys=torch.arange(4) + 4)).z, vae(z, context).z)
    sampled = vae(z, context).z
    assert torch.equal(vae.eval()(z, context).z, sampled)  # there are keys to draw it by
    assert torch.equal(vae(z).z, gaussian.split(z).mean)
    assert torch.equal(vae.embed(z, context), gaussian.split(z).mean)


def test_loss_is_beta_times_kl():
    vae, z = make(beta=0.3), encoded()
    kl = gaussian.split(z).kl().sum(1)
    out = vae(z)
    torch.testing.assert_close(out.loss, 0.3 * kl)
    torch.testing.assert_close(out.metrics["kl"], kl.sum(1))
    assert vae.describe(out.statistics)["kl"] == pytest.approx(float(kl.mean()), rel=1e-5)


def test_noise_of_an_item_does_not_depend_on_batch_or_padding():
    vae, z = make(), encoded()
    whole = vae(z, Context(keys=torch.arange(4)))
    alone = vae(z[2:3, :, :30], Context(keys=torch.tensor([2])))
    torch.testing.assert_close(whole.z[2:3, :, :30], alone.z, rtol=0, atol=0)


def test_active_units_are_those_whose_mean_varies():
    z = encoded(8, 100)
    z[:, 0] = 0.7 + 0.05 * z[:, 0]  # variance 0.0025
    z[:, 1] = 0.2 * z[:, 1]  # variance 0.04
    figures = make().describe(make()(z).statistics)
    assert figures["active_units"] == pytest.approx(2 / 3)


def test_free_bits_stop_pushing_a_dimension_whose_running_kl_is_below():
    vae, z = make(free_bits=0.5), encoded().requires_grad_()
    vae.mean_kl.copy_(torch.tensor([0.1, 2.0, 0.4]))
    vae(z).loss.sum().backward()
    pushed = z.grad.abs().sum((0, 2)) > 0
    assert pushed.tolist() == [False, True, False] * 2
    value = vae(z.detach()).loss
    torch.testing.assert_close(value, gaussian.split(z.detach()).kl()[:, 1] + 2 * 0.5)


def test_extreme_encoder_output_stays_finite():
    vae, z = make(), 1e4 * encoded()
    out = vae(z.requires_grad_())
    (out.loss.sum() + out.z.sum()).backward()
    assert torch.isfinite(out.loss).all()
    assert torch.isfinite(z.grad).all()


class Linear(nn.Module):
    """An autoencoder of Gaussian data whose best rate at any beta is known."""

    def __init__(self, dim=8):
        super().__init__()
        torch.manual_seed(0)
        self.scale = torch.linspace(0.2, 3.0, dim)
        self.there = nn.Conv1d(dim, 2 * dim, 1)
        self.back = nn.Conv1d(dim, dim, 1)

    def data(self, seed):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(8, 8, 32, generator=generator) * self.scale.view(1, -1, 1)


def fit(bottleneck, steps):
    """Train; return the running KL per step and the last distortion."""
    model = Linear()
    bottleneck.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    kls, distortion = [], torch.zeros(())
    for step in range(steps):
        x = model.data(step)
        out = bottleneck(model.there(x), Context(keys=torch.arange(8) + 8 * step))
        distortion = (model.back(out.z) - x).square().mean()
        optimizer.zero_grad()
        (distortion + out.loss.mean()).backward()
        optimizer.step()
        bottleneck.update(out.statistics)
        kls.append(bottleneck.describe(out.statistics)["kl"])
    return sum(kls[-100:]) / 100, float(distortion.detach())


@pytest.mark.parametrize("target", [3.0, 8.0])
def test_the_constrained_vae_settles_within_5_percent_of_its_target(target):
    config = {"dim": 8, "target_kl": target, "ascent_rate": 1e-3}
    kl, _ = fit(ConstrainedVAE(parse(Config, config)), 1500)
    assert kl == pytest.approx(target, rel=0.05)


def test_a_slack_constraint_has_a_multiplier_of_zero():
    config = {"dim": 8, "target_kl": 1e4, "initial_beta": 0.01, "ascent_rate": 1e-3}
    vae = ConstrainedVAE(parse(Config, config))
    fit(vae, 100)
    assert float(vae.multiplier) == 0.0
    assert float(vae.beta) == 0.0


def test_rate_falls_and_distortion_grows_with_beta():
    points = [fit(make(dim=8, beta=beta), 400) for beta in (0.003, 0.03, 0.3)]
    rates, distortions = zip(*points, strict=True)
    assert list(rates) == sorted(rates, reverse=True)
    assert list(distortions) == sorted(distortions)


def test_at_beta_the_rate_is_that_of_reverse_water_filling():
    """Independent Gaussians: each costs max(0, log(s^2 / D) / 2), D = 8 beta / 2 (mean over 8)."""
    beta = 0.02
    kl, _ = fit(make(dim=8, beta=beta), 1500)
    noise = 8 * beta / 2
    expected = (Linear().scale.square() / noise).log().clamp_min(0).sum() / 2
    assert kl == pytest.approx(float(expected), rel=0.05)


@pytest.mark.parametrize("values", [{"beta": -1}, {"beta": float("inf")}, {"free_bits": -1}])
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        parse(VAEConfig, values)
    with pytest.raises(ConfigError, match="target_kl"):
        parse(Config, {"target_kl": 0})


def test_a_posterior_beyond_its_bounds_is_called_back():
    """Past the clamp the gradient still passes: the KL pulls the variance towards 1."""
    z = torch.zeros(1, 6, 1)
    z[:, 3:] = torch.tensor([-20.0, 15.0, 0.0]).view(1, 3, 1)
    z.requires_grad_()
    gaussian.split(z).kl().sum().backward()
    down, up, none = z.grad[0, 3:, 0].tolist()
    assert down == pytest.approx(-0.5, abs=1e-3)
    assert up > 0
    assert none == pytest.approx(0.0, abs=1e-6)
    assert gaussian.split(z).log_variance.flatten().tolist() == [-14.0, 10.0, 0.0]
