"""The YAML at the top of a card: what is written is read, and nothing else is believed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.cards import front
from audiovq.errors import CheckpointError

PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@given(PLAIN, PLAIN)
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, license_, summary):
    folder = tmp_path_factory.mktemp("c")
    values = {"license": license_, "audiovq": {"summary": summary}}
    (folder / "README.md").write_text(front.text(values) + "# a\n---\nb", encoding="utf-8")
    found = front.read(folder)
    assert (found.license, found.audiovq.summary) == (license_, summary)


def test_a_folder_without_and_a_readme_without(tmp_path):
    assert front.read(tmp_path).audiovq.summary == "no card"
    (tmp_path / "README.md").write_text("# words\n")
    assert front.read(tmp_path).license == ""
    (tmp_path / "README.md").write_text("---\nlicense: mit\nunknown: [1]\n---\n")  # of the hub
    assert front.read(tmp_path).license == "mit"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\nlicense: mit\n", "is no model card"),
        ("---\n[1, 2]\n---\n", "is no model card"),
        ("---\na: b: c\n---\n", "is no model card"),
        ("---\na: !!python/object/apply:os.system [x]\n---\n", "is no model card"),
        ("---\n" + "[" * 5000 + "\n---\n", "is no model card"),
        ("---\nlicense: [1]\n---\n", "license: "),
        ("---\naudiovq: {codebook_sizes: x}\n---\n", "audiovq.codebook_sizes: "),
        ("---\naudiovq: {summary: " + "x" * 301 + "}\n---\n", "audiovq.summary: "),
        ("x" * (1 << 20 | 1), "no model card"),
    ],
)
def test_damage_is_one_line(tmp_path, text, message):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(CheckpointError, match=message) as caught:
        front.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_not_text(tmp_path):
    (tmp_path / "README.md").write_bytes(b"---\n\xff\n---\n")
    with pytest.raises(CheckpointError, match="is no model card"):
        front.read(tmp_path)
