"""Residual quantization: each codebook takes from what is left."""

import itertools

import pytest
import torch
from vector_quantize_pytorch import ResidualVQ

from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.rvq import RVQ, Config
from audiovq.config import parse


def make(*, initialised=True, **values):
    values = {"dim": 6, "codebook_size": 32, "num_codebooks": 4, "dropout": 0.0, **values}
    rvq = RVQ(parse(Config, values))
    if initialised:
        rvq.initialise(frames(8, 100, seed=1))
    return rvq


def frames(items=4, length=50, dim=6, seed=0):
    return torch.randn(items, dim, length, generator=torch.Generator().manual_seed(seed))


def test_codes_and_sum_equal_a_plain_loop():
    rvq, z = make(), frames()
    left = z.transpose(1, 2).reshape(-1, 6).double()
    total = torch.zeros_like(left)
    for layer, row in zip(rvq.codebooks, rvq.encode(z).unbind(1), strict=True):
        e = layer.vectors.double()
        codes = torch.cdist(left, e).argmin(1)
        assert torch.equal(row.flatten(), codes)
        left, total = left - e[codes], total + e[codes]
    torch.testing.assert_close(
        rvq(z).z.double(), total.view(4, 50, 6).transpose(1, 2), atol=1e-5, rtol=1e-5
    )


def test_codes_and_values_equal_vector_quantize_pytorch():
    theirs = ResidualVQ(
        dim=6, codebook_size=32, num_quantizers=4, decay=0.99, rotation_trick=False
    ).eval()
    rvq, z = make(initialised=False), frames()
    for ours, layer in zip(rvq.codebooks, theirs.layers, strict=True):
        layer._codebook.initted.fill_(True)
        ours.ema_count.fill_(1.0)
        ours.ema_sum.copy_(torch.randn(32, 6))
        layer._codebook.embed.copy_(ours.vectors.unsqueeze(0))
    quantized, codes, _ = theirs(z.transpose(1, 2))
    assert torch.equal(rvq.encode(z), codes.permute(0, 2, 1))
    torch.testing.assert_close(rvq(z).z, quantized.transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_distortion_falls_with_every_codebook():
    rvq, z = make().eval(), frames(20, 100, seed=5)
    codes = rvq.encode(z)
    errors = [float((rvq.decode(codes[:, :k]) - z).square().mean()) for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 2
    torch.testing.assert_close(
        rvq.describe(rvq(z).statistics)["relative_error"],
        errors[-1] / float(z.var(dim=(0, 2), correction=0).mean()),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip


def test_any_prefix_of_codebooks_decodes_to_its_partial_sum():
    rvq, z = make().eval(), frames()
    codes = rvq.encode(z)
    partial = sum(
        layer.vectors[row]
        for layer, row in zip(rvq.codebooks, codes[:, :2].unbind(1), strict=False)
    )
    assert torch.equal(rvq.decode(codes[:, :2]), partial.transpose(1, 2))


def test_the_decoders_gradient_passes_once_and_every_commitment_reaches_the_encoder():
    rvq, z = make(commitment_weight=0.5), frames().requires_grad_()
    rvq(z).z.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))
    z.grad = None
    rvq(z).loss.sum().backward()
    codes, wanted = rvq.encode(z.detach()), torch.zeros_like(z)
    for k in range(1, 5):  # d/dz of 0.5 * mean over D of |z - sg(partial sum)|^2
        wanted += 0.5 * 2 * (z.detach() - rvq.decode(codes[:, :k])) / 6
    torch.testing.assert_close(z.grad, wanted)


def test_quantizer_dropout_is_by_item_and_leaves_the_statistics_alone():
    rvq, plain = make(dropout=1.0), make()
    rvq.train()
    keys = torch.arange(64)
    z = frames(64, 10)
    out, full = rvq(z, Context(keys=keys)), plain(z, Context(keys=keys))
    assert torch.equal(out.codes, full.codes)
    for k, v in full.statistics.sums.items():
        if not k.endswith("error"):
            assert torch.equal(out.statistics.sums[k], v)
    used = []
    for item in range(64):
        partial = [plain.decode(out.codes[item : item + 1, :k]) for k in range(1, 5)]
        used.append(next(k for k, p in enumerate(partial, 1) if torch.equal(p[0], out.z[item])))
    assert set(used) == {1, 2, 3, 4}
    deep = torch.tensor(used) == 4
    torch.testing.assert_close(out.loss[deep], full.loss[deep])
    assert (out.loss[~deep].sum(1) < full.loss[~deep].sum(1)).all()
    rvq.eval()
    assert torch.equal(rvq(z, Context(keys=keys)).z, full.z)


def test_half_of_the_items_keep_their_full_depth_at_dropout_one_half():
    rvq = make(dropout=0.5, num_codebooks=8, initialised=False)
    rvq.train()
    z = frames(2000, 1)
    depth = rvq._depth(Context(keys=torch.arange(2000)), z)
    share = float((depth == 8).float().mean())
    assert share == pytest.approx(0.5 + 0.5 / 8, abs=0.03)


def test_layers_are_initialised_on_what_the_ones_before_leave():
    rvq = make(kmeans_iterations=10)
    sizes = [float(layer.vectors.norm(dim=1).mean()) for layer in rvq.codebooks]
    assert all(a > b for a, b in itertools.pairwise(sizes))
    usage = rvq.describe(rvq(frames(8, 100, seed=1)).statistics)
    assert all(usage[f"usage/{k}"] == 1.0 for k in range(4))


def test_training_keeps_every_codebook_in_use():
    rvq = make(decay=0.9)
    rvq.train()
    for step in range(60):
        z = frames(8, 100, seed=step) * (1 + step / 20)  # the encoder drifts
        rvq.update(rvq(z, Context(keys=torch.arange(8) + 8 * step)).statistics)
    figures = rvq.describe(rvq(z).statistics)
    assert figures["usage"] == 1.0
    assert figures["drift"] < 0.5
    assert figures["relative_error"] < 0.2
