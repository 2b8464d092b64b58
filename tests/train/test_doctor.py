"""Every fault is named from a log that shows it, and a healthy log shows none."""

import json
import math
from contextlib import suppress

import pytest
import torch
import yaml

from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.vq_ema import VQEMA, Config
from audiovq.data.corpora.folder import Config as FolderConfig
from audiovq.data.corpora.folder import Folder
from audiovq.data.prepare import prepare
from audiovq.errors import ConfigError, NonFiniteError
from audiovq.train.checks._base import Series, Severity
from audiovq.train.doctor import CHECKS, diagnose, examine
from audiovq.train.levels import Levels
from audiovq.train.trackers.lines import read_log
from tests.helpers import noise
from tests.test_recipes import _poison, train

CONFIG = {
    "model": {
        "sample_rate": 16000,
        "encoder": {"strides": [2, 4, 5, 8]},
        "bottleneck": {"codebook_size": 512, "decay": 0.99, "revive_threshold": 0.1},
    },
    "data": {"batch_size": 12, "segment_seconds": 1.0},
    "optim": {"warmup_steps": 100},
    "train": {"max_steps": 1000},
}
STEPS = range(20, 1001, 20)


def log(**changes):
    """A healthy log of 1,000 steps; each change is a function of the share done, in (0, 1]."""
    healthy = {
        "train/loss": lambda t: 1.2 - 0.6 * t**0.5,
        "train/bottleneck": lambda t: 0.02 + 0.02 * t,
        "train/gradient_norm": lambda t: 8 + 20 * t * (1 - t),
        "train/usage": lambda t: 0.98 if t < 0.04 or t > 0.2 else 0.17,
        "train/perplexity": lambda t: 400 if t > 0.2 else 50,
        "train/dead_codes": lambda t: 0.25 if 0.19 < t < 0.21 else 0.0,
        "train/revived_codes": lambda t: 180 if 0.19 < t < 0.23 else 2,
        "train/drift": lambda t: 0.5 - 0.4 * t,
        "train/relative_error": lambda t: 0.6 - 0.3 * t,
        "validation/mel": lambda t: 1.2 - 0.5 * t**0.5,
        "validation/level_db": lambda t: -8 * (1 - t),
        "validation/clipped": lambda t: 1e-5,
        "validation/noisy/si_sdr_in": lambda t: 5.0,
        "validation/noisy/si_sdr_out": lambda t: 5.5 + 3 * t,
    }
    changed = {k.replace("__", "/"): v for k, v in changes.items()}
    functions = {k: v for k, v in (healthy | changed).items() if v is not None}
    entries, revived = [], 0.0
    for step in STEPS:
        for part in ("train", "validation") if step % 200 == 0 else ("train",):
            values = {k: f(step / 1000) for k, f in functions.items() if k.startswith(part)}
            if {"train/loss", "train/bottleneck"} <= values.keys():
                values["train/loss"] += values["train/bottleneck"]
            if "train/revived_codes" in values:  # counted since the start
                revived += values["train/revived_codes"]
                values["train/revived_codes"] = revived
            entries.append({"step": step, **values})
    return entries


def config(**bottleneck):
    return CONFIG | {"model": CONFIG["model"] | {"bottleneck": bottleneck}}


def seen(entries, settings=CONFIG):
    """Severity by title of everything that is not well."""
    found = diagnose(entries, settings)
    assert [f.severity.rank for f in found] == sorted(
        (f.severity.rank for f in found), reverse=True
    )
    for f in found:
        assert f.title
        assert f.figure
        assert f.steps[0] <= f.steps[1]
        assert bool(f.advice) == (f.severity != "ok")
    return {f.title: f.severity.value for f in found if f.severity is not Severity.ok}


