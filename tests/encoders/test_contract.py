"""One contract for every encoder in the folder: a new file is tested by being there."""

import pytest
import torch

from audiovq import registry
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from tests.helpers import every_weight_matters, noise

NAMES = registry.names("encoders")
STRIDES = [2, 5]
# Settings besides the defaults that the contract must hold for, too.
VARIANTS = {
    "conv": [
        {"channels": 3},
        {"channels": 3, "causal": True},
        {"channels": 3, "strides": [3]},
        {"channels": 3, "strides": [3], "causal": True},
    ],
    "stft": [
        {"stft_hop": 2, "channels": 6, "fast_channels": 5},
        {"stft_hop": 5, "channels": 6, "fast_channels": 5, "causal": True, "activation": "gelu"},
        {"stft_hop": 5, "channels": 6, "fast_channels": 5, "overlap": 3, "kernel_size": 4},
        {"stft_hop": 10, "channels": 6, "blocks": 0, "fast_blocks": 0, "overlap": 2},
        {"stft_hop": 10, "channels": 6, "blocks": 1, "overlap": 9, "kernel_size": 1},
        {"stft_hop": 10, "channels": 6, "blocks": 0, "fast_channels": 5, "overlap": 2},
    ],
}
CASES = [(name, {"strides": STRIDES, **v}) for name in NAMES for v in [{}, *VARIANTS[name]]]


def make(name, **values):
    """An encoder in double precision in which every weight matters."""
    found = registry.get("encoders", name)
    torch.manual_seed(0)
    module = found.cls(parse(found.config, {"name": name, **values}), 4).double().eval()
    return every_weight_matters(module)


@pytest.fixture(params=CASES, ids=str)
def encoder(request):
    name, values = request.param
    return make(name, **values)


def test_every_frame_has_its_column(encoder):
    for items, frames in ((1, 1), (3, 7)):
        assert encoder(noise(items, frames * encoder.hop_length).double()).shape == (
            items,
            4,
            frames,
        )


def test_receptive_field_is_what_gradients_find(encoder):
    hop, (left, right) = encoder.hop_length, encoder.receptive_field
    frames = 2 * (left + right) // hop + 3
    t = frames // 2
    x = noise(1, frames * hop).double().requires_grad_()
    encoder(x)[0, :, t].sum().backward()
    seen = x.grad[0, 0].nonzero().flatten()
    assert (t * hop - seen[0], seen[-1] + 1 - (t + 1) * hop) == (left, right)


@pytest.mark.parametrize("name", NAMES)
def test_a_causal_frame_depends_on_no_later_sample(name):
    assert make(name, strides=STRIDES, causal=True).receptive_field[1] == 0


def test_frames_beyond_the_mask_change_nothing(encoder):
    hop = encoder.hop_length
    x = noise(1, 40 * hop).double()
    mask = (torch.arange(40) < 25).double().view(1, 1, -1)
    torch.testing.assert_close(encoder(x, mask)[..., :25], encoder(x[..., : 25 * hop]))


def test_items_a_gap_apart_do_not_meet(encoder):
    hop, gap = encoder.hop_length, encoder.gap
    sizes = (9, gap, 6)
    parts = [noise(1, n * hop, seed=i).double() for i, n in enumerate(sizes)]
    mask = torch.cat([torch.full((n,), float(i != 1)) for i, n in enumerate(sizes)]).double()
    together = encoder(torch.cat(parts, dim=-1), mask.view(1, 1, -1))
    torch.testing.assert_close(together[..., :9], encoder(parts[0]))
    torch.testing.assert_close(together[..., -6:], encoder(parts[2]))


def test_any_level_of_speech_gives_frames_of_like_size(encoder):
    """Silence too, without NaN in the gradient."""
    for level in (0.0, 0.01, 0.05, 0.2):
        x = (level * noise(1, 50 * encoder.hop_length).double()).requires_grad_()
        z = encoder(x)
        z.square().sum().backward()
        assert torch.isfinite(x.grad).all()
        assert z.abs().max() < 60


def test_the_rounding_of_16_bits_is_silence(encoder):
    rounding = (torch.rand(1, 1, 50 * encoder.hop_length).double() - 0.5) / 2**15
    difference = encoder(rounding) - encoder(torch.zeros_like(rounding))
    assert difference.abs().max() < 0.3


@pytest.mark.parametrize("name", NAMES)
def test_company_padding_and_windows_change_no_code(name):
    values = {
        "encoder": {"name": name, "strides": [4, 5], "channels": 8},
        "bottleneck": {"name": "vq_ema", "dim": 6, "codebook_size": 16},
        "decoder": {"name": "istft", "channels": 8, "fast_channels": 6, "stft_hop": 10},
    }
    torch.manual_seed(0)
    model = Autoencoder(parse(AutoencoderConfig, values)).eval()
    model.bottleneck.initialise(model.encoder(noise(4, 2000, seed=1)))
    items = [noise(1, n, seed=n) for n in (1, 500, 3333, 20, 70_000)]
    together = model.encode_many(items)
    for codes, x in zip(together, items, strict=True):
        alone = model.encode(x, exact=True)[0]
        assert torch.equal(codes, alone)
        assert torch.equal(codes, torch.cat(list(model.encode_blocks(x.split(777, -1))), -1)[0])
        plain = model.encode(x)[0]
        assert (plain != alone).float().mean() < 0.01  # rounding between near codes
