"""One contract for every bottleneck in the folder: a new file is tested by being there."""

import copy
import dataclasses

import pytest
import torch
from einops import rearrange

from audiovq import registry
from audiovq.bottlenecks._base import Context, DiscreteBottleneck
from audiovq.config import parse
from audiovq.errors import ConfigError

NAMES = registry.names("bottlenecks")
DISCRETE = [n for n in NAMES if issubclass(registry.get("bottlenecks", n).cls, DiscreteBottleneck)]


def make(name, **values):
    """The bottleneck at its defaults, initialised from frames where it has codebooks."""
    found = registry.get("bottlenecks", name)
    torch.manual_seed(0)
    module = found.cls(parse(found.config, {"name": name, **values}))
    if isinstance(module, DiscreteBottleneck):
        module.initialise(frames(module, 8, 100, seed=9))
    return module


def frames(module, items, length, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, module.in_channels, length * module.stride, generator=generator)


def call(module, z, context=Context()):
    """The forward pass; a contractive one gets a waveform of which z is a rearrangement."""
    if module.needs_input_gradient:
        z = z if z.requires_grad else z.detach().requires_grad_()
        x = rearrange(z, "b c t -> b 1 (t c)")
        z = rearrange(x, "b 1 (t c) -> b c t", c=module.in_channels)
        context = dataclasses.replace(context, x=x)
    return module(z, context)


def keys(items):
    return torch.arange(items) + 10


