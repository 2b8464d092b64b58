import pytest

from audiovq.data.prepare import make_corpus
from tests.data.corpora.listing import find, refusal, rejected


@pytest.fixture
def root(tmp_path):
    make_corpus("ljspeech").fake(tmp_path / "lj")
    return tmp_path / "lj"


def test_texts_keep_their_quotation_marks(root):
    assert find("ljspeech", root)["LJ001-0001"].text == 'In "fourteen fifty-five"'
    assert find("ljspeech", root, "text=original")["LJ001-0001"].text == 'In "1455"'
    (root / "metadata.csv").write_text("LJ001-0001|only one\nLJ001-0002||\n")
    found = find("ljspeech", root)
    assert [u.text for u in found.values()] == ["only one", None]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LJ001-0001 In 1455", "is not `id|text|normalised text`"),
        ("a|b|c|d", "is not `id|text|normalised text`"),
        ("|b|c", "is not `id|text|normalised text`"),
        ("../../secret|b|c", "'wavs/../../secret.wav' is not below"),
        ("/etc/x/../y|b|c", "is not below"),
    ],
)
def test_a_broken_line_is_told(root, line, message):
    (root / "metadata.csv").write_text(f"LJ001-0001|a|a\n{line}\n")
    told = refusal("ljspeech", root)
    assert "metadata.csv, line 2" in told
    assert message in told


def test_a_listed_file_that_is_not_there_is_told(root):
    (root / "wavs" / "LJ001-0003.wav").unlink()
    assert rejected("ljspeech", root) == {"wavs/LJ001-0003.wav": "does not exist"}
