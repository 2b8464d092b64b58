import contextlib
import io
import os
import tarfile
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import audio, files
from audiovq._audio import decoding
from audiovq.data.corpora._fake import speech
from audiovq.errors import AudioError

RATE = 16000
FORMATS = [
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "FLOAT"),
    ("wav", "PCM_U8"),
    ("wav", "ULAW"),
    ("flac", "PCM_16"),
    ("flac", "PCM_24"),
    ("ogg", "VORBIS"),
    ("ogg", "OPUS"),
    ("mp3", "MPEG_LAYER_III"),
]


CODECS = [("wav", None), ("flac", None), ("mp3", None), ("ogg", "VORBIS"), ("ogg", "OPUS")]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return speech(2.0, 3)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, x, rate=RATE, subtype=None, kind=None) -> Path:
    """Write as another program would: every channel, no clipping of ours."""
    with path.open("wb") as file:
        soundfile.write(file, x, rate, subtype=subtype, format=kind or path.suffix[1:].upper())
    return path


def names_in(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir()]


def joined(parts) -> torch.Tensor:
    return torch.cat(list(parts), dim=-1)


# ------------------------------------------------------------------- reading


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_every_format_is_probed_and_loaded_exactly(folder, x, suffix, subtype):
    path = write(folder / f"a.{suffix}", x, subtype=subtype)
    info = audio.probe(path)
    assert (info.sample_rate, info.num_samples, info.channels) == (RATE, len(x), 1)
    assert info.subtype == subtype
    assert info.duration == len(x) / RATE
    loaded = audio.load(path)
    assert loaded.dtype == torch.float32
    expected = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
    if suffix == "mp3":  # soundfile seeks once more, which rounds some samples otherwise
        assert torch.allclose(loaded.flatten(), expected, atol=1e-7, rtol=0)
    else:
        assert torch.equal(loaded.flatten(), expected)


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_an_excerpt_is_bit_for_bit_a_part_of_the_whole(folder, x, suffix, subtype):
    path = write(folder / f"a.{suffix}", x, subtype=subtype)
    whole = audio.load(path)
    for start, size in [(0, 7), (1, 1), (4095, 4097), (12345, 9000)]:
        part = audio.load(path, start=start, num_samples=size)
        assert torch.equal(part, whole[..., start : start + size])
    last = audio.load(path, start=len(x) - 5)
    assert torch.equal(last, whole[..., -5:])


def test_channels_are_mixed_to_their_mean_or_chosen(folder, x):
    both = np.stack([x, -0.5 * x], axis=1)
    path = write(folder / "a.wav", both, subtype="FLOAT")
    assert torch.allclose(audio.load(path).flatten(), torch.from_numpy(both.mean(axis=1)))
    assert torch.equal(audio.load(path, channel=1).flatten(), torch.from_numpy(both[:, 1]))
    with pytest.raises(AudioError, match=r"has 2 channel\(s\), no channel 2"):
        audio.load(path, channel=2)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_resampling_keeps_tones_and_removes_what_does_not_fit(folder, rate):
    t = np.arange(rate) / rate
    tones = [1000.0] + ([12000.0] if rate > 24000 else [])
    path = write(folder / "a.wav", sum(0.3 * np.sin(2 * np.pi * f * t) for f in tones), rate)
    y = audio.load(path, RATE).flatten()[1600:-1600].numpy()
    expected = 0.3 * np.sin(2 * np.pi * 1000.0 * (np.arange(len(y)) + 1600) / RATE)
    assert np.abs(y - expected).max() < 2e-3


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 3000),
    rates=st.tuples(*[st.sampled_from([1000, 8000, 11025, 16000, 22050, 44100, 48000, 96000])] * 2),
)
def test_resampled_length_is_exact_and_nothing_is_padded(length, rates):
    x = torch.full((length,), 0.5)
    y = audio.resample(x, *rates)
    assert y.shape[-1] == audio.resampled_length(length, *rates)
    assert y.shape[-1] == int(np.ceil(length * rates[1] / rates[0] - 1e-9))
    assert bool((y != 0).all())  # the last sample is computed, too


