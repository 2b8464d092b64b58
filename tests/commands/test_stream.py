"""`audiovq stream` as a user meets it."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import soundfile
import torch

import audiovq
from audiovq import audio
from tests.helpers import noise, small_model, voices_model

LENGTH = 777


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A recording and models: causal with three codebooks, with voices, one that looks ahead."""
    folder = tmp_path_factory.mktemp("stream")
    audio.save(folder / "speech.wav", noise(1, LENGTH), 16000)
    rvq = {"name": "rvq", "dim": 6, "codebook_size": 16, "num_codebooks": 3}
    small_model(rvq, causal=True).save(folder / "live")
    voices_model(causal=True).save(folder / "voices")
    small_model().save(folder / "ahead")
    small_model("identity", causal=True).save(folder / "ae")
    return folder


def given(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_file_in_real_time(run, place, tmp_path):
    out, codes = tmp_path / "new.wav", tmp_path / "codes.txt"
    start = time.perf_counter()
    code, said, err = run(
        "stream", place / "live", place / "speech.wav", "-o", out, "--codes", codes, "--json",
        "--block", "7ms",
    )  # fmt: skip
    assert code == 0, err
    assert time.perf_counter() - start >= LENGTH / 16000  # a file does not come faster
    timing = json.loads(said)
    assert timing["blocks"] == -(-LENGTH // 112)
    assert timing["seconds"] == LENGTH / 16000
    assert timing["frame_ms"] == 1000 * 10 / 16000
    assert 0 < timing["median_ms"] <= timing["p95_ms"] <= timing["worst_ms"]
    model, x = audiovq.load(place / "live"), audio.load(place / "speech.wav")
    rows = [[int(c) for c in line.split()] for line in codes.read_text().splitlines()]
    expected = model.encode(x)
    assert torch.equal(torch.tensor(rows).t()[None], expected)
    found = audio.load(out)
    torch.testing.assert_close(found, model.decode(expected, LENGTH), atol=1e-4, rtol=0)


def test_a_pipe_of_raw_samples_to_codes(run, place, monkeypatch, tmp_path):
    values, _ = soundfile.read(place / "speech.wav", dtype="int16")
    given(monkeypatch, values.astype("<i2").tobytes())
    codes = tmp_path / "codes.txt"
    code, _, err = run(
        "stream", place / "live", "--format", "s16le", "--codes", codes, "--codebooks", "2"
    )
    assert code == 0, err
    rows = [[int(c) for c in line.split()] for line in codes.read_text().splitlines()]
    expected = audiovq.load(place / "live").encode(audio.load(place / "speech.wav"))[:, :2]
    assert torch.equal(torch.tensor(rows).t()[None], expected)
    assert "latency 0.625 ms (a frame) + computing" in err
    assert "x real time" in err


@pytest.mark.slow  # a process of its own
def test_a_pipe_to_a_pipe_and_ctrl_c_ends_the_recording(place):
    speech = (place / "speech.wav").read_bytes()
    words = ["-m", "audiovq", "stream", place / "live", "-o", "-", "--block", "10ms"]
    with subprocess.Popen(
        [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdin.write(speech)  # and the pipe stays open
        process.stdin.flush()
        first = process.stdout.read(2)  # it is under way
        os.kill(process.pid, signal.SIGINT)
        rest = process.stdout.read()
        err = process.stderr.read().decode()
        assert process.wait() == 0, err
    samples = len(first + rest) // 2
    assert samples >= 1
    assert samples <= LENGTH
    assert f"{samples / 16000:.2f} s in" in err


def test_another_voice(run, place, tmp_path):
    out = tmp_path / "bob.wav"
    code, _, err = run(
        "stream", place / "voices", place / "speech.wav", "-o", out, "--speaker", "bob", "--fast"
    )
    assert code == 0, err
    model, x = audiovq.load(place / "voices"), audio.load(place / "speech.wav")
    expected = model.decode(model.encode(x), LENGTH, model.speaker_index(["bob"]))
    torch.testing.assert_close(audio.load(out), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["ahead", "speech.wav"], "cannot stream: its encoder looks .* model.encoder.causal=true"),
        (["ae", "speech.wav", "--codes", "NEW"], "continuous"),
        (["live", "missing.wav"], "missing.wav"),
        (["live", "speech.wav", "--rate", "16000"], "states its own"),
        (["live", "speech.wav", "--block", "fast"], "--block fast given; milliseconds"),
        (["live", "speech.wav", "--block", "0"], "--block 0 given"),
        (["live", "speech.wav", "--codebooks", "4"], "the model has 3"),
        (["live", "speech.wav", "-o", "speech.wav"], "is the input"),
        (["live", "speech.wav", "-o", "-", "--json"], "one thing"),
        (["live", "speech.wav", "-o", "live"], "is a folder"),
        (["live", "-", "--format", "s16le", "--rate", "8000"], "8000 Hz"),
        (["live", "-"], "pipe ends"),
        (["voices", "speech.wav", "--speaker", "dan"], "no speaker 'dan'"),
    ],
)
def test_mistakes_are_one_line(run, place, monkeypatch, tmp_path, words, why):
    given(monkeypatch, b"")
    monkeypatch.chdir(place)
    words = [str(tmp_path / "new.txt") if w == "NEW" else w for w in words]
    code, _, err = run("stream", *words)
    assert code == 2
    assert err.count("\n") == 1
    assert re.search(why, err), err
