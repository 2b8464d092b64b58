import numpy as np
import pytest
import torch

from audiovq.config import parse
from audiovq.data.augment import AugmentConfig, augment
from audiovq.data.manifest import Record
from audiovq.data.segments import Segments, item_key
from audiovq.errors import ConfigError


def records(lengths, rate=1000) -> list[Record]:
    return [
        Record(id=str(i), path=f"{i}.wav", sample_rate=rate, num_samples=n)
        for i, n in enumerate(lengths)
    ]


def test_keys_are_pinned_and_do_not_collide():
    assert item_key(0, 0, 0) == 7340184341046728869
    keys = {item_key(s, e, i) for s in range(5) for e in range(20) for i in range(50)}
    assert len(keys) == 5000
    assert all(0 <= k < 2**63 for k in keys)


def test_an_epoch_visits_every_slot_once_and_the_next_in_another_order():
    segments = Segments(records([2500, 400, 10_000]), 1.0, seed=3)
    assert len(segments) == 2 + 1 + 10
    epochs = [[segments.draw(e * 13 + i).record for i in range(13)] for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == [0] * 2 + [1] + [2] * 10
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_draw_depends_on_nothing_but_its_number():
    one, two = (Segments(records([2500, 400, 10_000]), 1.0, seed=3) for _ in range(2))
    forwards = [one.draw(n) for n in range(60)]
    backwards = [two.draw(n) for n in reversed(range(60))]
    assert forwards == backwards[::-1]
    other = Segments(records([2500, 400, 10_000]), 1.0, seed=4)
    assert [other.draw(n) for n in range(60)] != forwards


def test_starts_are_spread_evenly_and_stay_inside():
    lengths = [2500, 400]
    segments = Segments(records(lengths), 1.0, seed=0)
    starts = []
    for n in range(3000):
        draw = segments.draw(n)
        assert draw.num_samples == min(1000, lengths[draw.record])
        assert 0 <= draw.start <= lengths[draw.record] - draw.num_samples
        if draw.record == 0:
            starts.append(draw.start)
    histogram, _ = np.histogram(starts, bins=5, range=(0, 1501))
    expected = len(starts) / 5
    assert ((histogram - expected) ** 2 / expected).sum() < 18.5  # chi-square, 0.1 %


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.1, 0.02])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
def test_a_segment_has_just_enough_samples_at_the_files_rate(seconds, rate):
    draw = Segments(records([10 * rate], rate), seconds, 0).draw(0)
    assert seconds * rate - 1e-3 <= draw.num_samples < seconds * rate + 1


def test_augmentation_is_a_function_of_the_key_and_never_clips():
    x = torch.linspace(-0.5, 0.9, 100).view(1, 1, -1)
    config = AugmentConfig(gain_db=(-6.0, 12.0))
    gains = []
    for key in range(200):
        y = augment(x, config, key)
        assert torch.equal(y, augment(x, config, key))
        assert float(y.abs().max()) <= 1.0 + 1e-6
        gains.append(float(y[0, 0, -1] / x[0, 0, -1]))
    assert 70 < sum(g < 0 for g in gains) < 130
    assert min(abs(g) for g in gains) >= 10 ** (-6 / 20) - 1e-6
    assert len(set(gains)) > 50
    silent = augment(torch.zeros(1, 1, 9), config, 1)
    assert float(silent.abs().max()) == 0.0


def test_no_augmentation_changes_no_bit():
    x = torch.randn(1, 1, 50, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    config = AugmentConfig(gain_db=(0.0, 0.0), flip_polarity=False)
    assert torch.equal(augment(x, config, 7), x)


@pytest.mark.parametrize("gain", [[3, -3], [-100, 0], ["a", 0], [0]])
def test_a_gain_that_is_no_range_is_refused(gain):
    with pytest.raises(ConfigError, match="gain_db"):
        parse(AugmentConfig, {"gain_db": gain})
