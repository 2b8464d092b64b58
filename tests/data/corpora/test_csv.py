import pytest

from audiovq.data.prepare import make_corpus
from audiovq.errors import ConfigError
from tests.data.corpora.listing import find, refusal, rejected


@pytest.fixture
def root(tmp_path):
    make_corpus("csv").fake(tmp_path / "c")
    return tmp_path / "c"


def rewrite(root, text, name="corpus.csv"):
    (root / name).write_text(text)
    return root


def test_columns_go_by_their_names(root):
    u = find("csv", root)["audio/4-1"]
    assert (u.path, u.speaker, u.text) == ("audio/4-1.wav", "speaker4", "made up, twice")
    assert (u.split, u.language, u.span) == ("validation", "en", None)


def test_columns_of_other_names_are_set(root):
    rewrite(root, "who;file;key\n7;audio/0-0.wav;first\n")
    options = ("delimiter=semicolon", "path=file", "speaker=who", "id=key")
    (u,) = find("csv", root, *options).values()
    assert (u.id, u.speaker, u.text, u.split) == ("first", "7", None, None)
    told = refusal("csv", root, *options, "text=words")
    assert "has no column 'words'; its first line names 'who, file, key'; set text=" in told
    assert "has no column 'path'" in refusal("csv", root)


def test_tabs_are_not_quoted_unless_told(root):
    (root / "corpus.csv").unlink()
    rewrite(root, 'path\ttext\r\naudio/0-0.wav\t"Yes", she said\r\n', "c.tsv")
    assert find("csv", root)["audio/0-0"].text == '"Yes", she said'
    rewrite(root, 'path\ttext\naudio/0-0.wav\t"a\tb"\n', "c.tsv")
    assert find("csv", root, "quoted=true")["audio/0-0"].text == "a\tb"
    rewrite(root, "path|text\naudio/0-0.wav|a\n", "c.tsv")
    assert find("csv", root, "delimiter=pipe")["audio/0-0"].text == "a"


def test_parts_of_files_have_ids_of_their_own(root):
    rewrite(root, "path,start,end\naudio/0-0.wav,,0.5\naudio/0-0.wav,0.5,\naudio/0-1.wav,,\n")
    found = find("csv", root)
    assert {i: u.span for i, u in found.items()} == {
        "audio/0-0@0.000": (0.0, 0.5),
        "audio/0-0@0.500": (0.5, None),
        "audio/0-1": None,
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,b,train", "line 3: 3 columns; the first line names 5"),
        ("../a.wav,s,train,,", "line 3: path '../a.wav' is not below"),
        (",s,train,,", "line 3: path '' is not below"),
        ("a.wav,s,tarin,,", "line 3: split 'tarin'; known: train, "),
        ("a.wav,s,train,x,", "line 3: start 'x' is not a time in seconds"),
        ("a.wav,s,train,-1,", "line 3: start '-1' is not a time in seconds"),
        ("a.wav,s,train,,nan", "line 3: end 'nan' is not a time in seconds"),
        ("a.wav,s,train,2,1", "line 3: the end 1 s is not behind the start"),
        ('"a.wav,s,train,,', "line 4: unexpected end of data"),
    ],
)
def test_a_broken_row_is_told(root, row, message):
    rewrite(root, f"path,speaker,split,start,end\naudio/0-0.wav,s,,,\n{row}\n")
    assert message in refusal("csv", root)


def test_the_table_is_found_or_named(root):
    rewrite(root, "path\naudio/0-0.wav\n", "b.tsv")
    assert "one .csv or .tsv (b.tsv, corpus.csv there); set table=" in refusal("csv", root)
    assert list(find("csv", root, "table=b.tsv")) == ["audio/0-0"]
    assert "cannot read" in refusal("csv", root, "table=none.csv")
    rewrite(root, "", "b.tsv")
    assert "has no column 'path'" in refusal("csv", root, "table=b.tsv")
    with pytest.raises(ConfigError, match="delimiter"):
        find("csv", root, "delimiter=x")


def test_a_listed_file_that_is_not_there_is_told(root):
    (root / "audio" / "1-1.wav").unlink()
    assert rejected("csv", root) == {"audio/1-1.wav": "does not exist"}