VAE = {"train__usage": None, "train__perplexity": None, "train__kl": lambda t: 40.0}
CASES = [
    ({"train__usage": lambda t: 0.03}, "the codebook has collapsed", "problem"),
    ({"train__usage": lambda t: 0.2}, "the codebook uses few of its codes", "warning"),
    ({"train__perplexity": lambda t: 5.0}, "the codebook has collapsed", "problem"),
    ({"train__perplexity": lambda t: 20.0}, "the codebook uses few of its codes", "warning"),
    ({"train__usage__3": lambda t: 0.03}, "codebook 3 has collapsed", "problem"),
    ({"train__usage__slow": lambda t: 0.03}, "the slow codebook has collapsed", "problem"),
    ({"train__dead_codes": lambda t: 0.4}, "many codes are dead", "warning"),
    ({"train__dead_codes": lambda t: 0.9}, "many codes are dead", "problem"),
    ({"train__revived_codes": lambda t: 60}, "revival of the codebook never stops", "problem"),
    ({"train__revived_codes": lambda t: 20}, "revival of the codebook never stops", "warning"),
    ({"train__drift": lambda t: 3 * t}, "the codebook does not follow the encoder", "problem"),
    ({"train__drift": lambda t: 0.9}, "the codebook does not follow the encoder", "warning"),
    (
        {"train__relative_error": lambda t: 2 * t},
        "codes say next to nothing about the frames",
        "problem",
    ),
    ({"train__bottleneck": lambda t: 0.02 * 1e4**t}, "the commitment loss explodes", "problem"),
    (VAE | {"train__active_units": lambda t: 0.01}, "the posterior has collapsed", "problem"),
    (VAE | {"train__kl": lambda t: 0.01}, "the posterior has collapsed", "problem"),
    ({"validation__level_db": lambda t: -40}, "reconstructions are nearly silent", "problem"),
    ({"validation__level_db": lambda t: 9}, "reconstructions are far too loud", "warning"),
    ({"validation__clipped": lambda t: 0.005}, "reconstructions clip", "warning"),
    ({"validation__clipped": lambda t: 0.05}, "reconstructions clip", "problem"),
    ({"train__loss": lambda t: 1 + t * 3}, "training diverges", "problem"),
    ({"train__loss": lambda t: 1.0}, "the loss is not below its start", "problem"),
    ({"train__loss": lambda t: 1 - t if t < 0.6 else 0.9}, "the loss has risen again", "warning"),
    ({"train__loss": lambda t: 9 if t == 0.4 else 1 - t / 2}, "the loss jumps", "warning"),
    ({"train__gradient_norm": lambda t: 1e4**t}, "the gradient explodes", "warning"),
    ({"train__gradient_norm": lambda t: 1e4 if t == 0.4 else 8}, "the gradient jumps", "warning"),
    ({"validation__mel": lambda t: 1.2}, "it learns nothing that holds for other speakers",
     "problem"),
    ({"validation__mel": lambda t: 1.2 - 0.01 * t},
     "it learns nothing that holds for other speakers", "warning"),
    ({"validation__mel": lambda t: 1 + (t - 0.4) ** 2}, "it overfits", "problem"),
    ({"validation__mel": lambda t: 1 + 0.3 * (t - 0.4) ** 2}, "it overfits", "warning"),
    ({"validation__noisy__si_sdr_out": lambda t: 4.9}, "denoising does not gain", "warning"),
    ({"train__drift": lambda t: math.nan if t == 0.4 else 0.1}, "a figure is not finite",
     "problem"),
]  # fmt: skip


def test_a_healthy_log_shows_no_fault():
    assert seen(log()) == {}
    # no VAE, no prior, no discriminators, nothing stopped
    assert len(diagnose(log(), CONFIG)) >= len(CHECKS) - 5
    vae = log(**VAE, train__active_units=lambda t: 0.5, train__multiplier=lambda t: 1e-3)
    assert seen(vae, config(target_kl=40.0)) == {}


@pytest.mark.parametrize("until", STEPS)
def test_a_healthy_run_is_healthy_at_every_moment(until):
    assert seen([e for e in log() if e["step"] <= until]) == {}


@pytest.mark.parametrize(("changes", "title", "severity"), CASES)
def test_each_fault_is_named(changes, title, severity):
    found = seen(log(**changes))
    assert found[title] == severity
    related = {"it learns nothing that holds for other speakers", "it overfits"}
    assert found.keys() - {title} <= related  # and hardly anything else


@pytest.mark.parametrize(
    ("kl", "multiplier", "title"),
    [
        (60.0, 1e-3, "the KL is above its target"),
        (20.0, 1e-3, "the KL is below its target"),
        (38.0, 0.0, "the multiplier is 0: the constraint does not bind"),
    ],
)
def test_a_constrained_vae_off_its_target(kl, multiplier, title):
    changes = VAE | {"train__kl": lambda t: kl, "train__multiplier": lambda t: multiplier}
    assert seen(log(**changes), config(target_kl=40.0)) == {title: "warning"}


