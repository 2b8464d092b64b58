"""Compressed files: they come back, in parts too, and nothing changed passes."""

import functools
import random
import tracemalloc
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.coding import Container, codes_of, compress, compress_blocks, decompress
from audiovq.coding.avq import read_blocks, sound
from audiovq.coding.coders import packed_size
from audiovq.coding.header import parse
from audiovq.coding.packed import PackedCodes
from audiovq.coding.prior_codes import PriorCodes
from audiovq.errors import (
    AudioError,
    AudioVQError,
    CheckpointError,
    CompressedFileError,
    ConfigError,
)
from audiovq.nn.conv import fold_weight_norm
from audiovq.prior import TrainedPrior
from audiovq.prior._part import choose
from tests.coding.standing_in import Chained
from tests.coding.with_prior import prior_of
from tests.helpers import noise, small_model, voices_model

RATE, HOP = 16000, 10


def model_of(bottleneck, seed=0):
    """A small model as it is loaded for use, which is named by its hash in no time."""
    model = small_model(bottleneck, seed=seed)
    fold_weight_norm(model)
    return model


VQ = model_of("vq_ema")
RVQ = model_of({"name": "rvq", "dim": 6, "codebook_size": 12, "num_codebooks": 3})
TWO_RATES = model_of(
    {"name": "vqvae2", "dim": 6, "codebook_size": 16, "slow_codebook_size": 9, "ratio": 2}
)
CONTINUOUS = model_of("identity")


def seconds(frames):
    return frames * HOP / RATE


@given(
    st.sampled_from([VQ, RVQ, TWO_RATES]), st.integers(1, 700), st.integers(1, 40), st.booleans()
)
@settings(max_examples=20, deadline=None)
def test_codes_are_those_of_exact_encoding_and_the_length_is_exact(model, length, block, chained):
    x = noise(1, length, seed=length)
    coder = Chained(model.codebook_sizes) if chained else None
    data = model.compress(x, coder, block_seconds=block * model.hop_length / RATE)
    codes = model.encode(x, exact=True)
    assert torch.equal(codes_of(data, model, coder), codes)
    x_hat = decompress(data, model, coder)
    torch.testing.assert_close(x_hat, model.decode(codes, length), atol=1e-5, rtol=0)
    header = parse(data, "x")
    assert (header.frames, header.length, header.block_frames) == (codes.shape[-1], length, block)
    if not chained:
        assert len(data) == packed_size(model, header)


def test_the_first_rows_of_a_residual_model(tmp_path):
    x = noise(1, 500)
    codes = RVQ.encode(x, exact=True)
    for rows in (1, 2):
        (tmp_path / "a.avq").write_bytes(RVQ.compress(x, codebooks=rows))
        assert torch.equal(codes_of(tmp_path / "a.avq", RVQ), codes[:, :rows])
        expected = RVQ.decode(codes[:, :rows], 500)
        torch.testing.assert_close(decompress(tmp_path / "a.avq", RVQ), expected)
        of_two = Chained(RVQ.codebook_sizes[:rows])
        assert torch.equal(codes_of(RVQ.compress(x, of_two), RVQ, of_two), codes[:, :rows])
    for model, rows, message in (
        (RVQ, 4, "1 to 3 are accepted"),
        (RVQ, 0, "1 to 3 are accepted"),
        (TWO_RATES, 1, "vqvae2 needs all 3"),
        (CONTINUOUS, None, "is continuous and has no codes"),
    ):
        with pytest.raises(ConfigError, match=message):
            model.compress(x, codebooks=rows)
    with pytest.raises(ConfigError, match="the prior is of 1"):
        RVQ.compress(x, Chained(RVQ.codebook_sizes[:1]), codebooks=2)
    with pytest.raises(ConfigError, match="use a prior of this model's codes"):
        RVQ.compress(x, Chained((12, 13)))


def test_the_bytes_do_not_depend_on_how_the_sound_arrives():
    x = noise(1, 90_000)
    whole = compress(VQ, x, block_seconds=seconds(500))
    for size in (70_000, 777):
        parts = torch.split(x, size, dim=-1)
        assert compress_blocks(VQ, parts, block_seconds=seconds(500)) == whole
    with pytest.raises(AudioError, match=r"of shape \(1, 1, 0\) given"):
        VQ.compress(torch.zeros(1, 1, 0))
    with pytest.raises(AudioError, match="no samples"):
        compress_blocks(VQ, [])
    with pytest.raises(AudioError, match="NaN"):
        VQ.compress(torch.full((1, 1, 50), torch.nan))


