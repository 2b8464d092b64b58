"""The whole of `evaluate-units`, on a small made-up corpus with codes that are known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq import units as unit_folders
from audiovq.audio import save
from audiovq.config import parse
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.eval import evaluate_units as module
from audiovq.eval import unit_leaks
from audiovq.eval.evaluate_units import Options, evaluate_units
from audiovq.eval.prior_score import score
from audiovq.eval.unit_parts import PARTS, Aids
from audiovq.eval.unit_report import Result
from audiovq.files import sha256
from audiovq.prior._release import About, TrainedPrior, about_codes
from audiovq.units import store
from audiovq.units.coder import ModelCoder
from audiovq.units.metadata import Metadata, Shard, write_metadata
from audiovq.units.record import UnitRecord
from audiovq.units.sequences import read_split
from tests.eval.corpora import corpus as small_corpus
from tests.helpers import small_model

RATE, HOP = 8000, 80
PHONES = ("sil", "s", "n", "iy", "aa", "t")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Six speakers say eight sentences each; phones last five frames, units name them well."""
    folder = tmp_path_factory.mktemp("units")
    rng = np.random.default_rng(0)
    records, made = [], []
    for s in range(6):
        for u in range(8):
            name = f"p{s}-{u}"
            said = rng.integers(0, 6, 8)
            frames = np.repeat(said, 5)
            alignment = tuple((i * 400, (i + 1) * 400, PHONES[p]) for i, p in enumerate(said))
            tone = np.repeat(np.sin(np.outer(said + 1.0, np.arange(400) / 5.0)), 1, axis=0).ravel()
            x = torch.tensor(tone * 0.2 + rng.normal(0, 0.01, tone.size), dtype=torch.float32)
            save(folder / f"{name}.wav", x.view(1, 1, -1), RATE)
            split = "test" if s < 2 else "train"
            records.append(
                Record(
                    id=name, path=f"{name}.wav", sample_rate=RATE, num_samples=3200,
                    speaker=f"p{s}", split=split, text=f"{u % 4}", alignment={"phones": alignment},
                )
            )  # fmt: skip
            noisy = np.where(rng.random(40) < 0.1, rng.integers(0, 8, 40), frames)
            made.append((name, noisy, f"p{s}", split))
    manifests.write(folder / "corpus.jsonl", ".", records)
    write(folder / "good", made)
    random = [(n, rng.integers(0, 8, 40), s, split) for n, _, s, split in made]
    write(folder / "random", random)
    return folder


def write(folder, made, hop=HOP, model_hash="m"):
    folder.mkdir()
    records = [
        UnitRecord(n, torch.tensor(np.asarray(c))[None], 3200, s, split) for n, c, s, split in made
    ]
    metadata = Metadata(
        model_hash=model_hash, sample_rate=RATE, hop_length=hop, codebook_sizes=(8,),
        layout=("codebook 0",), manifest_hash="c", records_per_shard=99, software={},
        complete=True,
    )  # fmt: skip
    path = folder / "shard-000000.jsonl"
    path.write_bytes(store.dump(records, metadata))
    shard = Shard(file=path.name, records=len(made), sha256=sha256(path))
    metadata = metadata.model_copy(update={"shards": (shard,)})
    write_metadata(folder, metadata)


@pytest.fixture
def corpus(place):
    return manifests.read(place / "corpus.jsonl")


