import random
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from audiovq.errors import ConfigError
from audiovq.units import bpe
from audiovq.units.bpe import BPETokenizer
from audiovq.units.dataset import (
    TokenBatches,
    UnitDataset,
    UnitStream,
    collate,
    permutation,
)
from audiovq.units.hugging_face import to_hf
from audiovq.units.tokens import TokenConfig, Tokenizer
from tests.units.made import HOP, RATE, made_units

UNITS = made_units(random.Random(0), ids=[f"u{i}" for i in range(23)])
ONE = Tokenizer.of(UNITS, TokenConfig(codebooks=(0,), deduplicate=True, bos=True))
TWO = Tokenizer.of(UNITS, TokenConfig(pattern="delay"))


def names(items):
    return [i.record.id for i in items]


@pytest.mark.parametrize("encoder", [ONE, TWO])
@pytest.mark.parametrize("split", [None, "train"])
def test_items_by_number(encoder, split):
    data = UnitDataset(UNITS, encoder, split)
    expected = list(UNITS.select(split))
    assert len(data) == len(expected)
    assert data.lengths() == [encoder.encode(r).ids.shape[1] for r in expected]
    for i, record in enumerate(expected):
        assert data[i].record.id == record.id
        assert torch.equal(data[i].tokens.ids, encoder.encode(record).ids)


@pytest.mark.parametrize("encoder", [ONE, TWO])
def test_collate_pads_to_the_longest(encoder):
    data = UnitDataset(UNITS, encoder)
    items = [data[i] for i in range(5)]
    batch = collate(items, data.pad)
    longest = max(i.tokens.ids.shape[1] for i in items)
    assert batch.tokens.shape == ((5, longest) if encoder is ONE else (5, 2, longest))
    for i, item in enumerate(items):
        n = item.tokens.ids.shape[1]
        assert batch.lengths[i] == n
        assert batch.mask[i].tolist() == [True] * n + [False] * (longest - n)
        for padded, alone, pad in (
            (batch.tokens[i], item.tokens.ids, data.pad),
            (batch.durations[i], item.tokens.durations, 0),
        ):
            assert torch.equal(padded[..., :n], alone.squeeze(0))
            assert (padded[..., n:] == pad).all()
        assert batch.ids[i] == item.record.id
        assert (batch.speakers[i], batch.texts[i]) == (item.record.speaker, item.record.text)
    moved = batch.to("cpu")
    assert torch.equal(moved.tokens, batch.tokens)
    assert moved.ids == batch.ids


def test_bpe_feeds_training_too():
    t = Tokenizer.of(UNITS, TokenConfig(codebooks=(1,), deduplicate=True))
    data = UnitDataset(UNITS, BPETokenizer(t, bpe.train(UNITS, t, 40)), "train")
    batch = collate([data[0], data[1]], data.pad)
    assert data.pad == 1
    assert batch.lengths.tolist() == data.lengths()[:2]


