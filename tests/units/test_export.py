"""Every format written and read back, and read by those it is for."""

import json
import random

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiovq.alone import alone
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import AudioVQError, CheckpointError, ConfigError, ManifestError
from audiovq.units import formats
from audiovq.units.bpe import UnitBPE
from audiovq.units.export import export, read, read_about
from audiovq.units.tokens import TokenConfig, Tokenizer
from tests.units.made import HOP, RATE, STRANGE_IDS, MadeUnits, made_units, metadata, record

UNITS = made_units(random.Random(0))
HOLDS_TEXT = {"jsonl", "parquet", "webdataset"}
HOLDS_STREAMS = {"jsonl", "parquet", "webdataset", "npz"}
ONE = TokenConfig(codebooks=(0,))
MANY = [
    TokenConfig(),
    TokenConfig(pattern="delay", bos=True, eos=True),
    TokenConfig(deduplicate=True),
    TokenConfig(deduplicate=True, pattern="delay"),
]
SINGLE = [
    ONE,
    TokenConfig(codebooks=(1,), deduplicate=True, bos=True, eos=True),
    TokenConfig(pattern="flatten"),
    TokenConfig(pattern="flatten", deduplicate=True),
]
CASES = [(n, c) for n in formats.names() for c in SINGLE + MANY * (n in HOLDS_STREAMS)]


def tree(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize(("name", "config"), CASES)
def test_round_trip(name, config, tmp_path):
    about = export(UNITS, tmp_path / "out", name, tokens=config)
    assert about == read_about(tmp_path / "out")
    assert about.splits == {"train": 6, "validation": 3, "test": 3}
    tokenizer = about.tokenizer()
    rows = list(read(tmp_path / "out"))
    assert sorted(r.id for r in rows) == sorted(UNITS.ids())
    for row in rows:
        unit = UNITS[row.id]
        expected = tokenizer.encode(unit)
        assert row.tokens.dtype == torch.int64
        assert torch.equal(row.tokens, expected.ids)
        assert row.split == unit.split
        assert torch.equal(
            tokenizer.decode(row.tokens, row.durations), unit.codes[list(tokenizer.rows)]
        )
        if name in HOLDS_TEXT:
            assert (row.text, row.speaker) == (unit.text, unit.speaker)
        if name == "npz":
            assert row.speaker == unit.speaker
        if name != "gslm":
            assert row.num_samples == unit.num_samples
        if about.durations:
            assert torch.equal(row.durations, expected.durations)


@pytest.mark.parametrize("name", sorted(HOLDS_STREAMS))
@pytest.mark.parametrize("config", [MANY[2], SINGLE[1]])
def test_times(name, config, tmp_path):
    about = export(UNITS, tmp_path / "out", name, tokens=config, times=True, split="test")
    rows = list(read(tmp_path / "out"))
    assert len(rows) == 3
    for row in rows:
        expected = about.tokenizer().encode(UNITS[row.id])
        assert torch.equal(row.starts, expected.starts)
        assert torch.equal(row.ends, expected.ends)


@pytest.mark.parametrize("name", formats.names())
def test_bpe_learned_and_kept_beside(name, tmp_path):
    config = TokenConfig(codebooks=(1,), deduplicate=True)
    about = export(UNITS, tmp_path / "out", name, tokens=config, bpe=40)
    assert about.vocabulary_size == 40
    bpe = UnitBPE.load(tmp_path / "out" / "bpe.model")
    for row in read(tmp_path / "out"):
        units = Tokenizer.of(UNITS, config).encode(UNITS[row.id]).ids
        assert torch.equal(bpe.decode(row.tokens), units)
        assert int(row.durations.sum()) == UNITS[row.id].codes.shape[1]
    other = export(UNITS, tmp_path / "other", name, tokens=config, bpe=bpe, split="test")
    assert other.splits == {"test": 3}
    assert tree(tmp_path / "other").keys() < tree(tmp_path / "out").keys()
    for file in tree(tmp_path / "other").keys() - {"export.json"}:
        assert tree(tmp_path / "other")[file] == tree(tmp_path / "out")[file]


@pytest.mark.parametrize("name", formats.names())
@pytest.mark.parametrize("odd", STRANGE_IDS)
def test_ids_of_any_characters_survive_or_are_refused(name, odd, tmp_path):
    units = made_units(random.Random(0), sizes=(8,), ids=["plain", odd, "z"])
    refused = {
        "gslm": "\n" in odd or "\r" in odd,
        "fairseq": "\n" in odd or "\t" in odd or odd != odd.lstrip(),
    }
    if refused.get(name):
        with pytest.raises(ConfigError, match="choose") as error:
            export(units, tmp_path / "out", name)
        assert repr(odd) in str(error.value)
        with pytest.raises(CheckpointError, match="unfinished"):
            list(read(tmp_path / "out"))
        assert list(tree(tmp_path / "out")) in (["export.json"], ["dict.km.txt", "export.json"])
    else:
        export(units, tmp_path / "out", name)
        assert {r.id for r in read(tmp_path / "out")} == {"plain", odd, "z"}


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(HOLDS_STREAMS)),
    st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=4, unique=True),
    st.text(max_size=5),
)
def test_any_words_survive(tmp_path_factory, name, ids, text):
    records = [
        record(i, [[n]], split="test", text=text, speaker=i)
        for n, i in enumerate(ids)
        if name != "npz" or not i.endswith("\0")
    ]
    assume(records)
    out = tmp_path_factory.mktemp("words") / "out"
    export(MadeUnits(records, metadata((9,))), out, name)
    found = list(read(out))
    assert [(r.id, r.speaker, r.tokens.tolist()) for r in found] == [
        (r.id, r.speaker, r.codes.tolist()) for r in records
    ]
    assert name == "npz" or {r.text for r in found} == {text}


