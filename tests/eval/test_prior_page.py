"""Pages about priors, made from folders: what is in them, and what is refused."""

import json
import random

import pytest
import torch

from audiovq import audio, report
from audiovq.data.manifest import Manifest
from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.eval import prior_page, prior_summary, samples, surprise
from audiovq.eval.prior_summary import Summary
from audiovq.units.sequences import read_split
from tests.eval.corpora import record
from tests.eval.test_unit_page import checked
from tests.helpers import noise
from tests.prior.test_generate import MODEL, prior
from tests.units.made import MadeUnits, made_units, metadata

BAD = "<script>alert(1)</script>$\\frac$\"'&"
ENTRY = {"step": 5, "validation/bits_per_code": 2.5, "validation/bits_per_second": 100.0}


def units(ids=("a", "b", "c", "d", "e", "f", "g", "h")):
    of = prior().about.codes
    about = metadata(of.codebook_sizes).model_copy(
        update={
            "model_hash": of.model_hash,
            "sample_rate": of.sample_rate,
            "hop_length": of.hop_length,
        }
    )
    records = made_units(random.Random(0), of.codebook_sizes, ids=list(ids))
    return read_split(MadeUnits(list(records), about), None)


@pytest.fixture(scope="module")
def summary() -> Summary:
    return prior_summary.summarise(prior(), units(), units([f"{BAD}{i}" for i in range(8)]), "here")


@pytest.fixture
def folder(tmp_path, summary):
    """A run folder with a log, figures of held-out codes, and a sample."""
    lines = [{**ENTRY, "step": i, "train/bits_per_code": 3.0} for i in range(1, 60)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    prior_summary.write(tmp_path / prior_summary.FILE, summary)
    (tmp_path / "samples").mkdir()
    draw(tmp_path / "samples" / "sample-000.wav")
    return tmp_path


def draw(path, prompt=0, **settings):
    codes = torch.randint(0, 4, (1, 60), generator=torch.Generator().manual_seed(0))
    x = MODEL.decode(codes[None]).detach()
    return samples.write(path, [prior()], samples.Drawn(codes, x, prompt), settings)


def test_utterances_spread_over_all_show_where_the_prior_is_surprised(monkeypatch):
    monkeypatch.setattr(prior_summary, "UTTERANCES", 3)
    held_out = units()
    told = prior_summary.summarise(prior(), units(), held_out, "here").surprise
    alone = surprise.of_each(prior(), held_out.spread(3))  # the 1st, the 4th, the 7th
    assert told.utterances == len(alone) == 3
    assert told.row_means == pytest.approx(surprise.row_means(alone), rel=1e-5)
    means = {example.id: example.mean for example in told.examples}
    assert means == pytest.approx(dict(zip("adg", [a.mean() for a in alone], strict=True)))


def test_a_run_page_is_made_from_its_folder(folder):
    pytest.importorskip("matplotlib")
    prior_page.write_run(folder, BAD)
    text, page = checked(folder / "report.html")
    assert "script" not in page.tags
    assert f"{BAD}0" in text
    assert (page.tags.count("img"), page.tags.count("audio")) == (7, 1)
    for part in ("Rates of held-out speakers", "Which code follows which", "Surprise per code"):
        assert part in text
    assert page.tags.count("tr") == 1 + 20 + 1 + 6  # a long run's table does not grow
    assert " 59 2.5000 " in " ".join(text.split())
    for label in prior_summary.LABELS.values():
        assert label in text


def test_averaged_weights_have_a_column_where_there_are_any(tmp_path):
    def table(entries):
        page = report.Page("curves")
        prior_page.add_curves(page, {"run": entries})
        page.write(tmp_path / "page.html")
        return (tmp_path / "page.html").read_text("utf-8")

    plain = {"step": 1, "validation/bits_per_code": 7.0, "validation/bits_per_second": 350.0}
    both = {**plain, "step": 2, "validation/average/bits_per_code": 6.5}
    assert "averaged weights</th>" not in table([plain])
    assert "averaged weights</th>" in table([plain, both])
    assert "6.5000" in table([plain, both])


def test_what_is_not_there_is_left_out(folder, monkeypatch):
    monkeypatch.setattr("audiovq.report.can_draw", lambda: False)
    prior_page.write_run(folder, "run")
    text, page = checked(folder / "report.html")
    assert "img" not in page.tags
    assert page.tags.count("audio") == 1
    assert "Rates of held-out speakers" in text
    (folder / prior_summary.FILE).unlink()
    (folder / "samples" / "sample-000.json").unlink()
    prior_page.write_run(folder, "run")
    text, page = checked(folder / "report.html")
    assert "Rates" not in text
    assert "audio" not in page.tags


def test_a_summary_is_read_as_it_was_written(folder, summary):
    assert prior_summary.read(folder / prior_summary.FILE) == summary
    assert prior_page.held_out_bits(folder) == summary.bits_per_code
    assert prior_page.held_out_bits(folder / "samples") is None
    assert prior_page.held_out_bits(None) is None
    size = len(summary.follow.codes)
    assert {len(row) for row in summary.follow.lift} == {size} == {len(summary.follow.stays)}
    runs = summary.follow.runs
    assert sum(n * (i + 1) for i, n in enumerate(runs)) == int(units().frames.sum())


def test_a_piece_says_what_it_costs_beside_real_speech(tmp_path):
    pytest.importorskip("matplotlib")
    piece = draw(tmp_path / "continuation-000.wav", prompt=20, prompt_file="x", prompt_=None)
    drawn, given = piece.bits[:, 20:].mean(), piece.bits[:, :20].mean()
    said = f"{drawn:.2f} bits per code after a prompt of 0.01 s at {given:.2f}"
    assert samples.costs(piece) == said
    prior_page.write(tmp_path / "p.html", "title", [piece], held_out=5.678)
    text, _ = checked(tmp_path / "p.html")
    assert f"{said} (held-out real speech: 5.68)" in text
    html = (tmp_path / "p.html").read_text("utf-8")
    assert f'alt="Surprise per code over the mel spectrogram of continuation-000: {said}"' in html


def test_a_piece_of_several_priors_is_not_compared_with_one_of_them(folder, summary):
    path = folder / "samples" / "sample-000.json"
    held_out = f"{summary.bits_per_code:.2f}"
    prior_page.write_samples(folder / "samples", folder)
    prior_page.write_run(folder, "run")
    for page in (folder / "samples", folder):
        text, _ = checked(page / "report.html")
        assert f"Real speech of held-out speakers costs {held_out} bits per code." in text
        assert f"(held-out real speech: {held_out})" in text
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"prior": "a, b"}))
    prior_page.write_samples(folder / "samples", folder)
    (folder / "config.yaml").touch()
    prior_page.write_run(folder, "run")
    for page in (folder / "samples", folder):
        text, _ = checked(page / "report.html")
        assert "real speech" not in text.lower()
        assert "bits per code" in text


