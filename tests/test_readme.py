"""Every command and every line of Python in the README runs, on small data and a small model."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from audiovq import share
from audiovq.__main__ import main
from audiovq.audio import probe
from audiovq.data.corpora.folder import Config, Folder
from tests.test_recipes import TINY

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text("utf-8")
WORDS = r"units|audiovq (sample|encode|decode|demo) "


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def run(monkeypatch, command):
    words = shlex.split(command)
    if words[1] == "train":  # the same command, on a model that trains in a second
        words[2] = "autoencoder/smoke"
        words += [t for t in TINY if "dir" not in t] + ["train.max_steps=2"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:  # typer always leaves so
        main()
    assert not stop.value.code, command


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    Folder(Config()).fake(folder / "my_speech")
    return folder


def test_the_five_commands_and_the_python_lines(place, monkeypatch):
    monkeypatch.chdir(place)
    five = next(b for b in blocks("bash") if "audiovq prepare folder" in b).strip().splitlines()
    assert len(five) == 5
    for command in five:
        run(monkeypatch, command)
    python = [b for b in blocks("python") if "gradio_client" not in b]  # tested with the demo
    first, second, third = (b.replace("speech.wav", "my_speech/speaker0/0.wav") for b in python)
    names: dict = {}
    exec(compile(first, "README.md", "exec"), names)
    assert probe("again.wav").num_samples == names["x"].shape[-1]
    assert names["codes"].shape[1] == 8
    exec(compile(second, "README.md", "exec"), names)
    assert names["x_hat"].shape == names["x"].shape
    assert names["unit"].num_samples > 0
    code = third.replace("range(300)", "range(3)").replace("64, (16", "8, (16")
    exec(compile(code.replace("arange(64)", "arange(8)"), "README.md", "exec"), names)
    assert names["loss"].isfinite()


def test_the_comparisons_are_planned_as_written(monkeypatch):
    """Trained they are in test_compare; here it is the words that count."""
    from audiovq import cli
    from audiovq.compare import plan

    monkeypatch.setattr(share, "load_recipe", lambda name: Recipe)
    commands = [
        line for b in blocks("bash") for line in b.splitlines() if "audiovq compare" in line
    ]
    assert commands
    for command in commands:
        words = shlex.split(command, comments=True)
        Recipe.seen = None
        with pytest.raises(FileNotFoundError):  # the table that nobody wrote
            cli.app(words[1:], standalone_mode=False)
        assert plan.entries(Recipe.seen.models)


class Recipe:
    Config = share.load_recipe("compare").Config
    seen = None

    @staticmethod
    def main(config):
        Recipe.seen = config


def test_names_in_the_readme_exist():
    for name in re.findall(r"autoencoder/(\w+)", TEXT):
        assert f"autoencoder/{name}" in share.configs()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("bash")), re.MULTILINE):
        assert f"\n{target}:" in (README.parent / "Makefile").read_text()
    for path in re.findall(r"`((?:audiovq|tests)/[\w/.]+\.py)`", TEXT):
        assert (README.parent / path).is_file()


def test_the_commands_on_units_exist_as_written():
    """What they do is tested elsewhere; here it is the words that count."""
    import typer

    from audiovq.cli import app

    group = typer.main.get_command(app)
    lines = [x for b in blocks("bash") for x in b.splitlines() if re.search(WORDS, x)]
    seen = set()
    for line in lines:
        words = shlex.split(line, comments=True)
        words = words[words.index("audiovq") + 1 :]
        command = group.commands[words[0]]
        command.make_context(words[0], words[1:])  # refuses what it does not know
        seen.add(words[0])
    assert {"extract", "verify", "export-units", "evaluate-units", "train-prior"} <= seen
    assert {"score", "sample", "encode", "decode", "demo"} <= seen
