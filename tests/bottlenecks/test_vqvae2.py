"""VQ-VAE-2: two rates, the slow codes known to the fast ones, decoded frame by frame."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.vqvae2 import VQVAE2, Config
from audiovq.config import parse
from audiovq.errors import ConfigError
from tests.helpers import noise, small_config, small_model

SMALL = {"name": "vqvae2", "dim": 6, "ratio": 3, "codebook_size": 16, "slow_codebook_size": 8}


def make(**values):
    torch.manual_seed(0)
    vq = VQVAE2(parse(Config, {**SMALL, **values}))
    vq.initialise(frames(8, 40, seed=3))
    return vq.eval()


def frames(items=2, slow=12, seed=0):
    return torch.randn(items, 6, 3 * slow, generator=torch.Generator().manual_seed(seed))


def test_codes_are_one_slow_row_and_ratio_fast_rows_at_the_slow_rate():
    vq, z = make(), frames()
    out = vq(z)
    assert out.codes.shape == (2, 4, 12)
    assert out.z.shape == z.shape
    assert vq.codebook_sizes == (8, 16, 16, 16)
    assert vq.layout == ("slow", "fast 0", "fast 1", "fast 2")


def test_rates_count_every_code_once():
    model = small_model(SMALL)
    assert model.hop_length == 30
    assert model.frame_rate == pytest.approx(16000 / 30)
    assert model.bitrate == pytest.approx(16000 / 30 * (3 + 3 * 4))  # 8 slow, 3 x 16 fast codes
    x = noise(1, 1000)
    codes = model.encode(x)
    assert codes.shape == (1, 4, 34)
    assert model.decode(codes, 1000).shape == x.shape


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 11), st.sampled_from([False, True]), st.sampled_from([1, 3, 5]))
def test_a_code_depends_on_its_stated_context_and_no_further(at, causal, kernel):
    vq, z = make(causal=causal, kernel_size=kernel), frames(1)
    before, after = vq.context
    if causal:
        assert after == 0
    changed = z.clone()
    inside = slice(max(0, 3 * (at - before)), 3 * (at + 1 + after))
    outside = torch.ones(36, dtype=torch.bool)
    outside[inside] = False
    changed[..., outside] += 100.0
    assert torch.equal(vq.encode(z)[..., at], vq.encode(changed)[..., at])


def test_the_stated_context_is_no_larger_than_need_be():
    vq, z = make(), frames(1, 30)
    vq.up.weight.data.mul_(10.0)  # so that another slow code is another fast code
    before, after = vq.context
    for moved in (3 * (15 - before), 3 * (15 + after) + 2):  # its outermost frames
        found = False
        for scale in (1.0, 10.0, 100.0, -1.0, -10.0, -100.0):
            changed = z.clone()
            changed[..., 3 * (moved // 3) : 3 * (moved // 3) + 3] += scale
            found |= not torch.equal(vq.encode(z)[..., 15], vq.encode(changed)[..., 15])
        assert found


def test_codes_decode_within_their_own_slow_frame():
    vq = make()
    codes = vq.encode(frames())
    changed = codes.clone()
    changed[:, :, 5] = (changed[:, :, 5] + 1) % 8
    same = (vq.decode(codes) == vq.decode(changed)).all(1)
    assert same[:, :15].all()
    assert same[:, 18:].all()
    assert not same[:, 15:18].any()


def test_fast_codes_know_the_slow_ones():
    vq, z = make(), frames()
    codes = vq.encode(z)
    vq.up.weight.data.mul_(-1.0)  # the same slow codes tell the fast ones something else
    assert torch.equal(vq.encode(z)[:, 0], codes[:, 0])
    assert not torch.equal(vq.encode(z)[:, 1:], codes[:, 1:])


@pytest.mark.parametrize("causal", [False, True])
def test_padding_chunks_and_blocks_change_no_code(causal):
    model = small_model(SMALL, causal=causal)
    x = noise(1, 4321)
    alone = model.encode(x)
    padded = torch.nn.functional.pad(x.expand(2, -1, -1), (0, 700))
    both = model.encode(padded, torch.tensor([4321, 5021]))
    assert torch.equal(both[:1, :, : alone.shape[2]], alone)
    assert torch.equal(model.encode(x, chunk_frames=7), alone)
    exact = model.encode(x, exact=True)
    blocks = torch.cat(list(model.encode_blocks(x.split(501, dim=2))), dim=2)
    assert torch.equal(blocks, exact)
    assert float((exact != alone).float().mean()) < 0.01
    torch.testing.assert_close(model.embed(x), model.bottleneck.decode(alone))


def test_gradient_reaches_both_rates_and_loss_counts_both():
    vq, z = make().train(), frames().requires_grad_()
    out = vq(z, Context(keys=torch.arange(2)))
    out.z.sum().backward()
    for name, parameter in vq.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    slow = out.statistics.sums["slow/error"] / 6 / 24  # mean over D and slow frames
    fast = out.statistics.sums["fast/error"] / 6 / 72
    torch.testing.assert_close(out.loss.mean(), 0.25 * (slow + fast))


def test_all_rows_are_needed_to_decode():
    with pytest.raises(ConfigError, match="needs all 4"):
        make().decode(torch.zeros(1, 2, 5, dtype=torch.int64))


def test_training_through_the_autoencoder_updates_both_codebooks():
    torch.manual_seed(0)
    model = Autoencoder(small_config(SMALL)).train()
    out = model(noise(3, 995), torch.tensor([995, 600, 31]), torch.arange(3))
    assert out.bottleneck.codes.shape == (3, 4, 34)
    assert out.frames.tolist() == [102, 60, 6]
    before = [b.clone() for b in model.bottleneck.buffers()]
    model.bottleneck.update(out.bottleneck.statistics)
    changed = [
        not torch.equal(a, b) for a, b in zip(before, model.bottleneck.buffers(), strict=True)
    ]
    assert sum(changed) >= 6
    figures = model.bottleneck.describe(out.bottleneck.statistics)
    assert {"usage", "usage/slow", "drift/slow"} <= figures.keys()
