"""Extraction taken up again: after mending, damage, a full disk, beside another process."""

import json
import multiprocessing
import sys

import pytest

from audiovq import units
from audiovq.alone import alone, among, if_alone
from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, DistributedError, ManifestError
from audiovq.units.extract import extract
from audiovq.units.pipeline import Pipeline
from tests.helpers import noise, small_model

MODEL = small_model()


def make(folder, ids):
    """A corpus of short noises with those ids."""
    records = []
    for i, name in enumerate(ids):
        x = noise(1, 500 + 137 * i, seed=i)
        save(folder / f"{i}.wav", x, 16000)
        length = x.shape[-1]
        records.append(Record(id=name, path=f"{i}.wav", sample_rate=16000, num_samples=length))
    manifests.write(folder / "m.jsonl", ".", records)
    return manifests.read(folder / "m.jsonl")


@pytest.fixture
def corpus(tmp_path):
    return make(tmp_path, [f"n{i}" for i in range(6)])


def go(corpus, out, **changes):
    return extract(MODEL, corpus, out, **{"records_per_shard": 2, "progress": False, **changes})


def tree(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_a_mended_recording_counts_again(corpus, tmp_path):
    go(corpus, tmp_path / "good")
    sound = (tmp_path / "3.wav").read_bytes()
    (tmp_path / "3.wav").write_bytes(b"not audio")
    with pytest.raises(ManifestError, match="mend them"):
        go(corpus, tmp_path / "u")
    (tmp_path / "3.wav").write_bytes(sound)
    go(corpus, tmp_path / "u")
    assert tree(tmp_path / "u") == tree(tmp_path / "good")  # and no rejected.jsonl


def test_the_share_an_error_names_is_accepted(corpus, tmp_path):
    (tmp_path / "3.wav").unlink()
    with pytest.raises(ManifestError) as refused:
        go(corpus, tmp_path / "u")
    share = float(str(refused.value).split("--max-rejected ")[1])
    assert len(go(corpus, tmp_path / "u", max_rejected=share)) == 5


def test_the_list_of_rejected_is_in_order_whatever_was_made_when(corpus, tmp_path):
    for bad in (1, 4):
        (tmp_path / f"{bad}.wav").write_bytes(b"not audio")
    go(corpus, tmp_path / "u", max_rejected=0.5)
    before = tree(tmp_path / "u")
    (tmp_path / "u" / "shard-000000.parquet").unlink()
    go(corpus, tmp_path / "u", max_rejected=0.5)
    assert tree(tmp_path / "u") == before
    entries = (tmp_path / "u" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(e)["id"] for e in entries] == ["n1", "n4"]


def test_a_kill_while_damage_is_mended_loses_no_shard(corpus, tmp_path, monkeypatch):
    """Two of three finished shards are lost; the second is interrupted while being made again."""
    good = go(corpus, tmp_path / "u")
    before, load = tree(tmp_path / "u"), Pipeline._load
    for number in (0, 1):
        (tmp_path / "u" / f"shard-00000{number}.parquet").unlink()

    def failing(self, record):
        if record.id == "n3":
            raise KeyboardInterrupt
        return load(self, record)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pipeline, "_load", failing)
        go(corpus, tmp_path / "u")
    with pytest.raises(CheckpointError, match="unfinished"):
        units.load(tmp_path / "u")
    assert len(go(corpus, tmp_path / "u")) == len(good) == 6
    assert tree(tmp_path / "u") == before


@pytest.mark.parametrize("lost", [[], ["units.json"], ["shard-000000.parquet"]])
def test_ids_of_any_characters(tmp_path, lost):
    ids = ["a\u2028b", "c\x85d", "e\nf", "../g h", "ß中", "\x00"]
    corpus = make(tmp_path, ids)
    (tmp_path / "0.wav").write_bytes(b"not audio")
    go(corpus, tmp_path / "u", max_rejected=0.5)
    for name in lost:  # taken up from the start, or after losing a shard
        (tmp_path / "u" / name).unlink()
        if name == "units.json":
            with pytest.raises(CheckpointError, match="holds no units"):
                go(corpus, tmp_path / "u", max_rejected=0.5)
            return
    found = go(corpus, tmp_path / "u", max_rejected=0.5)
    assert [u.id for u in found] == found.ids() == ids[1:]


