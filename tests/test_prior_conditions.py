"""Priors that are told something of every frame: trained, scored and sampled, end to end."""

import dataclasses
import json
import random

import pytest
import torch

from audiovq import audio
from audiovq import prior as priors
from audiovq.errors import CheckpointError, ConfigError
from audiovq.files import sha256
from audiovq.prior._generate import Wish, generate
from audiovq.train.trackers.lines import read_log
from audiovq.units.metadata import VECTORS
from tests.helpers import noise, small_model
from tests.test_prior_recipe import RECIPE, fingerprint, settings, train
from tests.units.made import metadata, record, repetitive, write

SIZE = 6
MODEL = small_model(
    {"name": "vqvae2", "ratio": 2, "dim": 4, "codebook_size": SIZE, "slow_codebook_size": SIZE}
)
LEARNS = [
    "prior.channels=16", "prior.skip_channels=16", "prior.dropout=0", "optim.lr=0.02",
    "data.crop=null", "data.batch_size=4", "train.max_steps=60", "train.validate_every=60",
    "train.average=0", "checkpoint.every=60", "train.condition=none", "train.label_smoothing=0",
    "log.every=30",
]  # fmt: skip


def fast_of(slow):
    """The fast codes that a slow one goes with, in this corpus."""
    return (slow + 1) % SIZE, (5 * slow + 2) % SIZE


def corpus(folder, made, *, like=MODEL, vectors=None):
    """Units of a model of given codes, as {id: rows}."""
    records = []
    for i, (name, rows) in enumerate(made.items()):
        split = ("train", "train", "validation", "test")[i % 4]
        found = record(name, rows, speaker=f"s{i % 3}", split=split)
        samples = found.codes.shape[1] * like.hop_length
        records.append(dataclasses.replace(found, num_samples=samples))
    about = metadata([SIZE] * len(rows)).model_copy(
        update={
            "model_hash": like.fingerprint(), "sample_rate": like.sample_rate,
            "hop_length": like.hop_length, "layout": like.layout[: len(rows)],
        }
    )  # fmt: skip
    if vectors is not None:
        import numpy as np

        folder.mkdir(parents=True)
        np.save(folder / VECTORS, vectors)
        about = about.model_copy(update={"vectors_sha256": sha256(folder / VECTORS)})
    return write(folder, records, about)


