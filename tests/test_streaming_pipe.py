import io
import struct

import numpy as np
import pytest
import soundfile
import torch

from audiovq._audio.pipe_format import PipeFormat
from audiovq.errors import AudioError, ConfigError
from audiovq.streaming_pipe import pipe_blocks
from tests.helpers import noise

X = noise(1, 1003)[0, 0].numpy()


def heard(data, form="wav", rate=None, wanted=16000, size=100):
    parts = list(pipe_blocks(io.BytesIO(data), PipeFormat(form), rate, wanted, size))
    assert all(p.shape == (1, 1, size) for p in parts[:-1])
    return torch.cat(parts, dim=-1)[0, 0].numpy() if parts else np.zeros(0)


def wav(values, subtype, rate=16000):
    file = io.BytesIO()
    soundfile.write(file, values, rate, subtype=subtype, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_raw_samples_in_blocks(size):
    counts = (X * 32767).round().astype("<i2")
    assert np.array_equal(heard(counts.tobytes(), "s16le", size=size), counts / np.float32(32768))
    assert np.array_equal(heard(X.astype("<f4").tobytes(), "f32le", 16000, size=size), X)


def test_a_sample_cut_off_at_the_end_is_dropped():
    data = (X * 32767).astype("<i2").tobytes()
    assert len(heard(data[:-1], "s16le")) == len(X) - 1
    assert len(heard(b"\0", "s16le")) == 0


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_file_is_what_soundfile_reads(subtype, channels):
    values = np.stack([X, -0.5 * X], axis=1)[:, :channels]
    data = wav(values, subtype)
    expected = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0].mean(axis=1)
    found = heard(data)[: len(X)]  # what soundfile appends to floats comes before the samples
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_length_that_is_not_known_yet_does_not_end_it():
    data = bytearray(wav(X, "PCM_16"))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)  # as arecord and ffmpeg write into a pipe
    assert len(heard(bytes(data))) == len(X)


def test_other_chunks_are_passed_over():
    data = wav(X, "PCM_16")
    more = data[:12] + b"LIST" + struct.pack("<I", 5) + b"title\0" + data[12:]
    assert np.array_equal(heard(more), heard(data))


@pytest.mark.parametrize(
    ("data", "form", "rate", "why"),
    [
        (b"", "wav", None, "ends"),
        (b"RIFF", "wav", None, "ends"),
        (wav(X, "PCM_16")[:30], "wav", None, "ends"),
        (b"OggS" + bytes(100), "wav", None, "no WAV file: .* --format s16le"),
        (wav(X, "PCM_24"), "wav", None, "24 bits"),
        (wav(X, "PCM_16", 8000), "wav", None, "8000 Hz .* 16000 Hz: convert .* -ar 16000"),
        (b"\0\0", "s16le", 44100, "44100 Hz"),
        (b"\0\0", "s16le", 3, "3 Hz"),
        (b"RIFF0000WAVE" + b"JUNK\xff\xff\xff\x7f", "wav", None, "before the first sample"),
        (b"RIFF0000WAVE" + b"data0000" + bytes(9), "wav", None, "does not say"),
        (b"RIFF0000WAVE" + b"fmt \x02\0\0\0\0\0" + bytes(9), "wav", None, "damaged"),
    ],
)
def test_what_cannot_be_used_is_refused(data, form, rate, why):
    with pytest.raises(AudioError, match=why):
        heard(data, form, rate)


def test_a_rate_beside_a_header_is_refused():
    with pytest.raises(ConfigError, match="states its own"):
        heard(wav(X, "PCM_16"), "wav", 16000)
