import pytest

from audiovq.data.corpora import _fake
from audiovq.data.prepare import make_corpus
from tests.data.corpora.listing import find, refusal


@pytest.fixture
def chapter(tmp_path):
    folder = tmp_path / "LibriTTS_R" / "dev-clean" / "84" / "121123"
    _fake.write(folder / "84_121123_000007_000001.wav", 0.3, 1, 24000)
    (folder / "84_121123.trans.tsv").write_text("84_121123_000007_000001\tMr. B?\tMister B?\n")
    return folder


def test_texts_are_read_beside_the_file_or_from_the_table(chapter, tmp_path):
    (found,) = find("libritts", tmp_path).values()
    assert (found.speaker, found.split, found.text) == ("84", "validation", "Mister B?")
    assert next(iter(find("libritts", tmp_path, "text=original").values())).text == "Mr. B?"
    (chapter / "84_121123_000007_000001.normalized.txt").write_text("mister bee\n")
    assert next(iter(find("libritts", tmp_path).values())).text == "mister bee"
    for path in chapter.glob("*.t*"):
        path.unlink()
    assert next(iter(find("libritts", tmp_path).values())).text is None


def test_whole_lists_are_the_splits(tmp_path):
    make_corpus("libritts").fake(tmp_path)
    splits = [u.split for u in find("libritts", tmp_path).values()]
    assert splits == ["validation"] * 2 + ["test"] * 2 + ["train"] * 12


def test_a_broken_table_is_told(chapter, tmp_path):
    (chapter / "84_121123.trans.tsv").write_text("\n84_121123_000007_000001 Mr. B?\n")
    assert "84_121123.trans.tsv, line 2: " in refusal("libritts", tmp_path)
