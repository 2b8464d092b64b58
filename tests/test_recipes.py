"""Recipes on a few steps: exact resume, kills, NaN, signals, settings that may not change."""

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

import audiovq
from audiovq import config as configs
from audiovq import release, share
from audiovq.data import manifest as manifests
from audiovq.data.corpora.folder import Config as FolderConfig
from audiovq.data.corpora.folder import Folder
from audiovq.data.prepare import prepare
from audiovq.errors import CheckpointError, ConfigError, ManifestError, NonFiniteError
from audiovq.files import STALE_MARK
from audiovq.train import checkpoint, signals
from audiovq.train.autoencoding import initialise
from audiovq.train.trackers.lines import read_log
from tests.figures import tell

RECIPE = share.load_recipe("train_autoencoder")
TINY = [
    "model.encoder.strides=[5,8]",
    "model.decoder.channels=2",
    "model.encoder.channels=2",
    "model.bottleneck.dim=4",
    "model.bottleneck.codebook_size=16",
    "model.bottleneck.revive_every=2",
    "model.bottleneck.candidates=8",
    "loss.n_ffts=[256]",
    "loss.n_mels=[20]",
    "data.batch_size=2",
    "data.segment_seconds=0.1",
    "train.initialise_batches=2",
    "train.validation_utterances=1",
    "train.validation_seconds=0.2",
    "train.validate_every=100",
    "train.device=cpu",
    "log.progress=false",
    "log.snapshots=0",
    "checkpoint.every=2",
]


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    Folder(FolderConfig()).fake(folder / "audio")
    prepare("folder", folder / "audio", folder / "speech.jsonl", progress=False)
    return folder / "speech.jsonl"


def settings(speech, folder, *changes, name="smoke"):
    values = configs.read_yaml(share.config_path(name))
    assignments = [*TINY, f"data.manifest={speech}", f"run.dir={folder}", *changes]
    return configs.parse(RECIPE.Config, configs.override(values, assignments), name)


def train(speech, folder, *changes):
    RECIPE.main(settings(speech, folder, *changes))


def timeless(folder: Path) -> list[dict]:
    """The log without its wall clock, the one figure that two equal runs do not share."""
    entries = read_log(folder / "log.jsonl")
    return [{k: v for k, v in e.items() if k != "train/seconds_per_step"} for e in entries]


def fingerprint(folder: Path) -> str:
    """Hash of everything the newest checkpoint holds: weights, codebook, moments."""
    store = checkpoint.Store(folder / "checkpoints")
    content = torch.load(store.path(store.steps()[-1]), weights_only=True)
    digest = hashlib.sha256(str(content["step"]).encode())
    for name, value in checkpoint._tensors(content["parts"], ""):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def undisturbed(speech, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("runs") / "straight"
    train(speech, folder, "train.max_steps=12")
    return fingerprint(folder)


@pytest.mark.parametrize("stop_at", range(1, 12))
def test_stopping_after_any_step_changes_no_bit(speech, tmp_path, undisturbed, stop_at):
    train(speech, tmp_path, f"train.max_steps={stop_at}")
    train(speech, tmp_path, "train.max_steps=12")
    assert fingerprint(tmp_path) == undisturbed


def test_workers_may_change_when_a_run_goes_on(speech, tmp_path, undisturbed):
    train(speech, tmp_path, "train.max_steps=3", "data.workers=2")
    train(speech, tmp_path, "train.max_steps=8", "data.workers=0")
    train(speech, tmp_path, "train.max_steps=12", "data.workers=1")
    assert fingerprint(tmp_path) == undisturbed


def test_a_run_folder_holds_what_is_promised(speech, tmp_path):
    train(speech, tmp_path, "train.max_steps=4", "log.snapshots=1", "log.every=2")
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        "config.yaml", "log.jsonl", "checkpoints", "snapshots", "report.html", "model", "best",
    }  # fmt: skip
    entries = read_log(tmp_path / "log.jsonl")
    assert [e["step"] for e in entries] == [2, 4, 4]
    assert {"train/loss", "train/mel", "train/perplexity", "train/usage", "lr"} <= entries[0].keys()
    assert {"validation/mel", "validation/perplexity"} <= entries[-1].keys()
    model = audiovq.load(tmp_path)
    assert model.hop_length == 40
    stored = configs.parse(RECIPE.Config, yaml.safe_load((tmp_path / "config.yaml").read_text()))
    assert stored.model == model.config


