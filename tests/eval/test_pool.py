import pytest

from audiovq.errors import ConfigError
from audiovq.eval.evaluate import evaluate
from audiovq.eval.pool import Pool
from tests.eval.test_evaluate import corpus
from tests.helpers import small_model

NAMES = ("log_mel_distance", "stoi", "si_sdr")


def test_processes_give_what_one_gives(tmp_path):
    """One test for all, since a worker takes seconds to start."""
    path = corpus(tmp_path, speakers=5, each=1, length=9000)
    here = evaluate(small_model(), path, metrics=NAMES, progress=False)
    there = evaluate(small_model(), path, metrics=NAMES, workers=2, progress=False)
    assert [r["id"] for r in there.utterances] == [r["id"] for r in here.utterances]
    for a, b in zip(here.utterances, there.utterances, strict=True):
        assert {k: b[k] for k in NAMES} == pytest.approx({k: a[k] for k in NAMES}, rel=1e-5)
    assert there.undefined == here.undefined
    assert there.machine["workers"] == 2
    assert any("while other processes scored" in n for n in there.notes)
    assert not any("while other processes scored" in n for n in here.notes)


def test_fewer_than_none_are_refused():
    with pytest.raises(ConfigError, match="workers=-1; 0 or more"):
        Pool(16000, NAMES, -1)
