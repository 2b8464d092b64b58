"""`audiovq encode` and `audiovq decode` as a user meets them."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import soundfile
import torch

import audiovq
from audiovq import audio
from audiovq.__main__ import main
from audiovq.coding import codes_of, decompress
from audiovq.prior import load as load_prior
from tests.coding.with_prior import prior_of
from tests.helpers import noise, small_model

LENGTH = 60_001


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A recording, a model, a prior of its codes, and both of another model."""
    folder = tmp_path_factory.mktemp("coding")
    audio.save(folder / "speech.wav", noise(1, LENGTH), 16000)
    for name, model in (("vq", small_model()), ("other", small_model(seed=5))):
        model.save(folder / name)
        prior_of(audiovq.load(folder / name)).save(folder / f"prior-{name}")
    prior_of(audiovq.load(folder / "vq"), seed=1).save(folder / "prior-2")
    small_model("identity").save(folder / "ae")
    return folder


@pytest.fixture
def run(capsys, monkeypatch):
    """Run `audiovq ...` in this process; returns exit code, stdout and stderr."""

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["audiovq", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out = capsys.readouterr()
        return stop.value.code or 0, out.out, out.err

    return go


@pytest.fixture
def done(run):
    """Run something right; returns what it printed."""

    def go(*arguments):
        code, out, err = run(*arguments)
        assert code == 0, err
        return out

    return go


def elsewhere(*arguments):
    """Run `audiovq ...` in a process of its own, with another thread count."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "audiovq", *map(str, arguments), "--threads", "2"]
    subprocess.run(command, check=True, capture_output=True, env=environment)


@pytest.mark.parametrize("with_prior", [False, True])
def test_a_file_comes_back_in_another_process(done, place, tmp_path, with_prior):
    made, sound = tmp_path / "new" / "a.avq", tmp_path / "sounds" / "a.wav"
    words = ["--model", place / "vq", *(["--prior", place / "prior-vq"] if with_prior else [])]
    out = done("encode", place / "speech.wav", made, *words, "--block", "0.5")
    size = made.stat().st_size
    assert out.startswith(
        f"{made}\t3.75 s\t{size:,} bytes\t{8 * size / (LENGTH / 16000):.1f} bit/s"
    )
    model = audiovq.load(place / "vq")
    prior = load_prior(place / "prior-vq") if with_prior else None
    expected = model.encode(audio.load(place / "speech.wav"), exact=True)
    assert torch.equal(codes_of(made, model, prior), expected)
    elsewhere("decode", made, sound, *words)
    assert soundfile.info(sound).subtype == "PCM_16"
    x_hat = decompress(made, model, prior)
    torch.testing.assert_close(audio.load(sound), x_hat, atol=1e-4, rtol=0)
    out = done("decode", made, sound, *words, "--start", "1.25", "--end", "2", "--force")
    assert out == f"{sound}\t0.75 s\n"
    torch.testing.assert_close(audio.load(sound), x_hat[..., 20_000:32_000], atol=1e-4, rtol=0)


def test_the_same_recording_gives_the_same_bytes_at_any_thread_count(done, place, tmp_path):
    words = ("--model", place / "vq", "--prior", place / "prior-vq")
    done("encode", place / "speech.wav", tmp_path / "a.avq", *words)
    elsewhere("encode", place / "speech.wav", tmp_path / "b.avq", *words)
    assert (tmp_path / "a.avq").read_bytes() == (tmp_path / "b.avq").read_bytes()


def test_a_file_says_what_it_is_without_its_model(done, place, tmp_path):
    made = tmp_path / "a.avq"
    done("encode", place / "speech.wav", made, "--model", place / "vq", "--block", "0.5")
    facts = json.loads(done("decode", made, "--show", "--json"))
    assert facts == {
        "seconds": LENGTH / 16000, "sample_rate": 16000, "samples": LENGTH, "frame_rate": 1600.0,
        "frames": 6001, "codebooks": 1, "blocks": 8, "block_seconds": 0.5,
        "bytes": made.stat().st_size,
        "bits_per_second": 8 * made.stat().st_size / (LENGTH / 16000),
        "model": audiovq.load(place / "vq").fingerprint()[:16], "prior": None,
    }  # fmt: skip
    out = done("decode", made, "--show")
    assert "frames          6001\n" in out
    assert "prior           none: bit-packed\n" in out


def test_mistakes_are_one_line_and_leave_nothing(run, place, tmp_path):
    good, chained = tmp_path / "good.avq", tmp_path / "chained.avq"
    speech, there = place / "speech.wav", tmp_path / "there.wav"
    vq, other = ("--model", place / "vq"), ("--model", place / "other")
    run("encode", speech, good, *vq)
    run("encode", speech, chained, *vq, "--prior", place / "prior-vq")
    shutil.copy(speech, there)
    damaged = bytearray(good.read_bytes())
    damaged[-9] ^= 4
    (tmp_path / "damaged.avq").write_bytes(damaged)
    (tmp_path / "cut.avq").write_bytes(good.read_bytes()[:-1])
    (tmp_path / "longer.avq").write_bytes(good.read_bytes() + b"\0")
    shutil.copy(speech, tmp_path / "sound.avq")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    new, out = tmp_path / "new.avq", tmp_path / "new.wav"
    prior = "--prior"
    for words, message in (
        (("encode", speech, new), "Missing option '--model'"),
        (("encode", speech, out, *vq), "ends in .avq"),
        (("encode", speech, good, *vq), "add --force"),
        (
            ("encode", tmp_path / "sound.avq", tmp_path / "sound.avq", *vq, "--force"),
            "is the input",
        ),
        (("encode", tmp_path / "no.wav", new, *vq), "no.wav"),
        (("encode", speech, new, "--model", place / "ae"), "is continuous"),
        (("encode", speech, new, *vq, "--codebooks", "2"), "1 to 1 are accepted"),
        (("encode", speech, new, *vq, "--block", "0"), "more than 0"),
        (("encode", speech, new, *vq, prior, place / "prior-other"), "the prior is of"),
        (
            ("encode", speech, new, *vq, prior, place / "vq"),
            "is not the config of an audiovq prior",
        ),
        (("decode", good, out), "--model is missing"),
        (("decode", good, *vq), "give a file to write"),
        (("decode", good, there, *vq), "add --force"),
        (("decode", good, good, *vq, "--force"), "is the input"),
        (("decode", good, tmp_path, *vq, "--force"), "is a folder"),
        (("decode", good, tmp_path / "a.txt", *vq), "the suffix must be one of"),
        (("decode", good, out, *other), "give the model it was made with"),
        (("decode", chained, out, *vq), "give it (--prior)"),
        (("decode", chained, out, *vq, prior, place / "prior-2"), "give the prior it was"),
        (("decode", chained, out, *vq, prior, place / "prior-other"), "the prior is of"),
        (("decode", tmp_path / "sound.avq", out, *vq), "does not begin as one"),
        (("decode", tmp_path / "cut.avq", out, *vq), "where its index states"),
        (("decode", tmp_path / "longer.avq", out, *vq), "where its index states"),
        (("decode", tmp_path / "damaged.avq", out, *vq), "is damaged"),
        (("decode", tmp_path / "none.avq", out, *vq), "does not exist"),
        (("decode", good, out, *vq, "--start", "2", "--end", "1"), "has 3.750 s"),
        (("decode", good, out, *vq, "--end", "3.8"), "has 3.750 s"),
        (("decode", good, out, *vq, "--max-hours", "0.001"), "claims 0.0 h"),
    ):
        code, printed, err = run(*words)
        assert (code, printed, err.count("error: "), err.count("\n")) == (2, "", 1, 1), (words, err)
        assert message in err, err
        assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before, words
