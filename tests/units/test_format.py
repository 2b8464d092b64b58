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