def test_a_run_that_stopped_says_why():
    entries = [*log(), {"step": 1001, "error": "NaN first appeared in the input"}]
    assert seen(entries) == {"training stopped": "problem"}
    assert diagnose(entries, CONFIG)[0].figure == "NaN first appeared in the input"


def test_usage_is_judged_by_what_the_frames_can_reach():
    """4 frames a step and 20 steps a window: 80 frames reach 15 % of 512 codes, and do here."""
    few = CONFIG | {"data": {"batch_size": 1, "segment_seconds": 4 * 320 / 16000}}
    changes = {"train__usage": lambda t: 0.14, "train__perplexity": lambda t: 60}
    assert seen(log(**changes), few) == {}
    assert seen(log(**changes)) == {"the codebook uses few of its codes": "warning"}


def test_a_young_run_is_given_time():
    entries = [e for e in log(train__usage=lambda t: 0.2) if e["step"] <= 200]
    assert seen(entries) == {}
    entries = [e for e in log(train__usage=lambda t: 0.02) if e["step"] <= 200]
    assert seen(entries) == {"the codebook has collapsed": "warning"}


@pytest.mark.parametrize("settings", [{}, {"model": 3}, {"model": {"bottleneck": None}}])
def test_any_key_may_be_missing_or_odd(settings):
    assert diagnose([], settings) == []
    assert (
        diagnose([{"step": 1}, {"step": 2, "train/loss": None, "train/usage": "x"}], settings) == []
    )
    for key in {k for e in log() for k in e} - {"step"}:
        diagnose([{k: v for k, v in e.items() if k in ("step", key)} for e in log()], settings)
        diagnose([{k: v for k, v in e.items() if k != key} for e in log()], settings)
        diagnose([{"step": 5, key: 0.0}], settings)


def test_series():
    series = Series(tuple(range(10, 101, 10)), tuple(float(v) for v in range(10)))
    assert series.head.values == (0.0, 1.0, 2.0)
    assert series.tail.span == (80, 100)
    assert series.tail.median == 8.0
    assert series.widths == (10,) * 10
    assert series.until(30).steps == (10, 20, 30)
    assert series.since(30).steps == (40, 50, 60, 70, 80, 90, 100)
    assert math.isnan(Series((), ()).median)


# ------------------------------------------------------------------- drill


def window(bottleneck, frames, steps, offset):
    """Train a codebook for a window; returns the log line that `describe` gives at its end."""
    total = None
    for i in range(steps):
        z = frames(offset + i)
        out = bottleneck(z, Context(keys=torch.arange(len(z)) + 1000 * (offset + i)))
        bottleneck.update(out.statistics)
        total = out.statistics if total is None else total + out.statistics
    described = bottleneck.describe(total)
    return {"step": offset + steps, **{f"train/{k}": v for k, v in described.items()}}


@pytest.mark.parametrize("revives", [True, False])
def test_an_encoder_that_jumps_away_collapses_the_codebook_and_revival_brings_it_back(revives):
    settings = {"dim": 4, "codebook_size": 64, "revive_every": 5, "candidates": 64}
    settings |= {} if revives else {"revive_threshold": 0.0}
    bottleneck = VQEMA(Config(**settings)).train()

    def frames(step):
        generator = torch.Generator().manual_seed(step)
        return torch.randn(4, 4, 100, generator=generator) + (30.0 if step >= 100 else 0.0)

    bottleneck.initialise(torch.cat([frames(s) for s in range(4)]))
    entries = [window(bottleneck, frames, 20, offset) for offset in range(0, 600, 20)]
    settings = {"model": {"bottleneck": settings | {"decay": 0.99}}}
    first = next(e for e in entries if e["train/usage"] < 0.1)
    assert first["step"] == 120
    if not revives:
        assert seen(entries, settings)["the codebook has collapsed"] == "problem"
        return
    assert "the codebook has collapsed" in seen(entries[:8], settings)
    found = {f.title: f for f in diagnose(entries, settings)}
    recovery = found["the codebook collapsed and recovered"]
    assert recovery.severity is Severity.ok
    assert "collapsed at step 120, recovered to " in recovery.figure
    assert recovery.steps[0] == 120
    assert not any(f.severity is Severity.problem for f in found.values())


# --------------------------------------------------------------- real runs


