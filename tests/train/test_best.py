"""Best models, early stopping, averaged weights, other starts: what a long run needs."""

import pytest
import torch
from torch.utils import _pytree as pytree

import audiovq
from audiovq.errors import CheckpointError, ConfigError
from audiovq.train.average import WeightAverage
from audiovq.train.best import Best, BestConfig
from audiovq.train.optim import OptimConfig, learning_rate
from audiovq.train.signals import Interrupted
from audiovq.train.trackers.lines import read_log
from tests.bottlenecks.test_family import model_of
from tests.helpers import noise, small_model
from tests.test_recipes import fingerprint, train
from tests.test_recipes import speech as speech  # noqa: PLC0414  (a fixture)
from tests.train.ranks import batches


def test_the_lowest_is_the_best_and_waiting_ends():
    best = Best(BestConfig(metric="m", patience=2))
    seen = [(best.improves(i, {"m": v}), best.given_up) for i, v in enumerate((3.0, 2.0, 2.5, 2.0))]
    assert seen == [(True, False), (True, False), (False, False), (False, True)]
    again = Best(best.config)
    again.load_state_dict(best.state_dict())
    assert again.given_up
    assert (again.value, again.step) == (2.0, 1)


def test_training_ends_when_nothing_gets_better_and_stays_ended(speech, tmp_path):
    changes = ("train.max_steps=40", "train.validate_every=2", "best.patience=2")
    changes += ("best.metric=validation/level_db", "optim.lr=1e-9")
    train(speech, tmp_path, *changes, "optim.warmup_steps=0")
    last = read_log(tmp_path / "log.jsonl")[-1]["step"]
    assert last < 40
    before = fingerprint(tmp_path)
    train(speech, tmp_path, *changes, "optim.warmup_steps=0")
    assert fingerprint(tmp_path) == before


def test_the_best_model_is_that_of_the_best_validation(speech, tmp_path):
    train(speech, tmp_path, "train.max_steps=9", "train.validate_every=3", "optim.lr=0.01")
    values = {
        e["step"]: e["validation/mel"]
        for e in read_log(tmp_path / "log.jsonl")
        if "validation/mel" in e
    }
    best = min(values, key=values.get)
    state = torch.load(max((tmp_path / "checkpoints").glob("*.pt")), weights_only=True)
    assert state["parts"]["best"]["step"] == best
    same = audiovq.load(tmp_path / "best").fingerprint() == audiovq.load(tmp_path).fingerprint()
    assert same == (best == 9)


def test_a_metric_that_is_none_is_named(speech, tmp_path):
    with pytest.raises(ConfigError, match="best.metric=stoi is no figure.*validation/mel"):
        train(speech, tmp_path, "train.max_steps=2", "best.metric=stoi")


def test_a_time_budget_saves_and_the_same_command_goes_on(speech, tmp_path):
    with pytest.raises(Interrupted, match="stopped by train.max_hours at step 1") as stopped:
        train(speech, tmp_path / "a", "train.max_steps=6", "train.max_hours=1e-9")
    assert stopped.value.exit_code == 0
    train(speech, tmp_path / "a", "train.max_steps=6")
    train(speech, tmp_path / "b", "train.max_steps=6", "train.validate_every=1")
    a, b = (audiovq.load(tmp_path / n).fingerprint() for n in "ab")
    assert a == b


def test_a_time_budget_changes_no_early_stop(speech, tmp_path):
    changes = ("best.patience=2", "train.validate_every=4", "train.max_steps=40", "optim.lr=1e-9")
    train(speech, tmp_path / "a", *changes)
    for _ in range(3):
        with pytest.raises(Interrupted):
            train(speech, tmp_path / "b", *changes, "train.max_hours=1e-9")
    train(speech, tmp_path / "b", *changes)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    entries = read_log(tmp_path / "a" / "log.jsonl")
    assert any("train/loss" in e and e["step"] == entries[-1]["step"] for e in entries)


