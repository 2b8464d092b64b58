"""The recipe of priors on a few steps: exact resume, what a run leaves, what may not change."""

import hashlib
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from audiovq import config as configs
from audiovq import prior as priors
from audiovq import registry, release, share, units
from audiovq.errors import CheckpointError, ConfigError, ManifestError, NonFiniteError
from audiovq.files import STALE_MARK
from audiovq.losses import codes as losses
from audiovq.prior._base import Condition
from audiovq.train import checkpoint, signals
from audiovq.train.trackers.lines import read_log
from tests.figures import tell
from tests.killing import kill_until_done
from tests.units.made import made_units, metadata, write

RECIPE = share.load_recipe("train_prior")
SIZES = (8, 5)
PLUGIN = "tests.prior.counted"
TINY = [
    "prior.channels=4",
    "prior.skip_channels=4",
    "data.crop=20",
    "train.validate_every=3",
    "train.validation_utterances=100",
    "train.average=0.9",
    "train.condition=speaker",
    "train.label_smoothing=0.1",
    "train.device=cpu",
    "log.progress=false",
    "log.every=1",
    "checkpoint.every=2",
]


@pytest.fixture(scope="module")
def codes(tmp_path_factory) -> Path:
    made = made_units(random.Random(0), SIZES, ids=[f"u{i}" for i in range(24)])
    return write(tmp_path_factory.mktemp("codes") / "units", list(made), metadata(SIZES))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Half a second for each run; those of `undisturbed`, made before this, are drawn."""
    monkeypatch.setattr("audiovq.report.can_draw", lambda: False)


def settings(codes, folder, *changes):
    values = configs.read_yaml(share.config_path("smoke", "prior"))
    assignments = [*TINY, f"codes={codes}", f"run.dir={folder}", *changes]
    with registry.plugins(None):
        return configs.parse(RECIPE.Config, configs.override(values, assignments), "smoke")


def train(codes, folder, *changes):
    RECIPE.main(settings(codes, folder, *changes))


def timeless(folder):
    entries = read_log(folder / "log.jsonl")
    return [{k: v for k, v in e.items() if k != "train/seconds_per_step"} for e in entries]


def fingerprint(folder: Path) -> str:
    """Hash of everything the newest checkpoint holds: weights, averages, moments."""
    store = checkpoint.Store(folder / "checkpoints")
    content = torch.load(store.path(store.steps()[-1]), weights_only=True)
    digest = hashlib.sha256(str(content["step"]).encode())
    for name, value in checkpoint._tensors(content["parts"], ""):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def undisturbed(codes, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "straight"
    train(codes, folder, "train.max_steps=9")
    return folder


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5, 8])
def test_stopping_after_any_step_changes_no_bit(codes, tmp_path, undisturbed, stop_at):
    train(codes, tmp_path, f"train.max_steps={stop_at}")
    train(codes, tmp_path, "train.max_steps=9")
    assert fingerprint(tmp_path) == fingerprint(undisturbed)
    assert priors.load(tmp_path).fingerprint() == priors.load(undisturbed).fingerprint()


def test_a_signal_finishes_the_step_saves_and_leaves(codes, tmp_path, undisturbed, monkeypatch):
    from audiovq.train import optim

    real = optim.Optimizer.step

    def step(self, number, ok):
        if number == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        real(self, number, ok)

    with monkeypatch.context() as patch:
        patch.setattr(optim.Optimizer, "step", step)
        with pytest.raises(signals.Interrupted) as stopped:
            train(codes, tmp_path, "train.max_steps=9", "checkpoint.every=100")
    assert stopped.value.exit_code == 143
    assert checkpoint.Store(tmp_path / "checkpoints").steps() == [5]
    train(codes, tmp_path, "train.max_steps=9")
    assert fingerprint(tmp_path) == fingerprint(undisturbed)
    assert timeless(tmp_path) == timeless(undisturbed)


def _killed_run(codes, folder, *, seed, patience, changes):
    """Train through kills, as slowly as disks may be; returns how many there were."""
    rng = random.Random(seed)

    def work():
        torch.set_num_threads(1)
        real = checkpoint.atomic_write

        def slow(path, data):
            time.sleep(rng.random() * 0.01)
            real(path, data)

        checkpoint.atomic_write = release.atomic_write = slow
        train(codes, folder, *changes)

    return kill_until_done(work, rng, patience)


def _kill_test(codes, tmp_path, undisturbed, wanted):
    kills = runs = 0
    while kills < wanted:
        folder = tmp_path / str(runs)
        kills += _killed_run(codes, folder, seed=runs, patience=0.3, changes=["train.max_steps=9"])
        assert fingerprint(folder) == fingerprint(undisturbed)
        for name in ("model", "best", "average"):
            mine, other = priors.load(folder / name), priors.load(undisturbed / name)
            assert mine.fingerprint() == other.fingerprint()
        assert timeless(folder) == timeless(undisturbed)
        assert not list(folder.rglob(f"*{STALE_MARK}*"))
        runs += 1
    tell("SIGKILL of prior training", kills=kills, bit_identical_resumes=f"{runs} of {runs} runs")


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_sigkill_at_random_moments_changes_no_bit(codes, tmp_path, undisturbed):
    _kill_test(codes, tmp_path, undisturbed, wanted=2)


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_a_hundred_sigkills_change_no_bit(codes, tmp_path, undisturbed):
    _kill_test(codes, tmp_path, undisturbed, wanted=100)


def test_a_run_folder_holds_what_is_promised(undisturbed, codes):
    names = {p.name for p in undisturbed.iterdir()}
    assert names == {
        "config.yaml", "log.jsonl", "checkpoints", "report.html", "model", "best", "average",
        "held_out.json",
    }  # fmt: skip
    assert (undisturbed / "report.html").read_text("utf-8").count("<img") == 6
    entries = read_log(undisturbed / "log.jsonl")
    assert {"train/loss", "train/bits_per_code", "lr"} <= entries[0].keys()
    last = entries[-1]
    kinds = {"bits_per_code", "bits_per_second", "unigram_bits_per_code"}
    assert {f"validation/{k}" for k in kinds} <= last.keys()
    assert {f"validation/average/{k}" for k in kinds} <= last.keys()
    stored = yaml.safe_load((undisturbed / "config.yaml").read_text())
    assert configs.parse(RECIPE.Config, stored).prior.channels == 4
    trained = priors.load(undisturbed)
    assert trained.about.codes.model_hash == metadata(SIZES).model_hash
    assert trained.about.labels == ("s0", "s1", "s2")
    records = [r for r in units.load(codes) if r.split == "train"]
    flat = torch.cat([r.codes for r in records], dim=1)
    for row, size, counts in zip(flat, SIZES, trained.about.counts, strict=True):
        assert torch.bincount(row, minlength=size).tolist() == list(counts)


def test_validation_is_the_mean_cost_of_held_out_codes(undisturbed, codes):
    """Utterance by utterance, as the loop does not do it."""
    trained = priors.load(undisturbed)
    total = number = seconds = 0.0
    for r in units.load(codes):
        if r.split == "validation":
            label = trained.label_index([r.speaker])
            total -= float(
                trained.module.log_prob(r.codes[None], None, Condition(label=label)).double().sum()
            )
            number, seconds = number + r.codes.numel(), seconds + r.num_samples / 1000
    last = read_log(undisturbed / "log.jsonl")[-1]
    bits = total / math.log(2)
    assert last["validation/bits_per_code"] == pytest.approx(bits / number, rel=1e-5)
    assert last["validation/bits_per_second"] == pytest.approx(bits / seconds, rel=1e-5)


def test_it_learns(tmp_path):
    made = made_units(random.Random(1), SIZES, ids=[f"u{i}" for i in range(24)], frames=(100, 200))
    longer = write(tmp_path / "units", list(made), metadata(SIZES))
    train(
        longer, tmp_path, "train.max_steps=90", "optim.lr=0.02", "prior.dropout=0.1",
        "prior.channels=16", "prior.skip_channels=16", "train.average=0", "log.every=10",
        "train.validate_every=90", "checkpoint.every=90", "data.batch_size=4", "data.crop=null",
    )  # fmt: skip
    last = read_log(tmp_path / "log.jsonl")[-1]
    assert last["validation/bits_per_code"] < 0.8 * last["validation/unigram_bits_per_code"]


def test_the_loss_is_the_mean_over_all_real_codes(codes, tmp_path):
    """Against a loop over items, whatever is padded; smoothing is torch's own."""
    c = settings(codes, tmp_path, "data.batch_size=5", "prior.dropout=0", "prior.label_dropout=0")
    sequences, _ = RECIPE.read_codes(c)
    trained = RECIPE.build(c, sequences, torch.device("cpu"))
    loader = RECIPE.CodeLoader(sequences, c.data, 0, [1] * len(sequences))
    batch = next(loader.batches(0))
    step = RECIPE.make_step(trained.module, trained, c.train, torch.device("cpu"))
    total = bits = 0.0
    for codes_of, n, label in zip(batch.codes, batch.lengths, batch.labels, strict=True):
        whole = codes_of[None, :, : int(n)]
        logits = trained.module(whole, None, Condition(label=label[None])).detach()
        for k, size in enumerate(SIZES):
            row, wanted = logits[0, k, :size].T, whole[0, k]
            cost = torch.nn.functional.cross_entropy
            total += float(cost(row, wanted, reduction="sum", label_smoothing=0.1))
            bits += float(cost(row, wanted, reduction="sum")) / math.log(2)
    number = int(batch.lengths.sum()) * len(SIZES)
    out = step(batch)
    assert float(out.loss.detach()) == pytest.approx(total / number, rel=1e-5)
    assert float(out.terms["bits_per_code"]) == pytest.approx(bits / number, rel=1e-5)
    parts = [step(part) for part in batch.split(3)]
    assert sum(float(p.loss.detach()) for p in parts) == pytest.approx(total / number, rel=1e-5)