HALF_MINUTE = (
    "train.max_steps=300", "train.validate_every=100", "log.every=10", "checkpoint.every=100",
    "optim.lr=0.005", "optim.warmup_steps=20", "data.workers=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    Folder(FolderConfig()).fake(folder / "audio")
    prepare("folder", folder / "audio", folder / "speech.jsonl", progress=False)
    return folder / "speech.jsonl"


def test_a_real_healthy_run_and_every_beginning_of_it(speech, tmp_path):
    train(speech, tmp_path, *HALF_MINUTE)
    diagnosis = examine(tmp_path)
    assert [f for f in diagnosis.findings if f.severity is Severity.problem] == []
    assert diagnosis.step == diagnosis.max_steps == 300
    expected = {"train/loss", "train/usage", "train/seconds_per_step", "validation/level_db"}
    assert expected <= diagnosis.facts.keys()
    settings = yaml.safe_load((tmp_path / "config.yaml").read_text())
    entries = read_log(tmp_path / "log.jsonl")
    for n in range(len(entries)):
        assert "problem" not in seen(entries[:n], settings).values()


@pytest.mark.parametrize("lr", [5.0, 1e4, 1e30])
def test_a_real_run_with_an_absurd_rate_is_named(speech, tmp_path, lr):
    changes = (*HALF_MINUTE, "train.max_steps=60", "log.every=5", f"optim.lr={lr}")
    with suppress(NonFiniteError):  # a rate may be absurd without a NaN
        train(speech, tmp_path, *changes)
    diagnosis = examine(tmp_path)
    assert diagnosis.findings[0].severity is Severity.problem
    assert diagnosis.findings[0].title in {"training stopped", "training diverges"}
    assert "optim.lr" in diagnosis.findings[0].advice
    assert diagnosis.verdict.startswith("not healthy by step ")


def test_going_on_after_a_nan_drops_the_line_that_names_it(speech, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        _poison(patch, "loss", 5)
        with pytest.raises(NonFiniteError) as stopped:
            train(speech, tmp_path, "train.max_steps=8", "log.every=1")
    last = read_log(tmp_path / "log.jsonl")[-1]
    assert last == {"step": 5, "error": str(stopped.value)}
    assert examine(tmp_path).findings[0].title == "training stopped"
    train(speech, tmp_path, "train.max_steps=8", "log.every=1")
    assert not any("error" in e for e in read_log(tmp_path / "log.jsonl"))


# ------------------------------------------------------------------ report


@pytest.fixture
def run(tmp_path):
    def make(entries):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        lines = [json.dumps(e) + "\n" for e in entries]
        (tmp_path / "log.jsonl").write_text("".join(lines) + '{"step": 1020, "train/lo')
        return examine(tmp_path)

    return make


def test_the_text_has_verdict_findings_and_facts_in_this_order(run):
    text = run(log(train__usage=lambda t: 0.03)).text()
    lines = text.splitlines()
    assert lines[0] == "not healthy by step 1000 of 1000: the codebook has collapsed"
    assert lines[2].startswith("problem  the codebook has collapsed")
    assert "(steps 820 to 1000)" in text
    assert "try: lower optim.lr" in text
    row = next(line for line in lines if line.startswith("train/usage"))
    assert " ".join(row.split()) == "train/usage 0.03 @ 20 0.03 @ 20 0.03 @ 1000"
    assert max(map(len, lines)) <= 100


def test_verdicts(run, tmp_path):
    assert run(log()).verdict.startswith("healthy by step 1000 of 1000: ")
    warned = run(log(train__usage=lambda t: 0.2)).verdict
    assert warned.startswith("worth a look by step 1000 of 1000: the codebook uses few")
    assert run([]).verdict.startswith("too early to say")
    (tmp_path / "log.jsonl").unlink()
    assert examine(tmp_path).text().startswith("too early to say")


def test_json_holds_what_the_text_says(run):
    diagnosis = run(log(train__usage=lambda t: 0.03))
    content = json.loads(diagnosis.to_json())
    assert content["verdict"] == diagnosis.verdict
    assert content["findings"][0]["severity"] == "problem"
    assert content["findings"][0]["steps"] == [820, 1000]
    assert content["facts"]["train/usage"]["last"] == [0.03, 1000]


def test_no_run_folder(tmp_path):
    with pytest.raises(ConfigError, match="is no run folder"):
        examine(tmp_path)


# ------------------------------------------------------------------ levels


def test_levels_are_those_of_all_samples():
    levels = Levels()
    x = noise(1, 4000)
    levels.add(x, 0.1 * x)
    assert levels.describe() == {"level_db": pytest.approx(-20.0, abs=1e-4), "clipped": 0.0}
    loud = torch.full((1, 1, 12000), 1.5)
    levels.add(torch.zeros(1, 1, 12000), loud)
    assert levels.describe()["clipped"] == 0.75
    silent = Levels()
    silent.add(torch.zeros(1, 1, 10), torch.zeros(1, 1, 10))
    assert silent.describe() == {"level_db": 0.0, "clipped": 0.0}


# ------------------------------------------------------------------- priors

PRIOR = {
    "recipe": "train_prior",
    "optim": {"warmup_steps": 100},
    "best": {"metric": "validation/average/bits_per_code"},
    "train": {"max_steps": 1000},
}


def prior_log(**changes):
    """A healthy log of a prior; the averaged weights are judged, not the others."""
    return log(
        train__loss=lambda t: 6.2 - 2.6 * t**0.5,
        train__bottleneck=None, train__usage=None, train__perplexity=None, train__dead_codes=None,
        train__revived_codes=None, train__drift=None, train__relative_error=None,
        validation__mel=None, validation__level_db=None, validation__clipped=None,
        validation__noisy__si_sdr_in=None, validation__noisy__si_sdr_out=None,
        **{
            "validation__bits_per_code": lambda t: 7 + t,
            "validation__average/bits_per_code": lambda t: 7.5 - 1.6 * t**0.5,
            "validation__unigram_bits_per_code": lambda _: 9.0,
            **changes,
        },
    )  # fmt: skip


def test_a_healthy_prior_is_well_and_spoken_of_in_its_own_words():
    found = diagnose(prior_log(), PRIOR)
    assert {f.severity for f in found} == {Severity.ok}
    text = " ".join(f.figure for f in found)
    assert "loss (nats per code)" in text
    assert "5.9 bits per code at best, 9 by the frequency of single codes (34% saved)" in text
    assert "reconstruction" not in text + " ".join(f.title for f in found)
    assert "mel" not in text


def test_a_prior_that_counts_has_no_steps(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(PRIOR))
    for bits, verdict in ((6.0, "healthy"), (8.99, "not healthy")):
        line = {"validation/bits_per_code": bits, "validation/unigram_bits_per_code": 9.0}
        (tmp_path / "log.jsonl").write_text(json.dumps({"step": 0, **line}) + "\n")
        found = examine(tmp_path)
        assert found.verdict.startswith(f"{verdict} after its one pass over the codes: ")
        assert "(step" not in found.text()
        assert "train longer" not in found.text()


@pytest.mark.parametrize(
    ("bits", "title", "advice"),
    [
        (lambda t: 6 + t, "it learns nothing", "a larger prior"),
        (lambda t: 7 - 4 * t + 4 * t**2, "it overfits", "prior.dropout"),
        (lambda t: 8.9 - 0.1 * t, "hardly better than their frequencies", "train longer"),
    ],
)
def test_faults_of_a_prior(bits, title, advice):
    found = diagnose(prior_log(**{"validation__average/bits_per_code": bits}), PRIOR)
    bad = [f for f in found if f.severity is not Severity.ok]
    assert any(title in f.title and advice in f.advice for f in bad), bad
    assert not any("mel" in f.advice or "usage" in f.advice for f in bad)


@pytest.mark.parametrize(
    ("share", "title", "severity"),
    [
        (0.995, "discriminators win", "warning"),
        (0.51, "discriminators learn nothing", "warning"),
        (0.85, "discriminators and autoencoder are a match for each other", "ok"),
    ],
)
def test_discriminators_that_win_or_learn_nothing_are_named(share, title, severity):
    entries = [
        {
            "step": step,
            **{f"train/accuracy/{side}/period_{p}": share for side in "ab" for p in (2, 3)},
        }
        for step in range(20, 400, 20)
    ]
    found = [f for f in diagnose(entries, {}) if f.title == title]
    assert [f.severity for f in found] == [severity]
    assert "mean of 2 views" in found[0].figure
    young = diagnose(entries[:5], {})
    assert ("learn nothing" in title) != any(f.title == title for f in young)
