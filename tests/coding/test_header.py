"""The header's bytes, and what is refused of headers whose checksum is right."""

import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiovq.coding.header import SIZE, Header, block_frames, parse
from audiovq.errors import CompressedFileError, ConfigError

SMALL = Header(
    codebooks=4, model=b"modelhsh", prior=bytes(8), sample_rate=16000, hop_length=320,
    block_frames=3000, length=123_456,
)  # fmt: skip


def by_hand(h):
    """The header written with `struct`, three-byte numbers as the low bytes of four."""

    def three(n):
        return struct.pack("<I", n)[:3]

    data = b"\x9dAVQ" + struct.pack("<BB8s8s", 1, h.codebooks, h.model, h.prior)
    data += three(h.sample_rate) + three(h.hop_length) + three(h.block_frames)
    data += struct.pack("<Q", h.length)[:5]
    return data + struct.pack("<I", zlib.crc32(data))


headers = st.builds(
    Header, codebooks=st.integers(1, 255), model=st.binary(min_size=8, max_size=8),
    prior=st.binary(min_size=8, max_size=8), sample_rate=st.integers(1000, 384_000),
    hop_length=st.integers(1, 1600), block_frames=st.integers(1, 375),
    length=st.integers(1, (1 << 40) - 1),
)  # fmt: skip


@given(headers)
def test_it_is_40_bytes_and_comes_back(header):
    data = header.to_bytes()
    assert data == by_hand(header)
    assert len(data) == SIZE == 40
    assert parse(data, "x") == header
    frames = [header.frames_of(b) for b in (0, header.blocks - 1)]
    assert frames[-1] >= 1
    total = (header.blocks - 1) * header.block_frames + frames[-1]
    assert (total - 1) * header.hop_length < header.length <= total * header.hop_length


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"codebooks": 0}, "no codebooks"),
        ({"sample_rate": 999}, "a rate of 999 Hz"),
        ({"hop_length": 0}, "no samples per frame"),
        ({"block_frames": 0}, "no frames per block"),
        ({"length": 0}, "no samples"),
        ({"codebooks": 255, "block_frames": 30_000}, "blocks of 7650000 codes"),
        ({"block_frames": 30_002}, "more than 600 s"),
    ],
)
def test_nonsense_with_a_right_checksum_is_refused(lie, message):
    with pytest.raises(CompressedFileError, match=message):
        parse(replace(SMALL, **lie).to_bytes(), "x")


def test_other_files_and_versions():
    good = SMALL.to_bytes()
    newer = good[:4] + b"\x02" + good[5:36]
    for data, message in (
        (b"", "does not begin as one"),
        (b"RIFF" + good[4:], "does not begin as one"),
        (good[:39], "cut off within its header"),
        (good[:20] + b"!" + good[21:], "the checksum of its header differs"),
        (newer + zlib.crc32(newer).to_bytes(4, "little"), "version 2; this audiovq reads 1"),
    ):
        with pytest.raises(CompressedFileError, match=message):
            parse(data, "x")


def test_blocks_have_a_length_that_is_read_again():
    assert block_frames(60.0, 50.0, 4) == 3000
    assert block_frames(0.001, 50.0, 1) == 1
    assert block_frames(600.0, 50.0, 1) == 30_000
    for seconds in (0.0, -1.0, 600.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="more than 0 and at most 600 s"):
            block_frames(seconds, 50.0, 1)
    with pytest.raises(ConfigError, match="which is 16.4 s here"):
        block_frames(60.0, 1000.0, 255)
