from pathlib import Path

import pytest

from audiovq.errors import ConfigError
from audiovq.eval import ask
from audiovq.eval.reconstruction import NAMES
from tests.helpers import small_model

RVQ = {"name": "rvq", "dim": 6, "codebook_size": 16, "num_codebooks": 3}


def load(path):
    return small_model(RVQ if "rvq" in str(path) else "vq_ema")


def labels(*args, **kwargs):
    return [s.label for s in ask.systems(load, *args, **kwargs)]


def test_systems_are_called_by_what_tells_them_apart(tmp_path):
    rvq, vq = tmp_path / "rvq" / "seed-0", tmp_path / "vq" / "seed-0" / "model"
    assert labels(rvq) == ["seed-0"]
    assert labels(rvq, beside=[str(vq)]) == ["rvq/seed-0", "vq/seed-0"]
    assert labels(rvq, beside=[f"ours={vq}"]) == ["rvq/seed-0", "ours"]
    assert labels(Path(f"x={rvq}"), codebooks="1,2,2", anchor_names="pcm:16, resample:8") == [
        "x, 1 of 3", "x, 2 of 3", "16-bit original", "8 kHz and back",
    ]  # fmt: skip


def test_models_without_prefixes_stand_as_they_are(tmp_path):
    found = labels(tmp_path / "rvq", beside=[str(tmp_path / "vq")], codebooks="1,3")
    assert found == ["rvq, 1 of 3", "rvq, 3 of 3", "vq"]


def test_what_is_not_understood_is_refused(tmp_path):
    for text in ("2;4", "0", "x", "-1"):
        with pytest.raises(ConfigError, match="codebooks=.*such as 2,4,8"):
            labels(tmp_path / "rvq", codebooks=text)


def test_measures_by_name():
    assert ask.measures("") is None
    assert ask.measures("all") == list(NAMES)
    assert ask.measures("stoi, f0_rmse") == ["stoi", "f0_rmse"]
    assert ask.judges(None, None, "cpu") == []


def test_the_command_writes_table_json_and_page(tmp_path, run):
    from tests.eval.test_evaluate import corpus

    small_model(RVQ).save(tmp_path / "rvq")
    small_model().save(tmp_path / "vq")
    manifest = corpus(tmp_path / "data", speakers=5, each=1)
    out, page = tmp_path / "out.json", tmp_path / "page.html"
    command = [
        "evaluate", str(tmp_path / "rvq"), str(manifest), "--codebooks", "1,3", "--beside",
        str(tmp_path / "vq"), "--anchors", "pcm:16", "--metrics", "si_sdr", "-o", str(out),
        "--page", str(page), "--examples", "1",
    ]  # fmt: skip
    code, said, err = run(*command)
    assert code == 0, err
    assert "rvq, 3 of 3" in said
    assert '"audiovq.comparison"' in out.read_text()
    assert page.read_text().count("<audio") == 5
    code, _, err = run(*command[:3], "--codebooks", "9")
    assert code == 2
    assert "codebooks=9; this rvq model has 1 to 3" in err
