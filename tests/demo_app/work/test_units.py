import csv
import json
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audiovq.errors import ConfigError
from demo_app.sound import Recording
from demo_app.work.units import clips, export, occurrences, runs, units
from tests.demo_app.work.small import folded
from tests.helpers import noise

VQ = folded("vq_ema")
RVQ = folded({"name": "rvq", "dim": 6, "codebook_size": 3, "num_codebooks": 3})
X = Recording(noise(1, 1995), 16000, "a b/c")


@given(st.integers(1, 3), st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(1, 10))
def test_runs_cover_the_recording_and_none_is_like_the_next(rows, row, last):
    codes = torch.tensor([row] * rows)
    length = (len(row) - 1) * 10 + last
    found = runs(codes, length, 10, 1000)
    assert [c for u in found for c in [u.codes] * u.frames] == [(c,) * rows for c in row]
    assert found[0].start == 0
    assert found[-1].end == length / 1000
    for a, b in pairwise(found):
        assert a.end == b.start
        assert a.codes != b.codes
    assert [u.number for u in found] == list(range(len(found)))


@pytest.mark.parametrize("codebooks", [None, (0,), (2,), (0, 2)])
def test_units_are_those_of_the_codes(codebooks):
    found = units(RVQ, X, codebooks)
    rows = codebooks or (0,)
    codes = RVQ.encode(X.x, exact=True)[0]
    assert torch.equal(found.codes, codes)
    whole = [c for u in found.units for c in [u.codes] * u.frames]
    assert whole == [tuple(c) for c in codes[list(rows)].T.tolist()]
    assert found.rate == pytest.approx(len(found.units) / X.seconds)
    assert len(found.rows()) == len(found.units)
    assert len(found.header()) == len(found.rows()[0]) == 4 + len(rows)


def test_a_time_belongs_to_one_unit():
    found = units(VQ, X)
    for unit in found.units:
        assert found.at(unit.start) == found.at((unit.start + unit.end) / 2) == unit
    assert found.at(-1.0) == found.units[0]
    assert found.at(99.0) == found.units[-1]


def test_a_clip_holds_the_unit_with_what_is_around_it():
    found = units(VQ, X)
    unit = max(found.units, key=lambda u: len(occurrences(found, u.codes)))
    places = occurrences(found, unit.codes)
    assert unit in places
    assert all(u.codes == unit.codes for u in places)
    heard = clips(found, unit.codes, context=0.005, limit=3)
    assert len(heard) == min(3, len(places))
    for clip, place in zip(heard, places, strict=False):
        a, b = (round(s * 16000) for s in (place.start, place.end))
        first, after = max(0, a - 80), min(1995, b + 80)
        assert torch.equal(clip.recording.x, X.x[..., first:after])
        assert round(clip.start * 16000) == a - first
        assert round((clip.end - clip.start) * 16000) == b - a
    assert clips(found, (99,)) == []


@pytest.mark.parametrize("codebooks", [(0,), (1, 0)])
def test_files_hold_the_units(tmp_path, codebooks):
    found = units(RVQ, X, codebooks)
    jsonl, km, table = export(found, tmp_path)
    assert [p.name for p in (jsonl, km, table)] == ["a_b_c.jsonl", "a_b_c.km", "a_b_c.csv"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["a_b_c.jsonl", "a_b_c.km", "a_b_c.csv"]
    )
    (line,) = jsonl.read_text().splitlines()
    said = json.loads(line)
    assert said["audio"] == "a b/c"
    assert said["num_samples"] == 1995
    streams = said["units"] if len(codebooks) > 1 else [said["units"]]
    assert [tuple(c) for c in zip(*streams, strict=True)] == [u.codes for u in found.units]
    ends = said["ends"][0] if len(codebooks) > 1 else said["ends"]
    assert ends == [u.end for u in found.units]
    first = units(RVQ, X, codebooks[:1])
    assert km.read_text() == " ".join(str(u.codes[0]) for u in first.units) + "\n"
    with table.open() as file:
        head, *rows = csv.reader(file)
    assert head == found.header()
    assert [[float(v) for v in row] for row in rows] == [
        [float(v) for v in r] for r in found.rows()
    ]


def test_files_are_those_of_export_units(tmp_path):
    """The same bytes as the command's for a corpus of one."""
    from audiovq import units as folders
    from audiovq.data import manifest as manifests
    from audiovq.data.manifest import Record
    from audiovq.units.coder import ModelCoder
    from audiovq.units.export import export as export_corpus
    from audiovq.units.extract import extract
    from audiovq.units.tokens import TokenConfig

    Recording(X.x, 16000, "a").save(tmp_path / "a.wav")
    manifests.write(
        tmp_path / "m.jsonl", str(tmp_path),
        [Record(id="a", path="a.wav", sample_rate=16000, num_samples=1995)], corpus="folder",
    )  # fmt: skip
    manifest = manifests.read(tmp_path / "m.jsonl")
    extract(ModelCoder(VQ), manifest, tmp_path / "units", progress=False)
    tokens = TokenConfig(deduplicate=True)
    loaded = folders.load(tmp_path / "units")
    for form in ("jsonl", "fairseq"):
        export_corpus(loaded, tmp_path / form, form, tokens=tokens, times=form == "jsonl")
    heard = Recording(manifest.load(manifest.records[0], 16000), 16000, "a")
    jsonl, km, _ = export(units(VQ, heard), tmp_path)
    assert km.read_bytes() == (tmp_path / "fairseq" / "all.km").read_bytes()
    assert jsonl.read_bytes() == (tmp_path / "jsonl" / "all.jsonl").read_bytes()


def test_what_is_refused():
    with pytest.raises(ConfigError, match="continuous and has no units"):
        units(folded("identity"), X)
    for rows in ((3,), (-1,), (), (0, 0)):
        with pytest.raises(ConfigError, match="numbered from 0"):
            units(RVQ, X, rows)
