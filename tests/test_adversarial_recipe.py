"""The adversarial recipe on a few steps: schedule, exact resume, kills, NaN, ranks, release."""

import random
import sys
from itertools import pairwise

import pytest
import torch

import audiovq
from audiovq import config as configs
from audiovq import share
from audiovq.discriminators import _release
from audiovq.discriminators._all import Discriminators
from audiovq.errors import CheckpointError, ConfigError, NonFiniteError
from audiovq.train import checkpoint
from audiovq.train import page as pages
from tests.killing import kill_until_done
from tests.test_recipes import TINY, fingerprint, timeless
from tests.test_recipes import speech as speech  # noqa: PLC0414  (a fixture)
from tests.test_recipes import train as train_plain
from tests.train.test_ranks import command, ended

RECIPE = share.load_recipe("train_adversarial")
JUDGES = "[{name: multi_period, width: 0.01, periods: [2]},"
JUDGES += "{name: multi_resolution, width: 0.04, n_ffts: [64], bands: [0, 0.5, 1]}]"
SMALL = [*TINY, f"discriminators={JUDGES}"]
# Everything that has a state: discriminators that start late and learn in every other step.
ALL = (
    "adversarial.start=3",
    "adversarial.every=2",
    "adversarial.balancer=true",
    "adversarial.weight=1.0",
    "train.average=0.9",
)
MANY = (*ALL, "train.max_steps=10", "data.batch_size=4", "log.every=1")


def train(speech, folder, *changes):
    values = configs.read_yaml(share.config_path("adversarial/smoke"))
    assignments = [*SMALL, f"data.manifest={speech}", f"run.dir={folder}", *changes]
    RECIPE.main(configs.parse(RECIPE.Config, configs.override(values, assignments), "smoke"))


def parts(folder, step=None):
    """What a checkpoint holds."""
    store = checkpoint.Store(folder / "checkpoints")
    path = store.path(store.steps()[-1] if step is None else step)
    return torch.load(path, weights_only=True)["parts"]


def tensors(value):
    return dict(checkpoint._tensors(value, ""))