def snapshot(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(params=NAMES)
def module(request):
    return make(request.param)


@pytest.fixture(params=DISCRETE)
def discrete(request):
    return make(request.param)


@pytest.mark.parametrize("training", [True, False])
def test_forward_changes_no_state_and_no_generator(module, training):
    module.train(training)
    before, generator = snapshot(module), torch.get_rng_state()
    call(module, frames(module, 3, 20), Context(keys=keys(3)))
    assert same(snapshot(module), before)
    assert torch.equal(torch.get_rng_state(), generator)


def test_forward_repeats_itself(module):
    z, context = frames(module, 3, 20), Context(keys=keys(3))
    a, b = call(module, z, context), call(module, z, context)
    assert torch.equal(a.z, b.z)
    assert torch.equal(a.loss, b.loss)


def test_shapes_and_finite_gradient(module):
    module.train()
    z = frames(module, 2, 12).requires_grad_()
    out = call(module, z, Context(keys=keys(2)))
    assert out.z.shape == (2, module.out_channels, 12 * module.stride)
    assert out.loss.shape == (2, 12 * module.stride)
    (out.z.square().sum() + out.loss.sum()).backward()
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().sum() > 0


def test_one_item_of_one_frame_works(module):
    out = call(module, frames(module, 1, 1), Context(keys=keys(1)))
    assert torch.isfinite(out.z).all()
    if out.statistics is not None:
        module.update(out.statistics)
        assert all(torch.isfinite(v).all() for v in snapshot(module).values())


def test_masked_frames_change_nothing(module):
    z = frames(module, 2, 20)
    mask = torch.ones(2, 1, 20 * module.stride, dtype=torch.bool)
    mask[1, :, 13 * module.stride :] = False
    other = torch.where(mask, z, 100.0)
    module.train()
    a = call(module, z, Context(mask=mask, keys=keys(2)))
    b = call(module, other, Context(mask=mask, keys=keys(2)))
    assert torch.equal(a.loss, b.loss)
    assert a.loss[~mask.squeeze(1)].abs().sum() == 0
    assert torch.equal(a.z * mask, b.z * mask)
    for k in a.metrics:
        assert torch.equal(a.metrics[k], b.metrics[k])
    if a.statistics is not None:
        for k in a.statistics.sums:
            torch.testing.assert_close(a.statistics.sums[k], b.statistics.sums[k])
        for k in a.statistics.candidates:
            assert torch.equal(a.statistics.candidates[k].hashes, b.statistics.candidates[k].hashes)
            assert torch.equal(a.statistics.candidates[k].frames, b.statistics.candidates[k].frames)


def test_two_half_batches_add_up_to_the_whole(module):
    module.train()
    z, k = frames(module, 6, 15), keys(6)
    whole = call(module, z, Context(keys=k))
    halves = [call(module, z[i : i + 3], Context(keys=k[i : i + 3])) for i in (0, 3)]
    torch.testing.assert_close(torch.cat([h.loss for h in halves]), whole.loss)
    torch.testing.assert_close(torch.cat([h.z for h in halves]), whole.z)
    if whole.statistics is None:
        return
    for merged in (
        halves[0].statistics + halves[1].statistics,
        halves[1].statistics + halves[0].statistics,
    ):
        for name in whole.statistics.sums:
            torch.testing.assert_close(merged.sums[name], whole.statistics.sums[name])
        for name, candidates in whole.statistics.candidates.items():
            assert torch.equal(merged.candidates[name].hashes, candidates.hashes)
            assert torch.equal(merged.candidates[name].frames, candidates.frames)
        copies = [copy.deepcopy(module) for _ in range(2)]
        copies[0].update(merged)
        copies[1].update(whole.statistics)
        for a, b in zip(copies[0].buffers(), copies[1].buffers(), strict=True):
            torch.testing.assert_close(a, b)


def test_an_empty_batch_of_frames_updates_to_finite_state(module):
    z = frames(module, 2, 5)
    mask = torch.zeros(2, 1, 5 * module.stride, dtype=torch.bool)
    statistics = call(module, z, Context(mask=mask, keys=keys(2))).statistics
    if statistics is not None:
        for _ in range(30):
            module.update(statistics)
        assert all(torch.isfinite(v).all() for v in snapshot(module).values())


def test_state_round_trips(module):
    again = make(module.config.name)
    again.load_state_dict(snapshot(module))
    z = frames(module, 2, 7)
    assert torch.equal(
        call(again, z, Context(keys=keys(2))).z, call(module, z, Context(keys=keys(2))).z
    )


def test_outputs_are_pytrees(module):
    from torch.utils import _pytree as pytree

    out = call(module, frames(module, 2, 4), Context(keys=keys(2)))
    leaves, spec = pytree.tree_flatten(out)
    assert sum(isinstance(leaf, torch.Tensor) for leaf in leaves) >= 2
    assert torch.equal(pytree.tree_unflatten(leaves, spec).z, out.z)


def test_codes_are_int64_in_range(discrete):
    z = frames(discrete, 3, 21)
    codes = call(discrete, z, Context(keys=keys(3))).codes
    assert codes.dtype == torch.int64
    assert codes.shape == (3, len(discrete.codebook_sizes), 21)
    for row, size in enumerate(discrete.codebook_sizes):
        assert codes[:, row].min() >= 0
        assert codes[:, row].max() < size
    assert len(discrete.layout) == codes.shape[1]


def test_forward_in_eval_is_encode_then_decode_bit_for_bit(discrete):
    discrete.eval()
    z, context = frames(discrete, 3, 21), Context(keys=keys(3))
    out = call(discrete, z, context)
    assert torch.equal(discrete.encode(z), out.codes)
    assert torch.equal(discrete.decode(out.codes), out.z)
    assert torch.equal(discrete.embed(z, Context()), out.z)


def test_codes_past_an_end_are_zero(discrete):
    z = frames(discrete, 2, 10)
    mask = (torch.arange(10 * discrete.stride) < 4 * discrete.stride).expand(2, 1, -1)
    assert discrete.encode(z, Context(mask=mask))[..., 4:].abs().sum() == 0
    assert call(discrete, z, Context(mask=mask, keys=keys(2))).codes[..., 4:].abs().sum() == 0


def test_description_of_an_epoch_is_not_an_average_over_batches(discrete):
    z, context = frames(discrete, 12, 40), Context(keys=keys(12))
    whole = discrete.describe(call(discrete, z, context).statistics)
    parts = [
        call(discrete, z[i : i + 1], Context(keys=keys(12)[i : i + 1])).statistics
        for i in range(12)
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged + part
    assert discrete.describe(merged) == pytest.approx(whole)
    assert {"perplexity", "usage"} <= {k.rsplit("/")[-1] for k in whole}


def test_autocast_changes_what_is_computed_in_it_but_not_what_is_learned(module):
    """Statistics and loss are float32, and an update takes them."""
    module.train()
    z = frames(module, 3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = call(module, z.bfloat16().float(), Context(keys=keys(3)))
    assert out.loss.dtype == torch.float32
    if out.statistics is not None:
        assert all(v.dtype == torch.float32 for v in out.statistics.sums.values())
        module.update(out.statistics)
    assert all(torch.isfinite(b).all() for b in module.buffers() if b.is_floating_point())


@pytest.mark.parametrize("case", ["all masked", "nan"])
def test_a_codebook_is_refused_where_there_is_nothing_to_start_from(discrete, case):
    z = frames(discrete, 2, 10)
    mask = torch.full((2, 1, z.shape[2]), case != "all masked")
    if case == "nan":
        z[0, 0, 3] = torch.nan
    before = snapshot(discrete)
    with pytest.raises(ConfigError, match="finite frames"):
        discrete.initialise(z, Context(mask=mask))
    assert same(before, snapshot(discrete))
