"""Verification finds codes that are not what the audio gives, and only those."""

import pytest
import torch

from audiovq import units
from audiovq.audio import save
from audiovq.bottlenecks._codebook import listening, nearest
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError
from audiovq.files import sha256
from audiovq.units import store
from audiovq.units.coder import ModelCoder
from audiovq.units.extract import extract
from audiovq.units.metadata import Shard, write_metadata
from audiovq.units.verify import verify
from tests.helpers import noise, small_model

RVQ = {"name": "rvq", "dim": 6, "codebook_size": 8, "num_codebooks": 3}


@pytest.fixture
def corpus(tmp_path):
    records = []
    for i in range(11):
        x = noise(1, 900 + 337 * i, seed=i)
        save(tmp_path / f"{i}.wav", x, 16000)
        length = x.shape[-1]
        records.append(Record(id=f"n{i}", path=f"{i}.wav", sample_rate=16000, num_samples=length))
    manifests.write(tmp_path / "m.jsonl", ".", records)
    return manifests.read(tmp_path / "m.jsonl")


@pytest.mark.parametrize("bottleneck", ["vq_ema", RVQ])
def test_exact_codes_do_not_differ_in_any_way(corpus, tmp_path, bottleneck):
    model = small_model(bottleneck)
    found = extract(model, corpus, tmp_path / "u", progress=False)
    report = verify(found, ModelCoder(model), corpus, progress=False)
    assert report.flips == 0
    assert len(report.ways) == 5
    total = sum(u.codes.numel() for u in found)
    assert {way.codes for way in report.ways} == {total}
    assert 0 <= report.margins["least"] <= report.margins["median"]
    assert "in company" in report.table()


def test_long_recordings_are_streamed_again(corpus, tmp_path, monkeypatch):
    model = small_model()
    monkeypatch.setattr("audiovq.units.pipeline.STREAM_SECONDS", 0.15)
    monkeypatch.setattr("audiovq.units.again.STREAM_SECONDS", 0.15)
    monkeypatch.setattr("audiovq.units.verify.STREAM_SECONDS", 0.15)
    found = extract(model, corpus, tmp_path / "u", progress=False)
    report = verify(found, ModelCoder(model), corpus, progress=False)
    compared = {way.name.split()[0]: way.codes for way in report.ways}
    total = sum(u.codes.numel() for u in found)
    assert report.flips == 0
    assert compared["in"] == compared["two"] == total > compared["alone"] > 0


def change_a_code(folder, name):
    """Store another code for the first frame of an utterance, checksum included."""
    found = units.load(folder)
    records = list(found)
    codes = next(r for r in records if r.id == name).codes
    codes[0, 0] = (codes[0, 0] + 1) % 8
    path = folder / found.metadata.shards[0].file
    path.write_bytes(store.dump(records, found.metadata))
    shard = Shard(file=path.name, records=len(records), sha256=sha256(path))
    write_metadata(folder, found.metadata.model_copy(update={"shards": (shard,)}))


def test_a_stored_code_that_is_not_the_audios_is_found(corpus, tmp_path):
    model = small_model(RVQ)
    extract(model, corpus, tmp_path / "u", progress=False)
    change_a_code(tmp_path / "u", "n3")
    report = verify(units.load(tmp_path / "u"), ModelCoder(model), corpus, progress=False)
    assert [(way.flips, way.utterances) for way in report.ways] == [(1, ("n3",))] * 5
    assert report.flipped_margins["least"] > 0
    assert report.to_dict()["flips"] == 5


def test_a_sample_is_drawn_where_there_are_many(corpus, tmp_path):
    model = small_model()
    found = extract(model, corpus, tmp_path / "u", progress=False)
    report = verify(found, ModelCoder(model), corpus, codes=200, progress=False)
    assert 200 <= report.ways[0].codes < sum(u.codes.numel() for u in found)


def test_another_model_or_corpus_is_refused(corpus, tmp_path):
    found = extract(small_model(), corpus, tmp_path / "u", progress=False)
    with pytest.raises(CheckpointError, match="not made by this model"):
        verify(found, ModelCoder(small_model(seed=1)), corpus, progress=False)
    fewer = manifests.Manifest(corpus.path, corpus.root, corpus.header, corpus.records[:2])
    with pytest.raises(CheckpointError, match="has no utterance"):
        verify(found, ModelCoder(small_model()), fewer, progress=False)


def test_margins_are_distances_from_the_bisecting_plane():
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(7, 5, generator=generator)
    rows = torch.randn(30, 5, generator=generator)
    with listening() as heard:
        codes = nearest(rows, codebook)
    margins = torch.cat(heard)
    for row, code, margin in zip(rows.double(), codes, margins, strict=True):
        distances = (codebook.double() - row).norm(dim=1)
        second = int(distances.topk(2, largest=False).indices[1])
        normal = codebook[second].double() - codebook[code].double()
        # moved over the plane by a little more than the margin says, the row has another code
        step = normal / normal.norm() * margin * row.norm()
        for factor, expected in ((0.999, int(code)), (1.001, second)):
            moved = (codebook.double() - (row + factor * step)).norm(dim=1)
            assert int(moved.argmin()) == expected
    with listening() as heard:
        nearest(rows, codebook[:1])
    assert torch.isinf(torch.cat(heard)).all()
