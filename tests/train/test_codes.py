"""Batches of codes are pure functions of (seed, step); every sequence comes once an epoch."""

import random
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audiovq.errors import ConfigError
from audiovq.train.codes import CodeLoader, CodesConfig
from audiovq.units.sequences import CodeSequences, read_split
from tests.units.made import made_units, metadata


def sequences(frames, sizes=(7, 9)):
    """Utterances whose codes say which they are: frame t of row k is (t + k) modulo its size."""
    codes = [
        torch.stack([(torch.arange(n) + k) % size for k, size in enumerate(sizes)]).int()
        for n in frames
    ]
    ids = [f"u{i}" for i in range(len(frames))]
    return CodeSequences(
        metadata=metadata(sizes), ids=ids, speakers=["s"] * len(ids),
        samples=np.array(frames, np.int64) * 100, codes=codes,
    )  # fmt: skip


def loader(frames, *, seed=0, labels=None, **config):
    return CodeLoader(sequences(frames), CodesConfig(**config), seed, labels)


def equal(a, b):
    names = ("codes", "lengths", "labels", "keys", "step_lengths")
    return a.ids == b.ids and all(torch.equal(getattr(a, n), getattr(b, n)) for n in names)


LENGTHS = st.lists(st.integers(1, 60), min_size=4, max_size=20)


@given(LENGTHS, st.integers(1, 4), st.integers(1, 3), st.integers(0, 3))
def test_every_sequence_comes_at_most_once_and_few_wait(frames, size, bucket, epoch):
    made = loader(frames, batch_size=size, bucket=bucket)
    chosen = np.concatenate(made.plan(epoch))
    assert len(set(chosen.tolist())) == len(chosen)
    assert len(frames) - len(chosen) < size
    assert all(len(b) == size for b in made.plan(epoch))


@given(LENGTHS, st.integers(1, 25), st.integers(0, 5))
def test_pieces_cover_an_utterance_and_are_equally_long(frames, crop, epoch):
    made = loader(frames, batch_size=1, crop=crop)
    covered = [set() for _ in frames]
    for item in range(made.steps_per_epoch):
        owner, start, end = made.span(epoch, item)
        assert end - start == min(crop, frames[owner])
        assert 0 <= start < end <= frames[owner]
        covered[owner] |= set(range(start, end))
    assert covered == [set(range(n)) for n in frames]
    assert made.steps_per_epoch == sum(-(-n // crop) for n in frames)


def test_cuts_are_drawn_anew_in_every_epoch():
    made = loader([25], batch_size=1, crop=10)
    assert len({made.span(epoch, 1) for epoch in range(20)}) > 3
    assert {made.span(epoch, 0) for epoch in range(20)} == {(0, 0, 10)}


def test_batches_are_functions_of_seed_and_step():
    frames = [random.Random(0).randint(1, 40) for _ in range(13)]
    whole = list(islice(loader(frames, batch_size=3, bucket=2, crop=15).batches(0), 30))
    for start in (1, 7, 8, 20):
        again = islice(loader(frames, batch_size=3, bucket=2, crop=15).batches(start), 10)
        assert all(equal(a, b) for a, b in zip(whole[start:], again, strict=False))
    other = next(loader(frames, batch_size=3, bucket=2, crop=15, seed=1).batches(0))
    assert not equal(whole[0], other)
    keys = torch.cat([b.keys for b in whole]).tolist()
    assert len(set(keys)) == len(keys)


@given(st.integers(1, 3), st.integers(1, 3))
def test_ranks_and_micro_batches_are_parts_of_one_batch(ranks, parts):
    frames = [3, 9, 1, 4, 12, 5, 8, 2, 7, 7]
    whole = next(loader(frames, batch_size=9).batches(0))
    each = [next(loader(frames, batch_size=9).batches(0, (r, ranks))) for r in range(ranks)]
    small = [p for batch in each for p in batch.split(parts)]
    for name in ("codes", "lengths", "labels", "keys"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(p, name) for p in small]))
    assert all(torch.equal(p.step_lengths, whole.lengths) for p in small)


def test_a_batch_holds_the_codes_it_names():
    made = loader([5, 30, 12], batch_size=3, crop=12, labels=[4, 5, 6])
    for batch in islice(made.batches(0), 6):
        for item, name in enumerate(batch.ids):
            owner, n = int(name[1:]), int(batch.lengths[item])
            assert int(batch.labels[item]) == owner + 4
            codes = batch.codes[item, :, :n]
            whole = made.sequences.codes[owner].long()
            starts = range(whole.shape[1] - n + 1)
            assert any(torch.equal(codes, whole[:, s : s + n]) for s in starts)
            assert not batch.codes[item, :, n:].any()


def test_buckets_pad_less():
    rng = random.Random(0)
    frames = [rng.randint(1, 300) for _ in range(128)]

    def padded(bucket):
        batches = list(islice(loader(frames, batch_size=8, bucket=bucket).batches(0), 16))
        cells = sum(b.codes.shape[0] * b.codes.shape[2] for b in batches)
        return 1 - sum(int(b.lengths.sum()) for b in batches) / cells

    assert padded(16) < 0.5 * padded(1)


def test_a_batch_larger_than_the_corpus_is_refused():
    with pytest.raises(ConfigError, match=r"data.batch_size=4 is more than the 3 sequences"):
        loader([1, 2, 3], batch_size=4)


def test_sequences_are_the_split_of_the_units():
    units = made_units(random.Random(0))
    found = read_split(units, "train")
    assert found.ids == [r.id for r in units if r.split == "train"]
    assert all(
        torch.equal(c.long(), units[i].codes) for i, c in zip(found.ids, found.codes, strict=True)
    )
    flat = torch.cat([units[i].codes for i in found.ids], dim=1)
    assert [c.tolist() for c in found.counts()] == [
        torch.bincount(row, minlength=n).tolist() for row, n in zip(flat, (16, 8), strict=True)
    ]
    assert found.seconds.sum() == pytest.approx(sum(units[i].num_samples for i in found.ids) / 1000)
    assert found.fingerprint() == read_split(units, "train").fingerprint()
    assert found.fingerprint() != read_split(units, "test").fingerprint()
    few = found.spread(2)
    assert len(few) == 2
    assert few.ids[0] == found.ids[0]