def test_an_id_that_numpy_would_shorten_is_refused(tmp_path):
    units = MadeUnits([record("a\0", [[1]])], metadata((2,)))
    with pytest.raises(ConfigError, match=r"'a\\x00' ends with a NUL"):
        export(units, tmp_path / "out", "npz")


def test_the_same_units_give_the_same_bytes(tmp_path):
    for name in formats.names():
        config = TokenConfig(codebooks=(0,), deduplicate=True)
        export(UNITS, tmp_path / name / "a", name, tokens=config, bpe=40)
        export(UNITS, tmp_path / name / "b", name, tokens=config, bpe=40)
        assert tree(tmp_path / name / "a") == tree(tmp_path / name / "b")


# --- each read by its own consumer


@pytest.fixture(autouse=True)
def _no_shared_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("config", [ONE, MANY[0]])
def test_datasets_loads_parquet(config, tmp_path):
    import datasets
    import pyarrow.parquet as pq

    about = export(UNITS, tmp_path / "out", "parquet", tokens=config)
    files = {"train": str(tmp_path / "out" / "train.parquet")}
    found = datasets.load_dataset("parquet", data_files=files, split="train")
    assert found.column_names == [
        "id", "codes", "num_samples", "sample_rate", "frame_rate", "speaker", "split", "text",
    ]  # fmt: skip
    for row in found:
        unit = UNITS[row["id"]]
        assert row["codes"] == (unit.codes[0] if config is ONE else unit.codes).tolist()
        assert (row["num_samples"], row["sample_rate"]) == (unit.num_samples, RATE)
        assert (row["frame_rate"], row["speaker"]) == (RATE / HOP, unit.speaker)
        assert (row["split"], row["text"]) == ("train", unit.text)
    whole = datasets.load_dataset(str(tmp_path / "out"))  # splits by the names of the files
    assert {k: v.num_rows for k, v in whole.items()} == about.splits
    said = json.loads(pq.read_schema(tmp_path / "out" / "train.parquet").metadata[b"audiovq"])
    assert said["model_hash"] == UNITS.metadata.model_hash
    assert said["software"] == UNITS.metadata.software


@pytest.mark.parametrize("config", [ONE, MANY[0]])
def test_numpy_loads_npz(config, tmp_path):
    export(UNITS, tmp_path / "out", "npz", tokens=config, times=True)
    with np.load(tmp_path / "out" / "train.npz", allow_pickle=False) as file:
        assert json.loads(str(file["about"]))["sample_rate"] == RATE
        for i, name in enumerate(file["ids"]):
            start, length = file["code_offsets"][i], file["code_lengths"][i]
            codes = file["codes"][start : start + length]
            unit = UNITS[str(name)]
            assert codes.T.tolist() == (unit.codes[0] if config is ONE else unit.codes).tolist()
            assert (file["counts"][start : start + length] == 1).all()
        assert file["code_offsets"].tolist() == file["count_offsets"].tolist()


