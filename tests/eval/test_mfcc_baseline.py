"""The MFCC row beside every table of units."""

import numpy as np
import pytest

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.corpora.timit import Config, Timit
from audiovq.errors import ManifestError
from audiovq.eval.mfcc_baseline import mfcc_units


def test_units_of_every_record_at_the_rate_asked_for(speech_manifest, tmp_path):
    records = speech_manifest.select("test")[:2]
    options = {"sample_rate": 16000, "hop_length": 640, "size": 16, "progress": False}
    found = mfcc_units(speech_manifest, records, **options)
    assert list(found) == [r.id for r in records]
    for record in records:
        units = found[record.id]
        assert units.dtype == np.int64
        assert len(units) == -(-record.samples_at(16000) // 640)
        assert 0 <= units.min() <= units.max() < 16
        assert len(set(units.tolist())) > 4
    kept = mfcc_units(speech_manifest, records, folder=tmp_path / "k", **options)
    again = mfcc_units(speech_manifest, records, folder=tmp_path / "k", **options)
    for name, units in found.items():
        assert np.array_equal(kept[name], units)
        assert np.array_equal(again[name], units)


def test_a_corpus_without_a_training_split_says_so(speech_manifest):
    m = speech_manifest
    tests = manifests.Manifest(m.path, m.root, m.header, m.select("test"))
    options = {"sample_rate": 16000, "hop_length": 640, "size": 4, "progress": False}
    with pytest.raises(ManifestError, match="no records of the split 'train'"):
        mfcc_units(tests, tests.records, **options)
    assert len(mfcc_units(tests, tests.records[:1], split=None, **options)) == 1


def test_they_tell_phones_apart_on_timit(speech_root, tmp_path):
    """Well beyond random units, which reach a PNMI of .26 on so few frames."""
    metrics = pytest.importorskip("sklearn.metrics")
    root = speech_root and speech_root / "timit-sample"
    if not root or not root.is_dir():
        pytest.skip("needs the TIMIT sample")
    records = []
    for utterance in Timit(Config()).utterances(root):
        info = audio.probe(root / utterance.path)
        records.append(utterance.record(info, info.num_samples))
    manifests.write(tmp_path / "timit.jsonl", str(root), records)
    timit = manifests.read(tmp_path / "timit.jsonl")
    found = mfcc_units(
        timit, records, sample_rate=16000, hop_length=320, size=512, split=None, progress=False
    )
    phones, units = [], []
    for record in records:
        for start, end, label in record.alignment["phones"]:
            first, last = (-(-(n - 160) // 320) for n in (start, end))  # centres inside the phone
            phones += [label] * (last - first)
            units += found[record.id][first:last].tolist()
    phones = np.unique(phones, return_inverse=True)[1]
    entropy = metrics.mutual_info_score(phones, phones)
    random = np.random.default_rng(0).permutation(units)
    assert metrics.mutual_info_score(phones, units) / entropy > 0.5
    assert metrics.mutual_info_score(phones, random) / entropy < 0.3
