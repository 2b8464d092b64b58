"""Several processes, one k-means; and units that remember what made them, wherever they are."""

import shutil

import pytest

from audiovq import units
from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError
from audiovq.units.extract import extract
from audiovq.units.sources import open_coder_among, reopen, where
from tests.helpers import noise, small_model


@pytest.fixture
def corpus(tmp_path):
    records = []
    for i in range(4):
        save(tmp_path / f"{i}.wav", noise(1, 1900 + 70 * i, seed=i), 16000)
        size = 1900 + 70 * i
        records.append(
            Record(id=f"n{i}", path=f"{i}.wav", sample_rate=16000, num_samples=size, split="train")
        )
    manifests.write(tmp_path / "m.jsonl", ".", records)
    small_model("identity").save(tmp_path / "ae")
    return manifests.read(tmp_path / "m.jsonl")


def ask(corpus, out, source="ae", **more):
    given = {"size": 5, "manifest": corpus, "kmeans_from": None, "progress": False, **more}
    name = str(corpus.root / source) if source != "mfcc" else source
    return open_coder_among(name, folder=out, **given)


def test_the_others_take_what_the_first_has_fitted(corpus, tmp_path, monkeypatch):
    first = ask(corpus, tmp_path / "u")
    monkeypatch.setattr("audiovq.distributed.place", lambda: (1, 2, 1))
    assert ask(corpus, tmp_path / "u").fingerprint() == first.fingerprint()


@pytest.mark.parametrize("source", ["ae", "mfcc"])
def test_what_made_units_is_found_again(corpus, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "mfcc"  # a folder of that name is not meant by `mfcc`
    more = {"hop_length": 160} if source == "mfcc" else {}
    coder = ask(corpus, out, source, **more)
    name = source if source == "mfcc" else str(tmp_path / source)
    told = where(name, corpus.path, kmeans="kmeans", **more)
    found = extract(coder, corpus, out, made_from=told, progress=False)
    shutil.move(out, tmp_path / "moved")
    again = reopen(units.load(tmp_path / "moved"))
    assert again.fingerprint() == coder.fingerprint() == found.metadata.model_hash


def test_a_given_kmeans_is_copied(corpus, tmp_path):
    coder = ask(corpus, tmp_path / "a")
    other = ask(corpus, tmp_path / "b", size=None, kmeans_from=tmp_path / "a" / "kmeans")
    told = where(str(tmp_path / "ae"), corpus.path, kmeans="kmeans")
    found = extract(other, corpus, tmp_path / "b", made_from=told, progress=False)
    shutil.rmtree(tmp_path / "a")
    assert reopen(found).fingerprint() == coder.fingerprint()


def test_a_kmeans_left_over_is_not_taken_for_the_models(corpus, tmp_path):
    ask(corpus, tmp_path / "u")
    small_model().save(tmp_path / "vq")
    told = where(str(tmp_path / "vq"), corpus.path)
    found = extract(small_model(), corpus, tmp_path / "u", made_from=told, progress=False)
    assert reopen(found).label == "vq_ema"
    small_model(seed=1).save(tmp_path / "vq")
    with pytest.raises(CheckpointError, match="has changed since"):
        reopen(found)
