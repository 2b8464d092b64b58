"""Recipes as programs: `python recipes/NAME.py key=value ...`."""

import subprocess
import sys

import pytest

from audiovq import share
from tests.test_recipes import TINY
from tests.test_recipes import speech as speech  # noqa: PLC0414  (a fixture)


def program(name, *words):
    path = share.folder("recipes") / f"{name}.py"
    return subprocess.run(
        [sys.executable, str(path), *words], capture_output=True, text=True, check=False
    )


def test_from_a_folder_to_units_by_recipes_alone(speech, tmp_path):
    manifest = f"manifest={tmp_path / 's.jsonl'}"
    done = program("prepare", f"root={speech.parent / 'audio'}", f"out={tmp_path / 's.jsonl'}")
    assert "12 ok" in done.stdout, done.stderr
    run = f"run.dir={tmp_path / 'run'}"
    done = program(
        "train_autoencoder", "smoke", *TINY, f"data.{manifest}", run, "train.max_steps=2"
    )
    assert (tmp_path / "run" / "model" / "config.json").is_file(), done.stderr
    model = f"model={tmp_path / 'run'}"
    done = program("extract", model, manifest, f"out={tmp_path / 'units'}")
    assert "12 utterances, codebook sizes (16,)" in done.stdout, done.stderr
    done = program("evaluate", model, manifest, f"out={tmp_path / 'e.json'}", "max_utterances=1")
    assert "log-mel distance" in done.stdout, done.stderr
    assert (tmp_path / "e.json").is_file()


@pytest.mark.parametrize(
    ("name", "words", "text"),
    [
        ("prepare", ["corpus=folder"], "root"),
        ("extract", ["model=none", "manifest=m", "outt=x"], "outt: unknown key"),
        ("evaluate", ["model=none", "manifest=m"], "no model at none"),
        ("train_autoencoder", ["smoke"], "data.manifest is missing"),
    ],
)
def test_mistakes_are_one_line(name, words, text):
    done = program(name, *words)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
