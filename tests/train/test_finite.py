import pytest
import torch

from audiovq.bottlenecks._base import Bottleneck, Statistics
from audiovq.errors import NonFiniteError
from audiovq.train.finite import Guard, finite, guarded_update


def checks(**bad):
    return finite({k: torch.full((2, 2), bad.get(k, 1.0)) for k in ("input", "output", "loss")})


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_names_the_first_source_and_its_step(value):
    guard = Guard()
    assert bool(guard.check(1, checks(), torch.tensor(1.0)))
    guard.raise_if_not(dict)
    assert not bool(guard.check(2, checks(output=value, loss=torch.nan), torch.tensor(torch.nan)))
    assert not bool(guard.check(3, checks(), torch.tensor(1.0)))  # it stays so
    guard.check(4, checks(input=torch.nan), torch.tensor(1.0))  # and what comes later is not named
    with pytest.raises(NonFiniteError, match="first appeared in output at step 2"):
        guard.raise_if_not(dict)


def test_names_parameters_when_only_the_gradient_is_bad():
    good, bad = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    good.grad, bad.grad = torch.zeros(2), torch.tensor([0.0, torch.nan])
    guard = Guard()
    guard.check(7, checks(), torch.tensor(torch.nan))
    with pytest.raises(NonFiniteError, match=r"the gradient of encoder\.weight at step 7"):
        guard.raise_if_not(lambda: {"decoder.weight": good, "encoder.weight": bad})


def test_names_the_parameter_nearest_the_loss():
    parameters = {f"layer{i}": torch.nn.Parameter(torch.zeros(2)) for i in range(4)}
    for name, parameter in parameters.items():
        parameter.grad = torch.full((2,), 0.0 if name == "layer3" else torch.nan)
    guard = Guard()
    guard.check(1, checks(), torch.tensor(torch.nan))
    with pytest.raises(
        NonFiniteError, match=r"gradient of layer2 \(and of 2 before it\) at step 1"
    ):
        guard.raise_if_not(lambda: parameters)


class Adding(Bottleneck):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(2))

    def forward(self, z, context=None): ...

    def update(self, statistics):
        self.total += statistics.sums["x"]


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("wait", [True, False])
def test_the_bottleneck_learns_from_finite_steps_only(ok, wait):
    """Both paths: the CPU's, and the one that never waits for the device."""
    bottleneck = Adding()
    guarded_update(bottleneck, Statistics(sums={"x": torch.ones(2)}), torch.tensor(ok), wait=wait)
    assert bottleneck.total.tolist() == ([1.0, 1.0] if ok else [0.0, 0.0])


def test_what_is_checked_may_change_from_step_to_step():
    fine, bad, norm = torch.tensor(True), torch.tensor(False), torch.tensor(1.0)
    guard = Guard()
    guard.check(1, {"a": fine}, norm)
    guard.check(2, {"a": fine, "b": bad}, norm)
    guard.check(3, {"a": bad}, norm)
    with pytest.raises(NonFiniteError, match="appeared in b at step 2;"):
        guard.raise_if_not(dict)
