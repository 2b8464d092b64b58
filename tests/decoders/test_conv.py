import pytest
import torch

from audiovq import registry
from audiovq.bottlenecks._base import Context
from audiovq.config import parse


@pytest.fixture(params=[False, True], ids=["centred", "causal"])
def decoder(request):
    found = registry.get("decoders", "conv")
    values = {"name": "conv", "causal": request.param, "channels": 3}
    torch.manual_seed(0)
    return found.cls(parse(found.config, values), 4, (2, 5)).double()


def test_receptive_field_is_what_gradients_find(decoder):
    left, right = decoder.receptive_field
    frames = 2 * (left + right) + 5
    t, hop = frames // 2, decoder.hop_length
    z = torch.randn(1, 4, frames, dtype=torch.float64, requires_grad=True)
    decoder(z)[0, 0, t * hop : (t + 1) * hop].sum().backward()
    seen = z.grad[0].abs().sum(0).nonzero().flatten()
    assert (t - seen[0], seen[-1] - t) == (left, right)
    if decoder.first.right == 0:
        assert right == 0  # causal


def test_frames_beyond_the_mask_change_nothing(decoder):
    z = torch.randn(1, 4, 30, dtype=torch.float64)
    mask = (torch.arange(30) < 19).view(1, 1, -1)
    y = decoder(z, Context(mask=mask))
    torch.testing.assert_close(y[..., :190], decoder(z[..., :19]))
    assert y.shape == (1, 1, 300)
