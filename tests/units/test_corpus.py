"""Folders and tars as input; what cannot be read is told, not left out."""

import json
import subprocess
import sys
import tarfile

import pytest
import torch

from audiovq import units
from audiovq.audio import save
from audiovq.errors import ManifestError
from audiovq.units.corpus import open_corpus
from audiovq.units.extract import extract
from tests.helpers import noise, small_model

MODEL = small_model()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "speech"
    for speaker in "ab":
        (root / speaker).mkdir(parents=True)
        for i in range(2):
            save(root / speaker / f"{i} ü.wav", noise(1, 400 + 90 * i, seed=i), 16000)
    return root


def test_a_folder_is_taken_as_it_is(folder, tmp_path):
    corpus, bad = open_corpus(folder)
    found = extract(MODEL, corpus, tmp_path / "u", unreadable=bad, progress=False)
    assert found.ids() == ["a/0 ü", "a/1 ü", "b/0 ü", "b/1 ü"]
    assert {u.speaker for u in found} == {"a", "b"}


def test_a_tar_gives_the_codes_of_its_files(folder, tmp_path):
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        for path in sorted(folder.rglob("*.wav")):
            tar.add(path, path.relative_to(folder).as_posix())
    inside, _ = open_corpus(shard)
    outside, _ = open_corpus(folder)
    a = extract(MODEL, inside, tmp_path / "a", progress=False)
    b = extract(MODEL, outside, tmp_path / "b", progress=False)
    assert a.ids() == b.ids()
    assert all(torch.equal(a[i].codes, b[i].codes) for i in a.ids())


def test_files_that_are_no_recordings_are_listed(folder, tmp_path):
    (folder / "a" / "bad.wav").write_bytes(b"not audio")
    corpus, bad = open_corpus(folder)
    with pytest.raises(ManifestError, match="1 of 5 recordings"):
        extract(MODEL, corpus, tmp_path / "u", unreadable=bad, progress=False)
    found = extract(MODEL, corpus, tmp_path / "u", unreadable=bad, max_rejected=0.3, progress=False)
    assert len(found) == 4
    assert found.metadata.rejected == 1
    entry = json.loads((tmp_path / "u" / "rejected.jsonl").read_text())
    assert entry["id"] == "a/bad"


def test_what_is_no_recording_is_judged_beside_the_whole_corpus(folder, tmp_path):
    for i in range(9):
        save(folder / "a" / f"more{i}.wav", noise(1, 300, seed=i), 16000)
    (folder / "a" / "bad.wav").write_bytes(b"not audio")
    corpus, bad = open_corpus(folder)
    split = corpus.records[0].split
    few = sum(r.split == split for r in corpus.records)
    extract(
        MODEL, corpus, tmp_path / "u", splits=[split], unreadable=bad, max_rejected=0.08,
        progress=False,
    )  # fmt: skip
    assert len(units.load(tmp_path / "u")) == few


@pytest.mark.parametrize("name", ["nothing.jsonl", "nothing.tar", "empty"])
def test_nothing_to_hear(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError):
        open_corpus(tmp_path / name)


def test_finished_work_is_recognised_before_torch_is_imported(folder, tmp_path):
    MODEL.save(tmp_path / "vq")
    corpus, _ = open_corpus(folder)
    from audiovq.data import manifest as manifests

    manifests.write(tmp_path / "m.jsonl", str(folder), corpus.records)
    command = [sys.executable, "-X", "importtime", "-m", "audiovq", "extract", "vq", "m.jsonl"]
    results = [
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert results[0].stdout == results[1].stdout
    imported = [{x.split("|")[-1].strip() for x in r.stderr.split("\n")} for r in results]
    assert "torch" in imported[0]
    assert "torch" not in imported[1]
    assert len(units.load(tmp_path / "units")) == 4
    (tmp_path / "units" / "shard-000000.parquet").write_bytes(b"")
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert again.stdout == results[0].stdout
    assert len(list(units.load(tmp_path / "units"))) == 4