def test_another_metric_starts_anew_and_one_of_the_average_keeps_the_average(speech, tmp_path):
    changes = ("train.validate_every=2", "train.average=0.9")
    train(speech, tmp_path, "train.max_steps=2", *changes)
    better = "best.metric=validation/average/level_db"
    train(speech, tmp_path, "train.max_steps=4", *changes, better)
    state = torch.load(tmp_path / "checkpoints" / "step-000000004.pt", weights_only=True)
    assert state["parts"]["best"]["metric"] == "validation/average/level_db"
    models = {n: audiovq.load(tmp_path / n).fingerprint() for n in ("best", "average", "model")}
    assert models["best"] == models["average"] != models["model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.micro_batches=4"], "train.micro_batches=4 is more than the 2 segments"),
        (
            ["data.batch_size=1", "train.micro_batches=2"],
            "=2 is more than the 1 segments",
        ),
    ],
)
def test_more_micro_batches_than_items_are_refused(speech, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        train(speech, tmp_path, *changes)


def test_averages_follow_their_formula():
    model = small_model()
    average, mirror = WeightAverage(model, 0.9), None
    for step in range(1, 30):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(noise(1, p.numel(), seed=step).view_as(p))
        average.update()
        first = next(model.parameters()).detach().double()
        decay = min(0.9, (1 + step) / (10 + step))
        start = next(iter(small_model().parameters())).detach().double()
        mirror = decay * (start if mirror is None else mirror) + (1 - decay) * first
    torch.testing.assert_close(
        next(iter(average.parameters.values())).double(), mirror, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", ["vq_ema", "rvq", "gvq", "vqvae2"])
def test_the_averaged_models_codebook_fits_its_own_encoder(name):
    """Of averaged weights far from the trained ones; better than the codebook it came with."""
    model = model_of(name)
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        for value in average.parameters.values():
            value.mul_(1.5)
    batch = next(batches(0))
    batch = pytree.tree_map(
        lambda t: t.float() if getattr(t, "is_floating_point", int)() else t, batch
    )
    figures = []
    for given in ([], [batch]):
        averaged = average.model(lambda given=given: given, torch.device("cpu"))
        statistics = averaged(batch.x, batch.lengths, batch.keys).bottleneck.statistics
        figures.append(averaged.bottleneck.describe(statistics)["relative_error"])
    assert figures[1] < 0.7 * figures[0]


def test_the_averaged_model_is_validated_and_kept(speech, tmp_path):
    train(speech, tmp_path, "train.max_steps=4", "train.average=0.99")
    assert "validation/average/mel" in read_log(tmp_path / "log.jsonl")[-1]
    averaged = audiovq.load(tmp_path / "average")
    assert averaged.fingerprint() != audiovq.load(tmp_path).fingerprint()


def test_averages_go_on_bit_for_bit(speech, tmp_path):
    for folder, stops in (("straight", (8,)), ("parts", (3, 8))):
        for stop in stops:
            train(speech, tmp_path / folder, f"train.max_steps={stop}", "train.average=0.9")
    assert fingerprint(tmp_path / "straight") == fingerprint(tmp_path / "parts")


def test_a_run_starts_from_another_models_weights(speech, tmp_path, capsys):
    train(speech, tmp_path / "old", "train.max_steps=3")
    for codebook in ("keep", "new"):
        changes = (
            "train.max_steps=0",
            f"train.init_from={tmp_path / 'old'}",
            f"train.init_codebook={codebook}",
        )
        train(speech, tmp_path / codebook, *changes, "train.seed=1")
    old, keep, new = (audiovq.load(tmp_path / n) for n in ("old", "keep", "new"))
    x = noise(1, 4000)
    assert torch.allclose(old.encoder(x), keep.encoder(x), atol=1e-6)
    assert torch.allclose(old.encoder(x), new.encoder(x), atol=1e-6)
    assert torch.equal(old.bottleneck.codebook.vectors, keep.bottleneck.codebook.vectors)
    assert not torch.equal(old.bottleneck.codebook.vectors, new.bottleneck.codebook.vectors)
    assert "start from scratch: bottleneck." in capsys.readouterr().err
    changes = (f"train.init_from={tmp_path / 'old'}", "model.bottleneck.codebook_size=8")
    train(speech, tmp_path / "other", "train.max_steps=0", *changes)
    said = capsys.readouterr().err
    assert "tensors start from scratch: bottleneck.codebook.ema_count" in said
    assert "tensors are not used: bottleneck.codebook.ema_count" in said
    with pytest.raises(CheckpointError):
        train(speech, tmp_path / "none", "train.max_steps=0", f"train.init_from={tmp_path}")


def test_recomputed_activations_change_no_bit(speech, tmp_path):
    train(speech, tmp_path / "plain", "train.max_steps=4")
    train(speech, tmp_path / "less", "train.max_steps=4", "train.recompute=true")
    assert fingerprint(tmp_path / "plain") == fingerprint(tmp_path / "less")


@pytest.mark.parametrize("setting", ["train.recompute=true", "train.compile=true"])
def test_what_differentiates_twice_is_refused(speech, tmp_path, setting):
    with pytest.raises(ConfigError, match="'contractive' differentiates twice"):
        train(speech, tmp_path, "model.bottleneck={name: contractive, dim: 4}", setting)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "inverse_sqrt"])
def test_schedules_warm_up_fall_and_leave_a_share(schedule):
    config = OptimConfig(
        lr=1.0, warmup_steps=10, decay_steps=100, schedule=schedule, final_share=0.1
    )
    rates = [learning_rate(config, s) for s in range(400)]
    assert rates[:9] == sorted(rates[:9])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    half = {"cosine": 0.55, "linear": 0.55, "inverse_sqrt": 0.1 + 0.9 / 1.5**0.5}[schedule]
    assert rates[50] == pytest.approx(half)
    assert min(rates[10:]) >= 0.1
