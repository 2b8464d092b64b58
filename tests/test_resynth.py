"""Where resynthesised files go, and that no recording is ever lost to it."""

import os

import pytest

from audiovq.audio import load, save
from audiovq.errors import AudioError, ConfigError
from audiovq.resynth import plan, resynthesise
from tests.helpers import noise, small_model, voices_model


@pytest.fixture
def speech(tmp_path):
    folder = tmp_path / "speech"
    (folder / "s1").mkdir(parents=True)
    for name in ("a.wav", "s1/b.flac", "s1/a.wav"):
        save(folder / name, noise(1, 1500), 16000)
    return folder


def test_folders_keep_their_layout_and_files_their_names(speech, tmp_path):
    out = tmp_path / "out"
    assert plan([speech], out) == [
        (speech / "a.wav", out / "a.wav"),
        (speech / "s1" / "a.wav", out / "s1" / "a.wav"),
        (speech / "s1" / "b.flac", out / "s1" / "b.wav"),
    ]
    assert plan([speech / "s1" / "b.flac"], out) == [(speech / "s1" / "b.flac", out / "b.wav")]


@pytest.mark.parametrize("way", ["same", "link", "hard link", "dots"])
def test_an_input_is_never_replaced_under_whatever_name(speech, tmp_path, way):
    out = {"same": speech, "dots": speech / "s1" / ".."}.get(way, tmp_path / "out")
    if way == "link":
        out.symlink_to(speech)
    elif way == "hard link":
        out.mkdir()
        os.link(speech / "s1" / "b.flac", out / "a.wav")  # of another input than a.wav
    with pytest.raises(ConfigError, match="would be lost"):
        plan([speech], out)


def test_a_converted_file_may_lie_beside_its_source(speech):
    assert plan([speech / "s1" / "b.flac"], speech / "s1")[0][1] == speech / "s1" / "b.wav"


def test_one_recording_may_become_one_named_file(speech, tmp_path):
    assert plan([speech / "a.wav"], tmp_path / "b.wav") == [(speech / "a.wav", tmp_path / "b.wav")]
    for several in ([speech], [speech / "a.wav", speech / "s1" / "b.flac"]):
        with pytest.raises(ConfigError, match="takes one recording; give a folder"):
            plan(several, tmp_path / "b.wav")
    with pytest.raises(ConfigError, match="would be lost"):
        plan([speech / "a.wav"], speech / "a.wav")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        plan([speech / "a.wav"], tmp_path / "notes.txt")


def test_what_is_no_input(speech, tmp_path):
    with pytest.raises(AudioError, match="does not exist"):
        plan([tmp_path / "none.wav"], tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="no wav, flac"):
        plan([tmp_path / "empty"], tmp_path)


@pytest.mark.parametrize("bottleneck", ["vq_ema", "identity"])
def test_the_reconstruction_is_as_long_as_the_recording(speech, tmp_path, bottleneck):
    model = small_model(bottleneck)
    target = tmp_path / "new" / "a.wav"
    done = resynthesise(model, speech / "a.wav", target)
    x_hat = model.reconstruct(load(speech / "a.wav"))
    assert (load(target) - x_hat.clamp(-1, 1)).abs().max() < 2**-14  # 16-bit steps
    assert done.seconds == 1500 / 16000


def test_a_recording_is_heard_from_the_speaker_asked_for(speech, tmp_path):
    model, targets = voices_model(), [tmp_path / f"{i}.wav" for i in range(2)]
    for name, target in zip(("ann", None), targets, strict=True):
        who = model.speaker_index([name])
        resynthesise(model, speech / "a.wav", target, who)
        x_hat = model.reconstruct(load(speech / "a.wav"), condition=who)
        assert (load(target) - x_hat.clamp(-1, 1)).abs().max() < 2**-14
    assert (load(targets[0]) - load(targets[1])).abs().max() > 0.01
