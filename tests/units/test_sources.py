"""From what a user names to codes."""

import pytest
import torch

from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, ConfigError
from audiovq.units import kmeans_fit
from audiovq.units.coder import ModelCoder
from audiovq.units.kmeans_coder import KMeansCoder
from audiovq.units.sources import open_coder
from tests.helpers import noise, small_model


def corpus_of(folder, seed):
    folder.mkdir()
    records = []
    for i in range(3):
        save(folder / f"{i}.wav", noise(1, 8000, seed=seed + i), 16000)
        records.append(
            Record(id=str(i), path=f"{i}.wav", sample_rate=16000, num_samples=8000, split="train")
        )
    manifests.write(folder / "m.jsonl", ".", records)
    return manifests.read(folder / "m.jsonl")


@pytest.fixture
def corpus(tmp_path):
    return corpus_of(tmp_path / "corpus", 0)


@pytest.fixture
def ae(tmp_path):
    small_model("identity").save(tmp_path / "ae")
    return str(tmp_path / "ae")


@pytest.fixture
def vq(tmp_path):
    small_model().save(tmp_path / "vq")
    return str(tmp_path / "vq")


def test_a_discrete_model_is_its_own_coder(corpus, vq, tmp_path):
    coder = open_coder(vq, manifest=corpus, folder=tmp_path / "u")
    assert isinstance(coder, ModelCoder)
    assert not (tmp_path / "u").exists()


def test_k_means_is_fitted_kept_and_found_again(corpus, ae, tmp_path, monkeypatch):
    def go(folder="u", **changes):
        return open_coder(
            ae, **{"manifest": corpus, "folder": tmp_path / folder, "progress": False, **changes}
        )

    coder = go(size=8)
    assert isinstance(coder, KMeansCoder)
    assert coder.label == "kmeans8 on ae"
    other = corpus_of(tmp_path / "other", 50)
    elsewhere = go("v", size=8, fit_manifest=other)
    assert elsewhere.kmeans.about.manifest_hash == other.fingerprint()
    assert elsewhere.fingerprint() != coder.fingerprint() != go("w", size=8, seed=1).fingerprint()
    monkeypatch.setattr(kmeans_fit, "draw_sample", None)  # nothing is fitted from here on
    assert go(size=8).fingerprint() == coder.fingerprint()
    used = go("x", kmeans_from=tmp_path / "v" / "kmeans")
    assert used.fingerprint() == elsewhere.fingerprint()
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["kmeans"]  # a copy of its own
    with pytest.raises(CheckpointError, match="another k-means"):
        go(size=9)


def test_mfcc_at_any_hop(corpus, tmp_path):
    coder = open_coder(
        "mfcc", size=6, manifest=corpus, hop_length=160, sample_rate=8000, folder=tmp_path / "u",
        progress=False,
    )  # fmt: skip
    assert (coder.label, coder.hop_length, coder.sample_rate) == ("kmeans6 on mfcc", 160, 8000)
    assert coder.encode([noise(1, 1601)], exact=True)[0].shape == (1, 11)


def test_a_transformers_model_by_layer(corpus, tmp_path):
    pytest.importorskip("transformers")
    from tests.units.features.test_transformers import make

    make(tmp_path / "hubert")

    def go(source, folder, **changes):
        return open_coder(
            f"hf:{tmp_path / source}", size=6, manifest=corpus, folder=tmp_path / folder,
            progress=False, **changes,
        )  # fmt: skip

    one = go("hubert:2", "a")
    assert one.label == "kmeans6 on hubert layer 2"
    assert go("hubert", "b", layer=2).fingerprint() == one.fingerprint()
    assert go("hubert", "c").label == "kmeans6 on hubert layer 3"
    x = noise(1, 5000)
    codes = one.encode([x], exact=True)[0]
    assert codes.shape == (1, 16)
    assert torch.equal(torch.cat(list(one.encode_blocks(x.split(999, -1))), -1), codes)
    with pytest.raises(ConfigError, match="give only one"):
        go("hubert:2", "a", layer=3)


@pytest.mark.parametrize(
    ("source", "options", "what"),
    [
        ("ae", {}, "continuous and has no codes: give --kmeans 512"),
        ("mfcc", {}, "give --kmeans 512"),
        ("vq", {"size": 8}, "leave out --kmeans"),
        ("vq", {"kmeans_from": "k"}, "leave out --kmeans"),
        ("ae", {"size": 8, "kmeans_from": "k"}, "give only one"),
        ("ae", {"size": 8, "layer": 3}, "--layer 3 is for hf:PATH"),
        ("ae", {"size": 8, "hop_length": 3}, "are for mfcc"),
        ("mfcc", {"size": 8, "layer": 3}, "mfcc has no layers"),
        ("mfcc", {"size": 8, "hop_length": 0}, "a hop of 1 or more"),
    ],
)
def test_options_that_do_not_fit_are_refused(source, options, what, corpus, ae, vq, tmp_path):
    named = {"ae": ae, "vq": vq}.get(source, source)
    with pytest.raises(ConfigError, match=what) as caught:
        open_coder(named, manifest=corpus, folder=tmp_path / "u", progress=False, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "u").exists()


def test_k_means_of_other_features_is_refused(corpus, ae, tmp_path):
    open_coder("mfcc", size=6, manifest=corpus, folder=tmp_path / "u", progress=False)
    with pytest.raises(CheckpointError, match="k-means of mfcc .* not of these ae"):
        open_coder(ae, manifest=corpus, kmeans_from=tmp_path / "u" / "kmeans", folder=tmp_path)
    with pytest.raises(CheckpointError, match="no finished k-means"):
        open_coder(ae, manifest=corpus, kmeans_from=tmp_path / "u", folder=tmp_path)
