import pytest
import torch

from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from tests.helpers import SMALL, noise, small_model

SPECTRA = {"channels": 8, "fast_channels": 6, "stft_hop": 5, "causal": True}
RVQ = {"name": "rvq", "dim": 6, "codebook_size": 16, "num_codebooks": 3}
VQVAE2 = {"name": "vqvae2", "dim": 6, "codebook_size": 16, "slow_codebook_size": 16, "ratio": 3}
BLOCKS = [1, 7, 10, 33, 1000]


def spectral_model(bottleneck=RVQ):
    values = {
        **SMALL,
        "encoder": {"name": "stft", "strides": [2, 5], **SPECTRA},
        "decoder": {"name": "istft", **SPECTRA},
        "bottleneck": bottleneck,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoencoder(parse(AutoencoderConfig, values)).eval()
        if model.is_discrete:
            model.bottleneck.initialise(model.encoder(noise(4, 2000, seed=1)))
    return model


MODELS = {
    "conv": lambda: small_model(RVQ, causal=True),
    "spectra": spectral_model,
    "vqvae2": lambda: small_model({**VQVAE2, "causal": True}, causal=True),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


def in_blocks(function, x, size):
    """Give x block by block, and join what comes out."""
    parts = list(x.split(size, dim=-1))
    return torch.cat([function(p, last=i == len(parts) - 1) for i, p in enumerate(parts)], dim=-1)


@pytest.mark.parametrize("size", BLOCKS)
def test_in_blocks_of_any_size_it_equals_the_whole(model, size):
    x = noise(3, 157, seed=2)
    codes, x_hat = model.encode(x), model.reconstruct(x)
    with model.stream(3) as stream:
        assert torch.equal(in_blocks(stream.encode, x, size), codes)
    with model.stream(3) as stream:
        found = in_blocks(stream.reconstruct, x, size)
    torch.testing.assert_close(found, x_hat, atol=1e-5, rtol=0)
