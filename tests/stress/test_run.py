"""The whole of it on a few recordings: going on, what is refused, and that figures are right."""

import json

import numpy as np
import pytest
import torch

from audiovq.errors import AudioError, ConfigError
from audiovq.eval.stability import unit_edit_distance
from audiovq.stress import measure, plot, run, table
from audiovq.stress.conditions import choose
from tests.coding.with_prior import prior_of
from tests.helpers import small_model
from tests.stress.made import corpus

WORDS = (
    "white-0", "babble-5", "speed-1.1", "gain-12", "loss-80ms-20-random", "bits-1e-2",
    "file-1s-1e-4", "file-1s-prior-1e-4",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def prior(model):
    return prior_of(model)


def go(model, manifest, folder, words, **more):
    return run.stress(model, manifest, folder, choose(words), progress=False, **more)


@pytest.fixture(scope="module")
def found(model, prior, place, tmp_path_factory):
    return go(model, place, tmp_path_factory.mktemp("whole"), WORDS, prior=prior)


def test_figures_are_those_of_the_codes_and_sounds(found, model, place):
    assert [r["id"] for r in found.recordings] == ["r0", "r1"]
    names = {c.name for c in found.conditions}
    assert len(names) == 7 + 4
    for row in found.rows:
        assert set(row) == {"clean", "chance", *names}
        assert all("reason" not in r for r in row.values())
    x = place.load(place.records[0], 16000)
    codes, louder = model.encode(x, exact=True), model.encode(x * 10 ** (-12 / 20), exact=True)
    row = found.rows[0]["gain-12"]
    assert row["kept"] == float((codes == louder).double().mean())
    expected = unit_edit_distance(louder[0].numpy(), codes[0].numpy())
    assert row["unit_edit"] == expected
    assert "kept" not in found.rows[0]["speed-1.1"]
    assert "unit_edit" in found.rows[0]["speed-1.1"]
    clean = found.rows[0]["clean"]
    assert set(clean) == {"log_mel_distance", "stoi"}
    repeat = found.rows[0]["loss-80ms-20-random-repeat"]
    assert 0 < repeat["lost"] < 1
    assert repeat["kept"] >= 1 - repeat["lost"]
    assert repeat["stoi_to_clean"] < 1
    assert "stoi_heard" in row
    assert "stoi_heard" not in repeat


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_more_may_be_asked(
    found, model, prior, place, tmp_path, monkeypatch
):
    real = measure.Recording.rows
    done = []

    def stops(self, conditions):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(self.name)
        return real(self, conditions)

    monkeypatch.setattr(measure.Recording, "rows", stops)
    with pytest.raises(KeyboardInterrupt):
        go(model, place, tmp_path, WORDS[:3])
    monkeypatch.setattr(measure.Recording, "rows", real)
    some = go(model, place, tmp_path, WORDS[:4])
    again = go(model, place, tmp_path, WORDS, prior=prior)
    assert done == ["r0"]
    assert [dict(r) for r in again.rows] == [dict(r) for r in found.rows]
    assert set(some.rows[0]) < set(again.rows[0])

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(measure.Recording, "rows", never)
    go(model, place, tmp_path, WORDS[:5])  # a prior's figures stay, though it is not given


def test_another_seed_or_model_is_refused_and_another_seed_draws_otherwise(
    found, model, place, tmp_path
):
    first = go(model, place, tmp_path / "a", ["white-0"], seed=1)
    assert first.rows[0]["white-0"] != found.rows[0]["white-0"]
    with pytest.raises(ConfigError, match="figures of another seed: 1, now 2"):
        go(model, place, tmp_path / "a", ["white-0"], seed=2)
    with pytest.raises(ConfigError, match="figures of another model"):
        go(small_model(seed=1), place, tmp_path / "a", ["white-0"], seed=1)
    with pytest.raises(ConfigError, match="figures of another split: test, now all"):
        go(model, place, tmp_path / "a", ["white-0"], seed=1, split=None)


def test_a_continuous_model_and_a_prior_of_another(place, prior, tmp_path):
    ae = small_model("identity")
    found = go(ae, place, tmp_path / "ae", ["white-0", "bits"])
    assert [c.name for c in found.conditions] == ["white-0"]
    assert "kept" not in found.rows[0]["white-0"]
    assert "3 conditions of lost and flipped codes left out" in found.notes[0]
    assert "chance" not in found.rows[0]
    with pytest.raises(ConfigError, match="no condition is left"):
        go(ae, place, tmp_path / "none", ["bits"])
    with pytest.raises(ConfigError, match="continuous and has no codes"):
        go(ae, place, tmp_path / "none", ["white"], prior=prior)


def test_what_recordings_do_not_allow_is_counted_and_the_rest_is_measured(model, tmp_path):
    alone = corpus(tmp_path, speakers=("a", "b"))
    found = go(model, alone, tmp_path / "out", ["babble-0", "white-0"])
    lines = table.lines_of(found)
    by_name = {line.name: line for line in lines}
    assert by_name["babble-0"].recordings == 0
    assert by_name["white-0"].recordings == 2
    assert "babble-0 (2): babble takes 2 other speakers" in table.notes_of(found, lines)[-1]
    assert "| `babble-0` |" in table.markdown(lines)
    (tmp_path / "0.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError, match="1 of 2 utterances cannot be read"):
        go(model, alone, tmp_path / "other", ["white-0"])


def test_long_recordings_are_cut_and_it_is_said(model, place, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "LONGEST", 0.25)
    found = go(model, place, tmp_path, ["white-0"])
    assert [r["seconds"] for r in found.recordings] == [0.25, 0.25]
    assert found.notes == ["of 2 longer recordings the first 0.25 s are used"]


def test_table_has_means_and_paired_differences(found, tmp_path):
    lines = table.lines_of(found)
    assert [line.name for line in lines[:3]] == ["clean", "chance", "white-0"]
    white = lines[2].figures
    stoi = [row["white-0"]["stoi"] for row in found.rows]
    less = [row["white-0"]["stoi"] - row["clean"]["stoi"] for row in found.rows]
    assert white["stoi"].value == pytest.approx(np.mean(stoi))
    assert white["stoi_less_clean"].value == pytest.approx(np.mean(less))
    assert "stoi_less_clean" not in lines[0].figures
    table.write(tmp_path, found, lines)
    text = (tmp_path / "table.md").read_text()
    rows = [r for r in text.splitlines() if r.startswith("|")]
    assert len(rows) == 2 + len(lines)
    assert len({row.count("|") for row in rows}) == 1
    assert "codes kept (%)" in rows[0]  # one codebook
    plain = json.loads((tmp_path / "table.json").read_text())
    assert plain["format"] == "audiovq.stress"
    assert plain["conditions"]["white-0"]["figures"]["stoi"]["value"] == white["stoi"].value
    assert set(plain["definitions"]) == set(table.FIGURES)
    assert plain["prior"]["name"] == "ngram"
    assert plain["data"]["recordings"] == 2


def test_several_codebooks_have_a_column_of_their_own(place, tmp_path):
    values = {"name": "rvq", "dim": 6, "codebook_size": 16, "num_codebooks": 2}
    found = go(small_model(values), place, tmp_path, ["white-20", "loss-80ms-20-random"])
    text = table.markdown(table.lines_of(found))
    assert "codes kept, first codebook (%)" in text
    assert "codes kept, all (%)" in text
    row = found.rows[0]["white-20"]
    assert row["kept_first"] != row["kept"]


def test_picture_of_everything_and_of_little(found):
    pytest.importorskip("matplotlib")
    drawing = plot.draw(table.lines_of(found))
    axes = drawing.get_axes()
    assert len(axes) == 5
    texts = [[t.get_text() for t in ax.texts] for ax in axes]
    assert texts == [[], [], ["not measured"], [], []]  # packets of 40 ms were not
    assert "chance" in axes[0].get_legend_handles_labels()[1]
    few = [line for line in table.lines_of(found) if line.name == "bits-1e-2"]
    texts = [t.get_text() for ax in plot.draw(few).get_axes() for t in ax.texts]
    assert texts.count("not measured") == 4


def test_nothing_is_drawn_from_the_global_generator(model, place, tmp_path):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    go(model, place, tmp_path, ["white-0", "loss-80ms-20-random-silence"])
    assert torch.equal(before, torch.get_rng_state())
