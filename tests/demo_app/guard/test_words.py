from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiovq.errors import AudioError, ConfigError
from demo_app.guard import friendly


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("model/vq is no model", "model/vq is no model"),
        ("/home/anna/runs/vq/model is no model", "model is no model"),
        ("cannot read '/srv/a b/x.wav': gone", None),
        (r"C:\Users\anna\x.wav is empty", "x.wav is empty"),
        ("~/keys/id_rsa is there", "id_rsa is there"),
        ("two\nlines", "two lines"),
        ("a rate of 3/4 and 10 kbit/s", "a rate of 3/4 and 10 kbit/s"),
    ],
)
def test_paths_are_cut_to_their_last_part(said, heard):
    found = friendly(ConfigError(said))
    assert heard is None or found == heard
    assert "anna" not in found
    assert "/srv" not in found


def test_other_errors_are_logged_and_not_shown(caplog):
    found = friendly(RuntimeError("/srv/secret"))
    assert "secret" not in found
    assert "secret" in caplog.text


NAME = st.text("abcXYZ09_-.", min_size=1, max_size=8).filter(lambda n: set(n) != {"."})


@given(parts=st.lists(NAME, min_size=2, max_size=5), before=st.sampled_from(["", "in ", "'", "("]))
def test_no_absolute_path_remains(parts, before):
    path = str(Path("/", *parts))
    found = friendly(AudioError(f"{before}{path}: bad"))
    assert path not in found
    assert found.endswith(": bad")
