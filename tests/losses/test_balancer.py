"""The balancer against its equation, and what it must not depend on."""

import pytest
import torch

from audiovq.losses.balancer import Balancer

OK = torch.tensor(True)


def squares(**norms):
    return {k: torch.tensor(float(v)) ** 2 for k, v in norms.items()}


def test_gradients_are_brought_into_proportion_with_the_reference():
    """With steady norms every scaled gradient has weight times the reference's norm."""
    balancer = Balancer({"a": 2.0, "b": 0.5}, 0.9)
    for _ in range(5):
        balancer.update(squares(reference=3.0, a=0.01, b=40.0), OK)
    scales = balancer.scales()
    assert float(scales["a"]) * 0.01 == pytest.approx(2.0 * 3.0, rel=1e-5)
    assert float(scales["b"]) * 40.0 == pytest.approx(0.5 * 3.0, rel=1e-5)


def test_running_means_are_encodecs():
    """Its EMA: total = total * beta + x, over fix = fix * beta + 1."""
    balancer, rng = Balancer({"a": 1.0}, 0.999), torch.Generator().manual_seed(0)
    total = fix = 0.0
    for _ in range(20):
        norm = float(torch.rand((), generator=rng)) + 0.1
        balancer.update(squares(reference=1.0, a=norm), OK)
        total, fix = total * 0.999 + norm, fix * 0.999 + 1
        assert float(balancer.norms()["a"]) == pytest.approx(total / fix, rel=1e-4)
        assert float(balancer.scales()["a"]) == pytest.approx(fix / total, rel=1e-4)


def test_before_anything_was_measured_nothing_is_added():
    assert float(Balancer({"a": 1.0}, 0.9).scales()["a"]) == 0.0


def test_a_loss_without_gradient_is_not_divided_by_zero():
    balancer = Balancer({"a": 1.0}, 0.9)
    balancer.update(squares(reference=1.0, a=0.0), OK)
    assert float(balancer.scales()["a"]) == 0.0


def test_a_step_that_is_not_finite_does_not_count():
    balancer = Balancer({"a": 1.0}, 0.9)
    balancer.update(squares(reference=1.0, a=2.0), OK)
    before = balancer.state_dict()["means"].clone()
    balancer.update(squares(reference=1.0, a=float("nan")), torch.tensor(False))
    assert torch.equal(balancer.means, before)


def test_its_state_comes_back_and_fits_its_own_losses_only():
    one, two = Balancer({"a": 1.0}, 0.9), Balancer({"a": 1.0}, 0.9)
    one.update(squares(reference=5.0, a=2.0), OK)
    two.load_state_dict(one.state_dict())
    for b in (one, two):
        b.update(squares(reference=1.0, a=2.0), OK)
    assert torch.equal(one.scales()["a"], two.scales()["a"])
    with pytest.raises(ValueError, match="other losses"):
        Balancer({"b": 1.0}, 0.9).load_state_dict(one.state_dict())