@pytest.mark.parametrize("model", [VQ, TWO_RATES])
def test_a_part_equals_that_part_of_the_whole_and_reads_few_blocks(model):
    x, coder = noise(1, 150_000), Chained(model.codebook_sizes)
    data = model.compress(x, coder, block_seconds=0.01)
    whole = decompress(data, model, coder)
    blocks = parse(data, "x").blocks
    draw = random.Random(0)
    spans = [(0, 1), (149_999, 1), (0, 150_000)]
    spans += [(n := draw.randrange(150_000), draw.randint(1, 150_000 - n)) for _ in range(4)]
    for start, number in spans:
        coder.calls.clear()
        part = decompress(data, model, coder, start=start, num_samples=number)
        assert torch.equal(part, whole[..., start : start + number]), (start, number)
        windows = number / 30_000 + 3  # one window more on either side, each of 2.6 s at most
        assert sum(coder.calls) <= min(blocks, windows * 2.6 / 0.01)
    frames = parse(data, "x").frames
    for first, number in ((0, 1), (frames - 1, 1), (15, 2), (16, 16)):
        coder.calls.clear()
        part = codes_of(data, model, coder, start=first, num_frames=number)
        assert torch.equal(part, codes_of(data, model, coder)[..., first : first + number])
    for start, number in ((-1, 2), (0, 0), (150_000, 1), (0, 150_001), (7, -2)):
        with pytest.raises(AudioError, match="has 150000 samples"):
            decompress(data, model, coder, start=start, num_samples=number)


def test_blocks_are_read_as_the_sound_is_asked_for():
    coder = Chained(VQ.codebook_sizes)
    data = VQ.compress(noise(1, 150_000), coder, block_seconds=seconds(50))
    assert parse(data, "x").blocks == 300
    coder.calls.clear()
    with Container(data) as container:
        parts = sound(container, VQ, coder)
        next(parts)
        assert sum(coder.calls) < 100
        assert max(coder.calls) == 16


def test_a_voice_may_be_asked_for():
    model = voices_model()
    data = model.compress(noise(1, 900))
    ann, bob = (decompress(data, model, condition=model.speaker_index([n])) for n in ("ann", "bob"))
    assert not torch.equal(ann, bob)
    expected = model.decode(codes_of(data, model), 900, model.speaker_index(["bob"]))
    torch.testing.assert_close(bob, expected)


# ----------------------------------------------------------------- damage


def read(data, coder):
    with Container(data) as container:
        return torch.cat(list(read_blocks(container, coder, 0, container.header.blocks)), dim=-1)


@functools.cache
def coded(coder, frames=23, block=7):
    """A small file, and its codes."""
    model = RVQ if len(coder.codebook_sizes) == 3 else VQ
    x = noise(1, frames * HOP)
    given_ = None if isinstance(coder, PackedCodes) else coder
    return model.compress(x, given_, block_seconds=seconds(block)), model.encode(x, exact=True)[0]


CODERS = [PackedCodes(RVQ.codebook_sizes), Chained(VQ.codebook_sizes), Chained(RVQ.codebook_sizes)]


@pytest.mark.parametrize("coder", CODERS)
def test_no_changed_byte_passes(coder):
    data, codes = coded(coder)
    assert torch.equal(read(data, coder), codes)
    for at in range(len(data)):
        for flip in (*(1 << bit for bit in range(8)), 0xFF):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            with pytest.raises(CompressedFileError):
                read(changed, coder)


@pytest.mark.parametrize("coder", CODERS[:2])
def test_no_file_cut_off_or_longer_passes(coder):
    data, _ = coded(coder)
    for size in range(len(data)):
        with pytest.raises(CompressedFileError):
            read(data[:size], coder)
    for more in (b"\0", data, bytes(8)):
        with pytest.raises(CompressedFileError):
            read(data + more, coder)


def test_blocks_may_not_change_places():
    coder = Chained(VQ.codebook_sizes)
    data, _ = coded(coder, frames=21, block=7)
    assert len(data) == 40 + 3 * 8 + 3 * 14
    index = [data[40 + 8 * i : 48 + 8 * i] for i in range(3)]
    payloads = [data[64 + 14 * i : 78 + 14 * i] for i in range(3)]
    order = (1, 0, 2)
    swapped = data[:40] + b"".join(index[i] for i in order) + b"".join(payloads[i] for i in order)
    with pytest.raises(CompressedFileError, match="the checksum of block 1 of 3 differs"):
        read(swapped, coder)


