"""Grouped quantization: as many quantizers as groups, side by side."""

import pytest
import torch

from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.gvq import GVQ, Config
from audiovq.bottlenecks.vq_ema import VQEMA
from audiovq.bottlenecks.vq_ema import Config as VQConfig
from audiovq.config import parse
from audiovq.errors import ConfigError


def make(**values):
    return GVQ(parse(Config, {"dim": 6, "codebook_size": 16, "num_codebooks": 2, **values}))


def frames(items=4, length=50, seed=0):
    return torch.randn(items, 6, length, generator=torch.Generator().manual_seed(seed))


def test_groups_are_quantizers_of_their_own():
    gvq, z, keys = make(), frames(), torch.arange(4)
    gvq.initialise(z)
    whole = gvq(z, Context(keys=keys))
    errors = []
    for k, part in enumerate(z.chunk(2, dim=1)):
        vq = VQEMA(parse(VQConfig, {"dim": 3, "codebook_size": 16}))
        vq.initialise(part)
        out = vq(part, Context(keys=keys))
        assert torch.equal(out.codes[:, 0], whole.codes[:, k])
        assert torch.equal(out.z, whole.z[:, 3 * k : 3 * k + 3])
        errors.append(out.loss)
        vq.update(out.statistics)
        if k == 0:
            gvq.update(whole.statistics)
        torch.testing.assert_close(gvq.codebooks[k].vectors, vq.codebook.vectors)
    torch.testing.assert_close(whole.loss, (errors[0] + errors[1]) / 2)


def test_all_groups_are_needed_to_decode():
    gvq = make()
    with pytest.raises(ConfigError, match="needs all 2"):
        gvq.decode(torch.zeros(1, 1, 3, dtype=torch.int64))


def test_groups_must_divide_the_dimension():
    with pytest.raises(ConfigError, match="num_codebooks=4 must divide dim=6"):
        make(num_codebooks=4)