def test_training_learns_and_leaves_the_codebook_in_use(speech, tmp_path):
    train(speech, tmp_path, "train.max_steps=60", "log.every=10", "optim.lr=0.005")
    entries = [e for e in read_log(tmp_path / "log.jsonl") if "train/loss" in e]
    assert entries[-1]["train/loss"] < 0.8 * entries[0]["train/loss"]
    assert entries[-1]["train/usage"] > 0.5


@pytest.mark.parametrize("name", ["identity", "vq_ema"])
def test_every_bottleneck_trains_through_the_same_recipe(speech, tmp_path, name):
    values = configs.read_yaml(share.config_path("smoke"))
    assignments = [a for a in TINY if "bottleneck" not in a]
    assignments += [f"data.manifest={speech}", f"run.dir={tmp_path}", "train.max_steps=2"]
    values = configs.override(
        {**values, "model": {**values["model"], "bottleneck": name}}, assignments
    )
    RECIPE.main(configs.parse(RECIPE.Config, values))
    assert audiovq.load(tmp_path).config.bottleneck.name == name


# ------------------------------------------------------------------- kills


KILLED = ("train.max_steps=12", "train.validate_every=3", "log.every=1", "log.snapshots=1")


def _target(speech, folder, seed, pause=5e-4):
    """Train in a forked process that writes slowly, so that kills also hit saves."""
    torch.set_num_threads(1)
    rng = random.Random(seed)
    real = checkpoint.atomic_write
    saving = folder.with_name(f"{folder.name}.saving")  # there while a save goes on
    saving.unlink(missing_ok=True)

    def slow(path, data):
        from audiovq.files import atomic_open

        data = data.encode() if isinstance(data, str) else data
        saving.touch()
        with atomic_open(path) as file:
            for i in range(0, len(data), 4096):
                file.write(data[i : i + 4096])
                file.flush()
                time.sleep(rng.random() * pause)
        saving.unlink()

    checkpoint.atomic_write = release.atomic_write = slow
    try:
        train(speech, folder, *KILLED)
    finally:
        checkpoint.atomic_write = release.atomic_write = real


def _kill_until_done(speech, folder, seed, pause) -> tuple[int, int]:
    """Start, kill at a random moment, start again, until a run comes through.

    Returns the kills, and how many of them came while a file was being written.
    """
    context = multiprocessing.get_context("fork")
    rng, kills, within = random.Random(seed), 0, 0
    while True:
        process = context.Process(target=_target, args=(speech, folder, seed, pause))
        process.start()
        # Longer and longer, so that it comes through in the end.
        process.join(rng.uniform(0.02, 0.25 + 0.1 * kills))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            within += folder.with_name(f"{folder.name}.saving").exists()
            continue
        assert process.exitcode == 0
        return kills, within