def test_a_decoder_gone_astray_is_an_error_though_the_bytes_are_right():
    """As one on another machine would be whose tables differ in a code."""
    data, _ = coded(CODERS[2])
    for row, frame in ((0, 0), (2, 6), (1, 3)):

        class Astray(Chained):
            def decode(self, payloads, frames, at=(row, frame)):
                found = super().decode(payloads, frames)
                found[1][at] = (found[1][at] + 1) % 12
                return found

        with pytest.raises(CompressedFileError, match="the checksum of block 2 of 4 differs"):
            read(data, Astray(RVQ.codebook_sizes))


def test_a_file_of_nothing_stops_at_its_first_blocks():
    """24 hours claimed in half a megabyte: no more than 16 blocks are worked on."""
    coder = Chained(VQ.codebook_sizes)
    blocks = 60_000
    header = replace(
        parse(coded(coder)[0], "x"), block_frames=2304, length=2304 * HOP * blocks
    )  # fmt: skip
    assert 23.9 < header.seconds / 3600 < 24.1
    with Container(header.to_bytes() + bytes(8 * blocks)) as container:
        assert container.size < 1 << 19
        with pytest.raises(CompressedFileError, match="the checksum of block 1 of 60000 differs"):
            list(read_blocks(container, coder, 0, blocks))
    assert coder.calls == [16]


@given(st.binary(max_size=200), st.booleans())
@settings(deadline=None)
def test_random_bytes_are_an_error(data, begins_well):
    header = parse(coded(CODERS[1])[0], "x").to_bytes()
    with pytest.raises(AudioVQError):
        read(header + data if begins_well else data, CODERS[1])


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"length": (1 << 40) - 1}, "less than their index takes"),
        ({"length": 1}, "where its index states"),
        ({"block_frames": 1}, "index takes"),
        ({"hop_length": 1}, "index takes"),
        ({"block_frames": 400, "length": 30 * 400 * HOP}, "where its index states|index takes"),
    ],
)
def test_lies_are_found_before_memory_is_taken(lie, message):
    data, _ = coded(CODERS[1])
    lying = replace(parse(data, "x"), **lie).to_bytes() + data[40:]
    tracemalloc.start()
    try:
        with pytest.raises(CompressedFileError, match=message):
            read(lying, CODERS[1])
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


def test_packed_blocks_hold_what_they_claim():
    """One block may be said to be long; its payload tells, and nothing is allocated."""
    header = replace(parse(coded(CODERS[0])[0], "x"), block_frames=1 << 19, length=(1 << 19) * HOP)
    lying = header.to_bytes() + bytes(4) + (5).to_bytes(4, "little") + bytes(5)
    tracemalloc.start()
    try:
        with pytest.raises(CompressedFileError, match="524288 frames has 5 bytes where"):
            read(lying, CODERS[0])
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


def test_what_a_file_may_claim_is_limited():
    coder = Chained(VQ.codebook_sizes)
    data = VQ.compress(noise(1, 1600), coder)
    assert decompress(data, VQ, coder, max_seconds=0.1).shape[-1] == 1600
    for reading in (decompress, codes_of):
        with pytest.raises(CompressedFileError, match=r"claims 2.78e-05 h .* in \d+ bytes; up to"):
            reading(data, VQ, coder, max_seconds=0.09)
        with pytest.raises(CompressedFileError, match="claims"):
            reading(data, VQ, coder, max_seconds=float("nan"))


# ------------------------------------------------------- model and prior


def part_of(model, streams, **values):
    """An untrained prior of some streams of a model's codes."""
    part = choose(model.layout, model.codebook_sizes, streams, [])
    found = prior_of(model, "wavenet")
    codes = found.about.codes.model_copy(update={"codebook_sizes": part.modelled_sizes})
    return TrainedPrior.build(found.about.model_copy(update={"codes": codes, "part": part}))