def test_a_damaged_list_of_rejected_is_one_line(corpus, tmp_path):
    (tmp_path / "5.wav").write_bytes(b"not audio")
    with pytest.raises(ManifestError):
        go(corpus, tmp_path / "u")
    (tmp_path / "u" / "rejected.jsonl").write_text('{"id": "n5", "rea')
    with pytest.raises(CheckpointError, match=r"rejected\.jsonl is damaged"):
        go(corpus, tmp_path / "u")


def test_a_full_disk_leaves_what_was_there(corpus, tmp_path, monkeypatch):
    """Every write of the work may fail; none leaves anything half done."""
    go(corpus, tmp_path / "straight")
    whole = type(tmp_path).replace
    for failing in range(12):
        out, calls = tmp_path / f"full{failing}", []

        def replace(self, target, failing=failing, calls=calls):
            calls.append(target)
            if len(calls) == failing + 1:
                raise OSError(28, "No space left on device", str(target))
            return whole(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(type(tmp_path), "replace", replace)
            try:
                go(corpus, out)
            except OSError:
                assert not [p for p in out.iterdir() if "tmp" in p.name]
                with pytest.raises(CheckpointError, match=r"unfinished|no units\.json"):
                    units.load(out)
        go(corpus, out)
        assert tree(out) == tree(tmp_path / "straight")


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_file_where_the_folder_should_be(corpus, tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="cannot write to the folder"):
        go(corpus, tmp_path / "file" / below)
    assert (tmp_path / "file").read_text() == "mine"


def _hold(folder, ready, end):
    with alone(folder, "extracting into"):
        ready.set()
        end.wait(20)


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork and locks on folders")
def test_two_processes_on_one_folder(corpus, tmp_path):
    out = tmp_path / "u"
    out.mkdir()
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(out, ready, end))
    other.start()
    assert ready.wait(20)
    with pytest.raises(CheckpointError, match="another process"):
        go(corpus, out)
    assert not list(out.iterdir())
    end.set()
    other.join(20)
    assert len(go(corpus, out)) == 6


def test_a_process_waits_for_another_that_is_among(corpus, tmp_path):
    with among(tmp_path, "extracting into", list), if_alone(tmp_path) as nobody_else:
        assert not nobody_else
    with if_alone(tmp_path) as nobody_else:
        assert nobody_else


@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_the_work_in_any_order(corpus, tmp_path, monkeypatch, size):
    """One after the other here; what each must not do is wait for the ones to come."""
    go(corpus, tmp_path / "straight")
    monkeypatch.setattr("audiovq.units.work._WAIT", 0.0)
    for rank in (*range(size - 1, 0, -1), 0):
        monkeypatch.setattr("audiovq.distributed.place", lambda rank=rank: (rank, size, rank))
        if rank:
            with pytest.raises(DistributedError, match="shards are missing"):
                go(corpus, tmp_path / "shared")
    assert len(go(corpus, tmp_path / "shared")) == 6
    assert tree(tmp_path / "shared") == tree(tmp_path / "straight")


def test_what_several_have_begun_one_finishes(corpus, tmp_path, monkeypatch):
    go(corpus, tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr("audiovq.units.work._WAIT", 0.0)
        patch.setattr("audiovq.distributed.place", lambda: (1, 3, 1))
        with pytest.raises(DistributedError):
            go(corpus, tmp_path / "u")
    seen = []
    submit = Pipeline.submit
    monkeypatch.setattr(Pipeline, "submit", lambda s, r: (seen.extend(r), submit(s, r))[1])
    go(corpus, tmp_path / "u")
    assert [r.id for r in seen] == ["n0", "n1", "n4", "n5"]  # shard 1 was there
    assert tree(tmp_path / "u") == tree(tmp_path / "straight")


def test_other_versions_do_not_finish_what_was_begun(corpus, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("audiovq.units.parts.note", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            go(corpus, tmp_path / "u")
    monkeypatch.setattr("torch.__version__", "9.9")
    with pytest.raises(CheckpointError, match=r"begun with torch .* \(now 9\.9\)"):
        go(corpus, tmp_path / "u")


def _interrupt(*_):
    raise KeyboardInterrupt
