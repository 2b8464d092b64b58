import numpy as np
import torch

from audiovq.nn import random

KEYS = torch.tensor([0, 1, -5, 2**62])


def _splitmix_reference(key: int, name: str, position: int) -> int:
    """The same hash in Python's unbounded integers, masked to 64 bits."""
    import hashlib

    mask = 2**64 - 1

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    salt = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    counter = (position + 1) * 0x9E3779B97F4A7C15
    value = mix((mix((key + salt) & mask) + counter) & mask)
    return value - 2**64 if value >= 2**63 else value


def test_bits_equal_unbounded_integer_arithmetic():
    drawn = random.bits(KEYS, "dropout", 5)
    for b, key in enumerate(KEYS.tolist()):
        assert drawn[b].tolist() == [_splitmix_reference(key, "dropout", t) for t in range(5)]


def test_a_draw_depends_on_key_name_and_position_only():
    alone = random.uniform(KEYS[1:2], "a", 100)
    assert torch.equal(random.uniform(KEYS, "a", 100)[1:2], alone)
    assert torch.equal(random.uniform(KEYS, "a", 40)[1:2], alone[:, :40])
    assert not torch.equal(random.uniform(KEYS[1:2], "b", 100), alone)


def test_no_global_generator_is_touched():
    state = torch.get_rng_state()
    random.normal(KEYS, "a", 100)
    assert torch.equal(torch.get_rng_state(), state)


def test_distributions():
    keys = torch.arange(8)
    u, n = random.uniform(keys, "u", 50_000), random.normal(keys, "n", 50_000)
    assert u.min() >= 0
    assert u.max() < 1
    # Means within five standard errors, neighbouring keys unrelated.
    assert abs(u.mean() - 0.5) < 5 * (1 / 12 / u.numel()) ** 0.5
    assert abs(n.mean()) < 5 / n.numel() ** 0.5
    assert abs(n.var() - 1) < 0.02
    correlations = np.corrcoef(u.numpy()) - np.eye(8)
    assert np.abs(correlations).max() < 5 / 50_000**0.5
