import pytest
import torch

from audiovq import registry
from audiovq.config import parse
from tests.helpers import noise


@pytest.fixture(
    params=[(causal, strides) for causal in (False, True) for strides in ((2, 5), (3,))]
)
def encoder(request):
    causal, strides = request.param
    found = registry.get("encoders", "conv")
    values = {"name": "conv", "causal": causal, "strides": strides, "channels": 3}
    torch.manual_seed(0)
    return found.cls(parse(found.config, values), 4).double()


def test_receptive_field_is_what_perturbation_finds(encoder):
    hop, (left, right) = encoder.hop_length, encoder.receptive_field
    frames = 2 * (left + right) // hop + 3
    t = frames // 2
    x = noise(1, frames * hop).double().requires_grad_()
    encoder(x)[0, :, t].sum().backward()
    seen = x.grad[0, 0].nonzero().flatten()
    assert (t * hop - seen[0], seen[-1] + 1 - (t + 1) * hop) == (left, right)


def test_a_causal_frame_depends_on_no_later_sample():
    found = registry.get("encoders", "conv")
    encoder = found.cls(parse(found.config, {"name": "conv", "causal": True}), 4)
    assert encoder.receptive_field[1] == 0


def test_frames_beyond_the_mask_change_nothing(encoder):
    hop = encoder.hop_length
    x = noise(1, 40 * hop).double()
    x[..., 25 * hop :] = 0
    mask = (torch.arange(40) < 25).double().view(1, 1, -1)
    torch.testing.assert_close(encoder(x, mask)[..., :25], encoder(x[..., : 25 * hop]))
