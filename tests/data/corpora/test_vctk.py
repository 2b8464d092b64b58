import shutil

import pytest

from audiovq.data.corpora import _fake
from audiovq.data.prepare import make_corpus
from tests.data.corpora.listing import find, refusal


@pytest.fixture
def old(tmp_path):
    """Release 0.80: wav48 and txt, no text for p315."""
    root = tmp_path / "VCTK-Corpus"
    for name in ("p225", "p315", "s5"):
        _fake.write(root / "wav48" / name / f"{name}_001.wav", 0.3, 1, 48000)
        if name != "p315":
            (root / "txt" / name).mkdir(parents=True)
            (root / "txt" / name / f"{name}_001.txt").write_text("Please call Stella.\n")
    (root / "speaker-info.txt").write_text("ID  AGE  GENDER  ACCENTS  REGION\n")
    return root


def test_release_080(old):
    for root in (old, old.parent):
        found = find("vctk", root)
        assert list(found) == ["p225_001", "p315_001", "s5_001"]
        assert [u.text for u in found.values()] == [
            "Please call Stella.",
            None,
            "Please call Stella.",
        ]
        assert {u.split for u in found.values()} == {None}


def test_release_092_has_two_microphones(tmp_path):
    make_corpus("vctk").fake(tmp_path)
    one, two = find("vctk", tmp_path), find("vctk", tmp_path, "microphone=mic2")
    assert list(one) == list(two)
    assert one["p226_002"].path == "wav48_silence_trimmed/p226/p226_002_mic1.flac"
    assert two["p226_002"].path == "wav48_silence_trimmed/p226/p226_002_mic2.flac"
    assert one["p226_002"].text == "Please call Stella."


def test_two_folders_of_recordings_want_a_choice(old):
    shutil.copytree(old / "wav48", old / "wav16")
    assert "(wav16, wav48); choose one, as in audio=wav16" in refusal("vctk", old)
    found = find("vctk", old, "audio=wav16")
    assert found["p225_001"].path == "wav16/p225/p225_001.wav"
    assert found["p225_001"].text == "Please call Stella."
    assert "below" in refusal("vctk", old, "audio=wav8")


def test_files_in_folders_of_others_are_left_out(old):
    _fake.write(old / "wav48" / "p225" / "p226_001.wav", 0.3, 1)
    _fake.write(old / "wav48" / "p225" / "noise.wav", 0.3, 1)
    assert len(find("vctk", old)) == 3
