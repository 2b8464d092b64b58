"""`audiovq encode` and `audiovq decode` as a user meets them."""

import json
import shutil
import subprocess
import sys

import pytest
import soundfile
import torch

import audiovq
from audiovq import audio
from audiovq.coding import codes_of, decompress
from audiovq.prior import load as load_prior
from tests.coding.with_prior import prior_of
from tests.helpers import noise, small_model, voices_model

LENGTH = 12_001


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
def done(run):
    """Run something right; returns what it printed."""

    def go(*arguments):
        code, out, err = run(*arguments)
        assert code == 0, err
        return out

    return go


def elsewhere(*commands):
    """Run `audiovq ...` in a process of its own, with another thread count."""
    code = "import json, sys; from audiovq.cli import app\n"
    code += "for words in json.loads(sys.argv[1]): app(words, standalone_mode=False)"
    words = json.dumps([[*map(str, c), "--threads", "2"] for c in commands])
    subprocess.run([sys.executable, "-c", code, words], check=True, capture_output=True)


def test_a_file_comes_back_in_another_process(done, place, tmp_path):
    made, sound = tmp_path / "new" / "a.avq", tmp_path / "sounds" / "a.wav"
    speech, words = place / "speech.wav", ["--model", place / "vq", "--prior", place / "prior-vq"]
    out = done("encode", speech, made, *words, "--block", "0.3")
    size = made.stat().st_size
    assert out.startswith(
        f"{made}\t0.75 s\t{size:,} bytes\t{8 * size / (LENGTH / 16000):.1f} bit/s"
    )
    model, prior = audiovq.load(place / "vq"), load_prior(place / "prior-vq")
    expected = model.encode(audio.load(speech), exact=True)
    assert torch.equal(codes_of(made, model, prior), expected)
    elsewhere(
        ("decode", made, sound, *words),
        ("encode", speech, tmp_path / "b.avq", *words, "--block", "0.3"),
    )
    assert (tmp_path / "b.avq").read_bytes() == made.read_bytes()
    assert soundfile.info(sound).subtype == "PCM_16"
    x_hat = decompress(made, model, prior)
    torch.testing.assert_close(audio.load(sound), x_hat, atol=1e-4, rtol=0)


def test_an_excerpt(done, place, tmp_path):
    made, sound = tmp_path / "a.avq", tmp_path / "a.wav"
    done("encode", place / "speech.wav", made, "--model", place / "vq")
    done("decode", made, sound, "--model", place / "vq")
    whole = audio.load(sound)
    words = ("--start", "0.25", "--end", "0.5", "--force")
    out = done("decode", made, sound, "--model", place / "vq", *words)
    assert out == f"{sound}\t0.25 s\n"
    assert torch.equal(audio.load(sound), whole[..., 4000:8000])


def test_a_voice_may_be_asked_for(done, tmp_path):
    model, made = voices_model(), tmp_path / "a.avq"
    model.save(tmp_path / "voices")
    made.write_bytes(model.compress(noise(1, 900)))
    done("decode", made, tmp_path / "a.wav", "--model", tmp_path / "voices", "--speaker", "bob")
    expected = decompress(made, model, condition=model.speaker_index(["bob"]))
    torch.testing.assert_close(audio.load(tmp_path / "a.wav"), expected, atol=1e-4, rtol=0)


def test_a_file_says_what_it_is_without_its_model(done, place, tmp_path):
    made = tmp_path / "a.avq"
    done("encode", place / "speech.wav", made, "--model", place / "vq", "--block", "0.25")
    facts = json.loads(done("decode", made, "--show", "--json"))
    assert facts == {
        "seconds": LENGTH / 16000, "sample_rate": 16000, "samples": LENGTH, "frame_rate": 1600.0,
        "frames": 1201, "codebooks": 1, "blocks": 4, "block_seconds": 0.25,
        "bytes": made.stat().st_size,
        "bits_per_second": 8 * made.stat().st_size / (LENGTH / 16000),
        "model": audiovq.load(place / "vq").fingerprint()[:16], "prior": None,
    }  # fmt: skip
    out = done("decode", made, "--show")
    assert "frames          1201\n" in out
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
        (("encode", speech, good / "new.avq", *vq), "good.avq is a file, so nothing can be"),
        (("decode", good, there / "a" / "b.wav", *vq), "there.wav is a file, so nothing can be"),
        (("decode", good, out, *vq, "--speaker", "ann"), "no table of speakers"),
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
        (("decode", good, out, *vq, "--start", "2", "--end", "1"), "has 0.750 s"),
        (("decode", good, out, *vq, "--end", "0.8"), "has 0.750 s"),
        (("decode", good, out, *vq, "--max-hours", "0.0001"), "claims 0.000208 h"),
    ):
        code, printed, err = run(*words)
        assert (code, printed, err.count("error: "), err.count("\n")) == (2, "", 1, 1), (words, err)
        assert message in err, err
        assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before, words
