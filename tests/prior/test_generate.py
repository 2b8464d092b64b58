"""New sound: pieces of a prior decoded by its model, alone or going on from a recording."""

import sys

import pytest
import torch

from audiovq import audio, registry
from audiovq.__main__ import main
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
    ):
        with pytest.raises(ConfigError, match=message):
            pieces(wish, prompt)
    with pytest.raises(CheckpointError, match="codes of the model"):
        pieces(Wish(), trained=prior(small_model(seed=1)))


def test_the_command_writes_wav_files(tmp_path, monkeypatch, capsys):
    MODEL.save(tmp_path / "vq")
    prior().save(tmp_path / "prior")
    words = ["prior", "vq", "-o", "new", "--number", "2", "--seconds", "0.05", "--label", "ann"]
    monkeypatch.chdir(tmp_path)

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["audiovq", "sample", *words, *more])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code or 0, capsys.readouterr()

    code, said = run("--temperature", "0.9", "--top-p", "0.9")
    assert code == 0, said.err
    assert said.out.splitlines()[0] == "new/sample-000.wav\t0.05 s"
    assert audio.probe(tmp_path / "new" / "sample-001.wav").num_samples == 800
    code, said = run()
    assert (code, "add --force" in said.err) == (2, True)
    assert run("--force")[0] == 0