def command(ranks, *words):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*launcher, f"--nproc_per_node={ranks}", "-m", "audiovq", "train-prior", *words]


def test_two_ranks_equal_two_micro_batches_bit_for_bit(codes, tmp_path):
    changes = ["train.max_steps=5", "data.batch_size=4"]
    train(codes, tmp_path / "one", *changes, "train.micro_batches=2")
    words = [*TINY, f"codes={codes}", f"run.dir={tmp_path / 'two'}", *changes]
    kept = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE"}}
    here = Path(__file__).parents[1]
    done = subprocess.run(
        command(2, "smoke", *words), env={**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here)},
        cwd=here, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    for a, b in zip(timeless(tmp_path / "one"), timeless(tmp_path / "two"), strict=True):
        assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize("name", registry.names("priors"))
def test_every_prior_trains_through_the_same_recipe(codes, tmp_path, name):
    known = registry.get("priors", name).config.model_fields
    small = {"channels": 8, "skip_channels": 8, "layers": 1, "heads": 2, "dilations": "[1,2]"}
    values = {"prior": {"name": name}}
    changes = [f"prior.{k}={v}" for k, v in small.items() if k in known]
    changes += [c for c in TINY if not c.startswith("prior.")]
    changes += [f"codes={codes}", f"run.dir={tmp_path}", "train.max_steps=3"]
    RECIPE.main(configs.parse(RECIPE.Config, configs.override(values, changes)))
    trained = priors.load(tmp_path)
    assert trained.about.prior.name == name
    last = read_log(tmp_path / "log.jsonl")[-1]
    assert 0 < last["validation/bits_per_code"] < 4