def _kill_test(speech, tmp_path, undisturbed, wanted, wanted_within=0, pause=5e-4):
    straight, start = tmp_path / "straight", time.monotonic()
    train(speech, straight, *KILLED)
    kills = within = runs = 0
    while kills < wanted or within < wanted_within:
        folder = tmp_path / str(runs)
        more = _kill_until_done(speech, folder, seed=runs, pause=pause)
        kills, within = kills + more[0], within + more[1]
        runs += 1
        assert fingerprint(folder) == undisturbed
        assert audiovq.load(folder).fingerprint() == audiovq.load(straight).fingerprint()
        assert timeless(folder) == timeless(straight)
        assert not list(folder.rglob(f"*{STALE_MARK}*"))
        shutil.rmtree(folder)
    tell(
        "SIGKILL of training",
        kills=kills,
        inside_a_save=within,
        unreadable_checkpoints=0,
        stale_files=0,
        bit_identical_resumes=f"{runs} of {runs} runs",
        seconds=round(time.monotonic() - start),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_sigkill_at_random_moments_changes_no_bit(speech, tmp_path, undisturbed):
    _kill_test(speech, tmp_path, undisturbed, wanted=6)


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_two_hundred_sigkills_change_no_bit(speech, tmp_path, undisturbed):
    _kill_test(speech, tmp_path, undisturbed, wanted=200, wanted_within=50, pause=0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_saves_and_leaves(
    speech, tmp_path, undisturbed, monkeypatch, number, code
):
    from audiovq.train import optim

    real, calls = optim.Optimizer.step, []

    def step(self, *args):
        calls.append(args[0])
        if len(calls) == 5:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # a second one does no more
        real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(optim.Optimizer, "step", step)
        with pytest.raises(signals.Interrupted) as stopped:
            train(speech, tmp_path, "train.max_steps=12", "checkpoint.every=100")
    assert stopped.value.exit_code == code
    assert checkpoint.Store(tmp_path / "checkpoints").steps() == [5]
    assert (tmp_path / "model" / "model.safetensors").exists()
    train(speech, tmp_path, "train.max_steps=12")
    assert fingerprint(tmp_path) == undisturbed


def test_two_trainings_in_one_folder_are_refused(speech, tmp_path):
    from audiovq.alone import alone

    train(speech, tmp_path, "train.max_steps=2")
    before = fingerprint(tmp_path)
    with (
        alone(tmp_path, "training in"),
        pytest.raises(CheckpointError, match="another process is training in"),
    ):
        train(speech, tmp_path, "train.max_steps=4")
    assert fingerprint(tmp_path) == before
    train(speech, tmp_path, "train.max_steps=4")


def test_a_file_that_vanishes_during_training_is_named_and_loses_nothing(speech, tmp_path):
    import shutil as files

    files.copytree(speech.parent, tmp_path / "speech")
    manifest = tmp_path / "speech" / "speech.jsonl"
    train(manifest, tmp_path / "run", "train.max_steps=2")
    before = fingerprint(tmp_path / "run")
    from audiovq.errors import AudioError
    from audiovq.train import run as runs

    read = runs.read_corpus

    def read_then_lose(path):
        found = read(path)
        for record in found.select("train"):
            found.file(record).unlink(missing_ok=True)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "read_corpus", read_then_lose)
        with pytest.raises(AudioError, match=r"\.wav"):
            train(manifest, tmp_path / "run", "train.max_steps=4")
    assert fingerprint(tmp_path / "run") == before


@pytest.mark.faults
def test_nan_on_twenty_random_steps(speech, tmp_path, undisturbed, monkeypatch):
    rng, places = random.Random(0), ("input", "encoder", "loss", "gradient")
    for i in range(20):
        at, where = rng.randint(1, 11), rng.choice(places)
        with monkeypatch.context() as patch:
            _poison(patch, where, at)
            with pytest.raises(NonFiniteError, match=f"at step {at};"):
                train(speech, tmp_path / str(i), "train.max_steps=12")
        train(speech, tmp_path / str(i), "train.max_steps=12")
        assert fingerprint(tmp_path / str(i)) == undisturbed
    tell("NaN or infinity in a step", steps=20, stopped_and_resumed_bit_identical=20)


# --------------------------------------------------------------------- NaN


def _poison(monkeypatch, where, at):
    """Put a NaN somewhere into step `at` (from 1); returns nothing else changed."""
    from audiovq.autoencoder import Autoencoder
    from audiovq.encoders.conv import ConvEncoder
    from audiovq.losses.reconstruction import ReconstructionLoss

    owner = {"input": Autoencoder, "encoder": ConvEncoder, "loss": ReconstructionLoss}
    cls = owner.get(where, ConvEncoder)
    real, count = cls.forward, [0]

    def forward(self, *args, **kwargs):
        if torch.is_grad_enabled():
            count[0] += 1
        now = torch.is_grad_enabled() and count[0] == at
        if now and where == "input":
            args[0][0, 0, 3] = torch.nan
        out = real(self, *args, **kwargs)
        if now and where == "encoder":
            out = out * torch.where(torch.arange(out.shape[-1]) == 1, torch.nan, 1.0)
        if now and where == "loss":
            out = {k: v * torch.inf for k, v in out.items()}
        if now and where == "gradient":
            out.register_hook(lambda g: g * torch.nan)
        return out

    monkeypatch.setattr(cls, "forward", forward)


@pytest.mark.parametrize("at", [1, 4, 5])
@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("input", "the input"),
        ("encoder", "the encoder's output"),
        ("loss", "the loss term"),
        ("gradient", "the gradient of encoder"),
    ],
)
def test_nan_stops_the_step_and_names_its_source(
    speech, tmp_path, undisturbed, monkeypatch, where, named, at
):
    with monkeypatch.context() as patch:
        _poison(patch, where, at)
        with pytest.raises(NonFiniteError, match=f"{named}.* at step {at};"):
            train(speech, tmp_path, "train.max_steps=12")
    steps = checkpoint.Store(tmp_path / "checkpoints").steps()
    assert max(steps, default=0) < at
    train(speech, tmp_path, "train.max_steps=12")  # without the NaN it ends as if nothing had been
    assert fingerprint(tmp_path) == undisturbed


# ------------------------------------------------------- what may not change


