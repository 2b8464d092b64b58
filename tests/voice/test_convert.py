import pytest
import torch

from audiovq import audio
from audiovq.errors import AudioError, ConfigError
from audiovq.voice import convert, convert_file, hear
from audiovq.voice.reference import sounding
from tests.helpers import noise, small_model, voices_model

MODEL = voices_model(reference=True)
RATE = MODEL.sample_rate


def db(x):
    return 10 * float(x.square().mean().log10())


def test_it_is_as_long_the_voice_counts_and_loudness_passes_through():
    x = noise(1, 4003)
    ann, bob = (convert(MODEL, x, MODEL.speaker_index([n])) for n in ("ann", "bob"))
    assert ann.shape == x.shape
    assert (ann - bob).abs().max() > 1e-3
    quiet = convert(MODEL, 0.1 * x, MODEL.speaker_index(["ann"]))
    torch.testing.assert_close(quiet, 0.1 * ann, atol=1e-4, rtol=1e-3)


def test_a_file_of_any_length_is_what_its_waveform_is(tmp_path):
    x, who = noise(1, 30_011), MODEL.speaker_index(["bob"])
    audio.save(tmp_path / "x.wav", x, RATE)
    done = convert_file(MODEL, tmp_path / "x.wav", tmp_path / "y.wav", who)
    read, made = (audio.load(tmp_path / f"{n}.wav") for n in "xy")
    assert done.seconds == x.shape[-1] / RATE
    expected = convert(MODEL, read, who).clamp(-1, 1)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-3)


def test_what_cannot_be_converted():
    who = MODEL.speaker_index(["ann"])
    with pytest.raises(AudioError, match="empty"):
        convert(MODEL, torch.zeros(1, 1, 0), who)
    with pytest.raises(AudioError, match="NaN"):
        convert(MODEL, torch.full((1, 1, 50), torch.nan), who)
    assert convert(MODEL, torch.zeros(1, 1, 50), who).shape == (1, 1, 50)
    with pytest.raises(ConfigError, match="takes none; train one with `istft_speaker`"):
        convert(small_model(), noise(1, 50), who)


def test_a_voice_is_heard_from_a_recording_of_any_rate():
    reference = noise(1, 2 * RATE, seed=4)
    voice = hear(MODEL, reference, RATE)
    assert voice.shape == (1, 3)
    again = hear(MODEL, audio.resample(reference, RATE, 2 * RATE), 2 * RATE)
    torch.testing.assert_close(again, voice, atol=0.05, rtol=0.1)
    x = noise(1, 500)
    assert not torch.equal(convert(MODEL, x, voice), convert(MODEL, x, MODEL.speaker_index([None])))
    long = torch.cat([reference.repeat(1, 1, 30), noise(1, 9000, seed=5)], dim=-1)
    assert torch.equal(hear(MODEL, long, RATE), hear(MODEL, long[..., : 60 * RATE], RATE))


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        (torch.zeros(1, 1, 0), "is empty"),
        (torch.full((1, 1, 20_000), torch.inf), "NaN or infinity"),
        (torch.zeros(1, 1, 40_000), "is silent"),
        (noise(1, 9000), r"0\.5\d s of sound .* 1 s or more is accepted"),
        (torch.cat([noise(1, 9000), torch.zeros(1, 1, 50_000)], dim=-1), r"0\.5\d s of sound"),
    ],
)
def test_references_that_cannot_be(reference, why):
    with pytest.raises(AudioError, match=f"the reference .*{why}"):
        hear(MODEL, reference, RATE)


def test_models_that_cannot_hear():
    reference = noise(1, 2 * RATE)
    with pytest.raises(ConfigError, match="audiovq fit-reference"):
        hear(voices_model(), reference, RATE)
    with pytest.raises(ConfigError, match="takes none"):
        hear(small_model(), reference, RATE)


def test_vectors_that_do_not_fit_are_refused():
    for wrong in (torch.zeros(1, 4), torch.full((1, 3), torch.nan)):
        with pytest.raises(ConfigError, match=r"shape \(1, 3\) are accepted, as model\.voice"):
            MODEL.reconstruct(noise(1, 50), condition=wrong)


def test_pauses_do_not_count_as_sound():
    tone = torch.sin(torch.arange(RATE) * 0.3).view(1, 1, -1)
    assert sounding(tone, RATE) == pytest.approx(1.0)
    paused = torch.cat([tone, torch.zeros(1, 1, RATE), 1e-3 * tone, 0.1 * tone], dim=-1)
    assert sounding(paused, RATE) == pytest.approx(2.0, abs=0.03)
