"""Streams of codes: which rows they are, and back and forth between rows and a fast stream."""

import pytest
import torch

from audiovq.bottlenecks import vqvae2
from audiovq.errors import ConfigError
from audiovq.prior._part import Part, choose, streams

LAYOUT = vqvae2.VQVAE2(vqvae2.Config(name="vqvae2", ratio=3)).layout
SIZES = (5, 7, 7, 7)
CODES = torch.tensor([[0, 1, 2], [10, 20, 30], [11, 21, 31], [12, 22, 32]])


def test_streams_are_what_the_layout_names():
    assert streams(LAYOUT) == {"slow": (0,), "fast": (1, 2, 3)}
    assert streams(("codebook 0", "codebook 1")) == {"codebook 0": (0,), "codebook 1": (1,)}
    assert streams(("fast 0", "fast 1")) == {"fast 0": (0,), "fast 1": (1,)}  # nothing slower


def test_a_fast_stream_is_one_row_in_time_order_and_is_told_the_slow_one():
    part = choose(LAYOUT, SIZES, ["fast"], ["slow"])
    assert (part.ratio, part.modelled_sizes, part.given_sizes) == (3, (7,), (3, 5))
    assert part.modelled(CODES).tolist() == [[10, 11, 12, 20, 21, 22, 30, 31, 32]]
    told = [[0, 1, 2] * 3, [0, 0, 0, 1, 1, 1, 2, 2, 2]]
    assert part.given_of(CODES).tolist() == told
    assert part.given_of(torch.stack([CODES, CODES])).tolist() == [told, told]
    assert choose(LAYOUT, SIZES, ["fast"], []).given_of(CODES).tolist() == told[:1]


def test_a_slow_stream_and_rows_of_one_rate():
    slow = choose(LAYOUT, SIZES, ["slow"], [])
    assert slow.modelled(CODES).tolist() == [[0, 1, 2]]
    assert slow.given_sizes == ()
    backwards = choose(LAYOUT, SIZES, ["slow"], ["fast"])
    assert torch.equal(backwards.given_of(CODES), CODES[1:])
    names = [f"codebook {k}" for k in range(4)]
    later = choose(names, SIZES, names[2:], names[:2])
    assert torch.equal(later.modelled(CODES), CODES[2:])
    assert torch.equal(later.given_of(CODES), CODES[:2])
    assert later.given_sizes == (5, 7)
    assert choose(LAYOUT, SIZES, [], []) is None


@pytest.mark.parametrize("names", [["fast"], ["slow"]])
def test_what_is_drawn_goes_back_where_it_came_from(names):
    part = choose(LAYOUT, SIZES, names, [])
    codes = CODES.expand(2, -1, -1)
    drawn = part.modelled(codes) + 100
    expected = codes.clone()
    expected[:, list(part.rows)] += 100
    assert torch.equal(part.put(drawn, codes), expected)
    assert torch.equal(codes[0], CODES)


@pytest.mark.parametrize(
    ("modelled", "given", "message"),
    [
        (["fat"], [], r"no stream 'fat' in these codes; there is: slow, fast"),
        (["fast", "slow"], [], r"are of several rates: train a prior on each"),
        (["fast"], ["fast"], r"each stream once"),
        ([], ["slow"], r"say in train\.streams which of the others are modelled \(fast\)"),
    ],
)
def test_wishes_that_make_no_sense(modelled, given, message):
    with pytest.raises(ConfigError, match=message):
        choose(LAYOUT, SIZES, modelled, given)


@pytest.mark.parametrize(
    "change",
    [{"rows": (0, 9)}, {"given": (1,)}, {"rows": (1, 1, 2)}, {"ratio": 2}, {"rows": (0, 1, 2)}],
)
def test_a_part_that_lies(change):
    honest = choose(LAYOUT, SIZES, ["fast"], ["slow"])
    assert honest.fits()
    assert not Part(**{**honest.model_dump(), **change}).fits()