@pytest.mark.parametrize("config", [ONE, MANY[0]])
def test_webdataset_reads_tar(config, tmp_path, monkeypatch):
    from urllib.parse import unquote

    import webdataset

    monkeypatch.setattr("audiovq.units.formats.webdataset._PER_SHARD", 5)
    units = made_units(random.Random(0), ids=[*STRANGE_IDS, "u1", "u2", "u3"])
    about = export(units, tmp_path / "out", "webdataset", tokens=config, times=True)
    shards = sorted(str(p) for p in (tmp_path / "out").glob("train-*.tar"))
    assert len(shards) == 2
    data = webdataset.WebDataset(shards, shardshuffle=False).decode()
    seen = []
    for sample in data:
        unit = units[sample["json"]["id"]]
        seen.append(unit.id)
        assert unquote(sample["__key__"]) == unit.id
        assert sample["npy"].tolist() == (unit.codes[0] if config is ONE else unit.codes).tolist()
        times = about.tokenizer().encode(unit)
        assert torch.equal(torch.tensor(np.atleast_2d(sample["ends.npy"])), times.ends)
        assert sample["json"].get("text") == unit.text
    assert seen == [u.id for u in units.select("train")]


def test_lines_of_jsonl(tmp_path):
    export(UNITS, tmp_path / "out", "jsonl", tokens=ONE)
    with (tmp_path / "out" / "test.jsonl").open(encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    for line, unit in zip(found, UNITS.select("test"), strict=True):
        assert line["audio"] == line["file"] == unit.id
        assert line["units"] == unit.codes[0].tolist()


def corpus(folder, **changes):
    """A manifest of UNITS at another rate."""
    records = [
        Record(
            **{
                "id": u.id,
                "path": f"wavs/{u.id}.wav",
                "sample_rate": 2 * RATE,
                "num_samples": 2 * u.num_samples - 1,
                **changes,
            }
        )
        for u in UNITS
    ]
    manifests.write(folder / "m.jsonl", "audio", records)
    return manifests.read(folder / "m.jsonl")


def test_fairseq_files_line_by_line(tmp_path):
    export(UNITS, tmp_path / "out", "fairseq", tokens=SINGLE[1], manifest=(m := corpus(tmp_path)))
    with (tmp_path / "out" / "dict.km.txt").open() as file:  # as fairseq.data.Dictionary reads
        names = [line.rstrip().rsplit(" ", 1) for line in file]
    used = [9] * SINGLE[1].bos + [10] * SINGLE[1].eos  # pad never occurs
    assert [int(n) for n, count in names if int(count) == 1] == [*range(8), *used]
    expected = list(UNITS.select("train"))
    with (tmp_path / "out" / "train.tsv").open() as file:  # as fairseq's load_audio reads
        assert file.readline().strip() == str(tmp_path / "audio")
        items = [line.strip().split("\t") for line in file]
    assert items == [[f"wavs/{u.id}.wav", str(2 * u.num_samples - 1)] for u in expected]
    with (tmp_path / "out" / "train.km").open() as file:  # as fairseq's load_label reads
        labels = [line.rstrip() for line in file]
    tokenizer = Tokenizer.of(UNITS, SINGLE[1])
    for label, unit in zip(labels, expected, strict=True):
        assert [int(n) for n in label.split()] == tokenizer.encode(unit).ids[0].tolist()
    assert [r.id for r in read(tmp_path / "out", "train", m)] == [u.id for u in expected]
    for row in read(tmp_path / "out", manifest=m):
        assert row.num_samples == UNITS[row.id].num_samples


def test_gslm_lines_are_deduplicated_units(tmp_path):
    about = export(UNITS, tmp_path / "out", "gslm", tokens=ONE)
    assert about.tokens.deduplicate
    lines = (tmp_path / "out" / "test.txt").read_text().splitlines()
    keys = (tmp_path / "out" / "test.keys").read_text().splitlines()
    for key, line in zip(keys, lines, strict=True):
        units = [int(n) for n in line.split()]
        codes = UNITS[key].codes[0].tolist()
        assert units == [c for i, c in enumerate(codes) if i == 0 or c != codes[i - 1]]


# --- what is refused


def test_what_a_format_cannot_hold(tmp_path):
    two = TokenConfig()
    for args, message in (
        ({"name": "fairseq", "tokens": two}, "one sequence per utterance and there are 2"),
        ({"name": "gslm", "tokens": ONE, "times": True}, "holds no times"),
        ({"name": "npz", "manifest": corpus(tmp_path)}, "npz names no audio files"),
        ({"name": "parket"}, "no format named 'parket'.*did you mean 'parquet'"),
        ({"name": "npz", "tokens": two, "bpe": 60}, "one stream"),
        ({"name": "npz", "split": "dev"}, "no utterance of that split"),
    ):
        with pytest.raises(ConfigError, match=message):
            export(UNITS, tmp_path / "out", **args)
    with pytest.raises(ManifestError, match="is a part of"):
        export(UNITS, tmp_path / "a", "fairseq", tokens=ONE, manifest=corpus(tmp_path, channel=0))
    with pytest.raises(ConfigError, match="two utterances are of the file 'x.wav'"):
        export(
            UNITS, tmp_path / "b", "fairseq", tokens=ONE, manifest=corpus(tmp_path, path="x.wav")
        )
    m = corpus(tmp_path)
    fewer = manifests.Manifest(m.path, m.root, m.header, m.records[1:])
    with pytest.raises(ManifestError, match="no record 'u0'"):
        export(UNITS, tmp_path / "c", "fairseq", tokens=ONE, manifest=fewer)


def test_a_folder_is_replaced_only_when_told_and_only_if_it_is_an_export(tmp_path):
    out = tmp_path / "out"
    export(UNITS, out, "webdataset", tokens=TokenConfig(codebooks=(0,)), bpe=40)
    before = tree(out)
    with pytest.raises(CheckpointError, match="--force"):
        export(UNITS, out, "npz")
    assert tree(out) == before
    with pytest.raises(ConfigError, match="cannot hold 16 units"):
        export(UNITS, out, "npz", tokens=ONE, bpe=3, force=True)
    assert tree(out) == before
    (out / "mine.txt").write_text("kept")
    export(UNITS, out, "npz", split="test", force=True)
    assert set(tree(out)) == {"export.json", "test.npz", "mine.txt"}
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "train.npz").write_text("mine")
    with pytest.raises(CheckpointError, match="no export"):
        export(UNITS, tmp_path / "thesis", "npz", force=True)
    assert tree(tmp_path / "thesis") == {"train.npz": b"mine"}
    with pytest.raises(CheckpointError, match="cannot write"):
        export(UNITS, out / "mine.txt", "npz", force=True)


