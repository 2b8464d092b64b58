"""`audiovq score` as a user meets it: several priors, every code, and the bound on speech."""

import json
import math
import random
from dataclasses import replace
from functools import partial

import pytest
import torch

from audiovq import audio
from audiovq.config import parse
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.prior._release import About, TrainedPrior, about_codes
from audiovq.units import given
from audiovq.units.record import UnitRecord
from tests.helpers import noise, small_model
from tests.units.made import made_units, metadata, write

LENGTHS = [803, 410, 255, 99, 640, 321]
SPLITS = ["train", "train", "validation", "test", "test", "test"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, a corpus, its units, and two priors of them; units and a prior of another model."""
    folder = tmp_path_factory.mktemp("score")
    model = small_model()
    model.save(folder / "model")
    records, coded = [], []
    for i, (length, split) in enumerate(zip(LENGTHS, SPLITS, strict=True)):
        x = noise(1, length, seed=i)
        audio.save(folder / f"u{i}.wav", x, model.sample_rate)
        about = {"id": f"u{i}", "num_samples": length, "speaker": f"s{i}", "split": split}
        records.append(Record(path=f"u{i}.wav", sample_rate=model.sample_rate, **about))
        coded.append(UnitRecord(codes=model.encode(x)[0], **about))
    manifests.write(folder / "corpus.jsonl", ".", records)
    manifests.write(folder / "part.jsonl", ".", records[:4])
    mine = metadata(model.codebook_sizes).model_copy(
        update={
            "model_hash": model.fingerprint(),
            "sample_rate": model.sample_rate,
            "hop_length": model.hop_length,
        }
    )
    write(folder / "units", coded, mine)
    write(folder / "seen", [r for r in coded if r.split == "train"], mine)
    for name in ("wavenet", "ngram"):
        trained = prior(name, mine)
        trained.save(folder / name)
    write(folder / "other", list(made_units(random.Random(0), (8, 5))), metadata((8, 5)))
    prior("wavenet", metadata((8, 5))).save(folder / "foreign")
    prior("wavenet", mine, given=mine).save(folder / "told")
    return folder


def prior(name, about, given=None):
    counts = [[1] * n for n in about.codebook_sizes]
    values = {"prior": {"name": name}, "codes": about_codes(about).model_dump(), "counts": counts}
    if given is not None:
        values["prior"]["condition_codes"] = given.codebook_sizes
        values["given_codes"] = about_codes(given).model_dump()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TrainedPrior.build(parse(About, values))


@pytest.fixture
def run(run, monkeypatch, place):
    """Run `audiovq score ...` where all of it is."""
    monkeypatch.chdir(place)
    return partial(run, "score")


def test_all_of_it_at_once(run, tmp_path):
    path = tmp_path / "codes.jsonl"
    words = ["wavenet", "units", "--beside", "ngram", "--codes", path, "--threads", "1"]
    words += ["--model", "model", "--manifest", "corpus.jsonl"]
    code, out, err = run(*words, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [u["id"] for u in found["utterances"]] == ["u3", "u4", "u5"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row, utterance in zip(rows, found["utterances"], strict=True):
        assert math.fsum(row["nats"][0]) == pytest.approx(utterance["nats"], rel=1e-6)
    best = found["beside"]
    assert (best["best_neural"], best["best_ngram"]) == ("wavenet", "ngram")
    for bound, name in zip(found["bounds"], ("gaussian", "laplace"), strict=True):
        assert bound["likelihood"] == name
        assert bound["fitted"] == {"split": "validation", "utterances": 1, "seconds": 255 / 16000}
        assert [-u["nats"]["rate"] for u in bound["utterances"]] == pytest.approx(
            [u["nats"] for u in found["utterances"]]
        )
    code, out, err = run(*words, "--each", "--likelihood", "laplace", "--fit-split", "train")
    assert code == 0, err
    for shown in ("\nu4 ", "% to the first", "laplace, scale 0.", "of the split train", "16-bit"):
        assert shown in out
    assert "gaussian, scale" not in out
    assert "may be of either sign" in out


def test_what_a_prior_is_given_is_said(run):
    code, out, err = run("told", "units", "--given-codes", "units")
    assert code == 0, err
    assert "is given other codes or features; what those cost is not in it" in out
    code, out, err = run("wavenet", "units")
    assert code == 0, err
    assert "is given" not in out


def test_priors_that_are_told_the_same_share_what_is_read(run, monkeypatch):
    reads, read = [], given.read_split
    monkeypatch.setattr(given, "read_split", lambda *a: reads.append(a) or read(*a))
    words = ["wavenet", "units", "--beside", "ngram", "--beside", "told", "--given-codes", "units"]
    code, _, err = run(*words)
    assert code == 0, err
    assert len(reads) == 2  # with other codes beside, and without


def test_a_page_of_recordings(run, tmp_path):
    code, out, err = run(
        "wavenet", "units", "--manifest", "corpus.jsonl", "--report", tmp_path / "page"
    )
    assert code == 0, err
    page = tmp_path / "page" / "report.html"
    assert out.rstrip().endswith(f"page: {page}")
    assert page.read_text().count("<audio") == 3


def test_mistakes_are_one_line(run):
    speech = ("--model", "model", "--manifest", "corpus.jsonl")
    for words, message in (
        (("wavenet", "units", "--beside", "foreign"), "foreign: units holds codes of the model"),
        (("wavenet", "seen"), "no utterances of the split 'test'"),
        (("wavenet", "units", "--codes", "x.csv"), "ends in .jsonl or .parquet"),
        (("wavenet", "units", "--model", "model"), "the bound (--model) needs --manifest, too"),
        (("wavenet", "units", "--report", "page"), "the page (--report) needs --manifest, too"),
        (("wavenet", "units", *speech[2:]), "give one"),
        (("foreign", "other", *speech), "--model is"),
        (("told", "units", "--given-codes", "units", *speech), "needs a prior of codes alone"),
        (("wavenet", "units", *speech[2:], "--report", "u0.wav"), "u0.wav is a file, so nothing"),
        (("wavenet", "units", *speech[:3], "part.jsonl"), "no utterance 'u4', of which units"),
        (("wavenet", "units", *speech, "--split", "validation"), "fitted on 1 of the utterances"),
        (("wavenet", "units", *speech, "--split", "all"), "fitted on 1 of the utterances"),
    ):
        code, out, err = run(*words)
        assert (code, out, err.count("error: ")) == (2, "", 1), words
        assert message in err


def test_a_damaged_prior_is_named(run, monkeypatch):
    from audiovq import prior as priors

    load = priors.load

    def damaged(path, plugins=()):
        trained = load(path, plugins)
        next(trained.module.parameters()).fill_(math.nan)
        return replace(trained)

    monkeypatch.setattr(priors, "load", damaged)
    code, out, err = run("wavenet", "units")
    assert (code, out) == (2, "")
    assert "error: wavenet: the prior wavenet" in err
    assert "is damaged: it gives" in err
