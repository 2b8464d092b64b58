import io
import stat
import sys

import numpy as np
import pytest
import soundfile
import soxr
import torch

from audiovq.errors import ConfigError
from audiovq.eval import anchors
from audiovq.eval.anchors import ogg_payload
from audiovq.eval.reconstruction import si_sdr
from tests.helpers import noise

RATE = 16000


def heard(name, x, rate=RATE):
    (system,) = anchors.parse([name], rate)
    return system, system.render(x, x, "u")


def tone(seconds=1.0):
    t = torch.arange(round(seconds * RATE)) / RATE
    return (0.3 * torch.sin(2 * torch.pi * 440 * t)).view(1, 1, -1)


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_opus_keeps_length_and_time_at_about_the_rate_asked_for(rate):
    x = noise(1, 2 * rate + 17, scale=0.1)
    system, found = heard("opus:16", x, rate)
    assert found.x_hat.shape == x.shape
    assert found.facts["payload_bitrate"] == pytest.approx(16000, rel=0.25)
    assert system.label == "Opus 16 kbit/s"
    assert any("packets" in note for note in system.notes())


def test_opus_spends_more_at_a_higher_rate_and_sounds_nearer():
    x = tone()
    low, high = (heard(name, x)[1] for name in ("opus:6", "opus:24"))
    assert low.facts["payload_bitrate"] < high.facts["payload_bitrate"]
    assert si_sdr(x, low.x_hat) < si_sdr(x, high.x_hat)
    assert si_sdr(x, high.x_hat) > 15  # the codec's delay is compensated


def test_the_rate_leaves_out_what_the_container_adds():
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, "OPUS", format="OGG") as writer:
        writer.write(noise(1, 3 * RATE)[0, 0].numpy())
    data = file.getvalue()
    total, start = 0, 0
    pages = data.count(b"OggS")
    for _ in range(pages):  # a plain walk: every byte that is no page header
        start = data.index(b"OggS", start)
        segments = data[start + 26]
        total += sum(data[start + 27 : start + 27 + segments])
        start += 27
    head = 19  # OpusHead of one channel; RFC 7845, 5.1
    tags = len(data[data.index(b"OpusTags") : data.index(b"OggS", data.index(b"OpusTags"))])
    assert ogg_payload(data) == total - head - tags
    assert 0 < ogg_payload(data) < len(data)


def test_sixteen_bits_are_what_a_wav_file_holds():
    x = noise(1, 4000)
    _, found = heard("pcm:16", x)
    file = io.BytesIO()
    soundfile.write(file, x[0, 0].numpy(), RATE, format="WAV", subtype="PCM_16")
    file.seek(0)
    stored = soundfile.read(file, dtype="float32")[0]
    assert np.abs(found.x_hat[0, 0].numpy() - stored).max() <= 1 / 32768
    assert found.facts["payload_bitrate"] == 16 * RATE
    assert torch.equal(heard("pcm:16", found.x_hat)[1].x_hat, found.x_hat)
    assert (heard("pcm:8", 0.9 * x)[1].x_hat - 0.9 * x).abs().max() == pytest.approx(
        1 / 256, rel=0.05
    )


def test_resampling_there_and_back_takes_the_upper_band():
    x = noise(1, 8001)
    _, found = heard("resample:8", x)
    there = soxr.resample(x[0, 0].numpy(), RATE, 8000, quality="HQ")
    back = soxr.resample(there, 8000, RATE, quality="HQ")[:8001]
    np.testing.assert_allclose(found.x_hat[0, 0].numpy()[: len(back)], back, atol=1e-5)
    assert found.x_hat.shape == x.shape
    assert found.facts == {}


TOOL = """#!{python}
import sys
import numpy as np
name, mode, source, target = sys.argv
assert mode == "1300"
assert not target.endswith(".c2")
data = open(source, "rb").read()
if name.endswith("c2enc"):  # a frame is 52 bits in 7 bytes; ours keeps one sample of it
    x = np.frombuffer(data, "<i2")
    x = x[: len(x) // 320 * 320].reshape(-1, 320)
    open(target, "wb").write(b"".join(f[:1].tobytes() + bytes(5) for f in x))
else:
    x = np.frombuffer(data, np.uint8).reshape(-1, 7)[:, :2].copy().view("<i2")
    open(target, "wb").write(np.repeat(x, 320).tobytes())
"""


@pytest.fixture
def codec2(tmp_path, monkeypatch):
    """Stand-ins with the real programs' arguments, files and frame sizes."""
    for name in ("c2enc", "c2dec"):
        path = tmp_path / name
        path.write_text(TOOL.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_codec_2_is_called_at_8_khz_and_its_frames_are_counted(codec2):
    x = torch.full((1, 1, 16100), 0.25)
    system, found = heard("codec2:1300", x)
    frames = -(-8050 // 320)
    assert found.x_hat.shape == x.shape
    assert found.facts["payload_bitrate"] == pytest.approx(frames * 52 / (16100 / RATE))
    assert found.x_hat[..., 4000:8000].mean() == pytest.approx(0.25, abs=1e-3)
    assert any("whole" in note for note in system.notes())


def test_a_failing_tool_is_one_line(codec2):
    (codec2 / "c2dec").write_text("#!/bin/sh\necho 'no such mode' >&2\nexit 3\n")
    with pytest.raises(ConfigError, match="c2dec 1300 failed with exit code 3: no such mode"):
        heard("codec2:1300", noise(1, 1000))


def test_a_missing_tool_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="needs c2enc and c2dec on PATH: apt-get install codec2"):
        anchors.parse(["codec2:1300"], RATE)
    monkeypatch.setattr(soundfile, "available_subtypes", lambda _: {})
    with pytest.raises(ConfigError, match="opus:6 needs Opus in libsndfile"):
        anchors.parse(["opus:6"], RATE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mp3:64", "no anchor 'mp3:64'; opus:KBIT_PER_S"),
        ("opus", "no anchor 'opus'"),
        ("opus:5", "opus:5; 6 to 256 kbit/s is accepted"),
        ("opus:x", "opus:x; 6 to 256"),
        ("codec2:450x", "no Codec 2 mode '450x'; known: 3200"),
        ("pcm:4", "pcm:4; 8 to 24 bits"),
        ("resample:20", "resample:20; 1 to 16 kHz"),
    ],
)
def test_other_anchors_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        anchors.parse([name], RATE)
