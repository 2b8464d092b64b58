"""Figures of a file against signals whose figures are known."""

import numpy as np
import pytest
import torch

from audiovq import audio
from audiovq._audio.levels import Meter


def measure(x, sample_rate=16000, block=None):
    meter = Meter(sample_rate)
    for start in range(0, len(x), block or len(x)):
        meter.add(x[start : start + (block or len(x))].astype(np.float32))
    return meter.levels()


def tone(seconds, amplitude, rate=16000):
    return amplitude * np.sin(2 * np.pi * 200 * np.arange(round(seconds * rate)) / rate)[:, None]


def test_a_sine_lies_three_decibels_below_its_peak():
    levels = measure(tone(1.0, 0.5))
    assert levels.level_dbfs == pytest.approx(20 * np.log10(0.5) - 3.01, abs=0.01)
    assert (levels.clipped, levels.pauses) == (0.0, 0.0)


def test_pauses_are_counted_and_do_not_lower_the_level():
    x = np.concatenate([tone(1.0, 0.5), tone(0.6, 0.5 * 10 ** (-41 / 20)), np.zeros((6400, 1))])
    levels = measure(x)
    assert levels.pauses == pytest.approx(0.5)
    assert levels.level_dbfs == pytest.approx(-9.03, abs=0.01)
    x[16000:25600] *= 10 ** (2 / 20)  # 39 dB below is no pause
    assert measure(x).pauses == pytest.approx(0.2)


def test_clipped_samples_follow_one_another():
    x = tone(1.0, 2.0)
    x[:] = x.clip(-1, 32767 / 32768)
    full = (np.abs(x) > 0.9999).mean()
    assert measure(x).clipped == pytest.approx(full, rel=0.1)
    lone = np.zeros((1000, 2))
    lone[500, 0] = 1.0  # a file scaled to its peak is not clipped
    assert measure(lone).clipped == 0.0
    lone[501, 0] = 1.0
    assert measure(lone).clipped == 1 / 2000


def test_blocks_and_channels_change_little():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, (50_000, 1)) * (np.arange(50_000)[:, None] % 9600 < 6400)
    whole, cut = measure(x), measure(x, block=3200)
    assert whole == cut  # a multiple of the frame
    odd = measure(x, block=1024)
    assert odd.level_dbfs == pytest.approx(whole.level_dbfs, abs=0.3)
    assert measure(np.hstack([x, -x])).level_dbfs == pytest.approx(whole.level_dbfs)


def test_silence_has_no_level_and_a_sample_has_one():
    assert measure(np.zeros((100, 1))) is None
    assert Meter(16000).levels() is None
    assert measure(np.full((1, 1), 0.1)).level_dbfs == pytest.approx(-20)


def test_check_measures_what_it_decodes(tmp_path):
    x = torch.from_numpy(tone(2.0, 0.25)).T.float()
    audio.save(tmp_path / "a.flac", x, 16000)
    assert audio.check(tmp_path / "a.flac").levels.level_dbfs == pytest.approx(-15.05, abs=0.01)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: int(0.8 * len(data))])
    verdict = audio.check(tmp_path / "a.flac")
    assert verdict.status == "repaired"
    assert verdict.levels.level_dbfs == pytest.approx(-15.05, abs=0.05)
    (tmp_path / "a.flac").write_text("no audio")
    assert audio.check(tmp_path / "a.flac").levels is None
