"""New sound: pieces of a prior decoded by its model, alone or going on from a recording."""

import pytest
import torch

from audiovq import audio, registry
from audiovq.config import parse
from audiovq.errors import CheckpointError, ConfigError
from audiovq.prior._generate import Wish, generate
from audiovq.prior._release import About, TrainedPrior
from tests.helpers import noise, small_model

MODEL = small_model()  # 1,600 frames a second
SECONDS = 60 / 1600


def prior(model=MODEL, labels=("ann",), name="wavenet"):
    """A tiny untrained prior over the codes of a model."""
    codes = {
        "model_hash": model.fingerprint(),
        "sample_rate": model.sample_rate,
        "hop_length": model.hop_length,
        "codebook_sizes": model.codebook_sizes,
    }
    with registry.plugins(None), torch.random.fork_rng():
        torch.manual_seed(0)
        about = parse(
            About,
            {
                "prior": {"name": name},
                "codes": codes,
                "labels": labels,
                "counts": [[1] * n for n in model.codebook_sizes],
            },
        )
        trained = TrainedPrior.build(about)
    trained.module.eval()
    return trained


def pieces(wish, prompt=None, trained=None):
    return list(generate(trained or prior(), MODEL, wish, prompt, progress=False))


def test_pieces_are_as_long_as_asked_and_repeat_with_the_seed():
    wish = Wish(number=3, seconds=SECONDS, batch=2, seed=4)
    found, again = pieces(wish), pieces(wish)
    assert len(found) == 3
    for (codes, x), (other, _) in zip(found, again, strict=True):
        assert codes.shape == (1, 60)
        assert x.shape == (1, 1, 600)
        assert torch.equal(codes, other)
        assert torch.equal(x, MODEL.decode(codes.unsqueeze(0)))
    assert not torch.equal(found[0][0], found[1][0])
    fewer = pieces(Wish(number=1, seconds=SECONDS, batch=2, seed=4))
    assert torch.equal(fewer[0][0], found[0][0])
    ahead = pieces(Wish(number=1, seconds=SECONDS, batch=2, seed=4 + 2))
    assert not torch.equal(ahead[0][0], found[2][0])  # the second batch is not another seed's first


@pytest.mark.parametrize("samples", [200, 455])  # within the context, and longer
def test_a_prompt_is_kept_and_gone_on_from(samples):
    x = noise(1, samples)
    (codes, x_hat), = pieces(Wish(seconds=SECONDS), x)  # fmt: skip
    whole = samples // 10
    assert torch.equal(codes[:, :whole], MODEL.encode(x[..., : 10 * whole], exact=True)[0])
    assert codes.shape == (1, 60)
    assert x_hat.shape == (1, 1, 600)


def test_wishes_that_cannot_be_met():
    for wish, prompt, message in (
        (Wish(seconds=0.0), None, "less than a frame"),
        (Wish(seconds=SECONDS), noise(1, 600), "must be more"),
        (Wish(seconds=SECONDS), noise(1, 9), "shorter than a frame"),
        (Wish(seconds=SECONDS, label="bob"), None, "no label 'bob'; the prior knows: ann"),
        (Wish(seconds=SECONDS, temperature=-1.0), None, "temperature"),
        (Wish(seconds=SECONDS, top_p=0.0), None, "top_p"),
        (Wish(seconds=SECONDS, guidance=2.0), None, "--guidance 2 needs something .*: --label"),
    ):
        with pytest.raises(ConfigError, match=message):  # before anything is drawn
            generate(prior(), MODEL, wish, prompt, progress=False)
    with pytest.raises(CheckpointError, match="codes of the model"):
        pieces(Wish(), trained=prior(small_model(seed=1)))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model, and a run folder with a prior of its codes."""
    MODEL.save(tmp_path / "vq")
    prior().save(tmp_path / "run" / "best")
    (tmp_path / "run" / "config.yaml").touch()
    (tmp_path / "run" / "log.jsonl").write_text('{"step": 0, "train/bits_per_code": 2.5}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(run):
    return lambda *words: run("sample", *words, "--seconds", "0.05", "--label", "ann")


def test_the_command_writes_wav_files_what_they_are_and_a_page(place, run):
    words = ("run/best", "vq", "-o", "new", "--number", "2")
    code, out, err = run(*words, "--temperature", "0.9", "--top-p", "0.9")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("new/sample-000.wav\t0.05 s\t")
    assert lines[-1] == "page: new/report.html"
    assert audio.probe(place / "new" / "sample-001.wav").num_samples == 800
    names = {f"sample-00{i}.{end}" for i in (0, 1) for end in ("wav", "json")}
    assert {p.name for p in (place / "new").iterdir()} == names | {"report.html"}
    assert (place / "new" / "report.html").read_text("utf-8").count("<audio") == 2
    assert not (place / "run" / "report.html").exists()
    code, _, err = run(*words)
    assert (code, "add --force" in err) == (2, True)
    assert run(*words, "--force")[0] == 0
    assert run("run/best", "vq", "-o", "not", "--top-p", "0")[0] == 2
    assert not (place / "not").exists()


def test_samples_and_continuations_of_a_run_are_in_its_report(place, run):
    audio.save(place / "said.wav", noise(1, 300), MODEL.sample_rate)
    assert run("run/best", "vq")[0] == 0
    code, out, err = run("run/best", "vq", "--prompt", "said.wav")
    assert code == 0, err
    assert "after a prompt of 0.02 s" in out
    names = sorted(p.name for p in (place / "run" / "samples").glob("*.wav"))
    assert names == ["continuation-000.wav", "sample-000.wav"]
    page = (place / "run" / "report.html").read_text("utf-8")
    assert page.count("<audio") == 2
    assert "prompt said.wav, label ann, temperature 1.0" in page