def test_a_prior_that_counts_is_fitted_in_one_pass(codes, tmp_path):
    changes = (f"prior.name={PLUGIN}", "train.condition=none")
    values = [c for c in TINY if not c.startswith("prior.")]
    with registry.plugins(None):
        config = configs.parse(
            RECIPE.Config,
            configs.override({}, [*values, f"codes={codes}", f"run.dir={tmp_path}", *changes]),
        )
    RECIPE.main(config)
    trained = priors.load(tmp_path, plugins=[PLUGIN])
    assert len(trained.module.seen) == sum(map(sum, trained.about.counts))
    assert read_log(tmp_path / "log.jsonl")[-1]["validation/bits_per_code"] > 1
    assert (tmp_path / "report.html").exists()
    RECIPE.main(config)  # again, with the same outcome
    assert priors.load(tmp_path, plugins=[PLUGIN]).fingerprint() == trained.fingerprint()
    assert len(read_log(tmp_path / "log.jsonl")) == 1


def test_what_was_counted_is_not_replaced_by_something_else(codes, tmp_path):
    counting = [c for c in TINY if not c.startswith("prior.") and "condition" not in c]

    def count(folder, *changes):
        words = [*counting, f"codes={folder}", f"run.dir={tmp_path / 'run'}", *changes]
        values = configs.override({"prior": {"name": "ngram"}}, words)
        RECIPE.main(configs.parse(RECIPE.Config, values))

    count(codes)
    before = priors.load(tmp_path / "run").fingerprint()
    with pytest.raises(ConfigError, match=r"prior\.order: 3 then, 2 now"):
        count(codes, "prior.order=2")
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        train(codes, tmp_path / "run", "train.max_steps=2")
    other = write(tmp_path / "other", list(units.load(codes))[2:], metadata(SIZES))
    with pytest.raises(CheckpointError, match="the codes are not those this run began with"):
        count(other)
    assert priors.load(tmp_path / "run").fingerprint() == before


