import numpy as np
import pytest
import torch

from audiovq.errors import AudioError, ConfigError
from audiovq.eval import perturb
from audiovq.eval.perturb import Perturbation
from audiovq.eval.stability import CHANCE, stability, unit_edit_distance
from audiovq.units.coder import ModelCoder
from tests.eval.test_edit import slow
from tests.helpers import noise, small_model

HOP = 10


def waves(number=6, length=400):
    return [(f"u{i}", f"s{i}", noise(1, length + i, seed=i)) for i in range(number)]


def loudness(x):
    """Codes that know the level of a frame: two rows, of coarse and of fine steps."""
    frames = torch.nn.functional.pad(x, (0, -x.shape[-1] % HOP)).view(-1, HOP)
    level = 10 * torch.log10(frames.square().mean(1) + 1e-6) + 60
    return torch.stack([(level / 20).long(), (level / 2).long()]).clamp(0, 63)


def of(rows, name):
    return next(r for r in rows if r.perturbation == name)


def test_a_coder_that_does_not_hear_a_change_is_perfectly_stable():
    signs = lambda x: (x[0, :, ::HOP] > 0).long()  # noqa: E731
    rows = stability(
        signs, waves(), 16000, HOP, perturbations=[perturb.gain(-6.0), perturb.gain(6.0)]
    )
    for row in rows[:2]:
        assert (row.ued.value, row.frame_error.value) == (0, 0)
        assert row.utterances == 6
    assert rows[-1].perturbation == CHANCE
    assert rows[-1].frame_error.value > 0.3


def test_figures_equal_slow_ones_and_rows_are_averaged():
    six = perturb.gain(6.0)
    found = stability(loudness, waves(), 16000, HOP, perturbations=[six])[0]
    ued, errors = [], []
    for _, _, x in waves():
        clean, loud = loudness(x).tolist(), loudness(x * 10 ** (6 / 20)).tolist()
        runs = lambda row: [u for i, u in enumerate(row) if i == 0 or row[i - 1] != u]  # noqa: E731
        each = [slow(runs(b), runs(a)) / len(runs(a)) for a, b in zip(clean, loud, strict=True)]
        ued.append(np.mean(each))
        errors.append(np.mean(np.array(clean) != np.array(loud)))
    assert found.ued.value == pytest.approx(np.mean(ued))
    assert found.frame_error.value == pytest.approx(np.mean(errors))
    assert found.ued.low <= found.ued.value <= found.ued.high
    assert found.ued.interval == "bootstrap over 6 speakers"


def test_more_noise_moves_units_more_and_it_repeats():
    levels = [perturb.noise(db) for db in (60.0, 30.0, 10.0)]
    rows = stability(loudness, waves(), 16000, HOP, perturbations=levels)
    values = [r.ued.value for r in rows[:3]]
    assert values == sorted(values)
    assert values[0] < values[2]
    assert rows == stability(loudness, waves(), 16000, HOP, perturbations=levels)
    assert rows != stability(loudness, waves(), 16000, HOP, perturbations=levels, seed=1)


def test_a_real_model_over_every_default():
    coder = ModelCoder(small_model())
    rows = stability(
        lambda x: coder.encode([x], exact=True)[0], waves(length=1600), 16000, coder.hop_length
    )
    assert len(rows) == len(perturb.DEFAULT) + 1
    assert all(r.ued is not None and r.ued.value >= 0 for r in rows)
    assert of(rows, "speed x0.9").frame_error is None
    assert of(rows, "shift 0.5 frame").frame_error.value > 0
    chance = of(rows, CHANCE).ued.value
    assert of(rows, "mu-law 8 bit").ued.value < chance


def test_what_cannot_be_done_has_a_reason_and_no_figure():
    def refuse(x, setting):
        raise AudioError("no such codec")

    rows = stability(
        loudness,
        waves(),
        16000,
        HOP,
        perturbations=[Perturbation("odd", refuse), perturb.gain(6.0)],
    )
    assert (rows[0].ued, rows[0].utterances, rows[0].reason) == (None, 0, "no such codec")
    assert rows[1].ued is not None
    telephone = stability(loudness, waves(), 8000, HOP, perturbations=[perturb.band_limit(8000)])
    assert "nothing above 4000 Hz" in telephone[0].reason


def test_few_waveforms_have_no_interval_and_none_are_refused():
    row = stability(loudness, waves(2), 16000, HOP, perturbations=[perturb.gain(6.0)])[0]
    assert row.ued.low is None
    with pytest.raises(ConfigError, match="at least one waveform"):
        stability(loudness, [], 16000, HOP)


def test_unit_edit_distance_by_hand():
    clean, moved = np.array([[1, 1, 2, 2, 3]]), np.array([[1, 2, 2, 4, 4, 3]])
    assert unit_edit_distance(moved, clean) == pytest.approx(1 / 3)
    both = np.array([[1, 1, 1, 1, 1]])
    assert unit_edit_distance(np.vstack([clean, both]), np.vstack([both, clean])) == pytest.approx(
        (2 / 1 + 2 / 3) / 2
    )
