import json

import pytest

from audiovq.errors import CheckpointError, ConfigError
from audiovq.stress import keep

TERMS = {"format": "f", "model": {"fingerprint": "a" * 64, "rate": 1}, "seed": 0, "prior": None}


def kept(folder):
    return json.loads((folder / "stress.json").read_text())


def test_a_prior_may_come_later_and_be_left_out_but_not_change(tmp_path):
    one, two = ({"name": "wavenet", "fingerprint": c * 64} for c in "bc")
    keep.open_folder(tmp_path, TERMS)
    keep.open_folder(tmp_path, {**TERMS, "prior": one})
    assert kept(tmp_path)["prior"] == one
    keep.open_folder(tmp_path, TERMS)
    assert kept(tmp_path)["prior"] == one
    with pytest.raises(ConfigError, match="another prior: bbbbbbbbbbbb, now cccccccccccc; choose"):
        keep.open_folder(tmp_path, {**TERMS, "prior": two})
    assert kept(tmp_path)["prior"] == one


def test_what_has_a_fingerprint_is_known_by_it(tmp_path):
    keep.open_folder(tmp_path, TERMS)
    keep.open_folder(tmp_path, {**TERMS, "model": {"fingerprint": "a" * 64, "rate": 2}})
    with pytest.raises(ConfigError, match="another model: aaaaaaaaaaaa, now dddddddddddd"):
        keep.open_folder(tmp_path, {**TERMS, "model": {"fingerprint": "d" * 64}})


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_damaged_files_are_said(tmp_path, text):
    (tmp_path / "stress.json").write_text(text)
    with pytest.raises(CheckpointError, match="stress.json"):
        keep.open_folder(tmp_path, TERMS)
