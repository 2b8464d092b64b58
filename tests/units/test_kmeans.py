"""Centres on disk, and the search among them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import CheckpointError
from audiovq.units import kmeans
from audiovq.units.features.latent import LatentFeatures
from audiovq.units.features.mfcc import MFCCFeatures
from audiovq.units.kmeans import About, KMeans
from audiovq.units.kmeans_coder import KMeansCoder
from tests.helpers import noise, small_model


def made(features, size=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    about = About(
        label=features.label,
        features=features.fingerprint(),
        sample_rate=features.sample_rate,
        hop_length=features.hop_length,
        dim=features.dim,
        size=size,
        seed=0,
        manifest_hash="m",
        split="train",
        most_frames=9,
        most_iterations=9,
    )
    x = features(noise(1, 40000, seed=seed))
    centres = x[torch.randperm(len(x), generator=generator)[:size]] - x.mean(dim=0)
    return KMeans(centres, x.mean(dim=0), torch.rand(features.dim) + 0.5, about)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(0, 700), size=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_nearest_centre_is_scipys(rows, size, seed):
    vq = pytest.importorskip("scipy.cluster.vq")
    generator = torch.Generator().manual_seed(seed)
    centres, x = (torch.randn(n, 5, generator=generator) for n in (size, rows))
    mean, scale = torch.randn(5, generator=generator), torch.rand(5, generator=generator) + 0.5
    about = made(MFCCFeatures()).about
    found = KMeans(centres, mean, scale, about).assign(x)
    assert found.dtype == torch.int64
    if rows:
        standard = ((x - mean) / scale).double().numpy()
        assert np.array_equal(found.numpy(), vq.vq(standard, centres.double().numpy())[0])


def test_ties_go_to_the_lowest_index_and_neighbours_change_nothing():
    about = made(MFCCFeatures()).about
    centres = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    k = KMeans(centres, torch.zeros(2), torch.ones(2), about)
    assert k.assign(torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])).tolist() == [0, 1, 0]
    # many near ties: centres in pairs a rounding apart, frames halfway between
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(64, 40, generator=generator)
    centres = torch.cat([centres, centres * (1 + 2e-7)])
    k = KMeans(centres, torch.zeros(40), torch.ones(40), about)
    x = centres[torch.randint(0, 128, (900,), generator=generator)]
    whole = k.assign(x)
    for size in (1, 7, 256, 300):
        assert torch.equal(torch.cat([k.assign(p) for p in x.split(size)]), whole)


def test_a_folder_gives_back_what_was_saved(tmp_path):
    features = MFCCFeatures()
    k = made(features)
    k.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kmeans.json", "kmeans.safetensors"]
    found = kmeans.load(tmp_path, features)
    for name in ("centres", "mean", "scale"):
        assert torch.equal(getattr(found, name), getattr(k, name))
    assert found.fingerprint() == k.fingerprint() != made(features, seed=1).fingerprint()


def test_another_feature_or_a_damaged_file_is_refused_in_one_line(tmp_path):
    features = MFCCFeatures()

    def refused(what, given=None):
        with pytest.raises(CheckpointError, match=what) as caught:
            kmeans.load(tmp_path, given)
        assert "\n" not in str(caught.value)

    refused("no finished k-means")
    made(features).save(tmp_path)
    refused(r"of mfcc \(16000 Hz, hop 320\), not of these mfcc", MFCCFeatures(16000, 640))
    with pytest.raises(CheckpointError, match="not of these ae features"):
        KMeansCoder(LatentFeatures(small_model("identity")), made(features))
    path = tmp_path / kmeans.ARRAYS
    good = path.read_bytes()
    path.write_bytes(good[:-7] + b"\0" + good[-6:])
    refused("checksum differs")
    path.write_bytes(good[:-7])
    refused("is damaged")
    path.unlink()
    refused("is damaged")
    path.write_bytes(good)
    about = tmp_path / kmeans.ABOUT
    text = about.read_text()
    about.write_text(text[:50])
    refused("is damaged")
    about.write_text(json.dumps(json.loads(text) | {"version": 2}))
    refused("version 2")


@pytest.mark.parametrize("kind", ["mfcc", "ae"])
def test_the_coder_keeps_the_contract(kind):
    features = MFCCFeatures() if kind == "mfcc" else LatentFeatures(small_model("identity"))
    k = made(features)
    coder = KMeansCoder(features, k)
    assert coder.label == f"kmeans7 on {kind}"
    assert (coder.sample_rate, coder.hop_length) == (16000, features.hop_length)
    assert (coder.codebook_sizes, coder.layout) == ((7,), ("codebook 0",))
    assert torch.equal(coder.vectors(), k.centres)
    items = [noise(1, n, seed=n) for n in (1, 700, 33000)]
    for exact in (True, False):
        for x, codes in zip(items, coder.encode(items, exact=exact), strict=True):
            assert codes.shape == (1, -(-x.shape[-1] // features.hop_length))
            assert torch.equal(codes[0], k.assign(features(x)))
            streamed = torch.cat(list(coder.encode_blocks(x.split(777, dim=-1))), dim=-1)
            assert torch.equal(streamed, codes)
    assert len({coder.fingerprint(), KMeansCoder(features, made(features, 8)).fingerprint()}) == 2
