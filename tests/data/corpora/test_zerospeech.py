import pytest

from audiovq.data.corpora import _fake
from tests.data.corpora.listing import find


@pytest.fixture
def root(tmp_path):
    for path in (
        "english/train/unit/S002_0000000001.wav",
        "english/train/voice/V001_0000000001.wav",
        "english/train/parallel/source/S003_0000000001.wav",
        "english/train/parallel/voice/V001_0000000002.wav",
        "english/test/S004_0000000001.wav",
        "surprise/test/S005_0000000001.wav",
        "english/vads.wav",
    ):
        _fake.write(tmp_path / path, 0.3, 1)
    return tmp_path


def test_target_voices_train_and_test_tests(root):
    found = find("zerospeech", root)
    assert {i: (u.speaker, u.split, u.language) for i, u in found.items()} == {
        "english/train/unit/S002_0000000001": ("S002", None, "en"),
        "english/train/voice/V001_0000000001": ("V001", "train", "en"),
        "english/train/parallel/source/S003_0000000001": ("S003", None, "en"),
        "english/train/parallel/voice/V001_0000000002": ("V001", "train", "en"),
        "english/test/S004_0000000001": ("S004", "test", "en"),
        "surprise/test/S005_0000000001": ("S005", "test", "id"),
    }


@pytest.mark.parametrize(("place", "number"), [("english", 5), ("english/train", 4)])
def test_the_root_may_be_a_part(root, place, number):
    found = find("zerospeech", root / place)
    assert len(found) == number
    assert {u.language for u in found.values()} == {"en"}
