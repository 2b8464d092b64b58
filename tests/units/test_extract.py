"""Extraction: same bytes however it was done, nothing lost, nothing silent."""

import json
import random
import sys

import pytest
import torch

from audiovq import units
from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.units import parts
from audiovq.units.extract import extract
from tests.helpers import noise, small_model
from tests.killing import kill_until_done

MODEL = small_model()


@pytest.fixture
def corpus(tmp_path):
    """Nine short noises, and their manifest."""
    records = []
    for i in range(9):
        x = noise(1, 900 + 137 * i, seed=i)
        save(tmp_path / f"{i}.wav", x, 16000)
        records.append(
            Record(
                id=f"n{i}",
                path=f"{i}.wav",
                sample_rate=16000,
                num_samples=x.shape[-1],
                speaker=f"s{i % 3}",
                split=manifests.SPLITS[i % 3],
            )
        )
    manifests.write(tmp_path / "m.jsonl", ".", records)
    return manifests.read(tmp_path / "m.jsonl")


def go(corpus, out, **changes):
    return extract(MODEL, corpus, out, **{"records_per_shard": 2, "progress": False, **changes})


def tree(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_units_hold_the_codes_of_each_recording(corpus, tmp_path):
    found = go(corpus, tmp_path / "u")
    assert len(found) == 9
    for unit, record in zip(found, corpus.records, strict=True):
        x = corpus.load(record, 16000)
        assert torch.equal(unit.codes, MODEL.encode(x, exact=True)[0])
        assert (unit.id, unit.num_samples) == (record.id, x.shape[-1])
        assert (unit.speaker, unit.split) == (record.speaker, record.split)
        assert MODEL.decode(unit.codes[None], unit.num_samples).shape == x.shape
    m = found.metadata
    assert (m.frame_rate, m.codebook_sizes, m.exact) == (1600.0, (16,), True)
    assert m.bitrate == MODEL.bitrate
    assert m.model_hash == MODEL.fingerprint()
    assert [u.id for u in found.select("test")] == ["n2", "n5", "n8"]


def test_threads_and_interruptions_change_no_byte(corpus, tmp_path, monkeypatch):
    go(corpus, tmp_path / "one")
    go(corpus, tmp_path / "two", threads=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")

    calls, write = [], parts.note

    def failing(*args):
        calls.append(1)
        if len(calls) % 2 == 0:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr("audiovq.units.parts.note", failing)
    for _ in range(9):
        try:
            go(corpus, tmp_path / "three")
            break
        except KeyboardInterrupt:
            with pytest.raises(CheckpointError, match="unfinished"):
                units.load(tmp_path / "three")
    assert tree(tmp_path / "one") == tree(tmp_path / "three")


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_kills_change_no_byte(corpus, tmp_path):
    go(corpus, tmp_path / "straight")
    rng, kills = random.Random(0), 0
    for i in range(3):
        out = tmp_path / f"killed{i}"
        kills += kill_until_done(lambda out=out: go(corpus, out), rng, 0.03)
        assert tree(out) == tree(tmp_path / "straight")
    assert kills >= 3


def test_finished_work_is_recognised_without_decoding(corpus, tmp_path, monkeypatch):
    go(corpus, tmp_path / "u")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "u").iterdir()}
    monkeypatch.setattr("audiovq.units.work.Pipeline", None)
    go(corpus, tmp_path / "u")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "u").iterdir()} == before


def test_a_damaged_shard_is_refused_by_load_and_made_again_by_extract(corpus, tmp_path):
    go(corpus, tmp_path / "u")
    good = tree(tmp_path / "u")
    shard = tmp_path / "u" / "shard-000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="checksum differs"):
        list(units.load(tmp_path / "u"))
    go(corpus, tmp_path / "u")
    assert tree(tmp_path / "u") == good
    shard.unlink()
    with pytest.raises(CheckpointError, match="lacks its shard"):
        units.load(tmp_path / "u")


def test_another_model_corpus_or_setting_is_refused(corpus, tmp_path):
    go(corpus, tmp_path / "u")
    before = tree(tmp_path / "u")
    fewer = manifests.Manifest(corpus.path, corpus.root, corpus.header, corpus.records[:5])
    for call, what in (
        (
            lambda: extract(small_model(seed=1), corpus, tmp_path / "u", progress=False),
            "model_hash",
        ),
        (lambda: go(fewer, tmp_path / "u"), "manifest_hash"),
        (lambda: go(corpus, tmp_path / "u", exact=False), "exact"),
        (lambda: go(corpus, tmp_path / "u", splits=["test"]), "splits"),
    ):
        with pytest.raises(CheckpointError, match=what):
            call()
    assert tree(tmp_path / "u") == before


def test_someone_elses_folder_is_not_touched(corpus, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(CheckpointError, match="not empty"):
        go(corpus, tmp_path / "mine")
    assert tree(tmp_path / "mine") == {"thesis.tex": b"..."}


def test_bad_recordings_are_listed_and_too_many_stop_the_work(corpus, tmp_path):
    (corpus.root / "4.wav").write_bytes(b"not audio")
    with pytest.raises(ManifestError, match=r"1 of 9 recordings.*--max-rejected 0\.12"):
        go(corpus, tmp_path / "u")
    entry = json.loads((tmp_path / "u" / "rejected.jsonl").read_text())
    assert entry["id"] == "n4"
    assert "4.wav" in entry["reason"]
    found = go(corpus, tmp_path / "u", max_rejected=0.2)
    assert [u.id for u in found] == [f"n{i}" for i in range(9) if i != 4]


def test_long_recordings_are_streamed_to_the_same_codes(corpus, tmp_path, monkeypatch):
    go(corpus, tmp_path / "whole")
    monkeypatch.setattr("audiovq.units.pipeline.STREAM_SECONDS", 0.06)
    go(corpus, tmp_path / "streamed")
    assert tree(tmp_path / "whole") == tree(tmp_path / "streamed")


def test_a_continuous_model_has_nothing_to_extract(corpus, tmp_path):
    with pytest.raises(ConfigError, match="continuous"):
        extract(small_model("identity"), corpus, tmp_path / "u")
    assert not (tmp_path / "u").exists()


def test_other_sample_rates_keep_exact_lengths(tmp_path):
    x = noise(1, 4001)
    save(tmp_path / "a.wav", x, 8000)
    record = Record(id="a", path="a.wav", sample_rate=8000, num_samples=4001)
    manifests.write(tmp_path / "m.jsonl", ".", [record])
    found = list(go(manifests.read(tmp_path / "m.jsonl"), tmp_path / "u"))
    assert found[0].num_samples == 8002