def test_a_run_of_an_earlier_version_goes_on_where_a_field_is_new(speech, tmp_path):
    train(speech, tmp_path, "train.max_steps=2")
    stored = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del stored["model"]["bottleneck"]["jitter"]  # as if its default had come since
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(stored))
    train(speech, tmp_path, "train.max_steps=3")
    with pytest.raises(ConfigError, match=r"jitter: 0\.0 then, 0\.5 now"):
        del stored["model"]["bottleneck"]["eps"]
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(stored))
        train(speech, tmp_path, "train.max_steps=4", "model.bottleneck.jitter=0.5")


@pytest.mark.parametrize(
    "change", ["optim.lr=0.5", "model.bottleneck.decay=0.5", "data.batch_size=3", "train.seed=9"]
)
def test_a_deciding_setting_may_not_change(speech, tmp_path, change):
    train(speech, tmp_path, "train.max_steps=2")
    before = fingerprint(tmp_path)
    with pytest.raises(ConfigError, match=rf"other settings \({change.split('=')[0]}: .* then, "):
        train(speech, tmp_path, "train.max_steps=4", change)
    assert fingerprint(tmp_path) == before


def test_another_corpus_is_refused_and_the_same_one_elsewhere_is_not(speech, tmp_path):
    train(speech, tmp_path / "run", "train.max_steps=2")
    manifest = manifests.read(speech)
    moved, other = tmp_path / "moved.jsonl", tmp_path / "other.jsonl"
    manifests.write(moved, str(manifest.root), manifest.records)
    manifests.write(other, str(manifest.root), manifest.records[:-1])
    train(moved, tmp_path / "run", "train.max_steps=3")
    stored = (tmp_path / "run" / "config.yaml").read_bytes()
    with pytest.raises(CheckpointError, match="start another run.dir"):
        train(other, tmp_path / "run", "train.max_steps=4")
    assert (tmp_path / "run" / "config.yaml").read_bytes() == stored  # a refusal changes nothing


@pytest.mark.parametrize(
    "change", ["optim.betas=[1.5,0.9]", f"train.seed={1 << 63}", "optim.lr=-1"]
)
def test_values_out_of_range_are_refused_by_name(speech, tmp_path, change):
    key, _, _ = change.partition("=")
    with pytest.raises(ConfigError, match=rf"{key}.* given; input should be"):
        train(speech, tmp_path / "run", change)


def test_the_largest_seed_trains(speech, tmp_path):
    train(speech, tmp_path, "train.max_steps=1", f"train.seed={(1 << 63) - 1}")


def test_padding_is_not_clustered(speech):
    """A batch longer than its recordings gives the codebook that their own lengths give."""
    from audiovq.autoencoder import Autoencoder
    from audiovq.data.loader import Batch

    torch.manual_seed(0)
    x = torch.rand(2, 1, 400) - 0.5
    lengths, many = torch.tensor([400, 400]), torch.arange(2)
    books = []
    for padding in (0, 4000):
        torch.manual_seed(1)
        model = Autoencoder(settings(speech, "unused").model)
        padded = torch.nn.functional.pad(x, (0, padding))
        batch = Batch(
            x=padded,
            x_input=padded,
            lengths=lengths,
            keys=many,
            ids=("a", "b"),
            speakers=("s", "s"),
            step_lengths=lengths,
        )
        initialise(model, [batch], torch.device("cpu"))
        books.append(model.bottleneck.codebook.vectors)
    torch.testing.assert_close(books[0], books[1], atol=1e-5, rtol=1e-4)


def test_finished_runs_are_left_alone(speech, tmp_path):
    train(speech, tmp_path, "train.max_steps=2")
    before = fingerprint(tmp_path)
    train(speech, tmp_path, "train.max_steps=2")
    assert fingerprint(tmp_path) == before


def test_no_steps_give_the_untrained_model(speech, tmp_path):
    train(speech, tmp_path, "train.max_steps=0")
    assert audiovq.load(tmp_path).is_discrete


def test_a_missing_manifest_or_device_is_one_clear_line(tmp_path, speech):
    with pytest.raises(ManifestError, match="cannot read the manifest"):
        train(tmp_path / "none.jsonl", tmp_path / "run")
    with pytest.raises(ConfigError, match="train.device=gpu7 cannot be used"):
        train(speech, tmp_path / "run2", "train.device=gpu7")


def test_augmentation_sees_each_sample_differently_each_epoch(speech):
    c = settings(speech, "unused", "data.batch_size=1")
    from audiovq.data.loader import Loader

    manifest = manifests.read(speech)
    loader = Loader(manifest, manifest.select("train"), c.data, 16000, 0)
    length = len(loader.items.segments)
    batches = loader.batches(0)
    keys = [int(next(batches).keys[0]) for _ in range(2 * length)]
    assert len(set(keys)) == 2 * length
