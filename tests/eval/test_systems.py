import math

import numpy as np
import pytest
import torch

from audiovq.errors import ConfigError
from audiovq.eval import measure
from audiovq.eval.evaluate import evaluate_systems
from audiovq.eval.systems import ModelSystem
from tests.eval.test_evaluate import CHEAP, corpus
from tests.helpers import noise, small_model

RVQ = {"name": "rvq", "dim": 6, "codebook_size": 16, "num_codebooks": 3}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("corpus"), speakers=5, each=1)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_prefix_is_what_its_codes_decode_to(number):
    model = small_model(RVQ)
    x = noise(1, 1234)
    system = ModelSystem(model, "rvq", number)
    found = system.render(x, x, "u")
    codes = model.encode(x)[:, :number]
    assert torch.equal(found.x_hat, model.decode(codes, 1234))
    assert system.label == f"rvq, {number} of 3"
    assert system.bitrate == 1600 * 4 * number
    assert found.counts.sum() == codes.numel()
    assert {"encode_rtf", "decode_rtf"} <= set(found.facts)


@torch.no_grad()
def test_every_rate_has_its_own_report(manifest):
    model = small_model(RVQ)
    systems = [ModelSystem(model, "rvq", k) for k in (1, 2, 3)]
    found = evaluate_systems(systems, manifest, metrics=CHEAP, progress=False)
    assert [r.rate for r in found.reports] == [6400, 12800, 19200]
    assert [len(r.counts) for r in found.reports] == [1, 2, 3]
    assert found.reports[1].counts == found.reports[2].counts[:2]
    alone = evaluate_systems(systems[1:2], manifest, metrics=CHEAP, progress=False).reports[0]
    assert alone["si_sdr"] == found.reports[1]["si_sdr"]
    assert found.reports[0].model["codebooks"] == 1
    assert "first 1 codebooks" in found.reports[0].title()


@torch.no_grad()
def test_long_prefixes_are_taken_in_pieces(manifest, monkeypatch):
    whole = [ModelSystem(small_model(RVQ), "rvq", 2)]
    expected = evaluate_systems(whole, manifest, metrics=CHEAP, progress=False).reports[0]
    monkeypatch.setattr(measure, "LONG_SECONDS", 0.05)
    found = evaluate_systems(whole, manifest, metrics=CHEAP, progress=False).reports[0]
    assert np.sum(found.counts) == np.sum(expected.counts)
    assert found["log_mel_distance"] == pytest.approx(expected["log_mel_distance"], rel=0.2)
    assert any("were streamed" in n for n in found.notes)


def test_a_model_trained_without_dropout_says_so():
    model = small_model({**RVQ, "dropout": 0.0})
    assert any("no prefix" in n for n in ModelSystem(model, "m", 2).notes())
    assert not list(ModelSystem(model, "m", 3).notes())
    assert not list(ModelSystem(small_model(RVQ), "m", 2).notes())


@pytest.mark.parametrize(
    ("bottleneck", "number", "message"),
    [
        ("identity", 1, "codebooks=1, but a identity model has none"),
        (RVQ, 4, "codebooks=4; this rvq model has 1 to 3"),
        (RVQ, 0, "codebooks=0; this rvq"),
        ({"name": "vqvae2", "dim": 6}, 1, "does not decode without all .* rows; only a residual"),
    ],
)
def test_models_without_such_a_prefix_are_refused(bottleneck, number, message):
    with pytest.raises(ConfigError, match=message):
        ModelSystem(small_model(bottleneck), "m", number)


def test_the_rate_of_one_codebook_is_honest():
    model = small_model()
    system = ModelSystem(model, "vq")
    assert system.bitrate == model.bitrate == model.frame_rate * math.log2(16)
    assert ModelSystem(small_model("identity"), "ae").bitrate is None
