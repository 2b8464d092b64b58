"""FSQ, LFQ and BSQ: codes without a codebook, against vector-quantize-pytorch and full tables."""

import math

import pytest
import torch
import vector_quantize_pytorch as theirs_of
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.bottlenecks import _binary as binary
from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.bsq import BSQ
from audiovq.bottlenecks.bsq import Config as BSQConfig
from audiovq.bottlenecks.fsq import FSQ
from audiovq.bottlenecks.fsq import Config as FSQConfig
from audiovq.bottlenecks.lfq import LFQ
from audiovq.bottlenecks.lfq import Config as LFQConfig
from audiovq.config import parse
from audiovq.errors import ConfigError


def frames(dim, items=4, length=50, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, dim, length, generator=generator) * scale


@pytest.mark.parametrize("levels", [(8, 8, 8), (8, 5, 5, 5), (3,), (3, 4), (7, 5, 5, 5, 5)])
def test_fsq_equals_vector_quantize_pytorch(levels):
    ours, theirs = FSQ(parse(FSQConfig, {"levels": levels})), theirs_of.FSQ(levels=list(levels))
    a, b = (frames(len(levels), scale=2.0).requires_grad_() for _ in range(2))
    values, codes = theirs(b.transpose(1, 2))
    out = ours(a)
    assert torch.equal(out.codes[:, 0], codes.long())
    torch.testing.assert_close(out.z, values.transpose(1, 2))
    out.z.square().sum().backward()
    values.square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(3, 9), min_size=1, max_size=5))
def test_every_fsq_code_decodes_to_its_own_place(levels):
    fsq = FSQ(parse(FSQConfig, {"levels": levels}))
    N = math.prod(levels)
    codes = torch.arange(N).view(1, 1, N)
    values = fsq.decode(codes)
    assert values.abs().max() <= 1
    assert len({tuple(v) for v in values[0].T.tolist()}) == N
    digits, rest = [], torch.arange(N)
    for size in levels:
        digits.append(rest % size)
        rest //= size
    half = (torch.tensor(levels) // 2).unsqueeze(1)
    assert torch.equal((values[0] * half + half).round().long(), torch.stack(digits))


def test_fsq_reaches_its_outer_levels():
    fsq = FSQ(parse(FSQConfig, {"levels": [8, 5]}))
    out = fsq(torch.tensor([[[-50.0, 50.0], [-50.0, 50.0]]]))
    assert out.codes.flatten().tolist() == [0, 39]


def test_fsq_refuses_a_codebook_size_its_levels_do_not_make():
    with pytest.raises(ConfigError, match=r"levels \[8, 5\] make 40 codes, codebook_size=64"):
        parse(FSQConfig, {"levels": [8, 5], "codebook_size": 64})
    with pytest.raises(ConfigError, match="at most"):
        parse(FSQConfig, {"levels": [1000, 1000, 1000]})
    assert parse(FSQConfig, {"levels": [8, 5], "codebook_size": 40}).codebook_size == 40


def full_table(logits):
    """Probability of every code of every row, one code at a time in float64."""
    p = logits.double().sigmoid()
    D = logits.shape[1]
    bits = binary.to_signs(torch.arange(1 << D).view(1, 1, -1), D)[0].T > 0
    return torch.stack([torch.where(b, p, 1 - p).prod(1) for b in bits], dim=1)


@pytest.mark.parametrize("dim", [1, 2, 5, 6])
def test_soft_codes_equal_the_full_table(dim):
    logits = frames(dim, 1, 20)[0].T
    table = full_table(logits)
    soft, weights = binary.soft(logits), torch.rand(20)
    weighted = (table * weights.unsqueeze(1)).sum(0).float()
    torch.testing.assert_close(soft.total(weights).flatten(), weighted, atol=1e-5, rtol=1e-4)
    values = torch.randn_like(soft.total(weights))
    torch.testing.assert_close(
        soft.expect(values).double(), table @ values.flatten().double(), atol=1e-5, rtol=1e-4
    )
    entropy = -torch.special.xlogy(table, table).sum(1)
    torch.testing.assert_close(binary.bit_entropy(logits).double(), entropy, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 0.2])