def test_resampling_equals_one_call_of_soxr(x):
    y = audio.resample(torch.from_numpy(x), RATE, 22050).numpy()
    one = soxr.resample(x, RATE, 22050)
    assert np.array_equal(y[: len(one)], one[: len(y)])


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [None, RATE, 22050, 8000])
def test_blocks_join_to_what_load_returns(folder, x, monkeypatch, suffix, rate):
    """In an mp3, a seek between two reads leaves samples that are wrong by 0.2."""
    path = write(folder / f"a.{suffix}", x)
    for excerpt in ({}, {"start": 3000, "num_samples": 20000}):
        whole = audio.load(path, rate, **excerpt)
        for block in (1000, 7777):
            with monkeypatch.context() as patch:
                patch.setattr(decoding, "read", partial(decoding.read, size=block))
                parts = list(audio.blocks(path, rate, **excerpt))
            assert len(parts) > 2
            assert torch.equal(joined(parts), whole)


def test_a_long_file_streams_in_bounded_memory(folder):
    path = folder / "long.flac"
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(60):  # an hour
            file.write(rng.normal(0, 0.01, 8000 * 60).astype(np.float32))
    tracemalloc.start()
    total = sum(b.shape[-1] for b in audio.blocks(path, RATE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 16000 * 3600  # 230 MB as float32
    assert peak < 30e6


# ------------------------------------------------------------------- tar


def test_members_of_a_tar_read_like_files(folder, x):
    names = ["a.wav", "deep/b.flac", "c.ogg", "d.mp3", "ünï code\n.wav"]
    with tarfile.open(folder / "shard.tar", "w") as tar:
        for i, name in enumerate(names):
            path = write(folder / f"{i}{Path(name).suffix}", x)
            tar.add(path, f"./{name}" if i else name)
    assert audio.tar_members(folder / "shard.tar") == names
    for i, name in enumerate(names):
        path, member = folder / f"{i}{Path(name).suffix}", folder / "shard.tar" / name
        assert audio.exists(member)
        assert torch.equal(audio.load(member, 8000), audio.load(path, 8000))
        assert torch.equal(
            audio.load(member, start=99, num_samples=5000),
            audio.load(path, start=99, num_samples=5000),
        )
        assert audio.check(member).status == "ok"
        assert audio.probe(member).num_samples == len(x)
    assert not audio.exists(folder / "shard.tar" / "no.wav")
    with pytest.raises(AudioError, match=r"shard.tar has no member 'no.wav'"):
        audio.load(folder / "shard.tar" / "no.wav")


def test_a_changed_tar_is_indexed_again(folder, x):
    for size in (1000, 2000):
        path = write(folder / "a.wav", x[:size])
        with tarfile.open(folder / "s.tar", "w") as tar:
            tar.add(path, "pad.wav") if size == 2000 else None
            tar.add(path, "a.wav")
        assert audio.load(folder / "s.tar" / "a.wav").shape[-1] == size


def test_a_tar_that_is_none_is_one_line(folder):
    (folder / "s.tar").write_bytes(b"not a tar" * 100)
    with pytest.raises(AudioError, match="cannot be read as audio"):
        audio.load(folder / "s.tar" / "a.wav")
    with pytest.raises(AudioError, match="uncompressed tar"):
        audio.tar_members(folder / "s.tar")


# ------------------------------------------------------------------- writing


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("shape", [(-1,), (1, -1), (1, 1, -1)])
def test_save_and_load_agree(folder, x, suffix, shape):
    path = folder / f"a.{suffix}"
    audio.save(path, torch.from_numpy(x).view(shape), RATE)
    y = audio.load(path).flatten()
    assert len(y) == len(x)
    error = float((y - torch.from_numpy(x)).abs().max())
    assert error <= 2**-15 if suffix in ("wav", "flac") else error < 0.3
    assert names_in(folder) == [path.name]


def test_save_blocks_writes_what_save_writes(folder, x):
    waveform = torch.from_numpy(x).view(1, 1, -1)
    audio.save("a.wav", waveform, RATE)
    assert audio.save_blocks("b.wav", waveform.split(999, dim=-1), RATE) == len(x)
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_what_is_beyond_full_scale_is_clipped(folder):
    audio.save("a.wav", torch.tensor([3.0, -3.0, 0.25]), RATE, "FLOAT")
    assert audio.load("a.wav").flatten().tolist() == [1.0, -1.0, 0.25]


@pytest.mark.parametrize(
    ("name", "x", "options", "message"),
    [
        ("a.m4a", torch.zeros(9), {}, "the suffix must be one of .wav, .flac, .ogg, .mp3"),
        ("a.wav", torch.zeros(0), {}, "has no samples"),
        ("a.wav", torch.zeros(2, 1, 9), {}, r"shape \(2, 1, 9\) is not one waveform"),
        ("a.wav", torch.tensor([0.0, torch.nan]), {}, "NaN or infinity"),
        ("a.wav", torch.zeros(9), {"subtype": "VORBIS"}, "cannot write a.wav"),
        ("a.wav", torch.zeros(9), {"sample_rate": 0}, "a rate of 0 Hz given; 1000 to 384000"),
        ("no/a.wav", torch.zeros(9), {}, "cannot write no/a.wav: No such file or directory"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(folder, name, x, options, message):
    with pytest.raises(AudioError, match=message):
        audio.save(name, x, **{"sample_rate": RATE, **options})
    assert names_in(folder) == []


def test_a_full_disk_is_reported_and_keeps_the_old_file(folder, x, monkeypatch, capfd):
    audio.save("a.flac", torch.from_numpy(x[:100]), RATE)
    old = Path("a.flac").read_bytes()

    real = files.atomic_open

    @contextlib.contextmanager
    def full(path):
        with real(path), Path("/dev/full").open("wb", buffering=0) as device:
            yield device

    monkeypatch.setattr(audio, "atomic_open", full)
    with pytest.raises(AudioError, match=r"cannot write a\.flac: No space left on device"):
        audio.save("a.flac", torch.from_numpy(x), RATE)
    assert Path("a.flac").read_bytes() == old
    assert names_in(folder) == ["a.flac"]
    assert capfd.readouterr().err == ""


# ------------------------------------------------------------------- trust


def test_damage_in_the_middle_of_a_float_file_is_named(folder, x):
    for bad in (np.nan, np.inf):
        y = x.copy()
        y[20000] = bad
        path = write(folder / "a.wav", y, subtype="FLOAT")
        assert audio.check(path).reason == "NaN or infinity among the samples"
        with pytest.raises(AudioError, match="holds NaN or infinity"):
            audio.load(path)
        assert audio.load(path, num_samples=10000).shape[-1] == 10000


@pytest.mark.parametrize(("suffix", "subtype"), CODECS)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_never_ok_and_what_is_kept_decodes(
    folder, x, suffix, subtype, share
):
    whole = write(folder / f"whole.{suffix}", np.tile(x, 4), subtype=subtype)
    data = whole.read_bytes()
    cut = folder / f"cut.{suffix}"
    cut.write_bytes(data[: int(len(data) * share)])
    verdict = audio.check(cut)
    assert verdict.status in ("repaired", "rejected")
    assert verdict.reason
    if verdict.status == "rejected":
        assert verdict.num_samples == 0
    else:
        kept = audio.load(cut, num_samples=verdict.num_samples)
        assert torch.equal(kept, audio.load(whole)[..., : verdict.num_samples]) or suffix == "mp3"
        with pytest.raises(AudioError):  # but whoever asks for the whole is told
            audio.load(cut)
    if suffix in ("wav", "flac", "mp3"):
        assert verdict.status == ("repaired" if share > 0.5 else "rejected")
    if suffix in ("wav", "flac") and share > 0.5:
        assert verdict.num_samples > (share - 0.1) * 4 * len(x)


ZOO = {
    "stereo.wav": "ok",
    "rate8k.wav": "ok",
    "rate96k.wav": "ok",
    "one_sample.wav": "ok",
    "clipped.wav": "ok",
    "wav_named.mp3": "ok",
    "-leading dash.wav": "ok",
    "ünï cødé.wav": "ok",
    "new\nline.wav": "ok",
    "[gl*b]?.wav": "ok",
    f"{'a' * 251}.wav": "ok",
    b"not utf-8 \xff\xfe.wav": "ok",
    "missing.wav": "does not exist",
    "empty.wav": "is empty (0 bytes)",
    "text.wav": "cannot be read as audio: Format not recognised",
    "text.raw": "cannot be read as audio: Format not recognised",
    "header_only.wav": "has a header but no samples",
    "folder.wav": "is a folder; a file is needed",
    "loop.wav": "does not exist (a broken link)",
    "pipe.wav": "is a pipe or a device; a file is needed",
    "silent.wav": "silent (nothing above -80 dBFS)",
    "constant.wav": "silent (nothing above -80 dBFS)",
    "int_scaled.wav": "they must lie in [-1, 1]",
    "rate2g.wav": "states a rate of 2000000000 Hz; 1000 to 384000 is accepted",
    "rate500.wav": "states a rate of 500 Hz; 1000 to 384000 is accepted",
    "channels1024.wav": "states 1024 channels; up to 32 accepted",
    "bytes.mp3": "cannot be read as audio",
    f"{'b' * 300}.wav": "cannot be read as audio: File name too long",
}


def make_zoo(folder: Path, x: np.ndarray) -> None:
    write(folder / "stereo.wav", np.stack([x, -x], 1) * [1, 0.5], 44100)
    write(folder / "rate8k.wav", x, 8000)
    write(folder / "rate96k.wav", x, 96000, "PCM_24")
    write(folder / "one_sample.wav", np.array([0.3]))
    write(folder / "clipped.wav", np.clip(x * 20, -1, 1))
    write(folder / "wav_named.mp3", x, kind="WAV")
    for name in ("-leading dash", "ünï cødé", "new\nline", "[gl*b]?", "a" * 251):
        write(folder / f"{name}.wav", x)
    odd = os.fsdecode(b"not utf-8 \xff\xfe.wav")
    (folder / odd).write_bytes((folder / "rate8k.wav").read_bytes())
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("hello\n" * 100)
    (folder / "text.raw").write_text("hello\n" * 100)
    write(folder / "header_only.wav", x[:0])
    (folder / "folder.wav").mkdir()
    (folder / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(folder / "pipe.wav")
    write(folder / "silent.wav", x * 0)
    write(folder / "constant.wav", x * 0 + 0.5)
    write(folder / "int_scaled.wav", x * 32768, subtype="FLOAT")
    write(folder / "rate2g.wav", x, 2_000_000_000)
    write(folder / "rate500.wav", x, 500)
    write(folder / "channels1024.wav", np.tile(x[:100, None], (1, 1024)))
    (folder / "bytes.mp3").write_bytes(np.random.default_rng(0).bytes(5000))


def test_each_of_the_zoo_is_ok_or_rejected_with_its_reason(folder, x):
    make_zoo(folder, x)
    for name, expected in ZOO.items():
        path = folder / (os.fsdecode(name) if isinstance(name, bytes) else name)
        verdict = audio.check(path)
        if expected == "ok":
            assert (verdict.status, verdict.reason) == ("ok", ""), name
            assert audio.load(path, RATE).shape[-1] >= 1
            continue
        assert verdict.status == "rejected", name
        assert expected in verdict.reason, (name, verdict.reason)
        if "silent" not in expected and "lie in" not in expected:
            with pytest.raises(AudioError) as caught:
                audio.load(path)
            assert len(str(caught.value).splitlines()) == 1
            assert str(path) in str(caught.value)


def test_a_recording_of_ten_hours_is_fine_and_one_of_thirty_is_not(folder):
    hour = np.random.default_rng(0).normal(0, 0.1, 1000 * 3600).astype(np.float32)
    with soundfile.SoundFile("a.flac", "w", 1000, 1) as file:
        for _ in range(10):
            file.write(hour)
    assert audio.check("a.flac").status == "ok"
    assert audio.check("a.flac", max_hours=9.0).reason == "10.0 h long; up to 9 h is accepted"


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    kind=st.sampled_from([("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", None)]),
)
def test_no_mutation_of_a_file_crashes_or_gets_past_unseen(tmp_path_factory, data, kind):
    buffer = io.BytesIO()
    soundfile.write(buffer, speech(0.5, 1), RATE, format=kind[0], subtype=kind[1])
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("mutant") / "a"
    path.write_bytes(content)
    verdict = audio.check(path)
    if verdict.status == "rejected":
        assert verdict.reason
        return
    x = audio.load(path, num_samples=verdict.num_samples)
    assert x.shape[-1] == verdict.num_samples
    assert bool(x.isfinite().all())


def test_real_recordings_are_all_ok(speech_root):
    if speech_root is None:
        pytest.skip("AUDIOVQ_TEST_DATA is not set")
    paths = [
        path
        for name in ("timit-sample", "ljspeech-mini", "vctk-mini")
        for path in sorted((speech_root / name).rglob("*"))
        if path.suffix in (".wav", ".flac")
    ]
    assert len(paths) > 100
    for path in paths:
        info = audio.probe(path)
        verdict = audio.check(path)
        assert (verdict.status, verdict.num_samples) == ("ok", info.num_samples)
        expected = audio.resampled_length(info.num_samples, info.sample_rate, RATE)
        assert audio.load(path, RATE).shape[-1] == expected
