"""What `audiovq export` refuses; what it writes is in tests/export."""

import pytest

from tests.helpers import small_model


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--what", "head"), "encoder, decoder or both"),
        (("--format", "tflite"), "onnx, torch or both"),
        (("--opset", "9"), "18 to 23"),
        (("--codebooks", "3"), "1 to 1 are accepted"),
        (("--speaker", "ann"), "no table of speakers"),
        (("--check", "nowhere.wav"), "nowhere.wav"),
    ],
)
def test_refusals_take_one_line_and_leave_nothing(run, tmp_path, words, message):
    small_model().save(tmp_path / "m")
    code, out, err = run("export", tmp_path / "m", "-o", tmp_path / "out", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_folder_that_holds_something_else_is_left_alone(run, tmp_path):
    small_model().save(tmp_path / "m")
    code, _, err = run("export", tmp_path / "m", "-o", tmp_path / "m", "--force")
    assert code == 2
    assert "holds something else: choose another folder with -o" in err
