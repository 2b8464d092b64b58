"""`audiovq stress` as a user meets it."""

import json

import pytest

from tests.helpers import small_model
from tests.stress.made import corpus


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stress")
    corpus(folder)
    small_model().save(folder / "vq")
    return folder


def test_table_json_and_picture(run, place, tmp_path):
    words = ("stress", place / "vq", place / "speech.jsonl", "-o", tmp_path / "out")
    code, out, err = run(*words, "--conditions", "gain+12,bits-1e-2", "--quick")
    assert code == 0, err
    assert out == (tmp_path / "out" / "table.md").read_text()
    assert "`gain+12`" in out
    assert (tmp_path / "out" / "stress.png").read_bytes()[:4] == b"\x89PNG"
    code, out, err = run(*words, "--conditions", "gain+12", "--json", "--max-utterances", "1")
    assert code == 0, err
    found = json.loads(out)
    assert list(found["conditions"]) == ["clean", "chance", "gain+12"]
    assert found["data"]["recordings"] == 1


def test_mistakes_are_one_line(run, place, tmp_path):
    words = ("stress", place / "vq", place / "speech.jsonl", "-o", tmp_path / "out")
    for more, message in (
        (("--conditions", "hum"), "no condition 'hum'; known: all, white"),
        (("--conditions", "file-1s-prior"), "file-1s-prior takes a prior of the model's codes"),
        (("--prior", tmp_path / "none"), "no prior at"),
        (("--split", "validation"), "no records in the split 'validation'"),
    ):
        code, out, err = run(*words, *more)
        assert (code, out, err.count("error: ")) == (2, "", 1), err
        assert message in err