@pytest.fixture
def stub(monkeypatch):
    """The baseline without k-means: every code the parity of the frame."""

    def fake(manifest, records, *, hop_length, size, **more):
        fake.asked = {"hop_length": hop_length, "size": size, **more}
        return {r.id: np.arange(-(-r.num_samples // hop_length)) % 2 for r in records}

    monkeypatch.setattr("audiovq.eval.unit_baseline.mfcc_units", fake)
    return fake


def test_good_units_are_good_random_ones_are_not_and_the_baseline_stands_between(
    place, corpus, stub
):
    result, corpora = evaluate_units(
        unit_folders.load(place / "good"),
        corpus,
        beside=[unit_folders.load(place / "random")],
        options=Options(skip=("speaker", "verification")),
    )
    good, baseline, random = result.reports
    assert [r.label for r in result.reports] == ["good", "MFCC k-means 8", "random"]
    assert [c.coded.label for c in corpora] == [r.label for r in result.reports]
    assert good["pnmi"] > 0.6
    assert random["pnmi"] < 0.1
    assert abs(random["pnmi_corrected"]) < 0.05
    assert good["phone_accuracy"] > 0.8
    assert good["abx/phoneme/across/identity"] < 0.1
    assert random["abx/phoneme/across/identity"] == pytest.approx(0.5, abs=0.06)
    assert good["label_accuracy/linear, MFCC frames".replace(", ", "/")] >= 0
    assert "label_accuracy/linear/MFCC frames" not in random  # ceilings are of the corpus
    assert baseline["perplexity"] == pytest.approx(2)
    assert (stub.asked["size"], stub.asked["hop_length"]) == (8, HOP)
    assert stub.asked["split"] == "train"
    assert "32 of which are evaluated here, which flatters it" in baseline.notes[0]
    assert good.left_out["stability"] == "extracts anew from changed speech; give --stability"
    assert good.left_out["speaker"] == "not asked for"
    assert good.codes[0]["code"] == 0
    assert next(iter(good.codes[0]["phones"])) == "sil"
    json.loads(result.to_json())


def test_the_real_baseline_fits_and_is_kept(place, corpus, tmp_path):
    options = Options(skip=tuple(module.PARTS)[2:], folder=tmp_path / "mfcc", split="test")
    result, _ = evaluate_units(unit_folders.load(place / "good"), corpus, options=options)
    assert result.reports[1]["pnmi"] > 0.3  # tones are easy
    assert "flatters" not in result.reports[1].notes[0]
    (kept,) = (tmp_path / "mfcc").iterdir()
    assert kept.name.startswith(f"8-{RATE}-{HOP}-")
    before = (kept / "kmeans.safetensors").stat().st_mtime_ns
    again, corpora = evaluate_units(unit_folders.load(place / "good"), corpus, options=options)
    assert again.reports[1]["pnmi"] == result.reports[1]["pnmi"]
    assert (kept / "kmeans.safetensors").stat().st_mtime_ns == before
    assert corpora[1].coded.vectors.shape == (8, 39)  # for ABX on vectors


def test_a_baseline_that_cannot_be_is_said(place, corpus, monkeypatch):
    def refuse(*_, **__):
        raise ManifestError("too little speech")

    monkeypatch.setattr("audiovq.eval.unit_baseline.mfcc_units", refuse)
    options = Options(skip=tuple(module.PARTS)[1:])
    result, _ = evaluate_units(unit_folders.load(place / "good"), corpus, options=options)
    assert result.units.left_out["MFCC row"] == "too little speech"
    assert len(result.reports) == 1


def test_without_alignment_speakers_and_texts_the_rest_is_measured_and_said(place, corpus):
    bare = [
        r.model_copy(update={"alignment": None, "speaker": None, "text": None})
        for r in corpus.records
    ]
    plain = manifests.Manifest(corpus.path, corpus.root, corpus.header, bare)
    result, _ = evaluate_units(
        unit_folders.load(place / "good"), plain, options=Options(mfcc=False)
    )
    report = result.units
    assert "unigram_bitrate" in report
    assert "pnmi" not in report
    assert set(report.left_out) == set(module.PARTS) - {"rates"}
    assert "--alignments" in report.left_out["phones"]
    assert "0 different texts" in report.left_out["words"]
    assert report.codes == []


def test_one_part_that_fails_leaves_the_others(place, corpus, monkeypatch):
    def fail(*_):
        raise ConfigError("needs scikit-learn")

    monkeypatch.setitem(module.PARTS, "speaker", fail)
    options = Options(mfcc=False, skip=("abx", "words", "verification"))
    result, _ = evaluate_units(unit_folders.load(place / "good"), corpus, options=options)
    assert result.units.left_out["speaker"] == "needs scikit-learn"
    assert "pnmi" in result.units


def test_stability_is_of_the_model_that_made_the_units(place, corpus, tmp_path):
    model = small_model()
    coder = ModelCoder(model)
    with pytest.raises(ConfigError, match="was not extracted with this model"):
        evaluate_units(unit_folders.load(place / "good"), corpus, coder=coder)
    made = [
        (r.id, coder.encode([corpus.load(r, 16000)], exact=True)[0][0], r.speaker, r.split)
        for r in corpus.records[:2]
    ]
    folder = tmp_path / "own"
    write(folder, [], model_hash=coder.fingerprint())
    figures, notes = unit_leaks.perturbed(
        module.labelled.label(
            module.Coded(
                "own", 16000, 10, (16,), {n: c[None].numpy() for n, c, _, _ in made},
                {n: 6400 for n, *_ in made},
            ),
            corpus,
        ),
        corpus,
        coder,
        0,
    )  # fmt: skip
    found = {f.key: f.value for f in figures}
    assert 0 < found["unit_edit_distance/noise 10 dB SNR"] <= 2
    assert all("stability " in n for n in notes)


def test_units_of_another_hop_or_corpus_are_refused(place, corpus, tmp_path):
    short = corpus.records[0].model_copy(update={"num_samples": 1600, "alignment": None})
    other = manifests.Manifest(corpus.path, corpus.root, corpus.header, [short])
    with pytest.raises(CheckpointError, match="units of another hop, rate or corpus"):
        evaluate_units(unit_folders.load(place / "good"), other)
    with pytest.raises(ConfigError, match="--skip nothing: no such part; known: rates, phones"):
        evaluate_units(
            unit_folders.load(place / "good"), corpus, options=Options(skip=("nothing",))
        )
    with pytest.raises(ConfigError, match="--codebook 3: good has rows 0 to 0"):
        evaluate_units(unit_folders.load(place / "good"), corpus, options=Options(codebook=3))


def test_a_prior_is_used_on_the_units_that_it_is_of(place, corpus, tmp_path):
    good = unit_folders.load(place / "good")
    records = [(u.id, u.codes[0].numpy(), u.speaker, u.split) for u in good]
    write(tmp_path / "mine", records, model_hash="0" * 64)
    trained = made_prior(unit_folders.load(tmp_path / "mine").metadata)
    others, mine = good, unit_folders.load(tmp_path / "mine")
    options = Options(split="test", mfcc=False, skip=tuple(module.PARTS)[1:])
    result, _ = evaluate_units(others, corpus, beside=[mine], options=options, priors=[trained])
    assert ["prior_bitrate" in r for r in result.reports] == [False, True]
    found = score(trained, read_split(mine, "test"), "test", "mine")
    assert result.reports[1]["prior_bitrate"] == pytest.approx(found["prior"].bits_per_second.value)
    assert "prior-coded bitrate (bit/s)" in result.table()
    with pytest.raises(CheckpointError, match="--prior: the wavenet is of codes of the model 0000"):
        evaluate_units(others, corpus, options=options, priors=[trained])


def made_prior(about):
    values = {"prior": {"name": "wavenet"}, "codes": about_codes(about).model_dump()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trained = TrainedPrior.build(parse(About, values))
    trained.module.eval()
    return trained


def test_equal_names_are_numbered(place, corpus):
    units = unit_folders.load(place / "good")
    options = Options(mfcc=False, skip=tuple(module.PARTS)[1:])
    result, _ = evaluate_units(units, corpus, beside=[units], options=options)
    assert [r.label for r in result.reports] == ["good", "good (2)"]


utterance = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        st.sampled_from("abcdefg"),
        st.text("sn.-", min_size=n, max_size=n),
        st.text("0127", min_size=n, max_size=n),
    )
)


@settings(max_examples=12, deadline=None)
@given(st.lists(utterance, min_size=1, max_size=12))
def test_every_figure_of_any_small_corpus_is_finite_and_inside_its_interval(made):
    c = small_corpus(made)
    aids = Aids(manifest=manifests.Manifest(Path(), Path(), {}, []))
    for name in ("rates", "phones", "boundaries", "per", "abx"):
        outcome = PARTS[name](c, aids)
        assert bool(outcome.figures) != bool(outcome.left_out)
        for f in outcome.figures:
            known = [x for x in (f.value, f.low, f.high, f.lowest, f.highest) if x is not None]
            assert np.isfinite(known).all(), f
            assert (f.low is None) == (f.high is None) == (f.interval == "")
            if f.low is not None:
                assert f.low - 1e-9 <= f.value <= f.high + 1e-9, f
    report = module._report(c, aids, Options(skip=SKIPPED))
    Result(reports=[report], machine={}, date="").to_json()  # refuses what is not finite


SKIPPED = ("speaker", "verification", "words", "stability", "abx")
FEW = ("--no-mfcc", "--skip", "abx,speaker,verification,words")


def test_the_command_writes_tables_and_page(place, run, tmp_path):
    out = tmp_path / "deep" / "report"
    code, text, _ = run(
        "evaluate-units", place / "good", place / "corpus.jsonl", "-o", out, *FEW,
        "--beside", place / "random",
    )  # fmt: skip
    assert code == 0
    assert "PNMI, corrected" in text
    names = {p.name for p in out.iterdir()}
    assert names == {"table.md", "table.csv", "table.json", "report.html"}
    page = (out / "report.html").read_text()
    assert "Unit cards" in page
    assert page.count("data:audio/flac") >= 12
    code, text, _ = run("evaluate-units", place / "good", place / "corpus.jsonl", "--json", *FEW)
    assert json.loads(text)["values"]["pnmi"]["value"] > 0.6


def test_the_command_takes_alignments_from_outside(place, run, tmp_path):
    for record in manifests.read(place / "corpus.jsonl").records:
        lines = [f"{a} {b} h#\n" for a, b, _ in record.alignment["phones"]]
        (tmp_path / f"{record.id}.phn").write_text("".join(lines))
    arguments = ("evaluate-units", place / "good", place / "corpus.jsonl", "--json", *FEW)
    found = json.loads(run(*arguments, "--alignments", tmp_path)[1])
    assert found["data"]["phones"] == ["sil"]
    assert found["values"]["pnmi"]["value"] == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--skip", "abc"), "--skip abc: no such part"),
        (("--codebook", "2"), "--codebook 2: good has rows 0 to 0"),
        (("--alignments", "gone"), "no alignments at gone"),
        (("--beside", "gone"), "no units.json in gone"),
        (("--fit-manifest", "gone"), "cannot read the manifest gone"),
    ],
)
def test_mistakes_are_one_line(place, run, more, message):
    code, out, err = run("evaluate-units", place / "good", place / "corpus.jsonl", *more)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]


def test_help_defines_every_figure(run):
    from audiovq.eval.unit_values import METRICS

    code, out, _ = run("evaluate-units", "--help")
    text = " ".join(out.split())
    assert code == 0
    assert "Example:" in text
    for name, metric in METRICS.items():
        assert name in text
        assert " ".join(metric.definition.split())[:40] in text
