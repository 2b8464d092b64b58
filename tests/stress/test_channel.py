import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.coding.avq import codes_of, compress_codes
from audiovq.coding.container import Container
from audiovq.coding.packed import PackedCodes
from audiovq.errors import CompressedFileError
from audiovq.stress import channel
from tests.helpers import noise, small_model


@pytest.mark.parametrize("pattern", channel.PATTERNS)
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.2])
def test_as_many_are_lost_as_stated_in_bursts_as_long_as_stated(pattern, rate):
    lost = channel.lost_frames(200_000, 1, rate, pattern, 3)
    assert float(lost.double().mean()) == pytest.approx(rate, rel=0.1)
    runs = [len(list(g)) for gone, g in itertools.groupby(lost.tolist()) if gone]
    expected = channel.BURST if pattern == "bursty" else 1 / (1 - rate)
    assert sum(runs) / len(runs) == pytest.approx(expected, rel=0.07)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 200), st.integers(1, 9), st.sampled_from(channel.PATTERNS), st.integers(0, 99)
)
def test_packets_are_lost_whole(frames, packet, pattern, key):
    lost = channel.lost_frames(frames, packet, 0.3, pattern, key)
    assert lost.shape == (frames,)
    assert all(part.all() or not part.any() for part in lost.split(packet))
    assert torch.equal(lost, channel.lost_frames(frames, packet, 0.3, pattern, key))


def test_the_first_packet_is_as_likely_to_be_lost_as_any():
    first = [bool(channel.lost_frames(1, 1, 0.2, "bursty", key)[0]) for key in range(800)]
    assert sum(first) / 800 == pytest.approx(0.2, abs=0.04)


def test_more_loss_takes_the_same_packets_and_more():
    low, high = (channel.lost_frames(5000, 2, r, "random", 1) for r in (0.05, 0.2))
    assert not (low & ~high).any()
    assert high.sum() > low.sum()


def test_packets_have_whole_frames():
    assert [channel.packet_frames(ms, 50.0) for ms in (20, 40, 80)] == [1, 2, 4]
    assert [channel.packet_frames(ms, 12.5) for ms in (20, 80, 160)] == [1, 1, 2]


def test_bits_are_flipped_one_by_one():
    sizes = (512, 16, 1)
    codes = torch.stack([torch.randint(n, (20_000,)) for n in sizes])
    got = channel.flipped_bits(codes, sizes, 0.01, key=5)
    changed = (codes ^ got.codes).tolist()
    flips = sum(int(v).bit_count() for row in changed for v in row)
    assert flips / (20_000 * (9 + 4)) == pytest.approx(0.01, rel=0.05)
    assert not got.lost.any()
    assert not any(changed[2])
    assert {v for v in changed[0] if int(v).bit_count() == 1} == {1 << i for i in range(9)}
    nothing = channel.flipped_bits(codes, sizes, 0.0, key=5)
    assert torch.equal(nothing.codes, codes)


def test_codes_that_no_codebook_has_are_known_to_be_damaged():
    codes = torch.full((1, 4000), 9)
    got = channel.flipped_bits(codes, (10,), 0.2, key=1)
    assert torch.equal(got.lost, got.codes[0] > 9)
    assert got.lost.any()
    assert not got.lost.all()


def test_a_flipped_bit_of_a_payload_loses_its_block_and_no_other():
    """What `damaged_blocks` supposes is what a real file does."""
    model = small_model()
    codes = model.encode(noise(1, 1000))[0]
    data = compress_codes(model, codes, 1000, block_seconds=0.025)  # 40 frames
    with Container(data) as container:
        payloads = [len(container.payload(n)) for n in range(container.header.blocks)]
        assert container.header.block_frames == 40
    packed = PackedCodes(model.codebook_sizes)
    assert payloads == [packed.size(part.shape[1]) for part in codes.split(40, dim=1)]
    at = len(data) - sum(payloads) + payloads[0]  # the first byte of the second block
    broken = bytearray(data)
    broken[at] ^= 4
    assert torch.equal(codes_of(bytes(broken), model, start=0, num_frames=40)[0], codes[:, :40])
    with pytest.raises(CompressedFileError, match="block 2"):
        codes_of(bytes(broken), model, start=40, num_frames=40)


def test_blocks_that_flips_reach_are_lost():
    lost = channel.damaged_blocks(95, 10, [20] * 10, 0.002, key=2)
    flips = channel._flips(8 * 200, 0.002, 2)
    hit = {int(i) // 160 for i in flips.nonzero()}
    assert 0 < len(hit) < 10
    assert [bool(p.all()) for p in lost.split(10)] == [i in hit for i in range(10)]
    assert lost.shape == (95,)
    assert not channel.damaged_blocks(95, 10, [20] * 10, 0.0, key=2).any()
