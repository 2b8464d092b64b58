"""The bytes that every copy has written since the first version of the format."""

import hashlib

import numpy as np
import pytest
import torch

from audiovq.coding import fixed
from audiovq.coding.prior_codes import PriorCodes
from tests.coding.test_prior_codes import trained

SIZES, FRAMES = (12, 9), 40
BYTES = {
    "lstm": "e738ba047d4b70ea",
    "ngram": "8537ca8696cd4b7a",
    "pixelcnn": "b91893b470ab7034",
    "transformer": "f35b1ebd77e79ed4",
    "wavenet": "86f8c463dc2fc32f",
}


def sequence(count, seed):
    """Numbers in [0, 1) that no version of a library can change."""
    return (np.arange(seed, seed + count) * 2654435761 % 2**32) / 2**32


def codes_of(items):
    flat = [sequence(FRAMES * items, 7 * k) ** 2 * n for k, n in enumerate(SIZES)]
    return torch.from_numpy(np.stack(flat).astype(np.int64)).split(FRAMES, dim=1)


def made(name):
    """A prior of weights that are far from nothing; they are stated here, not drawn."""
    found = trained(name, SIZES, channels=8)
    if hasattr(found.module, "fit"):
        found.module.fit(codes_of(3))
        return found
    with torch.no_grad():
        for i, (_, weight) in enumerate(sorted(found.module.named_parameters())):
            numbers = 2 * sequence(weight.numel(), 1000 * i) - 1
            weight.copy_(torch.from_numpy(numbers).view(weight.shape))
    return found


@pytest.mark.parametrize("name", fixed.names())
def test_bytes_are_those_of_the_first_version_of_the_format(name):
    """Other bytes are another format: files written before would no longer decode.

    If a copy has to change, `audiovq.coding.header.VERSION` has to change with it.
    """
    payloads = PriorCodes(made(name)).encode(codes_of(4))
    assert hashlib.sha256(b"".join(payloads)).hexdigest()[:16] == BYTES[name], len(payloads[0])
