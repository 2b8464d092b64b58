"""Corruption of the encoder's input: exact, deterministic, and never of the target."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import audio
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
from audiovq.config import parse
from audiovq.data.corruption import Corruption, CorruptionConfig, add_at_snr, fixed_key
from audiovq.data.loader import DataConfig, Loader
from audiovq.errors import AudioError, ConfigError
from audiovq.eval.reconstruction import si_sdr
from tests.helpers import SMALL, noise

RATE = 16000


def make(**values):
    return Corruption(parse(CorruptionConfig, values), RATE)


def snr_db(x, y):
    return float(10 * torch.log10(x.square().sum() / (y - x).square().sum()))


@pytest.mark.parametrize("snr", [-20.0, 0.0, 15.0, 60.0])
def test_noise_has_exactly_the_drawn_ratio(snr):
    x = noise(1, 4000)
    y = make(gaussian=1.0, gaussian_snr_db=[snr, snr])(x, 7)
    assert snr_db(x, y) == pytest.approx(snr, abs=0.01)


def test_ratios_are_drawn_evenly_from_the_range():
    x, corrupt = noise(1, 400), make(gaussian=1.0, gaussian_snr_db=[0, 20])
    found = torch.tensor([snr_db(x, corrupt(x, key)) for key in range(400)])
    assert found.min() >= -0.1
    assert found.max() <= 20.1
    assert float(found.mean()) == pytest.approx(10, abs=1)


def test_a_share_of_segments_stays_clean():
    x, corrupt = noise(1, 200), make(gaussian=0.3)
    changed = [not torch.equal(corrupt(x, key), x) for key in range(500)]
    assert sum(changed) / 500 == pytest.approx(0.3, abs=0.06)


def test_single_samples_are_masked_at_their_share():
    x = torch.ones(1, 1, 20000)
    y = make(masked_samples=0.25)(x, 1)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert float((y == 0).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_spans_have_the_drawn_number_and_lengths():
    corrupt = make(spans_per_second=3.0, span_ms=[20, 40])
    lengths, masked = [], 0
    for key in range(200):
        y = corrupt(torch.ones(1, 1, RATE), key).flatten().tolist()
        runs = [len(list(g)) for value, g in itertools.groupby(y) if value == 0]
        lengths += runs
        masked += len(runs)
    assert 2.5 < masked / 200 < 3.2  # some overlap
    inner = sorted(lengths)[len(lengths) // 20 : -len(lengths) // 10]  # not cut by an end, not two
    assert inner[0] >= 0.019 * RATE
    assert inner[-1] <= 0.041 * RATE


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**63 - 1))
def test_the_same_key_corrupts_alike_and_keeps_the_length(size, key):
    corrupt = make(gaussian=0.5, masked_samples=0.1, spans_per_second=5)
    x = noise(1, size)
    before = x.clone()
    y = corrupt(x, key)
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    assert torch.equal(y, corrupt(x, key))
    assert torch.equal(x, before)


def test_silence_gets_no_noise():
    silent = torch.zeros(1, 1, 500)
    assert torch.equal(make(gaussian=1.0)(silent, 3), silent)
    assert torch.equal(
        add_at_snr(noise(1, 500), noise(1, 500), torch.zeros(500), 0.0), noise(1, 500)
    )


def test_nothing_is_done_by_default():
    config = CorruptionConfig()
    assert not config.active
    x = noise(1, 300)
    assert torch.equal(Corruption(config, RATE)(x, 5), x)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gaussian": 1.5}, "gaussian"),
        ({"gaussian_snr_db": [20, 0]}, "must be \\[low, high\\] in dB"),
        ({"gaussian_snr_db": [0, 1000]}, "must be \\[low, high\\] in dB"),
        ({"masked_samples": 1.0}, "masked_samples"),
        ({"span_ms": [0, 10]}, "in ms"),
        ({"gausian": 1}, "did you mean 'gaussian'"),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        parse(CorruptionConfig, values)


# ------------------------------------------------------------------- folders


@pytest.fixture
def recordings(tmp_path):
    audio.save(tmp_path / "long.wav", noise(1, 60000, seed=1), 44100)
    audio.save(tmp_path / "short.flac", noise(1, 500, seed=2), RATE)
    return tmp_path


def test_recordings_of_noise_come_from_anywhere_at_any_rate(recordings):
    corrupt = make(noise_folder=str(recordings), noise_snr_db=[5, 5])
    x = noise(1, 4000, seed=9)
    outs = [corrupt(x, key) for key in range(20)]
    for y in outs:
        assert snr_db(x, y) == pytest.approx(5, abs=0.01)
    residues = {tuple((y - x)[0, 0, :50].tolist()) for y in outs}
    assert len(residues) > 10
    short = Corruption(parse(CorruptionConfig, {"noise_folder": str(recordings)}), RATE)
    short.recordings = [r for r in short.recordings if r[0].suffix == ".flac"]
    added = (short(x, 1) - x).flatten()
    torch.testing.assert_close(added[:500], added[500:1000], atol=1e-5, rtol=1e-3)  # repeated


def test_a_folder_that_cannot_serve_is_refused_at_the_start(tmp_path):
    for folder in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match="noise_folder"):
            make(noise_folder=str(folder))
    (tmp_path / "x.wav").write_bytes(b"not audio")
    with pytest.raises(ConfigError, match="remove that file"):
        make(noise_folder=str(tmp_path))


def test_a_recording_that_is_gone_is_an_audio_error(recordings):
    corrupt = make(noise_folder=str(recordings))
    for path in recordings.iterdir():
        path.unlink()
    with pytest.raises(AudioError):
        corrupt(noise(1, 400), 1)


# -------------------------------------------------------------------- loader


def batches(manifest, workers, steps=3, start=0, **corruption):
    config = parse(
        DataConfig,
        {"batch_size": 4, "segment_seconds": 0.3, "workers": workers, "corruption": corruption},
    )
    loader = Loader(manifest, manifest.select("train"), config, RATE, 0)
    return list(itertools.islice(loader.batches(start), steps))


def test_the_target_stays_clean_and_the_input_is_the_same_with_any_workers(speech_manifest):
    clean = batches(speech_manifest, 0)
    for batch in clean:
        assert batch.x_input is batch.x
    runs = [batches(speech_manifest, w, gaussian=1.0, spans_per_second=3) for w in (0, 1, 2)]
    for a, b, c, plain in zip(*runs, clean, strict=True):
        assert torch.equal(a.x, plain.x)
        assert not torch.equal(a.x_input, a.x)
        assert torch.equal(a.x_input, b.x_input)
        assert torch.equal(a.x_input, c.x_input)
    later = batches(speech_manifest, 0, steps=1, start=2, gaussian=1.0, spans_per_second=3)
    assert torch.equal(later[0].x_input, runs[0][2].x_input)


def test_corruption_ends_where_the_item_does(speech_manifest):
    config = parse(DataConfig, {"batch_size": 4, "segment_seconds": 50.0, "workers": 0,
                                "corruption": {"gaussian": 1.0}})  # fmt: skip
    batch = next(
        Loader(speech_manifest, speech_manifest.select("train"), config, RATE, 0).batches(0)
    )
    past = torch.arange(batch.x.shape[-1]) >= batch.lengths.view(-1, 1, 1)
    assert past.any()
    assert batch.x_input[past].abs().sum() == 0


@pytest.mark.slow
def test_denoising_gains_si_sdr_on_noisy_speech_it_has_not_seen(speech_manifest):
    values = {**SMALL, "bottleneck": {"name": "identity", "dim": 24},
              "encoder": {**SMALL["encoder"], "strides": [2, 2], "channels": 12},
              "decoder": {**SMALL["decoder"], "channels": 12}}  # fmt: skip
    torch.manual_seed(0)
    model = Autoencoder(parse(AutoencoderConfig, values)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    noisy = {"gaussian": 1.0, "gaussian_snr_db": [0, 5]}
    for batch in batches(speech_manifest, 0, steps=150, **noisy):
        scale = batch.x.square().mean(dim=(1, 2), keepdim=True).sqrt() + 1e-3
        error = (model(batch.x_input).x_hat - batch.x) / scale
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()
    model.eval()
    gains = []
    for record in speech_manifest.select("test"):  # other speakers, other noise
        x = speech_manifest.load(record, RATE)[..., : 2 * RATE]
        heard = make(**noisy)(x, fixed_key(record.id))
        gains.append(si_sdr(x, model.reconstruct(heard)) - si_sdr(x, heard))
    assert sum(gains) / len(gains) > 1.0
