"""The modules that become graphs of streams, before anything is exported."""

import pytest
import torch

from audiovq.errors import ConfigError
from audiovq.export import parts, streams
from audiovq.export.parts import Wanted
from tests.export.models import spectra
from tests.helpers import noise, small_model, voices_model


def stepped(graph, x, block, *others):
    state = tuple(torch.zeros(len(x), *p.shape[1:]) for p in graph.inputs[-graph.states :])
    found = []
    for part in torch.split(x, block, dim=-1):
        y, state = graph.module(part, *others, state)
        found.append(y)
    return torch.cat(found, dim=-1)


@pytest.mark.parametrize("frames", [1, 5])
@pytest.mark.parametrize("make", [small_model, spectra])
def test_steps_give_what_all_at_once_gives(make, frames):
    model = make(causal=True)
    _, encoder, _, decoder = parts.of(model, Wanted())
    x = noise(2, 200)
    codes = model.encode(x)
    assert torch.equal(stepped(encoder, x, 10 * frames), codes)
    found = stepped(decoder, codes, frames)
    assert (found - model.decode(codes)).abs().max() < 1e-5


def test_a_speaker_is_an_input_or_fixed():
    model = voices_model(causal=True)
    codes = model.encode(noise(2, 200))
    told = parts.of(model, Wanted(("decoder",)))[1]
    rows = torch.tensor([2, 0])
    wanted = model.decode(codes, condition=rows)
    assert (stepped(told, codes, 5, rows) - wanted).abs().max() < 1e-5
    fixed = parts.of(model, Wanted(("decoder",), speaker="bob"))[1]
    wanted = model.decode(codes, condition=model.speaker_index(["bob", "bob"]))
    assert (stepped(fixed, codes, 5) - wanted).abs().max() < 1e-5


def test_why_a_model_cannot_stream():
    assert streams.refusal(small_model(causal=True), "encoder") == ""
    assert "looks" in streams.refusal(small_model(), "encoder")
    assert [g.name for g in parts.of(small_model(), Wanted())] == ["encoder", "decoder"]


def test_the_first_codebooks_of_a_residual_model():
    model = spectra()
    encoder, decoder = parts.of(model, Wanted(codebooks=1))
    x = noise(1, 95)
    codes = model.encode(x)[:, :1]
    assert torch.equal(encoder.module(x), codes)
    assert (decoder.module(codes) - model.decode(codes)).abs().max() < 1e-5
    with pytest.raises(ConfigError, match="continuous and has no codebooks"):
        parts.of(small_model("identity"), Wanted(codebooks=1))
    with pytest.raises(ConfigError, match="gvq needs all"):
        parts.of(small_model({"name": "gvq", "dim": 6, "num_codebooks": 2}), Wanted(codebooks=1))


def test_the_model_is_left_as_it_was():
    model = small_model()
    before = model.fingerprint()
    x = model(noise(1, 100)).x_hat
    parts.of(model, Wanted())
    assert torch.equal(model(noise(1, 100)).x_hat, x)
    assert model.fingerprint() == before
