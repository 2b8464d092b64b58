"""The command line as a user meets it: one line for a mistake, exit 2, nothing half written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch

import audiovq
from audiovq import units
from audiovq.audio import save
from audiovq.data.corpora.folder import Config, Folder
from tests.helpers import noise, small_model


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with speech, its manifest, a discrete and a continuous model."""
    folder = tmp_path_factory.mktemp("cli")
    Folder(Config()).fake(folder / "speech")
    small_model().save(folder / "vq")
    small_model("identity").save(folder / "ae")
    from audiovq.data.prepare import prepare

    prepare("folder", folder / "speech", folder / "speech.jsonl", progress=False)
    return folder


@pytest.fixture
def mistake(run):
    """Run something wrong: exit 2, nothing on stdout, one error line; returns it."""

    def go(*arguments):
        code, out, err = run(*arguments)
        assert code == 2, (code, err)
        assert out == ""
        assert "Traceback" not in err
        last = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(last) == 1, err
        return err[err.index("error: ") :]

    return go


def test_prepare(run, place, tmp_path):
    code, out, _ = run("prepare", "folder", place / "speech", "-o", tmp_path / "m.jsonl")
    assert code == 0
    assert "12 ok" in out
    code, out, _ = run("prepare", "folder", place / "speech", "-o", tmp_path / "m.jsonl", "--json")
    assert json.loads(out)["statuses"] == {"ok": 12, "repaired": 0, "rejected": 0}


def test_prepare_refuses(mistake, place, tmp_path):
    out = tmp_path / "m.jsonl"
    assert "no corpora named 'foldr'" in mistake("prepare", "foldr", place, "-o", out)
    assert "not a folder" in mistake("prepare", "folder", tmp_path / "none", "-o", out)
    assert "'x' is not offered; there is: dev-clean" in mistake(
        "prepare", "librispeech", tmp_path / "none", "--download", "x", "-o", out
    )
    (tmp_path / "empty").mkdir()
    assert "no wav, flac" in mistake("prepare", "folder", tmp_path / "empty", "-o", out)
    assert "did you mean 'speaker'" in mistake(
        "prepare", "folder", place / "speech", "speeker=none", "-o", out
    )
    (tmp_path / "empty" / "a.wav").write_text("no audio")
    error = mistake("prepare", "folder", tmp_path / "empty", "-o", out)
    assert "1 of 1 files are rejected" in error
    assert not out.exists()


def test_train_and_everything_after_it(run, place, tmp_path):
    manifest = place / "speech.jsonl"
    train = (
        "train", "smoke", f"data.manifest={manifest}", f"run.dir={tmp_path / 'run'}",
        "train.max_steps=2", "log.progress=false", "train.device=cpu",
    )  # fmt: skip
    code, out, err = run(*train)
    assert code == 0, err
    assert "model:" in out
    model = audiovq.load(tmp_path / "run")
    code, out, _ = run("extract", tmp_path / "run", manifest, "-o", tmp_path / "units")
    assert code == 0
    assert units.load(tmp_path / "units").metadata.model_hash == model.fingerprint()
    code, out, _ = run("evaluate", tmp_path / "run", manifest, "--max-utterances", 2, "--json")
    assert code == 0
    figures = json.loads(out)["values"]
    assert {"log_mel_distance", "usage", "perplexity", "bitrate"} <= figures.keys()
    assert figures["bitrate"]["value"] == pytest.approx(model.bitrate)


def test_train_show_prints_what_would_run(run):
    code, out, _ = run("train", "vq_ema", "optim.lr=1e-4", "--show")
    assert code == 0
    assert "lr: 0.0001" in out


def test_train_refuses(mistake, place, tmp_path, monkeypatch):
    assert "no config 'nothing'" in mistake("train", "nothing")
    error = mistake("train", "smoke", "train.max_step=3", "optim.lr=fast")
    assert "train.max_step: unknown key; did you mean 'max_steps'?" in error
    assert "optim.lr: 'fast' given" in error
    assert "key=value" in mistake("train", "smoke", "max_steps")
    where = f"run.dir={tmp_path / 'run'}"
    assert "cannot read the manifest" in mistake("train", "smoke", "data.manifest=no.jsonl", where)
    good = f"data.manifest={place / 'speech.jsonl'}"
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", os.devnull)
    assert "log.wandb=online cannot start" in mistake(
        "train", "smoke", good, where, "log.wandb=online"
    )


