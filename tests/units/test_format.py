import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import units
from audiovq.errors import CheckpointError
from audiovq.files import sha256
from audiovq.units.format import Metadata, Shard, UnitRecord, write_metadata


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


def write(folder, records, **changes):
    path = folder / "shard-00000.jsonl"
    path.write_text("".join(r.to_json() + "\n" for r in records), encoding="utf-8")
    shard = Shard(file=path.name, records=len(records), sha256=sha256(path))
    write_metadata(folder, metadata(shards=(shard,), **changes))


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
    st.text(min_size=1),
    st.integers(1, 200),
    st.none() | st.text(),
    st.none() | st.text(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(records, min_size=1, max_size=4))
def test_any_name_and_text_round_trips(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("u")
    clean = [r for r in found if r.to_json().encode("utf-8", "ignore").decode() == r.to_json()]
    write(folder, clean)
    for a, b in zip(units.load(folder), clean, strict=True):
        assert torch.equal(a.codes, b.codes)
        assert (a.id, a.num_samples, a.speaker, a.text) == (b.id, b.num_samples, b.speaker, b.text)


@pytest.mark.parametrize(
    ("codes", "samples"), [([[4], [0]], 5), ([[-1], [0]], 5), ([[0], [0]], 11), ([[0]], 5)]
)
def test_codes_that_do_not_fit_are_refused(tmp_path, codes, samples):
    write(tmp_path, [UnitRecord(id="a", codes=torch.tensor(codes), num_samples=samples)])
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


def three(folder):
    codes = torch.tensor([[0, 1], [3, 4]])
    write(folder, [UnitRecord(id=i, codes=codes + n, num_samples=15) for n, i in enumerate("abc")])
    return units.load(folder)


def test_an_utterance_is_found_by_its_id(tmp_path):
    found = three(tmp_path)
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