def two_rates():
    rng, made = random.Random(0), {}
    for i in range(16):
        slow = repetitive(rng, SIZE, rng.randint(30, 60))
        made[f"u{i}"] = [slow, *zip(*map(fast_of, slow), strict=True)]
    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with codes of two rates, and priors of both."""
    home = tmp_path_factory.mktemp("runs")
    codes = corpus(home / "codes", two_rates())
    train(codes, home / "slow", *LEARNS, "train.streams=[slow]")
    train(codes, home / "fast", *LEARNS, "train.streams=[fast]", "train.given_streams=[slow]")
    return home


def test_fast_codes_that_the_slow_ones_decide_cost_nothing_given_those(runs, run):
    code, out, err = run("score", runs / "fast", runs / "codes", "--split", "validation", "--json")
    assert code == 0, err
    found = json.loads(out)["rates"]["prior"]["bits_per_code"]["value"]
    logged = read_log(runs / "fast" / "log.jsonl")[-1]
    assert found == pytest.approx(logged["validation/bits_per_code"], rel=1e-5)
    assert logged["validation/unigram_bits_per_code"] > 2
    assert found < 0.2
    slow = read_log(runs / "slow" / "log.jsonl")[-1]
    assert slow["validation/bits_per_code"] > 0.5
    seconds = logged["validation/bits_per_second"] / logged["validation/bits_per_code"]
    rate = seconds * slow["validation/bits_per_code"] / slow["validation/bits_per_second"]
    assert rate == pytest.approx(2)  # codes of one per code of the other
    about = priors.load(runs / "fast").about
    assert (about.part.rows, about.part.ratio, about.part.given) == ((1, 2), 2, (0,))
    assert about.codes.hop_length * 2 == MODEL.hop_length


@pytest.mark.parametrize("prompted", [False, True])
def test_a_fast_prior_follows_what_the_slow_one_drew(runs, prompted):
    both = [priors.load(runs / name) for name in ("slow", "fast")]
    seconds = 200 * MODEL.hop_length / MODEL.sample_rate
    x = noise(1, 90 * MODEL.hop_length) if prompted else None  # longer than either's context
    wish = Wish(number=2, seconds=seconds, batch=2)
    pieces = list(generate(both, MODEL, wish, x, progress=False))
    again = list(generate(both, MODEL, wish, x, progress=False))
    for (codes, x_hat), (other, _) in zip(pieces, again, strict=True):
        assert torch.equal(codes, other)
        assert codes.shape == (3, 200)
        assert x_hat.shape[-1] == 200 * MODEL.hop_length
        start = 100 if prompted else 0
        if prompted:
            assert torch.equal(codes[:, :90], MODEL.encode(x, exact=True)[0])
        drawn = codes[:, start:]
        expected = torch.stack(fast_of(drawn[0]))
        assert float((drawn[1:] == expected).float().mean()) > 0.9
    assert not torch.equal(pieces[0][0], pieces[1][0])


def test_the_commands_chain_streams(runs, tmp_path, run):
    MODEL.save(tmp_path / "model")

    def sample(*words):
        return run("sample", *words, "-o", tmp_path / "new", "--force", "--seconds", "0.06")

    slow, fast, model = runs / "slow", runs / "fast", tmp_path / "model"
    code, _, err = sample(slow, model, "--then", fast, "--guidance", "2")
    assert code == 0, err
    assert audio.probe(tmp_path / "new" / "sample-000.wav").num_samples == 960
    for words, message in (
        ((slow, model), "no prior draws fast 0, fast 1, which the model needs, too: add one with"),
        ((fast, model, "--then", slow), "fast is given slow: name a prior of that first"),
        ((slow, model, "--then", slow), "two priors draw slow: one is needed of each row"),
        ((slow, model, "--then", fast, "--utterance", "u0"), "--utterance ID goes with --given"),
        ((slow, model, "--then", fast, "--given-codes", runs / "codes", "--utterance", "u0"),
         "no prior here is given what"),
    ):  # fmt: skip
        code, _, err = sample(*words)
        assert (code, message in err) == (2, True), err
        assert len(err.splitlines()) == 1
    audio.save(tmp_path / "prompt.wav", noise(1, 800), MODEL.sample_rate)
    code, _, err = sample(slow, model, "--then", fast, "--prompt", tmp_path / "prompt.wav")
    assert code == 0, err
    assert "note: of the prompt's 0.05 s a prior hears the last 0.0" in err


def test_other_codes_and_vectors_are_told_end_to_end(tmp_path, run):
    """Codes that another source decides, by a number or by a vector, cost nothing given it."""
    model = small_model({"name": "vq_ema", "dim": 4, "codebook_size": SIZE})
    rng = random.Random(1)
    theirs = {f"u{i}": [[rng.randrange(SIZE) for _ in range(40)]] for i in range(16)}
    mine = {name: [[(c + 2) % SIZE for c in rows[0]]] for name, rows in theirs.items()}
    codes = corpus(tmp_path / "codes", mine, like=model)
    other = small_model({"name": "vq_ema", "dim": 4, "codebook_size": SIZE}, seed=1)
    told = corpus(tmp_path / "told", theirs, like=other, vectors=3 * torch.eye(SIZE).numpy())
    for name in ("given_codes", "given_features"):
        folder = tmp_path / name
        train(codes, folder, *LEARNS, f"train.{name}={told}")
        assert read_log(folder / "log.jsonl")[-1]["validation/bits_per_code"] < 0.3
        option = "--" + name.replace("_", "-")
        model.save(tmp_path / "model")
        code, _, err = run("score", folder, codes, option, told)
        assert code == 0, err
        code, _, err = run("score", folder, codes)
        assert (code, f"{option} DIR" in err) == (2, True)
        wanted = (folder, tmp_path / "model", "-o", tmp_path / "new", "--force")
        given = (option, told, "--utterance", "u3")
        code, _, err = run("sample", *wanted, *given)
        assert code == 0, err
        made = audio.probe(tmp_path / "new" / "sample-000.wav").num_samples
        assert made == 40 * model.hop_length
        code, _, err = run("sample", *wanted, *given, "--seconds", "9")
        assert (code, "ask for less" in err) == (2, True)
    with pytest.raises(ConfigError, match="ngram cannot be given anything"):
        train(
            codes,
            tmp_path / "n",
            "prior={name: ngram}",
            "train.condition=none",
            f"train.given_codes={told}",
        )


def test_training_with_conditions_resumes_exactly_and_refuses_others(runs, tmp_path):
    changes = [
        "train.streams=[fast]", "train.given_streams=[slow]", f"train.given_codes={runs / 'codes'}",
    ]  # fmt: skip
    train(runs / "codes", tmp_path / "a", *changes, "train.max_steps=4")
    train(runs / "codes", tmp_path / "b", *changes, "train.max_steps=2")
    train(runs / "codes", tmp_path / "b", *changes, "train.max_steps=4")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    moved = f"train.given_codes={corpus(tmp_path / 'moved', two_rates())}"
    train(runs / "codes", tmp_path / "b", *changes[:2], moved, "train.max_steps=5")
    with pytest.raises(ConfigError, match=r"given_streams"):
        train(runs / "codes", tmp_path / "a", changes[0], changes[2], "train.max_steps=5")
    made = two_rates()
    made["u0"][0] = [0] * len(made["u0"][0])
    other = corpus(tmp_path / "other", made)
    again = [*changes[:2], f"train.given_codes={other}", "train.max_steps=5"]
    with pytest.raises(CheckpointError, match=r"the codes are not"):
        train(runs / "codes", tmp_path / "a", *again)


def test_parts_of_a_batch_add_up_to_it(runs, tmp_path):
    """As two ranks, or two micro-batches, would share it."""
    given = ["train.streams=[fast]", "train.given_streams=[slow]", "prior.dropout=0.3"]
    c = settings(runs / "codes", tmp_path, *given, "data.batch_size=5")
    sequences, _ = RECIPE.read_codes(c)
    trained = RECIPE.build(c, sequences, torch.device("cpu"))
    batch = next(RECIPE.CodeLoader(sequences, c.data, 0).batches(0))
    step = RECIPE.make_step(trained.module, trained, c.train, torch.device("cpu"))
    whole = float(step(batch).loss.detach())
    assert sum(float(step(p).loss.detach()) for p in batch.split(2)) == pytest.approx(whole)


def test_a_wish_that_contradicts_itself_is_refused(runs, tmp_path):
    with pytest.raises(ConfigError, match=r"prior\.condition_codes=\(9,\): leave it out"):
        train(runs / "codes", tmp_path, "prior.condition_codes=[9]")
