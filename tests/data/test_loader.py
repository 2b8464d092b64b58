import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tarfile
from itertools import islice

import pytest
import torch
from torch.utils import _pytree as pytree

from audiovq import audio
from audiovq.config import parse
from audiovq.data import manifest as manifests
from audiovq.data.augment import AugmentConfig
from audiovq.data.corpora import _fake
from audiovq.data.loader import Batch, DataConfig, Loader
from audiovq.data.manifest import Record
from audiovq.errors import AudioError, ConfigError, ManifestError

STILL = AugmentConfig(gain_db=(0.0, 0.0), flip_polarity=False)


def loader(manifest, *, seed=0, rate=16000, **settings) -> Loader:
    values = {"batch_size": 3, "segment_seconds": 0.5, "workers": 0, **settings}
    return Loader(manifest, manifest.records, DataConfig(**values), rate, seed)


def take(source: Loader, step: int, count: int) -> list[Batch]:
    with contextlib.closing(source.batches(step)) as batches:
        return list(islice(batches, count))


def assert_equal(one: list[Batch], two: list[Batch]) -> None:
    for a, b in zip(one, two, strict=True):
        assert (a.ids, a.speakers) == (b.ids, b.speakers)
        for name in ("x", "x_input", "lengths", "keys"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name


@pytest.fixture
def mixed(tmp_path):
    """Files of several rates, lengths and channels, shorter than a segment among them."""
    sizes = {"a": (16000, 1.7), "b": (8000, 0.2), "c": (44100, 1.0), "d": (22050, 0.5)}
    records = []
    for i, (name, (rate, seconds)) in enumerate(sizes.items()):
        n = _fake.write(tmp_path / f"{name}.flac", seconds, i, rate)
        part = {"start": 100, "num_samples": n - 100} if name == "c" else {"num_samples": n}
        records.append(
            Record(id=name, path=f"{name}.flac", sample_rate=rate, speaker=name * 2, **part)
        )
    manifests.write(tmp_path / "m.jsonl", ".", records)
    return manifests.read(tmp_path / "m.jsonl")


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_bit(mixed, workers):
    assert_equal(take(loader(mixed), 0, 7), take(loader(mixed, workers=workers), 0, 7))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_only_state_is_the_step(mixed, workers):
    whole = take(loader(mixed), 0, 12)
    assert_equal(take(loader(mixed, workers=workers), 5, 7), whole[5:])


def test_the_batch_size_only_groups_the_same_samples(mixed):
    def flat(batches):
        return [(i, k) for b in batches for i, k in zip(b.ids, b.keys.tolist(), strict=True)]

    small = flat(take(loader(mixed, batch_size=2), 0, 12))
    assert flat(take(loader(mixed, batch_size=6), 0, 4)) == small
    assert flat(take(loader(mixed, seed=1, batch_size=2), 0, 12)) != small


def test_items_are_pieces_of_their_recordings_and_zero_behind(mixed):
    records = {r.id: r for r in mixed.records}
    for batch in take(loader(mixed, augment=STILL), 0, 10):
        assert batch.x.shape == (3, 1, 8000)
        assert batch.x_input is batch.x
        for x, length, name, speaker in zip(
            batch.x, batch.lengths.tolist(), batch.ids, batch.speakers, strict=True
        ):
            record = records[name]
            assert speaker == name * 2
            assert length == min(8000, record.samples_at(16000))
            assert float(x[:, length:].abs().sum()) == 0.0
            assert float(x[:, :length].abs().sum()) > 0.0
            if record.sample_rate == 16000:
                whole = mixed.load(record, 16000).flatten()
                windows = whole.unfold(0, 8000, 1)
                assert bool((windows == x[0]).all(dim=1).any())


def test_an_epoch_hears_every_second_about_equally(speech_manifest):
    source = loader(speech_manifest, batch_size=1, segment_seconds=1.0)
    steps = round(source.steps_per_epoch)
    seconds = sum(r.duration for r in speech_manifest.records)
    assert abs(steps - seconds) <= len(speech_manifest.records)
    heard = [b.ids[0] for b in take(source, 0, steps)]
    assert set(heard) == {r.id for r in speech_manifest.records}


def test_no_draw_from_the_global_generator(mixed):
    before = torch.get_rng_state()
    take(loader(mixed, workers=1), 0, 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_vanished_stops_training_in_one_line(mixed, workers):
    (mixed.root / "a.flac").unlink()
    with pytest.raises(AudioError) as caught:
        take(loader(mixed, workers=workers), 0, 9)
    assert str(caught.value) == f"{mixed.root / 'a.flac'} does not exist"


def test_a_batch_is_a_pytree(mixed):
    batch = take(loader(mixed), 0, 1)[0]
    twice = pytree.tree_map(lambda v: v * 2 if isinstance(v, torch.Tensor) else v, batch)
    assert isinstance(twice, Batch)
    assert torch.equal(twice.x, batch.x * 2)
    assert twice.ids == batch.ids


def test_nothing_to_draw_from_and_segments_of_nothing_are_refused(mixed):
    with pytest.raises(ManifestError, match=r"m\.jsonl has no records to train on"):
        Loader(mixed, [], DataConfig(), 16000, 0)
    with pytest.raises(ConfigError, match="shorter than one sample"):
        loader(mixed, segment_seconds=1e-6)
    with pytest.raises(ConfigError, match=r"segment_second: unknown key; did you mean"):
        parse(DataConfig, {"segment_second": 1})


GROUP = """
import os, signal, subprocess, sys
from itertools import islice
from audiovq.data import manifest
from audiovq.data.loader import DataConfig, Loader

if __name__ == "__main__":
    m = manifest.read(sys.argv[1])
    loader = Loader(m, m.records, DataConfig(batch_size=2, workers=2), 16000, 0)
    batches = loader.batches(0)
    next(batches)
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append("term"))
    signal.signal(signal.SIGINT, lambda *_: seen.append("int"))
    for number in (15, 2):
        kill = f"import os, signal; signal.signal({number}, signal.SIG_IGN); os.killpg(0, {number})"
        subprocess.run([sys.executable, "-c", kill], check=True)
    print(len(list(islice(batches, 30))), *seen)
"""


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the system has no sigwaitinfo")
def test_signals_to_the_group_spare_the_workers_and_the_end_is_clean(mixed, tmp_path):
    """A worker that ignored its parent, too, would keep the interpreter from ending."""
    script = tmp_path / "group.py"
    script.write_text(GROUP)
    done = subprocess.run(
        [sys.executable, script, mixed.path],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (done.stdout.split(), done.stderr) == (["30", "term", "int"], "")


def test_training_from_a_tar_equals_training_from_files(mixed, tmp_path):
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for r in mixed.records:
            tar.add(mixed.file(r), r.path)
    inside = [r.model_copy(update={"path": f"all.tar/{r.path}"}) for r in mixed.records]
    manifests.write(tmp_path / "tar.jsonl", ".", inside)
    packed = manifests.read(tmp_path / "tar.jsonl", check_files=True)
    assert_equal(take(loader(packed, workers=1), 0, 5), take(loader(mixed), 0, 5))
    assert audio.exists(packed.file(packed.records[0]))


def test_a_repeated_batch_has_the_same_audio_and_keys_of_its_own(mixed):
    batch = take(loader(mixed), 0, 1)[0]
    assert batch.repeated(1) is batch
    three = batch.repeated(3)
    assert len(set(three.keys.tolist())) == 9
    for i in range(9):
        assert torch.equal(three.x[i], batch.x[i // 3])
        assert three.lengths[i] == batch.lengths[i // 3]
        assert three.ids[i] == batch.ids[i // 3]
    assert torch.equal(batch.repeated(3).keys, three.keys)


def test_more_samples_of_a_vae_halve_the_noise_of_its_loss(mixed):
    from tests.helpers import small_model

    model = small_model({"name": "vae", "dim": 6}).train()
    batch = take(loader(mixed), 0, 1)[0]

    def loss(samples, seed):
        b = batch.repeated(samples)
        out = model(b.x, b.lengths, b.keys + seed)
        return float((out.x_hat - b.x).square().mean().detach())

    spread = [torch.tensor([loss(n, 1000 * s) for s in range(60)]).std() for n in (1, 4)]
    assert 0.3 < float(spread[1] / spread[0]) < 0.75


def test_lengths_of_the_whole_step_are_known_without_loading(mixed):
    """Of every part of a batch, at any speed, with files of many rates."""
    for speeds in ((1.0,), (0.9, 1.0, 1.1)):
        source = loader(mixed, batch_size=5, augment=AugmentConfig(speeds=speeds))
        whole = take(source, 0, 6)
        parts = []
        for i in range(3):
            with contextlib.closing(source.batches(0, (i, 3))) as batches:
                parts.append(list(islice(batches, 6)))
        for step, batch in enumerate(whole):
            assert torch.equal(batch.step_lengths, batch.lengths)
            each = [p[step] for p in parts]
            for name in ("x", "lengths", "keys"):
                assert torch.equal(
                    torch.cat([getattr(b, name) for b in each]), getattr(batch, name)
                )
            assert all(torch.equal(b.step_lengths, batch.lengths) for b in each)


def test_items_can_be_sent_to_a_worker_that_is_spawned(mixed):
    items = loader(mixed).items
    items.load(3)
    again = pickle.loads(pickle.dumps(items))
    assert torch.equal(again.load(4)[0], items.load(4)[0])


def test_a_batch_in_parts_is_the_batch(mixed):
    (batch,) = take(loader(mixed, batch_size=5), 2, 1)
    parts = batch.split(3)
    assert [len(p.x) for p in parts] == [1, 2, 2]
    assert torch.equal(torch.cat([p.x for p in parts]), batch.x)
    assert sum((p.ids for p in parts), ()) == batch.ids
    assert all(torch.equal(p.step_lengths, batch.lengths) for p in parts)


def test_a_faster_tempo_is_a_higher_tone_and_takes_more_of_the_file(tmp_path):
    t = torch.arange(16000 * 4) / 16000
    audio.save(tmp_path / "a.wav", 0.5 * torch.sin(2 * torch.pi * 400 * t), 16000)
    record = Record(id="a", path="a.wav", sample_rate=16000, num_samples=64000)
    manifests.write(tmp_path / "m.jsonl", ".", [record])
    found = manifests.read(tmp_path / "m.jsonl")
    for speed in (0.8, 1.25):
        quiet = STILL.model_copy(update={"speeds": (speed,)})
        (batch,) = take(loader(found, segment_seconds=1.0, augment=quiet), 0, 1)
        assert batch.lengths.tolist() == [16000] * 3
        spectrum = torch.fft.rfft(batch.x[0, 0] * torch.hann_window(16000)).abs()
        assert int(spectrum.argmax()) == round(400 * speed)


def test_silence_is_skipped_where_there_is_sound(tmp_path):
    x = torch.zeros(160000)
    x[120000:] = 0.3 * torch.randn(40000, generator=torch.Generator().manual_seed(0))
    audio.save(tmp_path / "a.wav", x.clamp(-1, 1), 16000)
    record = Record(id="a", path="a.wav", sample_rate=16000, num_samples=160000)
    manifests.write(tmp_path / "m.jsonl", ".", [record])
    found = manifests.read(tmp_path / "m.jsonl")

    def silent(config):
        batches = take(loader(found, batch_size=40, augment=config), 0, 2)
        return sum(int((b.x.abs().amax(dim=(1, 2)) == 0).sum()) for b in batches)

    loud = STILL.model_copy(update={"skip_silence_db": -40.0})
    assert silent(loud) < 0.6 * silent(STILL)
    assert_equal(*(take(loader(found, augment=loud), 0, 3) for _ in range(2)))


def test_segments_get_one_level_and_noise_that_the_target_has(mixed, tmp_path):
    level = STILL.model_copy(update={"level_db": -30.0})
    (batch,) = take(loader(mixed, augment=level), 0, 1)
    for x, length in zip(batch.x, batch.lengths.tolist(), strict=True):
        rms = 10 * torch.log10(x[0, :length].double().square().mean())
        assert float(rms) == pytest.approx(-30.0, abs=0.01)
    noisy = AugmentConfig(**STILL.model_dump(exclude={"noise"}), noise={"gaussian": 1.0})
    (clean,), (loud,) = (take(loader(mixed, augment=a), 0, 1) for a in (STILL, noisy))
    assert torch.equal(loud.x, loud.x_input)
    assert not torch.equal(clean.x, loud.x)


def test_a_batch_may_be_given_in_seconds():
    assert parse(DataConfig, {"batch_seconds": 12.0, "segment_seconds": 1.5}).batch_size == 8
    with pytest.raises(ConfigError, match="batch_seconds=1 holds no segment of 2 s"):
        parse(DataConfig, {"batch_seconds": 1, "segment_seconds": 2})
