import numpy as np
import pytest
import torch

from audiovq.audio import save
from audiovq.data.manifest import Manifest
from audiovq.eval import unit_cards, unit_figures
from audiovq.eval.joint import join
from audiovq.eval.phones import mutual_information
from audiovq.eval.unit_cards import _run, telling, varied
from tests.eval.corpora import corpus, record

COUNTS = np.array([[9, 0, 3, 8], [0, 5, 3, 1], [1, 0, 3, 0]])


def test_parts_of_the_information_add_up():
    assert telling(COUNTS).sum() == pytest.approx(mutual_information(COUNTS))
    assert (telling(COUNTS) >= -1e-12).all()
    assert telling(COUNTS)[2] < telling(COUNTS)[1]  # as common as it, and says nearly nothing


def test_varied_takes_a_unit_of_each_phone_before_a_second_of_one():
    counts = np.array([[90, 80, 0, 0], [0, 0, 5, 0], [0, 0, 0, 2]])
    assert sorted(varied(counts, 3)) == [0, 2, 3]
    assert len(varied(counts, 9)) == 4


def test_run_around_a_frame():
    units = np.array([1, 1, 2, 2, 2, 1])
    assert [_run(units, t) for t in (0, 1, 2, 4, 5)] == [(0, 2), (0, 2), (2, 5), (2, 5), (5, 6)]
    assert _run(np.array([3]), 0) == (0, 1)


def test_cards_show_what_is_there(tmp_path):
    hop = 200  # 0.2 s at 1 kHz is too slow for mels: sounds are at 8 kHz below
    made = corpus([("a", "ssnn", "0011"), ("b", "nnss", "1100")], hop=hop)
    from dataclasses import replace

    coded = replace(made.coded, sample_rate=8000, hop_length=1600)
    made = replace(made, coded=coded)
    records = []
    for u in made.utterances:
        t = torch.arange(6400) / 8000
        low, high = torch.sin(2 * torch.pi * 300 * t), torch.sin(2 * torch.pi * 3000 * t)
        first = torch.tensor([p == "s" for _, _, p in u.phones for _ in range(3200)])
        x = torch.where(first, high, low)
        save(tmp_path / f"{u.id}.wav", 0.5 * x.view(1, 1, -1), 8000)
        records.append(record(u.id, [(0, 1, "x")], rate=8000, samples=6400))
    manifest = Manifest(tmp_path / "m", tmp_path, {}, records)
    cards = unit_cards.make(made, manifest, number=5)
    assert [c.code for c in cards] == [0, 1]
    for card, phone, band in zip(cards, "sn", (3.0, 0.3), strict=True):
        assert card.phones == {phone: 1.0}
        assert card.frames == 4
        middle = card.level[:, card.level.shape[1] // 2]
        assert card.kilohertz[int(middle.argmax())] == pytest.approx(band, rel=0.15)
        assert len(card.sounds) == 2  # runs, not frames
        speakers = {label.split(",")[0] for label in card.sounds}
        assert speakers == {"u0", "u1"}
        for x in card.sounds.values():  # a run of 0.4 s, and 0.1 s on the side that there is
            assert x.shape[-1] == 4000
    assert [c.code for c in unit_cards.make(made, manifest, number=5)] == [0, 1]


def test_pictures_have_every_unit_and_phone():
    pytest.importorskip("matplotlib")
    joint = join(corpus([("a", "ssnn..", "001123")])).labelled()
    figure = unit_figures.units_by_phone(joint.counts(), joint.names)
    ax = figure.axes[0]
    image = ax.images[0].get_array()
    assert image.shape == (3, 4)
    assert np.allclose(image.sum(axis=0), 1)
    # sorted: the phone of most units on top, its units first
    assert [t.get_text() for t in ax.get_yticklabels()] == ["sil", "n", "s"]
    assert image[0, :2].tolist() == [1, 1]
    figure = unit_figures.durations({"units": [0.02, 0.02, 0.9], "phones": []}, 0.02)
    shares = figure.axes[0].lines[0].get_ydata()
    assert shares.sum() == pytest.approx(100)
    assert shares[-1] == pytest.approx(100 / 3)
