import pytest

from audiovq.data.prepare import make_corpus
from tests.data.corpora.listing import find, refusal


@pytest.fixture
def root(tmp_path):
    make_corpus("aishell").fake(tmp_path)
    return tmp_path


def test_speakers_splits_and_texts(root):
    for place in (root, root / "data_aishell"):
        found = find("aishell", place)
        assert [u.split for u in found.values()] == (
            ["validation"] * 2 + ["test"] * 2 + ["train"] * 8
        )
        u = found["BAC009S0002W0121"]
        assert (u.speaker, u.language, u.text) == ("S0002", "zh", "而 对 楼市")


def test_no_transcript_is_no_text(root):
    table = root / "data_aishell" / "transcript" / "aishell_transcript_v0.8.txt"
    table.write_text("BAC009S0002W0121 a  b\n")
    found = find("aishell", root)
    assert found["BAC009S0002W0121"].text == "a b"
    assert found["BAC009S0002W0122"].text is None
    table.unlink()
    assert {u.text for u in find("aishell", root).values()} == {None}


@pytest.mark.parametrize("line", ["BAC009S0002W0121", "S0002 a b"])
def test_a_broken_line_is_told(root, line):
    table = root / "data_aishell" / "transcript" / "aishell_transcript_v0.8.txt"
    table.write_text(f"{line}\n")
    assert "aishell_transcript_v0.8.txt, line 1" in refusal("aishell", root)


def test_packed_speakers_are_told(tmp_path):
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav" / "S0002.tar.gz").touch()
    assert "extract its archives" in refusal("aishell", tmp_path)
