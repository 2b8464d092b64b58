import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.corpora import _fake
from audiovq.data.prepare import make_corpus, prepare
from audiovq.errors import ConfigError, ManifestError
from tests.test_audio import ZOO, make_zoo


@pytest.fixture
def root(tmp_path) -> Path:
    for s in range(4):
        for u in range(3):
            _fake.write(tmp_path / "speech" / f"s{s}" / f"{u}.wav", 0.5, 10 * s + u)
    return tmp_path / "speech"


def run(root, out, **options):
    return prepare("folder", root, out, progress=False, **options)


def listing(out: Path) -> list[dict]:
    text = out.with_name(f"{out.name}.rejected.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_every_file_is_counted_and_every_bad_one_named(tmp_path):
    root = tmp_path / "zoo"
    root.mkdir()
    make_zoo(root, _fake.speech(2.0, 3))
    out = tmp_path / "m.jsonl"
    report = run(root, out, max_rejected=1.0)
    present = [n for n in os.listdir(os.fsencode(root)) if n.endswith((b".wav", b".mp3"))]
    assert sum(report.statuses[s] for s in ("ok", "repaired", "rejected")) == len(present) - 1
    listed = {p["path"]: p["reason"] for p in listing(out) if p["status"] == "rejected"}
    for name, expected in ZOO.items():
        if isinstance(name, bytes):  # decodes, but no manifest can name it
            assert "unicode" in listed[os.fsdecode(name)]
        elif expected != "ok" and os.fsencode(name) in present and not (root / name).is_dir():
            assert expected in listed[name]
    good = {r.path for r in manifests.read(out, check_files=True).records}
    assert good == {n for n, e in ZOO.items() if e == "ok" and isinstance(n, str)}


def test_a_repaired_file_is_used_as_far_as_it_decodes(root, tmp_path):
    whole = root / "s0" / "0.wav"
    data = whole.read_bytes()
    whole.write_bytes(data[: int(0.8 * len(data))])
    report = run(root, tmp_path / "m.jsonl", max_rejected=0.0)
    assert report.statuses == {"ok": 11, "repaired": 1, "rejected": 0}
    found = manifests.read(tmp_path / "m.jsonl")
    record = next(r for r in found.records if r.id == "s0/0")
    assert 6300 < record.num_samples < 6400
    assert found.load(record, 16000).shape[-1] == record.num_samples
    assert "samples are there" in listing(tmp_path / "m.jsonl")[0]["reason"]


def test_too_many_rejected_stop_it_and_the_list_is_written(root, tmp_path):
    (root / "s0" / "0.wav").write_text("text")
    out = tmp_path / "m.jsonl"
    with pytest.raises(ManifestError) as caught:
        run(root, out)
    message = str(caught.value)
    assert "1 of 12 files are rejected, more than 1.00%" in message
    assert "m.jsonl.rejected.jsonl" in message
    assert not out.exists()
    assert listing(out)[0]["path"] == "s0/0.wav"
    share = float(message.split("--max-rejected ")[1])  # what the message says is enough, is
    assert run(root, out, max_rejected=share).statuses["rejected"] == 1


def test_nothing_usable_is_said_so(tmp_path):
    (tmp_path / "speech").mkdir()
    with pytest.raises(ManifestError, match="no wav, flac, ogg or mp3 file below"):
        run(tmp_path / "speech", tmp_path / "m.jsonl")
    (tmp_path / "speech" / "a.wav").write_text("text")
    with pytest.raises(ManifestError, match="1 of 1 files are rejected, all there are"):
        run(tmp_path / "speech", tmp_path / "m.jsonl", max_rejected=1.0)
    with pytest.raises(ManifestError, match="is not a folder"):
        run(tmp_path / "none", tmp_path / "m.jsonl")


@pytest.mark.parametrize(
    ("out", "options", "error"),
    [
        ("no/m.jsonl", {}, "cannot write .*there is no folder"),
        ("speech", {}, "cannot write .*it is a folder"),
        ("m.jsonl", {"max_rejected": 2.0}, "share from 0 to 1; 2 given"),
        ("m.jsonl", {"options": ["speakr=none"]}, "corpus folder .*speakr: unknown key; did you"),
        ("m.jsonl", {"options": ["speaker=x"]}, "speaker: 'x' given; input should be 'folder',"),
    ],
)
def test_a_mistake_is_found_before_any_work(root, tmp_path, out, options, error):
    before = sorted(tmp_path.iterdir())
    with pytest.raises((ManifestError, ConfigError)) as caught:
        run(root, tmp_path / out, **options)
    assert caught.match(error.replace(" .*speakr", r"(.|\n)*speakr"))
    assert sorted(tmp_path.iterdir()) == before


def test_an_unknown_corpus_names_the_known_ones(root, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'librispeech'"):
        prepare("librispeach", root, tmp_path / "m.jsonl")


def test_the_same_audio_under_two_names_is_noted_and_kept(root, tmp_path):
    shutil.copy(root / "s0" / "0.wav", root / "s3" / "copy.wav")
    report = run(root, tmp_path / "m.jsonl")
    assert report.duplicates == 1
    assert report.problems == [
        {
            "id": "s3/copy",
            "path": "s3/copy.wav",
            "status": "duplicate",
            "reason": "the same audio as s0/0; kept",
        }
    ]
    assert len(manifests.read(tmp_path / "m.jsonl").records) == 13


def test_preparing_twice_writes_the_same_bytes(root, tmp_path):
    out = tmp_path / "m.jsonl"
    run(root, out)
    once = out.read_bytes()
    run(root, out)
    assert out.read_bytes() == once
    assert json.loads(once.split(b"\n")[0])["root"] == "speech"


def test_figures_per_split_add_up(root, tmp_path):
    report = run(root, tmp_path / "m.jsonl").to_dict()
    assert sum(report["utterances"].values()) == 12
    assert np.isclose(sum(report["hours"].values()), 12 * 0.5 / 3600)
    json.dumps(report)


def test_a_killed_run_leaves_no_temporaries_after_the_next(root, tmp_path):
    stale = tmp_path / "m.jsonl.rejected.jsonl.audiovq-tmp-0123456789ab"
    other = tmp_path / "other.audiovq-tmp-0123456789ab"  # of somebody else, at work
    stale.touch()
    other.touch()
    run(root, tmp_path / "m.jsonl")
    assert not stale.exists()
    assert other.exists()


def test_librispeech_keeps_speakers_apart(librispeech_root, tmp_path):
    report = prepare("librispeech", librispeech_root, tmp_path / "m.jsonl", progress=False)
    assert report.statuses["rejected"] == 0
    if not report.note:
        found = manifests.read(tmp_path / "m.jsonl")
        heard = [{r.speaker for r in found.select(s)} for s in manifests.SPLITS]
        assert not heard[0] & heard[1] | heard[0] & heard[2] | heard[1] & heard[2]
        assert all(heard)


def test_two_files_that_break_off_are_not_the_same_audio(root, tmp_path):
    """What could not be decoded to the end has no digest; none is not equal to none."""
    for name in ("s0/0", "s1/0"):
        x = _fake.speech(6.0, 5 if name == "s0/0" else 6)
        audio.save(root / f"{name}.flac", torch.from_numpy(x), 16000)
        data = (root / f"{name}.flac").read_bytes()
        (root / f"{name}.flac").write_bytes(data[: int(0.8 * len(data))])
    report = run(root, tmp_path / "m.jsonl")
    assert report.statuses["repaired"] == 2
    assert report.duplicates == 0


def test_a_check_lists_and_counts_and_writes_no_manifest(tmp_path):
    make_corpus("folder").fake(tmp_path / "audio")
    (tmp_path / "audio" / "speaker0" / "0.wav").write_bytes(b"no wav")
    (tmp_path / "audio" / "speaker1" / "0.wav").write_bytes(b"")
    out = tmp_path / "m.jsonl"
    report = prepare("folder", tmp_path / "audio", out, only_check=True, progress=False)
    assert report.statuses["rejected"] == 2
    assert not (tmp_path / "m.jsonl").exists()
    assert len((tmp_path / "m.jsonl.rejected.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "m.jsonl.stats.json").exists()
