import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import units
from audiovq.errors import CheckpointError
from audiovq.files import sha256
from audiovq.units import Metadata, UnitRecord, store
from audiovq.units.metadata import Shard, write_metadata


def metadata(**changes):
    return Metadata(
        **{
            "model_hash": "m",
            "sample_rate": 100,
            "hop_length": 10,
            "codebook_sizes": (4, 8),
            "layout": ("a", "b"),
            "manifest_hash": "c",
            "records_per_shard": 2,
            "software": {},
            "complete": True,
            **changes,
        }
    )


FORMATS = ("parquet", "jsonl")


def write(folder, records, shard_format="jsonl", **changes):
    about = metadata(shard_format=shard_format, **changes)
    path = folder / f"shard-00000.{shard_format}"
    path.write_bytes(store.dump(records, about))
    shard = Shard(file=path.name, records=len(records), sha256=sha256(path))
    write_metadata(folder, about.model_copy(update={"shards": (shard,)}))


TEXTS = st.text(st.characters(codec="utf-8"))  # JSON manifests hold no lone surrogates
records = st.builds(
    lambda id_, samples, speaker, text: UnitRecord(
        id=id_,
        codes=torch.stack(
            [torch.arange(-(-samples // 10)) % 4, torch.arange(-(-samples // 10)) % 8]
        ),
        num_samples=samples,
        speaker=speaker,
        text=text,
    ),
    TEXTS.filter(bool),
    st.integers(1, 200),
    st.none() | TEXTS,
    st.none() | TEXTS,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(records, min_size=1, max_size=4))
def test_any_name_and_text_round_trips(tmp_path_factory, found):
    for shard_format in FORMATS:
        folder = tmp_path_factory.mktemp("u")
        write(folder, found, shard_format)
        for a, b in zip(units.load(folder), found, strict=True):
            assert torch.equal(a.codes, b.codes)
            assert a.id == b.id
            assert (a.num_samples, a.speaker, a.text) == (b.num_samples, b.speaker, b.text)


@pytest.mark.parametrize(("codes", "samples"), [([[4], [0]], 5), ([[0], [0]], 11), ([[0]], 5)])
@pytest.mark.parametrize("shard_format", FORMATS)
def test_codes_that_do_not_fit_are_refused(tmp_path, codes, samples, shard_format):
    record = UnitRecord(id="a", codes=torch.tensor(codes), num_samples=samples)
    write(tmp_path, [record], shard_format)
    with pytest.raises(CheckpointError, match="'a' do not fit"):
        list(units.load(tmp_path))


def test_what_is_not_a_units_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"no units\.json"):
        units.load(tmp_path)
    for text, message in (
        ("{", "damaged"),
        ("[]", "does not describe"),
        (json.dumps({"format": "audiovq.units", "version": 7}), "version 7"),
        (json.dumps({"format": "audiovq.units", "version": 1}), "model_hash"),
    ):
        (tmp_path / "units.json").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            units.load(tmp_path)


def test_a_shard_name_cannot_leave_the_folder(tmp_path):
    write(tmp_path, [UnitRecord(id="a", codes=torch.zeros(2, 1, dtype=torch.int64), num_samples=5)])
    text = (tmp_path / "units.json").read_text().replace("shard-00000.jsonl", "../secret")
    (tmp_path / "units.json").write_text(text)
    with pytest.raises(CheckpointError, match="file"):
        units.load(tmp_path)


def three(folder, shard_format="jsonl"):
    codes = torch.tensor([[0, 1], [3, 4]])
    records = [
        UnitRecord(id=i, codes=codes + n, num_samples=15, split=s)
        for n, (i, s) in enumerate(zip("abc", ("train", "test", "train"), strict=True))
    ]
    write(folder, records, shard_format)
    return units.load(folder)


@pytest.mark.parametrize("shard_format", FORMATS)
def test_an_utterance_is_found_by_its_id_or_place(tmp_path, shard_format):
    found = three(tmp_path, shard_format)
    assert [found[i].id for i in (0, 2, -1)] == ["a", "c", "c"]
    assert [u.id for u in found[1:]] == ["b", "c"]
    assert [u.id for u in found.select("train")] == ["a", "c"]
    with pytest.raises(IndexError, match="has 3"):
        found[3]
    assert found.ids() == ["a", "b", "c"]
    for unit in found:
        assert torch.equal(found[unit.id].codes, unit.codes)
    assert "b" in found
    assert "z" not in found
    with pytest.raises(KeyError, match="no utterance 'z'"):
        found["z"]


def test_units_json_states_the_frame_rate_for_other_readers(tmp_path):
    three(tmp_path)
    assert json.loads((tmp_path / "units.json").read_text())["frame_rate"] == 10.0


@pytest.mark.parametrize(
    "line",
    [
        "[]", "{}", "garbage", '{"id": "a"}',
        '{"id": 1, "num_samples": 5, "codes": [[0], [0]]}',
        '{"id": "a", "num_samples": "5", "codes": [[0], [0]]}',
        '{"id": "a", "num_samples": true, "codes": [[0], [0]]}',
        '{"id": "a", "num_samples": 0, "codes": [[], []]}',
        '{"id": "a", "num_samples": 5, "codes": [[0.7], [0]]}',
        '{"id": "a", "num_samples": 5, "codes": [[-1], [0]]}',
        '{"id": "a", "num_samples": 5, "codes": [[0], [0, 1]]}',
        '{"id": "a", "num_samples": 5, "codes": [[0], [99999999999999999999]]}',
        '{"id": "a", "num_samples": 5, "codes": [[0], [0]], "more": 1}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_record_is_refused(tmp_path, line):
    path = tmp_path / "shard-00000.jsonl"
    path.write_text(line + "\n")
    shard = Shard(file=path.name, records=1, sha256=sha256(path))
    write_metadata(tmp_path, metadata(shards=(shard,)))
    for use in (list, lambda found: found["a"]):
        with pytest.raises(CheckpointError, match=path.name):
            use(units.load(tmp_path))


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    codes = torch.tensor([[1], [3]])
    write(tmp_path, [UnitRecord(id="a", codes=codes, num_samples=5)] * 2)
    with pytest.raises(CheckpointError, match="'a' is there twice"):
        units.load(tmp_path)["a"]


def test_a_shard_alone_says_where_its_codes_come_from(tmp_path):
    import pyarrow.parquet as pq

    three(tmp_path, "parquet")
    table = pq.read_table(tmp_path / "shard-00000.parquet")
    about = json.loads(table.schema.metadata[b"audiovq"])
    assert (about["model_hash"], about["hop_length"]) == ("m", 10)
    assert table["frame_rate"].to_pylist() == [10.0] * 3


def test_a_parquet_file_of_something_else_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "shard-00000.parquet"
    texts = {name: ["a"] for name in ("speaker", "split", "text", "id")}
    for columns, message in (
        ({"id": ["a"]}, "lacks the columns codes"),
        ({**texts, "num_samples": [5], "codes": ["x"]}, "codes are string"),
    ):
        pq.write_table(pa.table(columns), path)
        shard = Shard(file=path.name, records=1, sha256=sha256(path))
        write_metadata(tmp_path, metadata(shards=(shard,), shard_format="parquet"))
        with pytest.raises(CheckpointError, match=message):
            list(units.load(tmp_path))
    path.write_bytes(b"PAR1 not at all")
    shard = Shard(file=path.name, records=1, sha256=sha256(path))
    write_metadata(tmp_path, metadata(shards=(shard,), shard_format="parquet"))
    with pytest.raises(CheckpointError, match="not a Parquet file"):
        list(units.load(tmp_path))


def test_units_of_version_1_are_read(tmp_path):
    three(tmp_path)
    values = json.loads((tmp_path / "units.json").read_text())
    new = ("coder", "device", "shard_format", "request", "vectors_sha256", "rejected")
    values = {k: v for k, v in values.items() if k not in new} | {"version": 1}
    (tmp_path / "units.json").write_text(json.dumps(values))
    assert units.load(tmp_path).ids() == ["a", "b", "c"]
