import json

import numpy as np
import pytest

from audiovq import figures
from audiovq.data import manifest as manifests
from audiovq.data import statistics
from audiovq.data.prepare import make_corpus, prepare
from audiovq.errors import ManifestError


@pytest.fixture
def prepared(tmp_path):
    make_corpus("kaldi").fake(tmp_path / "k")  # six files, twelve parts
    (tmp_path / "k" / "audio" / "spk5-tape.wav").write_text("no audio")
    out = tmp_path / "m.jsonl"
    return out, prepare("kaldi", tmp_path / "k", out, max_rejected=0.2, progress=False)


def test_figures_lie_beside_the_manifest(prepared):
    out, report = prepared
    told = json.loads(out.with_name("m.jsonl.stats.json").read_text())
    assert set(told.pop("definitions")) == set(told) - {"files_with_clipping"}
    assert told == report.statistics
    lengths = [r.duration for r in manifests.read(out).records]
    assert told["duration_s"]["mean"] == pytest.approx(np.mean(lengths), abs=1e-5)
    assert told["duration_s"]["max"] == pytest.approx(1.5)
    assert -40 < told["level_dbfs"]["min"] <= told["level_dbfs"]["median"] < 0
    assert 0 <= told["pauses"]["p5"] <= told["pauses"]["p95"] < 1
    assert told["files_with_clipping"] == 0
    json.dumps(report.to_dict())


def test_levels_are_of_files_and_lengths_of_utterances():
    levels = [statistics.Levels(-20.0, 0.0, 0.1), statistics.Levels(-10.0, 0.5, 0.3)]
    records = [
        manifests.Record(id=str(i), path="a", sample_rate=8000, num_samples=8000 * (i + 1))
        for i in range(3)
    ]
    told = statistics.summary(statistics.gather(records, levels))
    assert told["duration_s"]["mean"] == 2.0
    assert told["level_dbfs"]["median"] == -15.0
    assert told["clipped"]["max"] == 0.5
    assert told["files_with_clipping"] == 1


def test_the_picture_needs_matplotlib_and_an_old_one_goes(prepared, monkeypatch):
    out, _ = prepared
    picture = out.with_name("m.jsonl.stats.png")
    if figures.can_draw():
        assert picture.read_bytes()[:4] == b"\x89PNG"
    picture.write_bytes(b"old")
    monkeypatch.setattr(figures, "can_draw", lambda: False)
    values = statistics.gather(manifests.read(out).records, [])
    statistics.write(out, values)
    assert not picture.exists()
    with pytest.raises(ManifestError, match="cannot write the figures"):
        statistics.write(out.parent / "none" / "m.jsonl", values)
