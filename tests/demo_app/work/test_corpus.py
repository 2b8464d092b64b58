import pytest
import torch

from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError
from audiovq.units.coder import ModelCoder
from audiovq.units.extract import extract
from demo_app.sound import Recording
from demo_app.work.corpus import Corpus
from demo_app.work.units import runs, units
from tests.demo_app.work.small import folded
from tests.helpers import noise

VQ = folded({"name": "vq_ema", "dim": 6, "codebook_size": 4})
X = Recording(noise(1, 1995), 16000, "x")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder of units of three recordings, at two rates, and where they are."""
    root = tmp_path_factory.mktemp("corpus")
    records = []
    for number, rate in enumerate((16000, 16000, 8000)):
        Recording(noise(1, 1500, seed=number), rate, "r").save(root / f"{number}.wav")
        about = {"id": f"r{number}", "path": f"{number}.wav", "speaker": f"s{number}"}
        records.append(Record(**about, sample_rate=rate, num_samples=1500))
    manifests.write(root / "m.jsonl", str(root), records, corpus="folder")
    extract(
        ModelCoder(VQ), manifests.read(root / "m.jsonl"), root / "units", progress=False,
        made_from={"manifest": str(root / "m.jsonl")},
    )  # fmt: skip
    return root


def places(root, codes):
    """Where a unit is, looked for in the codes one by one."""
    from audiovq import units as folders

    return {
        r.id: [u for u in runs(r.codes[:1], r.num_samples, 10, 16000) if u.codes == codes]
        for r in folders.load(root / "units")
    }


def test_a_unit_is_found_and_heard_in_every_utterance(corpus):
    found = Corpus(corpus / "units")
    assert found.note == ""
    assert found.utterances == 3
    here = units(VQ, X)
    assert found.why_not(here) == ""
    assert found.count((99,)) == 0
    codes = here.units[0].codes
    where = places(corpus, codes)
    assert found.count(codes) == sum(map(len, where.values())) > 3
    clips = found.clips(codes, context=0.002, limit=1000)
    turns = max(map(len, where.values()))
    order = [(n, each[i]) for i in range(turns) for n, each in where.items() if i < len(each)]
    assert len(clips) == len(order)
    sound = manifests.read(corpus / "m.jsonl")
    for clip, (name, unit) in zip(clips, order, strict=True):
        assert clip.where == f"{name}, {unit.start:.2f} s, speaker s{name[1]}"
        rate, mine = clip.recording.sample_rate, clip.recording.x[0, 0]
        whole = sound.load(sound.records[int(name[1])], rate)[0, 0]
        around = range(max(0, int((unit.start - 0.002) * rate) - 1), len(whole) - len(mine) + 1)
        assert min(float((whole[a : a + len(mine)] - mine).abs().max()) for a in around[:4]) == 0
        assert clip.start == pytest.approx(min(0.002, unit.start), abs=2 / rate)
        assert clip.end - clip.start == pytest.approx(unit.end - unit.start)
    assert [c.where for c in found.clips(codes, limit=2)] == [c.where for c in clips[:2]]


def test_units_of_another_model_are_none_of_it(corpus):
    other = units(folded({"name": "vq_ema", "dim": 6, "codebook_size": 4}, seed=3), X)
    assert "another model" in Corpus(corpus / "units").why_not(other)


def test_without_its_audio_it_counts_and_says_so(corpus, tmp_path):
    records = [
        Record(id=f"r{n}", path=f"gone{n}.wav", sample_rate=16000, num_samples=1500)
        for n in range(3)
    ]
    manifests.write(tmp_path / "m.jsonl", str(tmp_path), records, corpus="folder")
    for manifest, said in (
        (tmp_path / "m.jsonl", "audio files"),
        (tmp_path / "no.jsonl", "no longer where it was"),
    ):
        found = Corpus(corpus / "units", manifest)
        assert said in found.note
        assert str(tmp_path) not in found.note
        assert found.count((0,)) + found.count((1,)) > 0
        assert found.clips((0,)) == found.clips((1,)) == []


def test_what_is_no_units_folder(tmp_path):
    with pytest.raises(CheckpointError):
        Corpus(tmp_path)


def test_several_codebooks_must_all_agree(tmp_path):
    rvq = folded({"name": "rvq", "dim": 6, "codebook_size": 3, "num_codebooks": 2})
    X.save(tmp_path / "x.wav")
    record = Record(id="x", path="x.wav", sample_rate=16000, num_samples=1995)
    manifests.write(tmp_path / "m.jsonl", str(tmp_path), [record], corpus="folder")
    manifest = manifests.read(tmp_path / "m.jsonl")
    extract(ModelCoder(rvq), manifest, tmp_path / "units", progress=False)
    found = Corpus(tmp_path / "units", tmp_path / "m.jsonl")
    heard = units(rvq, Recording(manifest.load(record, 16000), 16000), (0, 1))
    assert torch.equal(heard.codes, rvq.encode(heard.recording.x, exact=True)[0])
    for unit in heard.units[:5]:
        expected = sum(u.codes == unit.codes for u in heard.units)
        assert found.count(unit.codes, (0, 1)) == expected
