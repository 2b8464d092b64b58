import pytest
import torch

from audiovq.bottlenecks._base import Context
from audiovq.config import parse
from audiovq.decoders._speaker_reference import ReferenceConfig, ReferenceEncoder
from audiovq.decoders._speaker_table import SpeakerConfig, SpeakerTable
from tests.helpers import noise


def make(**values):
    torch.manual_seed(0)
    return ReferenceEncoder(parse(ReferenceConfig, {"channels": 8, **values}), 5)


def coloured(seed, tilt):
    """Noise whose spectrum leans one way or the other."""
    x = noise(1, 8000, seed=seed)
    return x - tilt * torch.cat([torch.zeros(1, 1, 1), x[..., :-1]], dim=-1)


def test_loudness_pauses_and_order_hardly_matter_and_the_spectrum_does():
    encoder, x = make(), coloured(0, 0.9)
    here = encoder(x)
    assert here.shape == (1, 5)
    torch.testing.assert_close(encoder(0.1 * x), here, atol=1e-3, rtol=1e-3)
    same = [
        encoder(torch.cat([x, torch.zeros(1, 1, 16000)], dim=-1)),
        encoder(torch.cat([x[..., 4000:], x[..., :4000]], dim=-1)),
        encoder(coloured(1, 0.9)),
    ]
    other = (encoder(coloured(0, -0.9)) - here).norm()
    for found in same:
        assert (found - here).norm() < other / 3


@pytest.mark.parametrize("length", [1, 199, 200, 801])
def test_any_length_and_silence_give_finite_values_and_gradients(length):
    encoder = make()
    found = encoder(torch.cat([noise(1, length), torch.zeros(1, 1, length)]))
    found.square().sum().backward()
    assert torch.isfinite(found).all()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())


def table(**values):
    torch.manual_seed(0)
    config = {"speakers": ["ann", "bob"], "speaker_dim": 5, "unknown": 0.0, **values}
    return SpeakerTable(parse(SpeakerConfig, config))


def test_a_share_of_voices_is_heard_by_keys_and_the_rest_is_looked_up():
    heard = table(reference={"channels": 8, "share": 0.3})
    items, x = 600, noise(1, 400).expand(600, -1, -1)
    rows = torch.ones(items, dtype=torch.int64)
    context = Context(condition=rows, keys=torch.arange(items), reference=x)
    voices = heard.voices(torch.zeros(items, 1, 1), context)
    looked_up = (voices == heard.weight[1]).all(dim=1)
    assert looked_up.float().mean().item() == pytest.approx(0.7, abs=0.06)
    expected = heard.reference(x[:1])
    torch.testing.assert_close(voices[~looked_up], expected.expand(int((~looked_up).sum()), -1))


def test_a_vector_is_taken_as_it_is_and_without_a_reference_none_is_heard():
    voices, z = torch.randn(2, 5), torch.zeros(2, 1, 1)
    for with_one in (table(), table(reference={})):
        assert torch.equal(with_one.voices(z, Context(condition=voices)), voices)
        rows = Context(condition=torch.tensor([2, 0]), keys=torch.arange(2))
        assert torch.equal(with_one.voices(z, rows), with_one.weight[[2, 0]])
    assert table().reference is None