# --- streaming


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("split", [None, "train"])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_together_are_the_whole_in_one_order(seed, split, parts):
    alone = names(UnitStream(UNITS, ONE, split, seed=seed))
    assert sorted(alone) == sorted(r.id for r in UNITS.select(split))
    found = [
        names(UnitStream(UNITS, ONE, split, seed=seed, part=(rank, parts))) for rank in range(parts)
    ]
    for rank in range(parts):
        assert found[rank] == alone[rank::parts]
    even = [
        names(UnitStream(UNITS, ONE, split, seed=seed, part=(rank, parts), even=True))
        for rank in range(parts)
    ]
    assert {len(f) for f in even} == {len(alone) // parts}
    assert all(e == f[: len(e)] for e, f in zip(even, found, strict=True))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_change_nothing_and_hear_of_the_epoch(workers):
    stream = UnitStream(UNITS, ONE, seed=0)
    loader = DataLoader(
        stream, batch_size=None, num_workers=workers, persistent_workers=workers > 0
    )
    epochs = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        epochs.append(names(loader))
    assert epochs[0] == epochs[2] == [UNITS.ids()[i] for i in permutation(23, 0, 0)]
    assert epochs[1] == [UNITS.ids()[i] for i in permutation(23, 0, 1)]
    assert epochs[0] != epochs[1]


def test_in_order_it_holds_one_utterance_at_a_time():
    """Streaming must not gather the corpus, which may be larger than memory."""
    taken = []

    class Counting(type(UNITS)):
        def select(self, split):
            for r in super().select(split):
                taken.append(r.id)
                yield r

    stream = iter(UnitStream(Counting(list(UNITS), UNITS.metadata), ONE))
    next(stream)
    next(stream)
    assert len(taken) == 2


# --- batches of a bounded number of tokens


lengths = st.lists(st.integers(1, 40), max_size=60)


@settings(max_examples=60, deadline=None)
@given(lengths, st.integers(40, 200), st.none() | st.integers(0, 5), st.integers(1, 30))
def test_every_utterance_once_within_the_bound(sizes, most, seed, window):
    sampler = TokenBatches(sizes, most, seed=seed, window=window)
    batches = list(sampler)
    assert len(sampler) == len(batches)
    assert sorted(i for b in batches for i in b) == list(range(len(sizes)))
    for batch in batches:
        assert batch
        assert len(batch) * max(sizes[i] for i in batch) <= most


@settings(max_examples=30, deadline=None)
@given(lengths, st.integers(1, 4), st.integers(0, 3))
def test_processes_share_the_batches_evenly(sizes, parts, epoch):
    def of(part):
        sampler = TokenBatches(sizes, 60, seed=1, part=part, window=9)
        sampler.set_epoch(epoch)
        assert len(sampler) == len(list(sampler))
        return list(sampler)

    whole = of((0, 1))
    found = [of((rank, parts)) for rank in range(parts)]
    assert {len(f) for f in found} == {len(whole) // parts}
    assert [b for step in zip(*found, strict=True) for b in step] == whole[
        : len(whole) // parts * parts
    ]


def test_epochs_differ_and_repeat():
    sampler = TokenBatches([1 + i % 7 for i in range(100)], 30, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_utterances_of_like_length_go_together():
    rng = random.Random(0)
    sizes = [rng.randint(1, 400) for _ in range(2000)]
    batches = list(TokenBatches(sizes, 4000, seed=0))
    padded = sum(len(b) * max(sizes[i] for i in b) for b in batches)
    assert padded < 1.05 * sum(sizes)


def test_a_loader_of_batches(tmp_path):
    data = UnitDataset(UNITS, ONE)
    sampler = TokenBatches(data.lengths(), 120, seed=0)
    loader = DataLoader(data, batch_sampler=sampler, collate_fn=partial(collate, pad=data.pad))
    seen = []
    for batch in loader:
        assert batch.tokens.numel() <= 120
        seen += batch.ids
    assert sorted(seen) == sorted(UNITS.ids())


def test_refusals():
    with pytest.raises(ConfigError, match="of 41 tokens is longer than max_tokens=40"):
        TokenBatches([3, 41], 40)
    for part in ((2, 2), (-1, 2), (0, 0)):
        for make in (
            lambda p: TokenBatches([1], 2, part=p),
            lambda p: UnitStream(UNITS, ONE, part=p),
        ):
            with pytest.raises(ConfigError, match="not \\(rank, world size\\)"):
                make(part)


# --- Hugging Face


def test_to_hf(tmp_path):
    found = to_hf(UNITS, cache_dir=tmp_path)
    assert found["id"][:] == UNITS.ids()
    for row in found:
        unit = UNITS[row["id"]]
        assert row["codes"] == unit.codes.tolist()
        assert (row["num_samples"], row["speaker"]) == (unit.num_samples, unit.speaker)
        assert (row["split"], row["text"]) == (unit.split, unit.text)
        assert (row["sample_rate"], row["frame_rate"]) == (RATE, RATE / HOP)
    assert UNITS.metadata.model_hash in found.info.description
    assert to_hf(UNITS, "test", cache_dir=tmp_path).num_rows == len(list(UNITS.select("test")))
