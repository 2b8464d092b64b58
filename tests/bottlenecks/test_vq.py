"""The VQ-VAE paper's three terms: each gradient goes exactly where it should."""

import pytest
import torch
from vector_quantize_pytorch import SimVQ as TheirSimVQ

from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.simvq import Config as SimConfig
from audiovq.bottlenecks.simvq import SimVQ
from audiovq.bottlenecks.vq import VQ, Config
from audiovq.config import parse


def make(**values):
    vq = VQ(parse(Config, {"dim": 4, "codebook_size": 8, **values}))
    vq.initialise(frames(seed=1))
    return vq


def frames(items=4, length=50, seed=0):
    return torch.randn(items, 4, length, generator=torch.Generator().manual_seed(seed))


def test_loss_is_equation_3():
    vq, z = make(), frames()
    out = vq(z)
    rows = z.transpose(1, 2)
    code = vq.codebook.detach()[out.codes[:, 0]]
    distance = (rows - code).square().mean(2)
    torch.testing.assert_close(out.loss.detach(), distance * (1 + 0.25))


def test_the_codebook_learns_from_the_second_term_only():
    vq, z = make(), frames().requires_grad_()
    out = vq(z)
    assert torch.autograd.grad(out.z.sum(), vq.codebook, retain_graph=True, allow_unused=True) == (
        None,
    )
    gradient, to_z = torch.autograd.grad(out.loss.sum(), [vq.codebook, z])
    rows, codes = z.detach().transpose(1, 2).reshape(-1, 4), out.codes.flatten()
    book = vq.codebook.detach().clone().requires_grad_()
    second = (rows - book[codes]).square().mean(1).sum()
    torch.testing.assert_close(gradient, torch.autograd.grad(second, book)[0])
    free = z.detach().clone().requires_grad_()
    third = 0.25 * (free.transpose(1, 2).reshape(-1, 4) - book.detach()[codes]).square().mean(1)
    torch.testing.assert_close(to_z, torch.autograd.grad(third.sum(), free)[0])


def test_the_encoder_gets_the_gradient_of_the_decoders_input():
    vq, z = make(), frames().requires_grad_()
    weight = torch.randn(4, 4)
    out = vq(z)
    (gradient,) = torch.autograd.grad((weight @ out.z).square().sum(), z)
    z_q = out.z.detach().requires_grad_()
    (wanted,) = torch.autograd.grad((weight @ z_q).square().sum(), z_q)
    assert torch.equal(gradient, wanted)


def test_gradient_descent_on_the_second_term_reaches_the_means():
    vq, z = make(codebook_size=4), frames(items=8, length=100)
    optimizer = torch.optim.SGD(vq.parameters(), lr=2.0)
    for _ in range(400):
        optimizer.zero_grad()
        (vq(z).loss.sum() / 800).backward()
        optimizer.step()
    codes = vq.encode(z).flatten()
    rows = z.transpose(1, 2).reshape(-1, 4)
    means = torch.stack([rows[codes == n].mean(0) for n in range(4)])
    torch.testing.assert_close(vq.codebook.detach(), means, atol=2e-2, rtol=2e-2)
    assert vq.describe(vq(z).statistics)["drift"] < 0.05


def test_masked_frames_give_the_codebook_no_gradient():
    vq, z = make(), frames()
    mask = torch.zeros(4, 1, 50, dtype=torch.bool)
    vq(z, Context(mask=mask)).loss.sum().backward()
    assert vq.codebook.grad.abs().sum() == 0


@pytest.mark.parametrize("rotation", [False, True])
def test_simvq_equals_vector_quantize_pytorch(rotation):
    theirs = TheirSimVQ(dim=4, codebook_size=16, rotation_trick=rotation)
    estimator = "rotation" if rotation else "straight_through"
    ours = SimVQ(parse(SimConfig, {"dim": 4, "codebook_size": 16, "estimator": estimator}))
    ours.frozen.copy_(theirs.frozen_codebook)
    ours.map.data.copy_(theirs.code_transform.weight.T)
    a, b = (frames().requires_grad_() for _ in range(2))
    quantized, codes, loss = theirs(b.transpose(1, 2))
    out = ours(a)
    assert torch.equal(out.codes[:, 0], codes)
    torch.testing.assert_close(out.z, quantized.transpose(1, 2))
    torch.testing.assert_close(out.loss.mean(), loss)
    (out.z.square().mean() + out.loss.mean()).backward()
    (quantized.square().mean() + loss).backward()
    torch.testing.assert_close(a.grad, b.grad)


def test_simvq_moves_every_code_with_one_map():
    vq = SimVQ(parse(SimConfig, {"dim": 4, "codebook_size": 16}))
    before = vq.codebook.detach().clone()
    vq(frames()).loss.sum().backward()
    with torch.no_grad():
        vq.map -= 0.01 * vq.map.grad
    assert ((vq.codebook - before).abs().sum(1) > 0).all()
    vq.initialise(frames() + 5)
    figures = vq.describe(vq(frames() + 5).statistics)
    assert figures["usage"] == 1.0
    assert figures["drift"] < 0.3
