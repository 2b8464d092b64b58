"""Latents of a model as features."""

import pytest
import torch

from audiovq.units.features.latent import LatentFeatures
from tests.helpers import noise, small_model

KINDS = ("identity", {"name": "vae", "dim": 5}, {"name": "vqvae2", "dim": 4})


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_they_are_what_the_decoder_receives_however_the_audio_arrives(kind):
    model = small_model(kind)
    features = LatentFeatures(model)
    for length in (1, 19, 640, 7001):
        x = noise(1, length, seed=length)
        found = features(x)
        assert found.shape == (model.frames(length), features.dim)
        z = model.embed(x, exact=True)[0]  # (D, T * stride)
        by_frame = z.unflatten(1, (-1, model.bottleneck.stride)).permute(1, 2, 0).flatten(1)
        assert torch.equal(found, by_frame)
        parts = features.blocks(x.split(501, dim=-1))
        assert torch.equal(torch.cat(list(parts)), found)


def test_the_plain_autoencoder_is_called_by_its_name():
    model = small_model("identity")
    assert LatentFeatures(model).label == "ae"
    assert LatentFeatures(small_model({"name": "vae", "dim": 5})).label == "vae"
    assert LatentFeatures(model).fingerprint() == model.fingerprint()
