import io

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import AudioError
from demo_app.sound import Recording, checked
from tests.helpers import noise

RATE = 16000


@given(st.integers(1, 400), st.floats(-0.01, 0.03), st.floats(-0.01, 0.03))
@settings(max_examples=50, deadline=None)
def test_a_part_is_what_lies_between_two_times_and_never_nothing(length, start, end):
    whole = Recording(torch.arange(length, dtype=torch.float32).view(1, 1, -1), RATE)
    part = whole.part(start, end)
    first, after = max(0, round(start * RATE)), min(length, round(end * RATE))
    if 0 <= first < after:
        assert part.x[0, 0].tolist() == list(range(first, after))
    assert 1 <= part.x.shape[-1] <= length


def test_a_wav_holds_what_was_heard():
    r = Recording(noise(1, 1000, scale=0.1), RATE, "a")
    samples, rate = soundfile.read(io.BytesIO(r.wav()), dtype="int16")
    assert rate == RATE
    assert np.array_equal(samples, r.pcm())
    again = torch.from_numpy(soundfile.read(io.BytesIO(r.wav()), dtype="float32")[0])
    torch.testing.assert_close(again, r.x[0, 0], atol=0.5001 / 32768, rtol=0)
    loud = Recording(torch.tensor([[[2.0, -2.0, 1.0]]]), RATE)
    assert loud.pcm().tolist() == [32767, -32768, 32767]


def test_it_is_written_and_resampled(tmp_path):
    r = Recording(noise(1, 1600), RATE, "a")
    r.save(tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == r.wav()
    assert r.at(RATE) is r
    half = r.at(8000)
    assert (half.x.shape[-1], half.sample_rate, half.name) == (800, 8000, "a")
    assert half.seconds == r.seconds == 0.1


@pytest.mark.parametrize(
    "x", [torch.zeros(1, 1, 0), torch.full((1, 1, 3), torch.nan), torch.full((1, 1, 3), torch.inf)]
)
def test_what_is_no_sound_is_refused(x):
    with pytest.raises(AudioError):
        checked(Recording(x, RATE))
