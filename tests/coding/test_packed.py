"""Bit-packed codes against the obvious way of writing them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.coding.packed import PackedCodes
from audiovq.errors import CompressedFileError

sizes = st.lists(st.sampled_from([1, 2, 3, 8, 9, 512, 1000, 1 << 20]), min_size=1, max_size=5)


def plain(codes, codebook_sizes):
    """Bits as text, frame by frame and row by row."""
    bits = ""
    for frame in codes.T.tolist():
        for code, n in zip(frame, codebook_sizes, strict=True):
            bits += format(code, "b").rjust((n - 1).bit_length(), "0") if n > 1 else ""
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def drawn(codebook_sizes, frames, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(n, (frames,), generator=g) for n in codebook_sizes])


@given(sizes, st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_blocks_are_as_the_obvious_way_writes_them_and_come_back(sizes, lengths, seed):
    coder = PackedCodes(sizes)
    blocks = [drawn(sizes, n, seed) for n in lengths]
    payloads = coder.encode(blocks)
    assert payloads == [plain(b, sizes) for b in blocks]
    assert [coder.size(n) for n in lengths] == list(map(len, payloads))
    back = coder.decode(payloads, lengths)
    assert all(
        torch.equal(a, b) and a.dtype == torch.int64 for a, b in zip(blocks, back, strict=True)
    )


def test_the_largest_codes_fit():
    codes = torch.tensor([[4, 0], [(1 << 20) - 1, 0]])
    coder = PackedCodes((5, 1 << 20))
    assert torch.equal(coder.decode(coder.encode([codes]), [2])[0], codes)


def test_what_was_not_written_so_is_refused():
    coder = PackedCodes((5, 3))
    (good,) = coder.encode([torch.tensor([[4, 1, 0], [2, 0, 1]])])
    assert len(good) == 2
    for data, message in (
        (good[:1], "1 bytes where bit-packed codes"),
        (good + b"\0", "3 bytes where"),
        (good[:1] + bytes([good[1] | 1]), "does not end with zeros"),
        (b"\xa0\0", "beyond the codebooks"),  # 101 is 5
    ):
        with pytest.raises(CompressedFileError, match=message):
            coder.decode([data], [3])
