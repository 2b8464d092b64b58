import contextlib
import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import AudioError
from demo_app.guard import probe
from demo_app.settings import Settings
from tests.demo_app import bombs
from tests.demo_app.small import tone

KINDS = {
    "WAV": ["PCM_16", "PCM_24", "FLOAT", "PCM_U8", "ULAW", "DOUBLE"],
    "WAVEX": ["PCM_16", "FLOAT"],
    "FLAC": ["PCM_16", "PCM_24"],
    "OGG": ["VORBIS", "OPUS"],
    "MP3": ["MPEG_LAYER_III"],
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_it_reads_what_libsndfile_reads(kind, data):
    subtype = data.draw(st.sampled_from(KINDS[kind]))
    rate = data.draw(st.sampled_from([8_000, 16_000, 24_000, 48_000]))
    channels = data.draw(st.integers(1, 2))
    samples = data.draw(st.integers(1, 5000))
    file = io.BytesIO()
    noise = np.random.default_rng(samples).uniform(-0.1, 0.1, (samples, channels))
    soundfile.write(file, noise, rate, subtype, format=kind)
    found = probe.check(file, Settings())
    file.seek(0)
    expected = soundfile.info(file)
    assert found.channels == expected.channels
    if subtype == "OPUS":  # counted at 48 kHz, what is heard and a little before
        seconds = found.num_samples / found.sample_rate
        assert expected.duration <= seconds <= expected.duration + 0.1
        return
    assert found.sample_rate == expected.samplerate
    if found.num_samples is None:
        assert kind == "MP3"
    else:
        assert found.num_samples == expected.frames
    assert found.format == {"WAVEX": "WAV"}.get(kind, kind)


def test_chunks_before_the_samples_and_a_tag_in_front_are_skipped():
    data = tone()
    extra = data[:12] + b"LIST" + (7).to_bytes(4, "little") + bytes(8) + data[12:]
    assert probe.check(io.BytesIO(extra), Settings()).num_samples == 8000
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 2]) + bytes(130)
    assert probe.check(io.BytesIO(tag + data), Settings()).num_samples == 8000


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_that_was_streamed_states_no_length(stated):
    data = bombs.wav_header(stated=stated, present=3200)
    assert probe.check(io.BytesIO(data), Settings()).num_samples == 1600


@pytest.mark.parametrize("name", bombs.cheap())
def test_bombs_are_refused_or_leave_their_length_to_the_decoder(name):
    data = bombs.cheap()[name]
    if bombs.leaves_open(name):
        probe.check(io.BytesIO(data), Settings())  # test_decode goes on
        return
    with pytest.raises(AudioError) as caught:
        probe.check(io.BytesIO(data), Settings())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_half_a_file_is_refused_where_the_header_shows_it(kind):
    data = tone(3.0, format=kind)
    if kind == "FLAC":  # only the decoder notices
        probe.check(io.BytesIO(data[: len(data) // 2]), Settings())
        return
    with pytest.raises(AudioError, match="cut off"):
        probe.check(io.BytesIO(data[: len(data) // 2]), Settings())


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["RIFF____WAVE", "fLaC", "OggS", "ID3", "\xff\xfb", ""]),
    rest=st.binary(max_size=200),
)
def test_nothing_but_our_own_errors_comes_of_junk(kind, rest):
    with contextlib.suppress(AudioError):
        probe.check(io.BytesIO(kind.encode("latin-1") + rest), Settings())


def test_every_limit_is_said_with_what_is_accepted():
    settings = Settings(max_seconds=1.0, max_upload=1 << 20)
    for data, words in (
        (tone(2.0), "lasts 2.0 s; up to 1 s"),
        (tone(0.5, 192_000), ""),
        (tone(0.9, channels=9), "9 channels; 1 to 8"),
        (tone(0.1, rate=1_000), "1000 Hz; 4000 to 192000"),
        (bytes(2 << 20), "2.0 MB; up to 1.0 MB"),
    ):
        if not words:
            probe.check(io.BytesIO(data), settings)
            continue
        with pytest.raises(AudioError, match=words):
            probe.check(io.BytesIO(data), settings)


def test_the_decoded_size_is_limited_by_itself():
    small = Settings(max_decoded=1 << 16)
    probe.check(io.BytesIO(tone(1.0)), small)
    with pytest.raises(AudioError, match="once decoded"):
        probe.check(io.BytesIO(tone(1.0, channels=2)), small)