def test_lfq_codes_entropies_and_gradient_equal_vector_quantize_pytorch(temperature):
    """Their entropy of the batch's mean is ours when the running mean is that of the batch."""
    values = {"bits": 6, "temperature": temperature, "entropy_weight": 0.3, "diversity": 0.7}
    ours = LFQ(parse(LFQConfig, {**values, "commitment_weight": 0.2, "decay": 0.0}))
    theirs = theirs_of.LFQ(
        codebook_size=64, entropy_loss_weight=0.3, diversity_gamma=0.7, commitment_loss_weight=0.2
    ).train()
    a, b = (frames(6, scale=0.3).requires_grad_() for _ in range(2))
    ours.update(ours(a).statistics)
    out = ours(a)
    (values, codes, loss), parts = theirs(
        b.transpose(1, 2), inv_temperature=1 / temperature, return_loss_breakdown=True
    )
    assert torch.equal(out.codes[:, 0], codes.long())
    assert torch.equal(out.z, values.transpose(1, 2))
    torch.testing.assert_close(out.loss.mean(), loss, atol=1e-4, rtol=1e-4)
    mean_entropy = -torch.special.xlogy(ours.mean, ours.mean).sum()
    torch.testing.assert_close(mean_entropy, parts.batch_entropy, atol=1e-4, rtol=1e-4)
    out.loss.mean().backward()
    loss.backward()
    torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-3)


def test_bsq_codes_are_signs_on_the_sphere():
    bsq = BSQ(parse(BSQConfig, {"bits": 7}))
    z = frames(7)
    out = bsq(z)
    torch.testing.assert_close(out.z, z.sign() / math.sqrt(7))
    torch.testing.assert_close(out.z.norm(dim=1), torch.ones(4, 50))
    theirs = theirs_of.LFQ(codebook_size=128, spherical=True).eval()
    assert torch.equal(out.codes[:, 0], theirs(z.transpose(1, 2)).indices.long())


@pytest.mark.parametrize("dim", [1, 9, 20])
def test_signs_and_codes_are_each_others_inverse(dim):
    codes = torch.cat([torch.tensor([0, (1 << dim) - 1]), torch.randint(0, 1 << dim, (300,))])
    codes = codes.view(2, 1, 151)
    assert torch.equal(binary.to_codes(binary.to_signs(codes, dim, 0.3), None), codes)
    assert binary.to_signs(torch.tensor([[[1]]]), 3).flatten().tolist() == [-1.0, -1.0, 1.0]


def test_bsq_entropies_equal_plain_formulas_on_the_batch():
    bsq = BSQ(
        parse(BSQConfig, {"bits": 5, "decay": 0.0, "entropy_weight": 1.0, "temperature": 0.5})
    )
    z = frames(5).requires_grad_()
    bsq.update(bsq(z).statistics)

    def formula(z):
        u = torch.nn.functional.normalize(z.transpose(1, 2).reshape(-1, 5), dim=1)
        corners = torch.tensor([-1.0, 1.0]) / math.sqrt(5)
        q = (-(u.unsqueeze(2) - corners).square() / 0.5).softmax(2)  # bit by bit
        each = -torch.special.xlogy(q, q).sum((1, 2)).mean()
        mean = q.mean(0)
        return each + torch.special.xlogy(mean, mean).sum()

    gradient = torch.autograd.grad(bsq(z).loss.mean(), z)[0]
    torch.testing.assert_close(bsq(z).loss.mean(), formula(z), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(formula(z), z)[0], atol=1e-7, rtol=1e-3
    )


@pytest.mark.parametrize("make", [lambda: LFQ(LFQConfig(bits=5)), lambda: BSQ(BSQConfig(bits=5))])
def test_the_running_mean_is_that_of_real_frames_of_all_batches(make):
    module, z = make(), frames(5)
    mask = (torch.arange(50) < 20).expand(4, 1, 50)
    cut = module(z[..., :20].contiguous()).statistics
    torch.testing.assert_close(
        module(z, Context(mask=mask)).statistics.sums["soft"], cut.sums["soft"]
    )
    before = module.mean.clone()
    module.update(module(z, Context(mask=torch.zeros_like(mask))).statistics)
    assert torch.equal(module.mean, before)


@pytest.mark.parametrize("make", [
    lambda: LFQ(LFQConfig(bits=5)), lambda: BSQ(BSQConfig(bits=5)), lambda: FSQ(FSQConfig()),
])  # fmt: skip
def test_initialise_spreads_frames_that_are_alike_over_the_codes(make):
    module = make()
    D = module.in_channels
    alike = frames(1).expand(-1, D, -1) + 0.1 * frames(D, seed=1) + 7.0
    before = module.describe(module(alike).statistics)["perplexity"]
    module.initialise(alike)
    after = module.describe(module(alike).statistics)["perplexity"]
    assert before < 3
    assert after > 20
    module.initialise(torch.full((1, D, 9), 0.3))  # constant frames are only centred
    assert torch.isfinite(module(alike).z).all()
