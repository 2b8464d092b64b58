import pytest
import torch

from audiovq.errors import AudioError, ConfigError
from audiovq.eval.reconstruction import Scorer
from demo_app.sound import Recording
from demo_app.work.voice import convert, nearest
from tests.demo_app.work.small import folded, voices
from tests.helpers import noise

MODEL = voices()
X = Recording(noise(1, 4000), 16000, "x")


def test_a_voice_is_the_decoders():
    heard = {}
    for speaker in (*MODEL.speakers, None):
        found = convert(MODEL, X, speaker)
        assert found.speaker == speaker
        assert found.recording.x.shape == X.x.shape
        codes = MODEL.encode(X.x)
        expected = MODEL.decode(codes, 4000, MODEL.speaker_index([speaker]))
        torch.testing.assert_close(found.recording.x, expected, atol=1e-5, rtol=0)
        heard[speaker] = found.recording.x
    assert not torch.allclose(heard["ann"], heard["bob"], atol=1e-3)
    assert convert(MODEL, X.at(8000), "ann").recording.sample_rate == 16000


def test_the_nearest_voice_is_found_by_decoding_as_each():
    steps = list(nearest(MODEL, X))
    assert steps[-1].done == 1
    scorer = Scorer(16000, ["log_mel_distance"])
    expected = {
        s: scorer(X.x, convert(MODEL, X, s).recording.x)["log_mel_distance"] for s in MODEL.speakers
    }
    found = dict(steps[-1].speakers)
    assert found == pytest.approx(expected, rel=1e-3)
    assert [s for s, _ in steps[-1].speakers] == sorted(expected, key=expected.__getitem__)


def test_what_is_refused():
    with pytest.raises(ConfigError, match="no voice 'dan'"):
        convert(MODEL, X, "dan")
    plain = folded()
    for call in (lambda: convert(plain, X, None), lambda: nearest(plain, X)):
        with pytest.raises(ConfigError, match="speaker"):
            call()
    with pytest.raises(AudioError, match="silent"):
        nearest(MODEL, Recording(torch.zeros(1, 1, 100), 16000))
    with pytest.raises(AudioError, match="empty"):
        convert(MODEL, Recording(torch.zeros(1, 1, 0), 16000), "ann")