def test_two_exports_into_one_folder(tmp_path):
    (tmp_path / "out").mkdir()
    with (
        alone(tmp_path / "out", "exporting into"),
        pytest.raises(CheckpointError, match="another process is exporting into"),
    ):
        export(UNITS, tmp_path / "out", "npz")
    assert not tree(tmp_path / "out")


@pytest.mark.parametrize("name", formats.names())
def test_a_failure_leaves_no_part_of_a_file_and_can_be_repeated(name, tmp_path):
    class Failing(MadeUnits):
        def select(self, split):
            yield from list(super().select(split))[:9]
            raise OSError(28, "No space left on device")

    failing = Failing(list(UNITS), UNITS.metadata)
    with pytest.raises(OSError, match="No space"):
        export(failing, tmp_path / "out", name, tokens=ONE)
    assert set(tree(tmp_path / "out")) <= {"export.json", "dict.km.txt"}
    with pytest.raises(CheckpointError, match="unfinished"):
        list(read(tmp_path / "out"))
    export(UNITS, tmp_path / "out", name, tokens=ONE)
    export(UNITS, tmp_path / "straight", name, tokens=ONE)
    assert tree(tmp_path / "out") == tree(tmp_path / "straight")


@pytest.mark.parametrize("name", formats.names())
def test_damage_is_one_line(name, tmp_path):
    out = tmp_path / "out"
    export(UNITS, out, name, tokens=ONE)
    with pytest.raises(ConfigError, match="no split 'dev'; there is: train, validation, test"):
        list(read(out, "dev"))
    for path in out.iterdir():
        if path.name not in {"export.json", "dict.km.txt"}:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioVQError) as error:
        list(read(out))
    assert "\n" not in str(error.value)
    for text, message in (("{", "damaged"), ("{}", "file_format"), ("[]", "export.json")):
        (out / "export.json").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            read_about(out)
    with pytest.raises(CheckpointError, match="cannot read"):
        read_about(tmp_path)


def test_a_manifest_of_other_recordings_is_refused(tmp_path):
    other = corpus(tmp_path, num_samples=16000)
    with pytest.raises(ManifestError, match="give the manifest that they were extracted from"):
        export(UNITS, tmp_path / "out", "fairseq", tokens=SINGLE[1], manifest=other)