def test_a_prior_of_some_rows_is_one_of_the_first_rows():
    """Of one size, rows are not told apart by it."""
    x = noise(1, 300)
    prior = part_of(RVQ, ["codebook 0", "codebook 1"])
    assert torch.equal(codes_of(RVQ.compress(x, prior), RVQ, prior), RVQ.encode(x)[:, :2])
    data = RVQ.compress(x, codebooks=1)
    for streams in (["codebook 1"], ["codebook 1", "codebook 0"], ["codebook 0", "codebook 2"]):
        with pytest.raises(ConfigError, match=f"the prior is of {', '.join(streams)}, and a"):
            RVQ.compress(x, part_of(RVQ, streams))
    lying = replace(parse(data, "x"), prior=b"12345678").to_bytes() + data[40:]
    with pytest.raises(ConfigError, match="the prior is of codebook 2, and a"):
        codes_of(lying, RVQ, part_of(RVQ, ["codebook 2"]))
    for streams, message in ((["fast"], "the prior is of fast, and a"), (["slow"], "needs all 3")):
        with pytest.raises(ConfigError, match=message):
            TWO_RATES.compress(x, part_of(TWO_RATES, streams))


def test_a_prior_is_given_as_it_was_loaded():
    for wrong in ("runs/prior", prior_of(VQ).module):
        with pytest.raises(ConfigError, match="give what audiovq.prior.load returns"):
            VQ.compress(noise(1, 300), wrong)


def test_files_are_read_with_their_own_model_and_prior():
    x, other = noise(1, 300), model_of("vq_ema", seed=5)
    coder, stranger = Chained(VQ.codebook_sizes), Chained(VQ.codebook_sizes, "stranger")
    plain, chained = VQ.compress(x), VQ.compress(x, coder)
    assert torch.equal(codes_of(plain, VQ, coder), codes_of(chained, VQ, coder))
    for data, model, prior, message in (
        (plain, other, None, "give the model it was made with"),
        (chained, other, coder, "give the model it was made with"),
        (chained, VQ, None, r"give it \(--prior\)"),
        (chained, VQ, stranger, "give the prior it was written with"),
    ):
        for reading in (decompress, codes_of):
            with pytest.raises(CompressedFileError, match=message):
                reading(data, model, prior)


def test_a_header_that_names_the_model_and_does_not_fit_it():
    data = VQ.compress(noise(1, 300))
    for lie in ({"codebooks": 2}, {"hop_length": 11}, {"sample_rate": 8000}):
        lying = replace(parse(data, "x"), **lie).to_bytes() + data[40:]
        with pytest.raises(CompressedFileError):
            decompress(lying, VQ)


def test_only_files_are_opened(tmp_path):
    for path, message in ((tmp_path / "none", "does not exist"), (tmp_path, "is not a file")):
        with pytest.raises(CompressedFileError, match=message):
            Container(path)


@pytest.mark.parametrize(
    ("model", "name"), [(VQ, "ngram"), (VQ, "wavenet"), (RVQ, "ngram"), (RVQ, "wavenet")]
)
def test_with_a_prior_the_codes_come_back_and_no_changed_byte_passes(model, name):
    x, prior = noise(1, 295, seed=2), prior_of(model, name)
    codes = model.encode(x, exact=True)
    data = model.compress(x, prior, block_seconds=seconds(20))
    assert torch.equal(codes_of(data, model, prior), codes)
    assert parse(data, "x").prior.hex() == prior.fingerprint()[:16]
    assert decompress(data, model, prior).shape == x.shape
    if name == "ngram":  # trained on the like
        assert len(data) < len(model.compress(x, block_seconds=seconds(20)))
    coder, draw = PriorCodes(prior), random.Random(0)
    for at in range(56, len(data), 1 if model is VQ else 4):  # behind header and index
        changed = data[:at] + bytes([data[at] ^ draw.randint(1, 255)]) + data[at + 1 :]
        with pytest.raises(CompressedFileError):
            read(changed, coder)
    with pytest.raises(CompressedFileError, match="give the prior it was written with"):
        codes_of(data, model, prior_of(model, name, seed=1))


def test_a_prior_of_another_model_is_refused():
    x, stranger = noise(1, 300), prior_of(model_of("vq_ema", seed=5))
    with pytest.raises(CheckpointError, match="the model holds codes of the model"):
        VQ.compress(x, stranger)
    data = VQ.compress(x, prior_of(VQ))
    with pytest.raises(CheckpointError, match="the model holds codes of the model"):
        decompress(data, VQ, stranger)
