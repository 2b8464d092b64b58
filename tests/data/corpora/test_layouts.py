"""Each corpus as its publishers lay it out, and as people then keep it."""

import tarfile
from itertools import pairwise

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import audio
from audiovq.data.corpora import _fake
from audiovq.data.corpora.timit import _times
from audiovq.data.prepare import prepare
from audiovq.errors import AudioError, ManifestError
from tests.data.corpora.listing import find

# ------------------------------------------------------------------- folder


@pytest.fixture
def nested(tmp_path):
    for path in ("top.wav", "ann/1.wav", "ann/1.flac", "bob/day1/2.WAV", "bob/.hidden.wav"):
        _fake.write(tmp_path / path, 0.2, 0)
    (tmp_path / "ann" / "1.txt").write_text("\ufeffhéllo\n")
    return tmp_path


def test_folder_ids_speakers_and_texts(nested):
    found = find("folder", nested, "language=en")
    assert {i: (u.path, u.speaker) for i, u in found.items()} == {
        "top": ("top.wav", None),
        "ann/1.wav": ("ann/1.wav", "ann"),  # the stem alone would name two
        "ann/1.flac": ("ann/1.flac", "ann"),
        "bob/day1/2": ("bob/day1/2.WAV", "bob"),
    }
    assert found["ann/1.wav"].text == "héllo"
    assert found["top"].language == "en"
    assert find("folder", nested, "speaker=parent")["bob/day1/2"].speaker == "day1"
    assert {u.speaker for u in find("folder", nested, "speaker=none").values()} == {None}


def test_folder_follows_links_once_and_names_broken_ones(nested, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    _fake.write(elsewhere / "3.wav", 0.2, 0)
    (nested / "cat").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(nested)
    (nested / "gone.wav").symlink_to("nowhere.wav")
    found = find("folder", nested)
    assert found["cat/3"].speaker == "cat"
    assert len(found) == 6
    report = prepare("folder", nested, nested / "m.jsonl", max_rejected=0.5, progress=False)
    assert [p["reason"] for p in report.problems if p["status"] == "rejected"] == [
        "does not exist (a broken link)"
    ]


def test_folder_reads_tars(nested):
    with tarfile.open(nested / "shard.tar", "w") as tar:
        for name in ("ann/1.wav", "top.wav"):
            tar.add(nested / name, name)
        tar.add(nested / "ann" / "1.txt", "ann/1.txt")
    found = find("folder", nested)
    assert found["shard.tar/ann/1"].path == "shard.tar/ann/1.wav"
    assert found["shard.tar/top"].speaker == "shard.tar"
    prepare("folder", nested, nested / "m.jsonl", progress=False)
    (nested / "torn.tar").write_bytes((nested / "shard.tar").read_bytes()[:3000])
    with pytest.raises(AudioError, match=r"torn\.tar cannot be read as an uncompressed tar"):
        find("folder", nested)


# ------------------------------------------------------------------- librispeech


def test_librispeech_reads_its_own_lists_where_they_are_whole(tmp_path):
    sets = {"train-clean-100": "1-1-0000", "dev-clean": "2-1-0000", "test-other": "3-1-0000"}
    for name, utterance in sets.items():
        speaker, chapter, _ = utterance.split("-")
        _fake.write(tmp_path / name / speaker / chapter / f"{utterance}.flac", 0.2, 0)
    found = find("librispeech", tmp_path)
    assert [u.split for u in found.values()] == ["validation", "test", "train"]
    only = find("librispeech", tmp_path / "train-clean-100")
    assert [u.split for u in only.values()] == [None]  # the common rule decides
    dev = tmp_path / "dev-clean"
    dev.rename(tmp_path / "moved")
    assert find("librispeech", tmp_path)["1-1-0000"].split is None
    assert find("librispeech", tmp_path)["3-1-0000"].split == "test"


def test_librispeech_transcripts_and_speakers(librispeech_root):
    found = find("librispeech", librispeech_root)
    for name, u in found.items():
        assert name.startswith(f"{u.speaker}-")
    texts = [u.text for u in found.values() if u.text]
    assert texts
    assert all(t == t.strip() and t.upper() == t for t in texts)


# ------------------------------------------------------------------- timit


@pytest.fixture
def published(tmp_path):
    """The tree as published: upper case, NIST headers, TRAIN and TEST."""
    for part, speaker in (("TRAIN", "FCJF0"), ("TEST", "FAKS0")):
        folder = tmp_path / "TIMIT" / part / "DR1" / speaker
        folder.mkdir(parents=True)
        x = _fake.speech(1.0, 1)
        with (folder / "SA1.WAV").open("wb") as file:
            soundfile.write(file, x, 16000, format="NIST", subtype="PCM_16")
        (folder / "SA1.PHN").write_text("0 5000 h#\n5000 5000 q\n5000 9000 sh\n9000 16001 h#\n")
        (folder / "SA1.WRD").write_text("5000 9000 she\n")
        (folder / "SA1.TXT").write_text("0 16001 She had your dark suit.\n")
    return tmp_path / "TIMIT"


def test_timit_as_published(published, tmp_path):
    found = find("timit", published)
    assert list(found) == ["faks0-sa1", "fcjf0-sa1"]
    assert [u.split for u in found.values()] == ["test", None]
    u = found["fcjf0-sa1"]
    assert u.path == "TRAIN/DR1/FCJF0/SA1.WAV"
    assert u.text == "She had your dark suit."
    assert u.alignment["phones"] == ((0, 5000, "h#"), (5000, 9000, "sh"), (9000, 16001, "h#"))
    record = u.record(audio.probe(published / u.path), 16000)
    assert record.alignment["phones"][-1] == (9000, 16000, "h#")  # cut where the audio ends
    assert record.alignment["words"] == ((5000, 9000, "she"),)


def test_timit_labels_without_audio_are_told(published, tmp_path):
    (published / "TRAIN" / "DR1" / "FCJF0" / "SA1.WAV").unlink()
    report = prepare("timit", published, tmp_path / "m.jsonl", max_rejected=0.5, progress=False)
    assert report.problems[0]["reason"] == "does not exist"


@pytest.mark.parametrize("line", ["0 5000", "a b c", "-1 5 h#", "hello"])
def test_a_broken_label_file_is_named_with_its_line(published, line):
    path = published / "TRAIN" / "DR1" / "FCJF0" / "SA1.PHN"
    path.write_text(f"0 5000 h#\n\n{line}\n")
    with pytest.raises(ManifestError, match=r"SA1\.PHN, line 3: .* is not `start end label`"):
        find("timit", published)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.sampled_from(["h#", "ax-h"]))))
def test_times_keep_every_row_of_some_length(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("times") / "a.phn"
    path.write_text("".join(f"{a}\t{b} {c}\r\n" for a, b, c in rows))
    assert _times(path) == tuple(r for r in rows if r[1] > r[0])


def test_real_timit_phones_cover_the_sentence(speech_root):
    if speech_root is None:
        pytest.skip("AUDIOVQ_TEST_DATA is not set")
    found = find("timit", speech_root / "timit-sample")
    assert len(found) == 80
    assert len({u.speaker for u in found.values()}) == 8
    for u in found.values():
        phones = u.alignment["phones"]
        assert phones[0][2] == phones[-1][2] == "h#"
        assert all(a[1] <= b[0] + 1 for a, b in pairwise(phones))
        assert u.text
        assert u.alignment["words"][0][0] >= phones[0][1] - 1