def test_resynth_files_and_folders(run, place, tmp_path):
    stereo = torch.cat([noise(1, 8000), noise(1, 8000, seed=1)])[:, 0].T.numpy()
    soundfile.write(tmp_path / "stereo.flac", stereo, 48000)
    for model in ("vq", "ae"):
        out = tmp_path / model
        code, text, _ = run(
            "resynth", place / model, tmp_path / "stereo.flac", place / "speech", "-o", out
        )
        assert code == 0
        assert len(text.splitlines()) == 13
        info = soundfile.info(out / "stereo.wav")
        assert (info.frames, info.samplerate) == (2667, 16000)
        source = soundfile.info(place / "speech" / "speaker0" / "0.wav")
        assert soundfile.info(out / "speaker0" / "0.wav").frames == source.frames


def test_resynth_refuses(mistake, run, place, tmp_path):
    save(tmp_path / "a.wav", noise(1, 500), 16000)
    assert "does not exist" in mistake("resynth", place / "vq", tmp_path / "b.wav")
    out = tmp_path / "out"
    assert "no model at" in mistake("resynth", tmp_path, tmp_path / "a.wav", "-o", out)
    assert run("resynth", place / "vq", tmp_path / "a.wav", "-o", out)[0] == 0
    assert "--force" in mistake("resynth", place / "vq", tmp_path / "a.wav", "-o", out)
    assert run("resynth", place / "vq", tmp_path / "a.wav", "-o", out, "--force")[0] == 0
    (tmp_path / "x").mkdir()
    save(tmp_path / "x" / "a.wav", noise(1, 500), 16000)
    both = (tmp_path / "a.wav", tmp_path / "x" / "a.wav")
    assert "several inputs" in mistake("resynth", place / "vq", *both, "-o", tmp_path / "two")


def test_convert_what_was_trained(run, place, tmp_path):
    code, _, err = run(
        "train", "smoke", f"data.manifest={place / 'speech.jsonl'}", f"run.dir={tmp_path / 'run'}",
        "model.decoder={name: conv_speaker, conv: {channels: 4, dilations: [1]}}",
        "optim.lr=0.01", "train.max_steps=3", "train.device=cpu", "log.progress=false",
    )  # fmt: skip
    assert code == 0, err
    names = run("convert", tmp_path / "run", "--list-speakers")[1].split()
    assert len(names) > 1
    assert set(names) < {f"speaker{i}" for i in range(6)}
    for i, name in enumerate(names[:2]):
        command = ("convert", tmp_path / "run", place / "speech", "--speaker", name)
        code, out, err = run(*command, "-o", tmp_path / str(i))
        assert code == 0, err
        assert len(out.splitlines()) == 12
    one, two = ((tmp_path / f"{i}/speaker0/0.wav").read_bytes() for i in range(2))
    assert len(one) == len(two)
    assert one != two
    # One recording may become one file, the same as in a folder.
    source, out = place / "speech" / "speaker0" / "0.wav", tmp_path / "new" / "alone.wav"
    assert run("convert", tmp_path / "run", source, "--speaker", names[0], "-o", out)[0] == 0
    assert out.read_bytes() == one


def test_convert_refuses(mistake, run, place, tmp_path):
    from tests.helpers import voices_model

    voices_model().save(tmp_path / "voices")
    save(tmp_path / "a.wav", noise(1, 500), 16000)
    convert, x = ("convert", tmp_path / "voices"), tmp_path / "a.wav"
    assert run(*convert, "--list-speakers")[1].split() == ["ann", "bob", "cem"]
    error = mistake(*convert, x, "--speaker", "anne", "-o", tmp_path / "out")
    assert "no speaker 'anne' in this model; near: 'ann'" in error
    assert "--list-speakers" in error
    assert "give recordings and --speaker NAME" in mistake(*convert, x)
    assert "give recordings and --speaker NAME" in mistake(*convert, "--speaker", "ann")
    for command in (["--list-speakers"], [x, "--speaker", "ann"]):
        assert "autoencoder/vq_voice" in mistake("convert", place / "vq", *command)
    assert "takes one recording" in mistake(
        *convert, place / "speech", "--speaker", "ann", "-o", tmp_path / "b.wav"
    )
    assert not (tmp_path / "out").exists()
    ann = (*convert, x, "--speaker", "ann", "-o", tmp_path / "b.wav")
    assert run(*ann)[0] == 0
    assert "--force" in mistake(*ann)
    assert run(*ann, "--force")[0] == 0
    assert "would be lost" in mistake(*ann[:-1], x, "--force")


