import pytest
import torch

from audiovq.errors import AudioError, ConfigError
from audiovq.eval.reconstruction import Scorer
from audiovq.voice.convert import convert as in_voice
from audiovq.voice.reference import hear
from demo_app.sound import Recording
from demo_app.work.voice import ANYONE, convert, nearest
from tests.demo_app.work.small import folded, voices
from tests.helpers import noise

MODEL = voices()
HEARING = voices(reference=True)
X = Recording(noise(1, 4000), 16000, "x")


def test_a_voice_is_the_decoders():
    heard = {}
    for speaker in (*MODEL.speakers, None):
        found = convert(MODEL, X, speaker)
        assert found.voice == (speaker or ANYONE)
        expected = in_voice(MODEL, X.x, MODEL.speaker_index([speaker]))  # as `audiovq convert`
        torch.testing.assert_close(found.recording.x, expected, atol=1e-5, rtol=0)
        heard[speaker] = found.recording.x
    assert not torch.allclose(heard["ann"], heard["bob"], atol=1e-3)
    assert convert(MODEL, X.at(8000), "ann").recording.sample_rate == 16000


def test_a_voice_is_heard_in_a_recording():
    wanted = Recording(noise(1, 48000, seed=2), 16000, "you")
    found = convert(HEARING, X, wanted)
    expected = in_voice(HEARING, X.x, hear(HEARING, wanted.x, 16000))
    torch.testing.assert_close(found.recording.x, expected, atol=1e-5, rtol=0)
    assert (found.voice, found.recording.name) == ("you", "x-as-you")
    with pytest.raises(ConfigError, match="reference encoder"):
        convert(MODEL, X, wanted)
    with pytest.raises(AudioError, match="1 s or more"):
        convert(HEARING, X, wanted.part(0.0, 0.5))


def test_the_nearest_voice_is_found_by_decoding_as_each():
    steps = list(nearest(MODEL, X))
    assert steps[-1].done == 1
    scorer = Scorer(16000, ["log_mel_distance"])
    expected = {
        s: scorer(X.x, MODEL.reconstruct(X.x, condition=MODEL.speaker_index([s])))[
            "log_mel_distance"
        ]
        for s in MODEL.speakers
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