def same(a, b):
    a, b = tensors(a), tensors(b)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def undisturbed(speech, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "straight"
    train(speech, folder, *ALL, "train.max_steps=10", "log.every=1")
    return folder


def test_until_they_start_it_is_the_plain_recipe_bit_for_bit(speech, tmp_path):
    changes = ("train.max_steps=4", "train.average=0.9", "log.every=1")
    train_plain(speech, tmp_path / "plain", *changes, "optim.warmup_steps=5")
    train(speech, tmp_path / "late", *changes, "adversarial.start=4", "adversarial.balancer=true")
    one, two = parts(tmp_path / "plain"), parts(tmp_path / "late")
    for name in one:
        assert same(one[name], two[name]), name
    assert timeless(tmp_path / "plain") == timeless(tmp_path / "late")
    train(speech, tmp_path / "now", *changes, "adversarial.start=3")
    assert not same(one["model"], parts(tmp_path / "now")["model"])


def test_discriminators_learn_when_it_is_their_turn_and_only_then(speech, tmp_path):
    train(speech, tmp_path, *ALL, "train.max_steps=7", "checkpoint.every=1", "checkpoint.keep=9")
    each = [parts(tmp_path, step) for step in range(1, 8)]
    changed = {
        name: [not same(a[name], b[name]) for a, b in pairwise(each)]
        for name in ("model", "discriminators", "balancer")
    }
    assert changed["model"] == [True] * 6
    assert changed["discriminators"] == [False, False, True, False, True, False]  # steps 4 and 6
    assert changed["balancer"] == [False, False, True, True, True, True]
    moments = each[6]["discriminator_optimizer"]["state"]
    assert {int(s["step"]) for s in moments.values()} == {2}


def test_the_log_tells_both_sides(undisturbed):
    entries = [e for e in timeless(undisturbed) if "train/loss" in e]
    before, after = entries[2], entries[4]
    labels = ("multi_period/period_2", "multi_resolution/resolution_64")
    new = {"train/adversarial", "train/feature", "train/discriminator", "discriminator_lr"}
    new |= {f"train/accuracy/{s}/{v}" for s in ("original", "reconstruction") for v in labels}
    assert new <= after.keys()
    assert not new & before.keys()
    for e in entries:  # the plain recipe's loss, whatever the discriminators add
        expected = sum(e[f"train/{k}"] for k in ("mel", "waveform_l1", "bottleneck"))
        assert e["train/loss"] == pytest.approx(expected, rel=1e-5)
    assert entries[3]["train/scale/feature"] == 0.0  # only measured
    assert entries[4]["train/scale/feature"] > 0.0
    assert "Discriminators" in (undisturbed / "report.html").read_text("utf-8")


@pytest.fixture(autouse=True)
def no_reports(monkeypatch):
    """Drawing costs more than training here; `undisturbed`, made before this, has one."""
    monkeypatch.setattr(pages, "write_report", lambda *_: None)


@pytest.mark.parametrize("stop_at", [3, 6])
def test_stopping_after_any_step_changes_no_bit(speech, tmp_path, undisturbed, stop_at):
    train(speech, tmp_path, *ALL, f"train.max_steps={stop_at}")
    train(speech, tmp_path, *ALL, "train.max_steps=10")
    assert fingerprint(tmp_path) == fingerprint(undisturbed)


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_killed_and_resumed_it_ends_with_the_hash_of_the_undisturbed_run(
    speech, tmp_path, undisturbed
):
    def work():
        torch.set_num_threads(1)
        train(speech, tmp_path / "run", *ALL, "train.max_steps=10", "log.every=1")

    kills = kill_until_done(work, random.Random(0), 0.3)
    assert kills > 0
    assert fingerprint(tmp_path / "run") == fingerprint(undisturbed)
    for name in ("model", "discriminator"):
        one, two = (f / "model" / f"{name}.safetensors" for f in (undisturbed, tmp_path / "run"))
        assert one.read_bytes() == two.read_bytes()
    assert timeless(tmp_path / "run") == timeless(undisturbed)


@pytest.mark.parametrize(("where", "named"), [
    ("verdict", "the verdicts of multi_period/period_2"),
    ("pull", "the gradient of decoder"),
    ("rival", "the gradient of discriminators.members.0"),
])  # fmt: skip
def test_a_nan_on_either_side_changes_neither_and_is_named(
    speech, tmp_path, undisturbed, monkeypatch, where, named
):
    _poison(monkeypatch, where, at=6)
    with pytest.raises(NonFiniteError, match=f"{named}.* at step 6;"):
        train(speech, tmp_path, *ALL, "train.max_steps=10", "checkpoint.every=1")
    monkeypatch.undo()
    assert checkpoint.Store(tmp_path / "checkpoints").steps()[-1] == 5
    train(speech, tmp_path, *ALL, "train.max_steps=10")
    assert fingerprint(tmp_path) == fingerprint(undisturbed)


def _poison(monkeypatch, where, at):
    """Put a NaN into what discriminators give, or into what goes back to one side, in a step."""
    real, seen = RECIPE.judge, []

    def judge(*args, **kwargs):
        seen.append(0)
        now = len(seen) == at - 3  # they start after step 3
        if now and where == "verdict":
            layer = args[0].members[0].views[0][-1]
            hook = layer.register_forward_hook(
                lambda *a: type(a[-1])(values=a[-1].values * torch.nan, steps=a[-1].steps)
            )
        found = real(*args, **kwargs)
        if now and where == "verdict":
            hook.remove()
        if now and where == "pull":
            found.pull[0, 0, 0] = torch.inf
        if now and where == "rival":
            layer = args[0].members[0].views[0][0]
            layer.conv.bias.register_hook(_nan_once(hook_calls=[]))
        return found

    monkeypatch.setattr(RECIPE, "judge", judge)


def _nan_once(hook_calls):
    def hook(gradient):
        hook_calls.append(0)
        return gradient * torch.nan if len(hook_calls) == 1 else gradient

    return hook


@pytest.mark.slow
def test_micro_batches_and_ranks_change_nothing(speech, tmp_path):
    """One process, micro-batches, and two processes, with discriminators and balancer."""
    train(speech, tmp_path / "one", *MANY)
    train(speech, tmp_path / "parts", *MANY, "train.micro_batches=2")
    words = ("-m", "audiovq", "train", "adversarial/smoke", *SMALL, *MANY)
    words += (f"data.manifest={speech}", f"run.dir={tmp_path / 'ranks'}")
    done = ended(command(2, *words), 200)
    assert done.returncode == 0, done.stderr
    assert fingerprint(tmp_path / "ranks") == fingerprint(tmp_path / "parts")
    one, two = (tensors(parts(tmp_path / n)["balancer"]) for n in ("one", "parts"))
    torch.testing.assert_close(one["means"], two["means"], rtol=1e-3, atol=0.0)
    logs = [timeless(tmp_path / n) for n in ("one", "parts", "ranks")]
    for e, f, g in zip(*logs, strict=True):  # rounding grows from step to step
        assert f == pytest.approx(g, rel=1e-5)
        assert e["step"] > 8 or e == pytest.approx(f, rel=2e-2, abs=2e-2)


def test_a_release_holds_them_and_a_model_is_loaded_without(undisturbed, tmp_path):
    names = {p.name for p in (undisturbed / "model").iterdir()}
    assert names == {
        "model.safetensors", "config.json", "discriminator.safetensors", "discriminator.json",
    }  # fmt: skip
    model = audiovq.load(undisturbed)
    for name in ("discriminator.safetensors", "discriminator.json"):
        (undisturbed / "model" / name).rename(tmp_path / name)
    assert audiovq.load(undisturbed).fingerprint() == model.fingerprint()
    for name in ("discriminator.safetensors", "discriminator.json"):
        (tmp_path / name).rename(undisturbed / "model" / name)


def test_fine_tuning_starts_from_them_if_they_are_there(speech, tmp_path, undisturbed, capsys):
    start = f"train.init_from={undisturbed}"
    train(speech, tmp_path / "tuned", start, "train.max_steps=0")
    assert same(parts(tmp_path / "tuned")["discriminators"], parts(undisturbed)["discriminators"])
    assert "discriminators" not in capsys.readouterr().err
    train_plain(speech, tmp_path / "plain", "train.max_steps=0")
    train(speech, tmp_path / "alone", f"train.init_from={tmp_path / 'plain'}", "train.max_steps=0")
    assert "0 tensors of discriminators fit" in capsys.readouterr().err


def test_a_damaged_or_foreign_file_is_refused(undisturbed, tmp_path):
    import json
    import shutil

    made = Discriminators(
        _release._About(discriminators=({"name": "multi_period"},)).discriminators
    )
    for name, spoil, match in (
        ("discriminator.safetensors", lambda b: b[:-4], "cut off, or of another model"),
        ("discriminator.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1]), "checksum differs"),
        ("discriminator.json", lambda b: b.replace(b"multi_period", b"os.path"), "plug-in"),
        ("discriminator.json", lambda b: b.replace(b'"width": 0.01', b'"width": 9'), "width"),
        ("discriminator.json", lambda b: json.dumps({"format": "x"}).encode(), "is not the config"),
    ):
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(undisturbed / "model", folder)
        (folder / name).write_bytes(spoil((folder / name).read_bytes()))
        with pytest.raises(CheckpointError, match=match):
            _release.copy_weights(made, folder)


def test_a_mistake_is_one_clear_line(speech, tmp_path):
    for change, match in (
        ("discriminators=[multi_perod]", "did you mean 'multi_period'"),
        ("discriminators=[]", "discriminators: "),
        (
            "discriminators=[{name: multi_period, widht: 1}]",
            "discriminators.0.widht: unknown key; did you mean 'width'",
        ),
        ("adversarial.loss=wgan", "adversarial.loss: 'wgan' given"),
        ("adversarial.every=0", "adversarial.every: 0 given"),
    ):
        with pytest.raises(ConfigError, match=match):
            train(speech, tmp_path, change)


def test_bf16_and_a_form_of_the_loss_are_settings(speech, tmp_path):
    changes = ("train.precision=bf16", "adversarial.loss=least_squares", "adversarial.start=0")
    train(speech, tmp_path, *changes, "adversarial.feature_weight=0", "train.max_steps=2")
    entry = timeless(tmp_path)[0]
    assert "train/adversarial" in entry
    assert "train/feature" not in entry
