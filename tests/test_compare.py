"""Comparing models on equal terms, end to end on a few steps."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from audiovq.compare import lists, plan, table
from audiovq.compare.plots import codebook_use, rate_distortion
from audiovq.compare.table import Row
from audiovq.compare.work import _Steps
from audiovq.errors import AudioVQError, ConfigError
from audiovq.share import load_recipe
from audiovq.train import checkpoint
from audiovq.train.trackers.lines import read_log

SETTINGS = (
    "model.encoder.strides=[5,8,8]", "model.encoder.channels=2", "model.decoder.channels=2",
    "loss.n_ffts=[256]", "loss.n_mels=[20]", "data.batch_size=2", "data.segment_seconds=0.2",
    "train.initialise_batches=6", "train.validation_utterances=1", "train.validation_seconds=0.5",
    "log.every=1", "log.snapshots=0",
)  # fmt: skip
MODELS = ("ae", "small@vq_ema+model.bottleneck.codebook_size=16")
RECIPE = load_recipe("compare")


def config(manifest, folder, **changes):
    values = {
        "manifest": str(manifest.path), "dir": str(folder), "models": MODELS, "steps": 4,
        "settings": SETTINGS, "jobs": 2, "max_utterances": 2,
    }  # fmt: skip
    return RECIPE.Config(**(values | changes))


@pytest.fixture(scope="module")
def study(speech_manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "study"
    RECIPE.main(config(speech_manifest, folder))
    return folder


def test_every_model_is_trained_evaluated_and_in_the_tables(study):
    found = json.loads((study / "table.json").read_text())
    assert [m["label"] for m in found["models"]] == ["ae", "small"]
    for model in found["models"]:
        evaluation = json.loads((study / model["label"] / "seed-0/evaluation.json").read_text())
        assert model["values"].keys() == evaluation["values"].keys()
        for name, value in model["values"].items():
            assert value == evaluation["values"][name]["value"]
            assert model["low"].get(name) == evaluation["values"][name]["low"]
        assert model["facts"]["train_minutes"] > 0
    assert "bitrate" not in found["models"][0]["values"]
    assert found["models"][1]["values"]["bitrate"] == pytest.approx(16000 / 320 * 4)
    rows = list(csv.DictReader((study / "table.csv").open()))
    assert [r["model"] for r in rows] == ["ae", "small"]
    assert float(rows[0]["log_mel_distance"]) == found["models"][0]["values"]["log_mel_distance"]
    assert (rows[0]["codebook_size"], float(rows[1]["codebook_size"])) == ("", pytest.approx(16))
    lines = (study / "table.md").read_text().splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1


def test_the_report_holds_pictures_sounds_and_the_command(study):
    text = (study / "report.html").read_text()
    assert text.count("<audio") == 3 * 3
    assert text.count("<img") >= 5
    assert "audiovq compare" in text
    assert (study / "rate_distortion.png").stat().st_size > 5000


def test_a_second_call_trains_and_evaluates_nothing(study, speech_manifest):
    kept = {p: p.stat().st_mtime_ns for p in study.rglob("*.pt")}
    kept |= {p: p.stat().st_mtime_ns for p in study.rglob("evaluation.json")}
    before = (study / "table.csv").read_text()
    RECIPE.main(config(speech_manifest, study))
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert (study / "table.csv").read_text() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5}, "other steps \\(4 then, 5 now\\)"),
        ({"settings": (*SETTINGS, "optim.lr=0.1")}, "optim.lr: 0.002 then, 0.1 now"),
        ({"split": "validation"}, "other split"),
        (
            {"models": ("ae", "small@vq_ema+model.bottleneck.codebook_size=32")},
            "codebook_size: 16 then, 32 now",
        ),
    ],
)
def test_other_terms_are_refused_in_a_folder_that_holds_a_comparison(
    study, speech_manifest, changes, message
):
    with pytest.raises(ConfigError, match=message):
        RECIPE.main(config(speech_manifest, study, **changes))


def test_other_data_is_refused(study, speech_manifest, tmp_path):
    other = tmp_path / "other.jsonl"
    lines = speech_manifest.path.read_text().splitlines(keepends=True)
    other.write_text("".join(lines[:-1]))
    with pytest.raises(ConfigError, match="other data"):
        RECIPE.main(config(speech_manifest, study).model_copy(update={"manifest": str(other)}))


def test_a_finished_run_of_other_data_is_refused(study, speech_manifest, tmp_path):
    """Nothing would train it again, so nothing else would notice."""
    folder, other = tmp_path / "c", tmp_path / "other.jsonl"
    shutil.copytree(study, folder)
    (folder / "comparison.json").unlink()
    lines = speech_manifest.path.read_text().splitlines(keepends=True)
    other.write_text("".join(lines[:-1]))
    with pytest.raises(
        ConfigError, match=r"ae/seed-0 was trained on other data than .*other\.jsonl"
    ):
        RECIPE.main(config(speech_manifest, folder).model_copy(update={"manifest": str(other)}))


@pytest.mark.slow
def test_a_seed_may_be_added_and_means_are_over_all(study, speech_manifest, tmp_path):
    folder = tmp_path / "c"
    shutil.copytree(study, folder)
    kept = {p: p.read_bytes() for p in folder.rglob("*.pt")}
    RECIPE.main(config(speech_manifest, folder, models=MODELS[:1], seeds=(0, 1)))
    assert {p: p.read_bytes() for p in kept} == kept
    found = json.loads((folder / "table.json").read_text())
    each = [r["values"]["log_mel_distance"] for r in found["runs"]]
    assert [r["seeds"] for r in found["runs"]] == [[0], [1]]
    assert each[0] != each[1]
    assert found["models"][0]["values"]["log_mel_distance"] == pytest.approx(sum(each) / 2)
    assert found["models"][0]["seeds"] == [0, 1]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("ae", "vq_ema+optim.lr=0.1"), "ae and vq_ema\\+lr=0.1 would not be compared.*optim.lr"),
        (("ae", "vq_ema+model.encoder.channels=3"), "model.encoder.channels is 2 and 3"),
        (("ae", "vq_ema+data.batch_size=3"), "data.batch_size is 2 and 3"),
        (("ae", "vq_ema+train.max_steps=9"), "train.max_steps is 4 and 9"),
        (("ae", "vq_ema+data.manifest=other.jsonl"), "data.manifest is"),
        (("ae", "ae"), "two models are called 'ae'"),
        (("ae+oops",), "'oops' in 'ae\\+oops' is not of the form key=value"),
        (("nothing",), "no config 'nothing'"),
        (("vq_ema+model.bottleneck.decya=0.9",), "did you mean 'decay'"),
        ((), "at least one config"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_trained(
    models, message, speech_manifest, tmp_path
):
    with pytest.raises(ConfigError, match=message):
        RECIPE.main(config(speech_manifest, tmp_path / "c", models=models))
    assert not (tmp_path / "c").exists()


def test_a_folder_that_is_a_file_is_refused(speech_manifest, tmp_path):
    (tmp_path / "c").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        RECIPE.main(config(speech_manifest, tmp_path / "c"))
    assert (tmp_path / "c").read_text() == "mine"


def test_denoising_speakers_and_other_bottlenecks_are_equal_terms(speech_manifest, tmp_path):
    names = ["ae", "denoising", "vq_speaker", "fsq", "vqvae2"]
    runs = plan.runs_of(plan.entries(names), (0, 1), tmp_path, SETTINGS[3:], speech_manifest)
    plan.refuse_unequal_terms(runs)
    assert len(runs) == 10


def test_a_list_stands_for_its_models():
    labels = [e.label for e in plan.entries(["compare/family", "lfq"])]
    assert {"ae", "denoising", "rvq+num_codebooks=8", "vqvae2"} <= set(labels)
    assert labels[-1] == "lfq"
    with pytest.raises(ConfigError, match="is a list of models"):
        plan.entries(["compare/family+train.seed=3"])


def write_list(folder, name, text):
    (folder / name).write_text(f"recipe: compare\n{text}\n")
    return str(folder / name)


def test_a_list_says_how_to_compare_and_the_command_line_has_the_last_word(tmp_path):
    path = write_list(
        tmp_path, "a.yaml", "models: [ae]\nsteps: 7\nseeds: [3, 4]\nsettings: [optim.lr=0.1]"
    )
    values = lists.complete({"models": [path], "steps": None, "settings": []}, [path])
    assert (values["steps"], values["seeds"], values["settings"]) == (7, [3, 4], ["optim.lr=0.1"])
    given = {"models": [path], "steps": 9, "settings": ["optim.lr=0.2"]}
    values = lists.complete(given, [path, "x@ae+optim.lr=0.3"])
    assert (values["steps"], values["settings"]) == (9, ["optim.lr=0.1", "optim.lr=0.2"])
    assert values["models"] == [path]
    other = write_list(tmp_path, "b.yaml", "models: [vq_ema]\nsteps: 8")
    with pytest.raises(ConfigError, match=r"steps is 7 in .*a\.yaml and 8 in .*b\.yaml"):
        lists.complete({"models": [path, other]}, [path, other])
    assert lists.complete({"steps": 1}, [path, other])["steps"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modles: [ae]", "modles: unknown key; did you mean 'models'"),
        ("models: autoencoder/ae", "models: 'autoencoder/ae' given"),
        ("models: []", "lists no model"),
        ("models: [ae]\nsteps: 0", "steps: 0 given"),
    ],
)
def test_a_list_that_is_none_is_said_in_one_line(text, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        plan.entries([write_list(tmp_path, "list.yaml", text)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ae+train.seed=7", "'train.seed=7': a comparison sets train.seed itself; use --seed"),
        ("ae+run.dir=x", "sets run.dir itself; use -o"),
        ("table.md@ae", "'table.md' cannot name a model"),
    ],
)
def test_what_a_comparison_decides_itself_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        plan.entries([text])


def test_a_run_without_its_model_is_not_done(study, speech_manifest, tmp_path):
    """Killed between the two, or deleted by hand: training writes it again."""
    shutil.copytree(study, tmp_path / "c")
    model = tmp_path / "c" / "ae" / "seed-0" / "model"
    shutil.rmtree(model)
    RECIPE.main(config(speech_manifest, tmp_path / "c"))
    assert (model / "model.safetensors").is_file()


def test_a_label_is_no_part_of_a_path(tmp_path):
    place = tmp_path / "me@nas"
    place.mkdir()
    (place / "mine.yaml").write_text("recipe: train_autoencoder\n")
    found = plan.entries([f"{place}/mine.yaml", f"b@{place}/mine.yaml+optim.lr=0.1"])
    assert [e.label for e in found] == ["mine", "b"]
    assert {e.config for e in found} == {f"{place}/mine.yaml"}


def test_a_failing_model_is_named_and_the_others_are_finished(speech_manifest, tmp_path):
    models = ("ae", "vq_ema+model.bottleneck.codebook_size=16+train.device=cuda:99")
    with pytest.raises(AudioVQError, match=r"1 of 2 failed.*cuda:99 cannot be used here"):
        RECIPE.main(config(speech_manifest, tmp_path / "c", models=models, steps=2))
    assert (tmp_path / "c" / "ae" / "seed-0" / "model" / "config.json").exists()


@pytest.mark.slow
def test_ctrl_c_saves_every_run_and_the_same_command_goes_on(speech_manifest, tmp_path):
    folder, steps = tmp_path / "c", 300
    command = [sys.executable, "-m", "audiovq", "compare", str(speech_manifest.path), "ae",
               "-o", str(folder), "--steps", str(steps), "--jobs", "2"]  # fmt: skip
    for setting in SETTINGS:
        command += ["--set", setting]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    log = folder / "ae" / "seed-0" / "log.jsonl"
    deadline = time.monotonic() + 60
    while (not log.exists() or len(log.read_text().splitlines()) < 3) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors[-500:]
    assert b"the same command goes on" in errors
    store = checkpoint.Store(folder / "ae" / "seed-0" / "checkpoints")
    stopped_at, before = store.steps()[-1], read_log(log)
    assert 0 < stopped_at < steps
    RECIPE.main(config(speech_manifest, folder, models=("ae",), steps=steps, max_utterances=1))
    assert store.steps()[-1] == steps
    kept = [e for e in before if e["step"] <= stopped_at]
    assert read_log(log)[: len(kept)] == kept  # wall clock and all: not trained a second time
    assert json.loads((folder / "table.json").read_text())["models"][0]["label"] == "ae"


@pytest.mark.slow
def test_killed_outright_its_runs_keep_the_folder_until_they_end(speech_manifest, tmp_path):
    """Two trainings in one run folder would be worse than waiting."""
    folder = tmp_path / "c"
    command = [sys.executable, "-m", "audiovq", "compare", str(speech_manifest.path), "ae",
               "-o", str(folder), "--steps", "100000"]  # fmt: skip
    for setting in SETTINGS:
        command += ["--set", setting]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    log = folder / "ae" / "seed-0" / "log.jsonl"
    deadline = time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    listing = ["ps", "-o", "pid=", "--ppid", str(process.pid)]
    children = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()
    assert children
    process.kill()
    process.wait()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "another process is comparing in" in again.stderr
    for child in children:
        os.kill(int(child), signal.SIGKILL)


# ------------------------------------------------------------------- pieces


def row(label, seed=0, **values):
    return Row(
        label=label, family=label.split("+")[0], bottleneck="x", seeds=(seed,),
        facts={"parameters": 1e6, "frame_rate": 50.0}, values=values,
        low={k: v - 0.1 for k, v in values.items()}, high={k: v + 0.1 for k, v in values.items()},
    )  # fmt: skip


def test_seeds_are_joined_to_a_mean_with_the_lowest_and_highest():
    joined = table.by_model([row("a", 0, stoi=0.5), row("a", 1, stoi=0.7), row("b", 0, stoi=0.1)])
    assert [r.label for r in joined] == ["a", "b"]
    assert joined[0].values["stoi"] == pytest.approx(0.6)
    assert (joined[0].low["stoi"], joined[0].high["stoi"]) == (0.5, 0.7)
    assert joined[0].seeds == (0, 1)


def test_the_csv_has_intervals_where_there_are_any(tmp_path):
    table.write(tmp_path, [row("a", stoi=0.5), row("b", stoi=0.6, pesq_wb=2.0)], {})
    first, second = csv.DictReader((tmp_path / "table.csv").open())
    assert [float(second[f"stoi{k}"]) for k in ("_low", "", "_high")] == [0.5, 0.6, 0.7]
    assert (first["pesq_wb"], first["pesq_wb_low"], float(second["pesq_wb_high"])) == ("", "", 2.1)


def test_the_best_follow_the_direction_of_each_figure():
    rows = [row("a", stoi=0.5, log_mel_distance=3.0), row("b", stoi=0.6, log_mel_distance=4.0)]
    header, cells = table.text_table(rows)
    marked = {header[j].split(" (")[0]: cells[i][0] for i, j in table.best(rows)}
    assert marked == {"log-mel distance": "a", "STOI": "b"}


def test_every_kind_of_rate_can_be_drawn_and_collapsed_ones_too():
    rows = [
        row("ae", stoi=0.9),
        row("den", stoi=0.9),
        row("vae", stoi=0.6, kl_bitrate=0.0),
        row("vq", stoi=0.5, bitrate=450.0, unigram_bitrate=0.0),
        *[row(f"rvq+{k}", stoi=0.5, bitrate=450.0 * k, unigram_bitrate=400.0) for k in range(1, 9)],
    ]
    figure = rate_distortion(rows, "stoi")
    texts = {t.get_text() for t in figure.axes[0].texts}
    assert {"ae", "vae", "vq", "rvq+8"} <= texts


def test_labels_keep_apart_and_no_rate_is_made_up():
    from matplotlib.text import Text

    rows = [row(f"model{k}", stoi=0.5 + k / 500, bitrate=450.0, unigram_bitrate=400.0)
            for k in range(8)]  # fmt: skip
    figure = rate_distortion(rows, "stoi")
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(t) for t in figure.axes[0].texts]
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    ax = rate_distortion([row("ae", stoi=0.9), row("sparse", stoi=0.8)], "stoi").axes[0]
    assert ax.get_xlabel() == "no model has a rate"
    assert list(ax.get_xticks()) == []


def test_codebook_use_shows_discrete_models_alone():
    rows = [row("ae", stoi=0.9), row("vq", usage=0.5, perplexity=4.0)]
    rows[1].facts["codebook_size"] = 16.0
    ax = codebook_use(rows).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["vq"]
    assert [p.get_width() for p in ax.patches] == [50.0, 25.0]


def test_steps_of_a_run_that_has_not_begun_are_none(speech_manifest, tmp_path):
    runs = plan.runs_of(plan.entries(["ae"]), (0,), tmp_path, (), speech_manifest)
    assert _Steps(runs[0])() == 0
    assert not runs[0].done
