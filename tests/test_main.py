"""Whatever goes wrong is one line and exit 2; Ctrl-C leaves nothing broken."""

import signal
import subprocess
import sys
import time

import pytest

from audiovq import units
from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError
from tests.helpers import noise, small_model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, a manifest of one utterance, and a file where a folder might be meant."""
    folder = tmp_path_factory.mktemp("main")
    small_model().save(folder / "vq")
    save(folder / "a.wav", noise(1, 700), 16000)
    record = Record(id="a", path="a.wav", sample_rate=16000, num_samples=700, split="test")
    manifests.write(folder / "m.jsonl", ".", [record])
    (folder / "file").write_text("mine")
    return folder


@pytest.fixture
def run(run, place, monkeypatch):
    monkeypatch.chdir(place)
    return run


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("extrct", "Did you mean 'extract'"),
        ("extract vq", "Missing argument"),
        ("extract vq m.jsonl --threads 0", "'--threads'"),
        ("extract vq m.jsonl --max-rejected 2", "'--max-rejected'"),
        ("extract vq m.jsonl --split tst", "'--split'"),
        ("extract vq m.jsonl --shards 3", "--shards"),
        ("extract vq m.jsonl --device nope", "--device nope cannot be used"),
        ("extract vq m.jsonl -o file", "cannot write to the folder file"),
        ("extract vq nothing.jsonl", "nothing.jsonl"),
        ("extract nothing m.jsonl", "no model at nothing"),
        ("evaluate vq m.jsonl --out nowhere/x.json", "a folder that exists"),
        ("evaluate vq m.jsonl --out vq", "cannot write vq"),
        ("evaluate vq m.jsonl --split train", "train"),
        ("resynth vq", "Missing argument"),
        ("resynth vq a.wav -o file", "file"),
        ("resynth vq vq", "no wav, flac"),
        ("cp vq_ema file", "cannot copy to file"),
        ("cp nothing here", "no config 'nothing'"),
        ("doctor vq", "is no run folder"),
        ("ls things", "cannot be listed"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(run, place, command, said):
    before = sorted(place.rglob("*"))
    code, out, err = run(*command.split())
    assert (code, out) == (2, "")
    lines = [line for line in err.split("\n") if line and "resynthesising" not in line]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert sorted(place.rglob("*")) == before
    assert (place / "file").read_text() == "mine"


def test_a_full_disk_is_one_line(run, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "units/shard-00000.parquet")

    monkeypatch.setattr("audiovq.units.work.atomic_write", full)
    code, _, err = run("extract", "vq", "m.jsonl", "-o", "full")
    assert code == 2
    assert err.splitlines()[-1] == "error: units/shard-00000.parquet: No space left on device"


def test_without_a_command_there_is_help(run):
    code, out, _ = run()
    assert code == 0
    assert "extract" in out


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_nothing_broken(place, tmp_path):
    """Interrupted while encoding: exit 130, no traceback, a folder that says it is unfinished."""
    save(tmp_path / "long.wav", noise(1, 16000 * 120), 16000)
    records = [
        Record(id=f"{i}", path="long.wav", sample_rate=16000, num_samples=16000 * 120 - i)
        for i in range(600)
    ]
    manifests.write(tmp_path / "long.jsonl", ".", records)
    out = tmp_path / "units"
    command = [sys.executable, "-m", "audiovq", "extract", place / "vq", tmp_path / "long.jsonl"]
    process = subprocess.Popen(
        [*command, "-o", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background makes its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not (out / "units.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    with pytest.raises(CheckpointError, match="unfinished"):
        units.load(out)
    assert {p.name for p in out.iterdir()} == {"units.json", "vectors.npy"}
