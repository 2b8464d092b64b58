import pytest

from audiovq.data.prepare import make_corpus
from tests.data.corpora.listing import find, refusal, rejected


@pytest.fixture
def root(tmp_path):
    make_corpus("commonvoice").fake(tmp_path / "cv" / "en")
    return tmp_path / "cv" / "en"


def test_official_lists_are_the_splits(root):
    found = find("commonvoice", root)
    assert [u.split for u in found.values()] == ["train"] * 12 + ["validation"] * 2 + ["test"] * 2
    u = found["common_voice_en_0"]
    assert (u.path, u.language, u.text) == ("clips/common_voice_en_0.mp3", "en", '"Yes", she said.')
    assert len(u.speaker) == 128


def test_a_folder_of_languages_is_read_whole(root):
    found = find("commonvoice", root.parent)
    assert found["common_voice_en_0"].path == "en/clips/common_voice_en_0.mp3"


def test_validated_and_partial_lists(root):
    assert {u.split for u in find("commonvoice", root, "lists=validated").values()} == {None}
    (root / "dev.tsv").unlink()
    splits = {u.split for u in find("commonvoice", root).values()}
    assert splits == {None, "test"}  # the common rule finds who validates
    (root / "train.tsv").unlink()
    (root / "test.tsv").unlink()
    assert len(find("commonvoice", root)) == 16
    (root / "validated.tsv").unlink()
    assert "no validated.tsv in" in refusal("commonvoice", root)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x\ty.mp3\n", "line 2: 2 columns; the header names 3"),
        ("x\t../../y.mp3\thi\n", "line 2: path 'clips/../../y.mp3' is not below"),
    ],
)
def test_a_broken_row_is_told(root, row, message):
    (root / "test.tsv").write_text("client_id\tpath\tsentence\n" + row)
    assert message in refusal("commonvoice", root)


def test_a_table_without_its_columns_is_told(root):
    (root / "test.tsv").write_text("speaker,file\n1,2\n")
    assert "line 1: no columns `client_id` and `path`" in refusal("commonvoice", root)


def test_names_without_suffix_and_missing_clips(root):
    (root / "test.tsv").write_text("client_id\tpath\n\tcommon_voice_en_700\nx\tgone\n")
    found = find("commonvoice", root)
    assert found["common_voice_en_700"].path == "clips/common_voice_en_700.mp3"
    assert found["common_voice_en_700"].speaker is None
    assert rejected("commonvoice", root) == {"clips/gone.mp3": "does not exist"}