def test_nan_stops_the_step_and_changes_nothing(codes, tmp_path, undisturbed, monkeypatch):
    real, calls = losses.surprise, []

    def poisoned(logits, wanted):
        calls.append(1)
        return real(logits, wanted) * (torch.nan if len(calls) == 4 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(RECIPE, "surprise", poisoned)
        with pytest.raises(NonFiniteError, match=r"the log-probabilities at step 4;"):
            train(codes, tmp_path, "train.max_steps=9")
    train(codes, tmp_path, "train.max_steps=9")
    assert fingerprint(tmp_path) == fingerprint(undisturbed)


@pytest.mark.parametrize(
    "change", ["optim.lr=0.5", "prior.dropout=0.5", "data.crop=7", "train.condition=none"]
)
def test_settings_that_decide_may_not_change(codes, tmp_path, change):
    train(codes, tmp_path, "train.max_steps=2")
    with pytest.raises(ConfigError, match=change.split("=", maxsplit=1)[0]):
        train(codes, tmp_path, "train.max_steps=4", change)


def test_other_codes_are_refused_and_the_same_elsewhere_are_not(codes, tmp_path):
    train(codes, tmp_path / "run", "train.max_steps=2")
    records = list(units.load(codes))
    moved = write(tmp_path / "moved", records, metadata(SIZES))
    train(moved, tmp_path / "run", "train.max_steps=3")
    other = write(tmp_path / "other", records[:-2] + records[-1:], metadata(SIZES))
    with pytest.raises(CheckpointError, match="the codes are not those this run began with"):
        train(other, tmp_path / "run", "train.max_steps=4")


def test_missing_codes_splits_and_speakers_are_one_clear_line(codes, tmp_path):
    with pytest.raises(ConfigError, match="codes is missing"):
        train("''", tmp_path / "a")
    records = list(units.load(codes))
    only = write(tmp_path / "u", [r for r in records if r.split == "train"], metadata(SIZES))
    with pytest.raises(ManifestError, match="split 'validation': all of its manifest was"):
        train(only, tmp_path / "b")
    from dataclasses import replace

    nobody = [replace(r, speaker=None) for r in records]
    with pytest.raises(ConfigError, match="no utterance of .* names its speaker"):
        train(write(tmp_path / "v", nobody, metadata(SIZES)), tmp_path / "c")
