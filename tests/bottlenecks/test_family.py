"""What holds for every member of the family inside an autoencoder."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from audiovq import registry, release
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.bottlenecks._base import Context, DiscreteBottleneck
from audiovq.config import parse
from audiovq.errors import CheckpointError
from tests.bottlenecks.test_contract import call, frames, keys, make
from tests.helpers import SMALL, noise

NAMES = registry.names("bottlenecks")
DISCRETE = [n for n in NAMES if issubclass(registry.get("bottlenecks", n).cls, DiscreteBottleneck)]
# Small versions: what is not named here is a field the bottleneck does not have.
SIZES = {"dim": 6, "codebook_size": 16, "slow_codebook_size": 8, "num_codebooks": 3, "ratio": 2,
         "candidates": 8, "bits": 5, "levels": [4, 4, 3]}  # fmt: skip


def config(name, **values):
    known = registry.get("bottlenecks", name).config.model_fields
    small = {k: v for k, v in SIZES.items() if k in known}
    if name == "fsq":
        small.pop("codebook_size")
    return parse(AutoencoderConfig, {**SMALL, "bottleneck": {"name": name, **small, **values}})


def model_of(name, **values):
    torch.manual_seed(0)
    model = Autoencoder(config(name, **values)).eval()
    if isinstance(model.bottleneck, DiscreteBottleneck):
        model.bottleneck.initialise(model.encoder(noise(4, 2000, seed=1)))
    return model


@pytest.mark.parametrize("name", NAMES)
def test_training_reaches_every_part_and_evaluation_is_the_same_padded(name):
    model = model_of(name).train()
    x, lengths = noise(3, 600), torch.tensor([600, 333, 77])
    x = torch.where(torch.arange(600) < lengths.view(-1, 1, 1), x, 0.0)
    out = model(x, lengths, torch.arange(3))
    (out.x_hat.square().mean() + out.bottleneck.loss.mean()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().sum() > 0, key
    model.eval()
    alone = model(x[1:2, :, :333]).x_hat
    padded = model(x, lengths).x_hat[1:2, :, :333]
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_is_the_same_model(name, tmp_path):
    model = model_of(name)
    model.save(tmp_path)
    again = release.load(tmp_path)
    x = noise(1, 700)
    assert again.fingerprint() == model.fingerprint()
    torch.testing.assert_close(again.reconstruct(x), model.reconstruct(x), atol=1e-6, rtol=1e-5)
    assert again.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("name", NAMES)
def test_reconstruction_in_blocks_is_that_of_the_whole(name):
    model, x = model_of(name), noise(1, 12000)
    blocks = torch.cat(list(model.reconstruct_blocks(x.split(999, dim=2))), dim=2)
    whole = model.decode_embedding(model.embed(x, exact=True), 12000)
    torch.testing.assert_close(blocks, whole, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_another_bottleneck_is_refused(name, tmp_path):
    other = "vq_ema" if name != "vq_ema" else "vq"
    model_of(name).save(tmp_path / "a")
    model_of(other).save(tmp_path / "b")
    (tmp_path / "a" / "model.safetensors").replace(tmp_path / "b" / "model.safetensors")
    with pytest.raises(CheckpointError):
        release.load(tmp_path / "b")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["one frame", "constant", "nan", "all masked"])
def test_bad_input_has_a_defined_result(name, case):
    module = make(name).train()
    z = frames(module, 2, 1 if case == "one frame" else 6)
    mask = torch.ones(2, 1, z.shape[2], dtype=torch.bool)
    if case == "constant":
        z = torch.full_like(z, 0.3)
    elif case == "nan":
        z[1] = float("nan")
    elif case == "all masked":
        mask[:] = False
    context = Context(mask=mask, keys=keys(2))
    out = call(module, z, context)
    if case == "nan":  # it shows, so that the guard stops the step; the good item is untouched
        assert not torch.isfinite(out.z[1]).all() or not torch.isfinite(out.loss[1]).all()
        good = call(module, z[:1], Context(mask=mask[:1], keys=keys(2)[:1]))
        assert torch.equal(good.z, out.z[:1])
    else:
        assert torch.isfinite(out.z).all()
        assert torch.isfinite(out.loss).all()
        if out.statistics is not None:
            module.update(out.statistics)
            assert all(torch.isfinite(b).all() for b in module.buffers() if b.is_floating_point())
            assert all(v == v for v in module.describe(out.statistics).values())  # noqa: PLR0124
    if out.codes is not None:
        sizes = torch.tensor(module.codebook_sizes).view(1, -1, 1)
        assert (out.codes >= 0).all()
        assert (out.codes < sizes).all()
    if case == "all masked":
        assert out.loss.abs().sum() == 0


@pytest.mark.parametrize("name", DISCRETE)
def test_a_codebook_larger_than_the_frames_it_starts_from_is_defined(name):
    module = make(name)
    z = frames(module, 1, 2)
    module.initialise(z)
    out = module(z, Context(keys=keys(1)))
    assert torch.isfinite(out.z).all()
    for _ in range(20):
        module.update(out.statistics)
    assert all(torch.isfinite(b).all() for b in module.buffers() if b.is_floating_point())


@pytest.mark.parametrize("name", NAMES)
def test_bf16_autocast_gives_the_same_codes_for_the_same_frames(name):
    module = make(name).eval()
    z = frames(module, 2, 50)
    plain = call(module, z, Context(keys=keys(2)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = call(module, z, Context(keys=keys(2)))
    if plain.codes is not None and name != "vqvae2":  # it has convolutions inside
        assert torch.equal(plain.codes, cast.codes)
        assert torch.equal(plain.z, cast.z)
    assert torch.isfinite(cast.loss).all()


# --------------------------------------------- recomputation and micro-batches


def step(model, optimizer, x, at, *, parts=1, recompute=False):
    """One training step on micro-batches, losses normalised over the whole."""
    optimizer.zero_grad()
    statistics = None
    each = len(x) // parts
    for i in range(0, len(x), each):
        arguments = (x[i : i + each], None, torch.arange(i, i + each) + len(x) * at)
        out = checkpoint(model, *arguments, use_reentrant=False) if recompute else model(*arguments)
        loss = (out.x_hat - x[i : i + each]).square().mean() * 100 + out.bottleneck.loss.mean()
        (loss / parts).backward()
        found = out.bottleneck.statistics
        statistics = found if statistics is None else statistics + found
    optimizer.step()
    if statistics is not None:
        model.bottleneck.update(statistics)


def trained(name, dtype, steps, **how):
    model = model_of(name).to(dtype).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for at in range(steps):
        step(model, optimizer, noise(8, 200, seed=at).to(dtype), at, **how)
    return {k: v.clone() for k, v in model.bottleneck.named_buffers()}


@pytest.mark.parametrize("name", ["vq_ema", "rvq", "vqvae2", "lfq", "vae_constrained"])
def test_recomputation_leaves_the_learned_state_bit_for_bit(name):
    steps = 200 if name == "vq_ema" else 30
    plain = trained(name, torch.float32, steps)
    again = trained(name, torch.float32, steps, recompute=True)
    assert all(torch.equal(plain[k], again[k]) for k in plain)


@pytest.mark.parametrize("name", ["vq_ema", "rvq", "vqvae2", "lfq", "sparse", "vae_constrained"])
def test_four_micro_batches_equal_one_batch(name):
    steps = 200 if name == "vq_ema" else 30
    whole = trained(name, torch.float64, steps)
    parts = trained(name, torch.float64, steps, parts=4)
    for k, v in whole.items():
        torch.testing.assert_close(parts[k], v, rtol=1e-9, atol=1e-9, msg=k)


@pytest.mark.parametrize("name", NAMES)
def test_reconstruction_of_silence_is_defined(name):
    x_hat = model_of(name).reconstruct(torch.zeros(1, 1, 500))
    assert x_hat.shape == (1, 1, 500)
    assert torch.isfinite(x_hat).all()
