import pytest
import torch

from audiovq.errors import AudioError, CheckpointError, ConfigError
from demo_app.sound import Recording
from demo_app.work import resynthesise as work
from demo_app.work.compare import NONE, compare
from demo_app.work.loudness import loudness
from tests.demo_app.work.small import folded
from tests.helpers import noise

MODELS = {
    "vq": folded(),
    "rvq": folded({"name": "rvq", "dim": 6, "codebook_size": 12, "num_codebooks": 3}),
    "ae": folded("identity"),
    "vae": folded({"name": "vae", "dim": 6}),
}
X = Recording(noise(1, 3900), 16000, "x")  # too short for the slow measures


def load(name):
    if name not in MODELS:
        raise CheckpointError(f"/srv/models/{name} is damaged: copy it again")
    return MODELS[name]


def test_models_appear_one_by_one_and_a_damaged_one_does_not_stop_the_others():
    steps = list(compare(load, ["vq", "gone", "rvq", "ae", "vae"], X, {"rvq": 2}))
    assert [len(s.entries) for s in steps] == [1, 1, 2, 3, 4]
    assert [s.done for s in steps] == [0.2, 0.4, 0.6, 0.8, 1.0]
    last = steps[-1]
    assert last.failed == {"gone": "gone is damaged: copy it again"}
    assert [e.label for e in last.entries] == ["vq", "rvq, first 2", "ae", "vae"]
    assert last.entries[1].found.codes.shape[0] == 2
    rows = last.rows()
    assert all(len(row) == len(last.header()) for row in rows)
    assert rows[0][1] == "6,400"
    assert rows[2][1:4] == [NONE, NONE, NONE]
    assert rows[3][1] == NONE != rows[3][2]
    assert rows[0][4] != NONE == rows[0][6]


def test_all_sound_equally_loud(monkeypatch):
    monkeypatch.setattr(work, "scores", lambda *_: ())
    last = list(compare(load, ["vq", "ae"], Recording(noise(1, 8000), 16000)))[-1]
    wanted = loudness(last.original)
    for entry in last.entries:
        assert loudness(entry.heard) == pytest.approx(wanted, abs=0.05) or entry.gain >= 29
        assert float(entry.heard.x.abs().max()) <= 1 + 1e-6
        scale = 10 ** (entry.gain / 20)
        torch.testing.assert_close(entry.heard.x, entry.found.reconstruction.x * scale)


def test_it_stops_when_it_is_closed():
    asked = []
    steps = compare(lambda name: asked.append(name) or load(name), ["vq", "rvq", "ae"], X)
    next(steps)
    steps.close()
    assert asked == ["vq"]


def test_what_is_refused_before_anything_is_loaded():
    for names in ([], ["vq", "vq"]):
        with pytest.raises(ConfigError, match="name at least one"):
            compare(load, names, X)
    with pytest.raises(AudioError, match="empty"):
        compare(load, ["vq"], Recording(torch.zeros(1, 1, 0), 16000))