def test_pieces_are_read_as_they_were_drawn(tmp_path):
    drawn = draw(
        tmp_path / "b.wav", prompt=20, label="ann", temperature=0.5, batch=16, guidance=1.0
    )
    draw(tmp_path / "a.wav")
    draw(tmp_path / "c.wav", label="ann", utterance="u7", guidance=3.0)
    (tmp_path / "other.wav").touch()  # not described
    (tmp_path / "report.json").touch()  # of no sound
    a, b, c = samples.read(tmp_path)
    assert (a.title, a.prompt, a.text) == ("a", 0, "")
    assert (b.title, b.prompt, b.text) == ("b", 20, "label ann, temperature 0.5")
    assert c.text == "utterance u7, label ann, guidance 3.0"
    assert (b.bits == drawn.bits.round(4)).all()
    torch.testing.assert_close(b.x, drawn.x.clamp(-1, 1), atol=1e-4, rtol=0)
    assert samples.read(tmp_path / "nothing") == []


def test_a_damaged_description_is_one_clear_line(tmp_path):
    draw(tmp_path / "a.wav")
    path = tmp_path / "a.json"
    good = json.loads(path.read_text())
    for change, error, message in (
        ({"format": "x"}, CheckpointError, "a.json is not the config of an audiovq sample"),
        ({"format_version": 9}, CheckpointError, "format_version 9"),
        ({"bits": [[1.0], [1.0, 2.0]]}, CheckpointError, "differ in length"),
        ({"bits": [[]]}, CheckpointError, "are empty"),
        ({"sample_rate": 0}, ConfigError, "sample_rate"),
        ({"hop": 3}, ConfigError, "hop"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(error, match=message):
            samples.read(tmp_path)


def test_recordings_are_found_by_their_manifest(tmp_path):
    found = units()
    sizes = dict(zip(found.ids, found.samples.tolist(), strict=True))
    rate = found.metadata.sample_rate
    records = [record(i, [], rate=rate, samples=n) for i, n in sizes.items()]
    here = Manifest(tmp_path / "m.jsonl", tmp_path, {}, records)
    for name, size in sizes.items():
        audio.save(tmp_path / f"{name}.wav", noise(1, size), rate)
    pieces = samples.recordings(prior(), found, here, 4)
    assert [p.title for p in pieces] == ["a", "c", "e", "g"]
    for piece, codes in zip(pieces, found.codes[::2], strict=True):
        assert piece.x.shape[-1] == sizes[piece.title]
        assert piece.bits.shape == codes.shape
    with pytest.raises(ManifestError, match=r"m.jsonl has no utterance 'a': give"):
        samples.recordings(prior(), found, Manifest(tmp_path / "m.jsonl", tmp_path, {}, []), 2)
