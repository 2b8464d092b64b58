"""Real speech, where AUDIOVQ_TEST_DATA names a folder of it."""

import pytest

from audiovq.data import manifest as manifests
from audiovq.data.prepare import prepare

CORPORA = {  # corpus and its settings, by folder: files, speakers, whether all have a text
    ("librispeech", "LibriSpeech"): (370, 182, False),
    ("timit", "timit-sample"): (80, 8, True),
    ("vctk", "vctk-mini"): (20, 2, False),
    ("ljspeech", "ljspeech-mini"): (16, 1, True),
    ("speechocean762", "speechocean762-adults"): (280, 14, True),
    ("kaldi", "speechocean762-adults", "data=train"): (280, 14, True),
    ("csv", "vctk-mini"): (20, 2, False),
}


@pytest.mark.parametrize("what", CORPORA, ids=lambda what: f"{what[0]}-{what[1]}")
def test_real_corpora_prepare_and_load(what, speech_root, tmp_path):
    name, folder, *options = what
    if speech_root is None or not (speech_root / folder).is_dir():
        pytest.skip("AUDIOVQ_TEST_DATA has no such folder")
    files, speakers, texts = CORPORA[what]
    out = tmp_path / "m.jsonl"
    report = prepare(name, speech_root / folder, out, options, max_rejected=0.0, progress=False)
    assert report.statuses == {"ok": files, "repaired": 0, "rejected": 0}
    found = manifests.read(out, check_files=True)
    assert len({r.speaker for r in found.records}) == speakers
    assert all(r.text for r in found.records) or not texts
    for split in manifests.SPLITS:
        record = found.select(split)[0]
        x = found.load(record, 16000)
        assert x.shape[-1] == record.samples_at(16000)
        assert 0.01 < float(x.abs().max()) <= 1.0
