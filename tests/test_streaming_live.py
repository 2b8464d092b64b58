import pytest
import torch

from audiovq import streaming_live as live
from audiovq.errors import AudioError
from tests.helpers import noise, small_model

X = noise(1, 77)


class Time:
    """Time that passes when one sleeps or works."""

    def __init__(self):
        self.now, self.slept = 100.0, 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def time(monkeypatch):
    made = Time()
    monkeypatch.setattr(live, "time", made)
    return made


def test_blocks_come_at_the_pace_of_the_sound(time):
    clock = live.Clock(0.02, paced=True)
    for work in (0.005, 0.03, 0.005, 0.005):
        clock.wait()
        time.now += work
        clock.done()
    timing = clock.timing(0.08, 0.02)
    # The second was late, and so the third began 10 ms after it was there.
    assert timing.late == 1
    assert timing.worst_ms == pytest.approx(30)
    assert timing.median_ms == pytest.approx((5 + 15) / 2)
    assert timing.speed == pytest.approx(0.08 / 0.045)
    assert time.now == pytest.approx(100 + 4 * 0.02 + 0.005)
    assert (timing.blocks, timing.block_ms, timing.frame_ms) == (4, 20.0, 20.0)


def test_unpaced_a_block_is_there_when_it_is_asked_for(time):
    clock = live.Clock(0.02, paced=False)
    for work in (0.001, 0.05):
        clock.wait()
        time.now += work
        clock.done()
        time.now += 1.0  # the pipe keeps us waiting
    timing = clock.timing(0.04, 0.02)
    assert time.slept == 0.0
    assert timing.worst_ms == pytest.approx(50)
    assert timing.late == 1


@pytest.mark.parametrize("size", [1, 30, 100])
def test_cut_gives_blocks_of_one_size(size):
    parts = list(live.cut(iter(X.split([1, 0, 50, 26], dim=-1)), size))
    assert torch.equal(torch.cat(parts, dim=-1), X)
    assert all(p.shape[-1] == size for p in parts[:-1])


@pytest.mark.parametrize("codes", [False, True])
def test_sound_is_as_long_as_what_came_in(codes):
    model = small_model({"name": "rvq", "dim": 6, "codebook_size": 16}, causal=True)
    clock = live.Clock(1.0, paced=False)
    with model.stream() as stream:
        blocks = live.cut([X], 16)
        heard = list(live.listen(stream, blocks, clock, codes=codes, sound=True, codebooks=2))
    x_hat = torch.cat([h.x_hat for h in heard], dim=-1)
    expected = model.decode(model.encode(X)[:, :2], 77) if codes else model.reconstruct(X)
    torch.testing.assert_close(x_hat, expected, atol=1e-5, rtol=0)
    assert sum(h.samples for h in heard) == 77
    assert clock.timing(1.0, 1.0).blocks == 5
    if codes:
        assert torch.equal(torch.cat([h.codes for h in heard], dim=-1), model.encode(X)[:, :2])


def test_nothing_is_no_recording():
    clock = live.Clock(1.0, paced=False)
    with (
        small_model(causal=True).stream() as stream,
        pytest.raises(AudioError, match="no sample arrived"),
    ):
        list(live.listen(stream, [], clock, codes=True, sound=False))