def test_a_recording_that_breaks_off_leaves_no_half_file(mistake, place, tmp_path):
    x = noise(1, 48_000)
    save(tmp_path / "a.flac", x, 16000)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
    mistake("resynth", place / "vq", tmp_path / "a.flac", "-o", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.mark.parametrize("command", ["extract", "evaluate"])
def test_a_manifest_that_is_wrong(mistake, place, tmp_path, command):
    lines = (place / "speech.jsonl").read_text().splitlines(keepends=True)
    root = json.loads(lines[0])
    root["root"] = str(place / "speech")
    lines[0] = json.dumps(root) + "\n"
    cases = {
        "id 'speaker0/0' was used on line": [*lines, lines[1]],
        "is cut off": [*lines[:-1], lines[-1][:-9]],
        "has no header": lines[1:],
        "is empty": [],
        "version 3": [lines[0].replace('"version": 1', '"version": 3'), *lines[1:]],
    }
    extra = ("-o", tmp_path / "units") if command == "extract" else ()
    for message, content in cases.items():
        (tmp_path / "m.jsonl").write_text("".join(content))
        assert message in mistake(command, place / "vq", tmp_path / "m.jsonl", *extra)
    assert not (tmp_path / "units").exists()


def test_extract_refuses_a_continuous_model(mistake, place, tmp_path):
    error = mistake("extract", place / "ae", place / "speech.jsonl", "-o", tmp_path / "u")
    assert "continuous" in error


def test_codes_do_not_depend_on_the_threads_asked_for(place, tmp_path):
    """Two real processes, one and two threads, exact: the same bytes."""
    for threads in ("1", "2"):
        command = [
            sys.executable, "-m", "audiovq", "extract", place / "vq", place / "speech.jsonl",
            "-o", tmp_path / threads, "--threads", threads,
        ]  # fmt: skip
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
    a, b = ({p.name: p.read_bytes() for p in (tmp_path / t).iterdir()} for t in ("1", "2"))
    assert a == b


def test_doctor_says_what_is_wrong_and_leaves_with_0(run, tmp_path):
    (tmp_path / "config.yaml").write_text("train: {max_steps: 9}\n")
    lines = ['{"step": 4, "train/loss": 2.0}\n', '{"step": 5, "error": "NaN in the input"}\n']
    (tmp_path / "log.jsonl").write_text("".join(lines))
    code, out, _ = run("doctor", tmp_path)
    assert code == 0
    assert out.splitlines()[0] == "not healthy by step 5 of 9: training stopped"
    assert "NaN in the input (step 5)" in out
    code, out, _ = run("doctor", tmp_path, "--json")
    assert code == 0
    assert json.loads(out)["findings"][0]["title"] == "training stopped"


def test_doctor_names_planted_faults_of_machine_data_and_run(run, place, tmp_path, monkeypatch):
    """One fault each, as a user meets it: in the environment, in the corpus, in the log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    code, out, _ = run("doctor")
    assert code == 0
    assert out.startswith("this machine: ")
    assert "OMP_NUM_THREADS=many" in out
    assert "try: export OMP_NUM_THREADS=" in out

    lines = (place / "speech.jsonl").read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"root": str(tmp_path / "moved")})
    (tmp_path / "moved.jsonl").write_text("\n".join(lines) + "\n")
    code, out, _ = run("doctor", "vq_ema", "data.manifest=moved.jsonl")
    assert code == 0
    assert "problem  audio files are missing" in out
    assert "correct `root` in line 1 of the manifest" in out

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("train: {max_steps: 9}\n")
    log = '{"step": 4, "train/loss": 2.0}\n{"step": 5, "error": "NaN in the input"}\n'
    (tmp_path / "run" / "log.jsonl").write_text(log)
    code, out, _ = run("doctor", "run", "--machine", "--json")
    assert code == 0
    content = json.loads(out)
    assert content["findings"][0]["title"] == "training stopped"
    assert content["machine"]["facts"]["cores"]["asked"] == "many"
    assert content["machine"]["facts"]["disk"]["folder"] == str(tmp_path / "run")
    text = run("doctor", "run", "--machine", "--dir", tmp_path)[1]
    assert text.startswith("not healthy by step 5 of 9: training stopped")
    assert "\n\nthis machine: " in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["moved.jsonl", "run"]


def test_doctor_takes_a_config_by_name_or_file(run, place, tmp_path):
    manifest = f"data.manifest={place / 'speech.jsonl'}"
    code, out, _ = run("doctor", "autoencoder/vq_ema", manifest, "--json")
    assert code == 0
    assert json.loads(out)["subject"].startswith("autoencoder/vq_ema with ")
    (tmp_path / "mine.yaml").write_text(f"recipe: train_autoencoder\ndata: {{{manifest[5:]}}}")
    (tmp_path / "mine.yaml").write_text(f"data: {{manifest: '{place / 'speech.jsonl'}'}}\n")
    code, out, _ = run("doctor", tmp_path / "mine.yaml")
    assert code == 0
    assert "speakers" in out


def test_doctor_refuses_what_is_neither_run_nor_config(mistake, place, tmp_path):
    for path in (tmp_path, place / "vq"):
        assert "is no run folder" in mistake("doctor", path)
    for path in (tmp_path / "none", place / "speech.jsonl"):
        assert "is no run folder and no config" in mistake("doctor", path)
    (tmp_path / "config.yaml").write_text("a: [")
    assert "is not YAML" in mistake("doctor", tmp_path)
    assert "takes no settings" in mistake("doctor", tmp_path, "data.manifest=x")
    assert "data.manifest is missing" in mistake("doctor", "vq_ema")
    assert "cannot read the manifest" in mistake("doctor", "vq_ema", "data.manifest=none")
    (tmp_path / "torn.jsonl").write_text("{")
    bad = f"data.manifest={tmp_path / 'torn.jsonl'}"
    assert "is cut off" in mistake("doctor", "vq_ema", bad)
    assert "audiovq compare MANIFEST" in mistake("doctor", "compare/family", bad)
    (tmp_path / "quick.yaml").write_text("recipe: quickstart\n")
    assert "takes no config" in mistake("doctor", tmp_path / "quick.yaml", bad)
    assert "no config 'vq_emu'" in mistake("doctor", "vq_emu", bad)
    assert "did you mean 'lr'" in mistake("doctor", "vq_ema", bad, "optim.lrr=1")
    assert "no folder" in mistake("doctor", "--dir", tmp_path / "none")
    assert "--dir goes with the machine" in mistake("doctor", "vq_ema", bad, "--dir", tmp_path)


def test_ls_lists_everything_and_one_kind(run, mistake):
    code, out, _ = run("ls")
    assert code == 0
    assert {"configs:", "recipes:", "bottlenecks:", "  vq_ema"} <= set(out.splitlines())
    assert {"identity", "vq_ema"} <= set(run("ls", "bottlenecks")[1].split())
    assert "'things' cannot be listed" in mistake("ls", "things")


def test_cp_copies_a_config_with_what_it_extends(run, mistake, tmp_path):
    assert run("cp", "autoencoder/vq_ema", tmp_path / "mine")[0] == 0
    assert {p.name for p in (tmp_path / "mine").iterdir()} == {"vq_ema.yaml", "base.yaml"}
    assert run("train", tmp_path / "mine" / "vq_ema.yaml", "--show")[0] == 0
    assert "exists already" in mistake("cp", "autoencoder/vq_ema", tmp_path / "mine")
    assert run("cp", "train_autoencoder", tmp_path / "my_recipe.py")[0] == 0
    assert (tmp_path / "my_recipe.py").exists()


@pytest.mark.parametrize(
    "command",
    [
        "prepare",
        "train",
        "resynth",
        "convert",
        "fit-reference",
        "evaluate-voice",
        "extract",
        "verify",
        "export-units",
        "evaluate",
        "evaluate-units",
        "train-prior",
        "score",
        "sample",
        "doctor",
        "ls",
        "cp",
    ],
)
def test_help_suffices(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage:" in out
    assert "Example:" in out or command == "ls"


def test_evaluate_help_defines_every_figure(run):
    from audiovq.eval.evaluate import DEFINITIONS

    out = " ".join(run("evaluate", "--help")[1].split())
    for name in DEFINITIONS:
        assert f"{name} (" in out


def test_importing_pulls_in_nothing_heavy():
    code = (
        "import sys, audiovq; heavy = {'matplotlib', 'librosa', 'wandb', 'gradio', 'typer', "
        "'torchaudio', 'scipy', 'pandas'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PLUGIN = '''
"""Halves every value: a bottleneck in one file."""
from audiovq.bottlenecks._base import Bottleneck, BottleneckOutput, Context
from audiovq.config import ComponentConfig


class Config(ComponentConfig):
    dim: int = 8


class Halving(Bottleneck):
    def __init__(self, config):
        super().__init__()
        self.in_channels = self.out_channels = config.dim

    def forward(self, z, context=Context()):
        return BottleneckOutput(z=z / 2, loss=z.new_zeros(z.shape[0], z.shape[2]))
'''


def test_a_bottleneck_in_one_file_trains_by_its_dotted_name(
    run, mistake, place, tmp_path, monkeypatch
):
    (tmp_path / "someones_package").mkdir()
    (tmp_path / "someones_package" / "__init__.py").touch()
    (tmp_path / "someones_package" / "halving.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    name = "someones_package.halving"
    code, _, err = run(
        "train", "smoke", f"model.bottleneck.name={name}", "model.bottleneck.dim=5",
        f"data.manifest={place / 'speech.jsonl'}", f"run.dir={tmp_path / 'run'}",
        "train.max_steps=2", "log.progress=false", "log.snapshots=0", "train.device=cpu",
    )  # fmt: skip
    assert code == 0, err
    evaluate = ("evaluate", tmp_path / "run", place / "speech.jsonl", "--max-utterances", 1)
    assert "if you trust it" in mistake(*evaluate)
    assert run(*evaluate, "--plugin", name)[0] == 0
