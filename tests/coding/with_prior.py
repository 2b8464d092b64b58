"""Priors of a small model's codes, for tests of files that are written with one."""

import torch

from audiovq.config import parse
from audiovq.prior._release import About, TrainedPrior
from tests.helpers import noise

PRIORS = {
    "ngram": {"name": "ngram", "order": 2},
    "wavenet": {"name": "wavenet", "channels": 8, "skip_channels": 8, "dilations": [1, 2]},
}


def prior_of(model, name="ngram", *, seed=0):
    """A prior of the model's codes, of all rows: counted on noise, or untrained."""
    codes = {
        "model_hash": model.fingerprint(), "sample_rate": model.sample_rate,
        "hop_length": model.hop_length, "codebook_sizes": model.codebook_sizes,
    }  # fmt: skip
    about = parse(About, {"prior": PRIORS[name], "codes": codes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        trained = TrainedPrior.build(about)
    if name == "ngram":
        trained.module.fit([(model.encode(noise(1, 20_000, seed=seed))[0], 0)])
    trained.module.eval().requires_grad_(requires_grad=False)
    return trained
