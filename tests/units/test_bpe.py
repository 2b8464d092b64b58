import pickle
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import CheckpointError, ConfigError
from audiovq.units import bpe
from audiovq.units.bpe import BPETokenizer, UnitBPE
from audiovq.units.tokens import TokenConfig, Tokenizer
from tests.units.made import HOP, RATE, made_units, record

UNITS = made_units(random.Random(0), sizes=(16,), frames=(150, 200))
ONE = Tokenizer.of(UNITS, TokenConfig(deduplicate=True, bos=True, eos=True))
MODEL = bpe.train(UNITS, ONE, 60)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=1, max_size=50), st.booleans())
def test_round_trip_and_times(codes, specials):
    config = TokenConfig(deduplicate=True, bos=specials, eos=specials)
    plain = Tokenizer(TokenConfig(deduplicate=True), (16,), RATE, HOP)
    both = BPETokenizer(Tokenizer(config, (16,), RATE, HOP), MODEL)
    units, merged = plain.encode(record("a", [codes])), both.encode(record("a", [codes]))
    assert torch.equal(both.decode(merged.ids), units.ids)
    inside = slice(1, -1) if specials else slice(None)
    if specials:
        assert merged.ids[0, [0, -1]].tolist() == [MODEL.bos, MODEL.eos]
    # each token covers just the units it stands for, without gaps
    at = 0
    for i, token in enumerate(merged.ids[0, inside].tolist()):
        count = MODEL.decode(torch.tensor([[token]])).shape[1]
        part = slice(at, at + count)
        assert merged.starts[0, inside][i] == units.starts[0, part][0]
        assert merged.ends[0, inside][i] == units.ends[0, part][-1]
        assert merged.durations[0, inside][i] == units.durations[0, part].sum()
        at += count
    assert at == units.ids.shape[1]


def test_merges_shorten_what_repeats():
    tokens = BPETokenizer(ONE, MODEL)
    before = sum(ONE.encode(r).ids.shape[1] for r in UNITS.select("test"))
    after = sum(tokens.encode(r).ids.shape[1] for r in UNITS.select("test"))
    assert after < 0.6 * before
    assert MODEL.size == 60
    assert MODEL.units == 16


def test_the_first_merge_is_the_most_frequent_pair():
    model = bpe.train_on([[1, 2, 3, 1, 2, 0, 1, 2], [3, 0, 3, 1, 2]], 4, 9)
    assert model.decode(torch.tensor([[4]])).tolist() == [[1, 2]]


def test_training_is_deterministic_and_survives_disk_and_pickle(tmp_path):
    assert bpe.train(UNITS, ONE, 60).model == MODEL.model
    MODEL.save(tmp_path / "bpe.model")
    tokens = ONE.encode(record("a", [list(range(16))]))
    expected = MODEL.encode(Tokenizer.of(UNITS).encode(record("a", [list(range(16))]))).ids
    for other in (UnitBPE.load(tmp_path / "bpe.model"), pickle.loads(pickle.dumps(MODEL))):
        assert torch.equal(
            BPETokenizer(ONE, other).encode(record("a", [list(range(16))])).ids[:, 1:-1], expected
        )
    assert tokens.ids.shape[1] == 18


def test_any_sentencepiece_reader_can_apply_it(tmp_path):
    import sentencepiece

    MODEL.save(tmp_path / "bpe.model")
    reader = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "bpe.model"))
    units = [5, 6, 7, 7, 1, 15]
    ids = reader.encode("".join(chr(0xF0000 + u) for u in units))
    assert MODEL.decode(torch.tensor([ids])).tolist() == [units]
    assert [reader.unk_id(), reader.pad_id(), reader.bos_id(), reader.eos_id()] == [0, 1, 2, 3]


def test_more_units_than_one_plane_holds():
    n = 65_540
    rare = [0, 65_533, 65_534, 65_539] * 3
    model = bpe.train_on([rare], n, n + 6)
    assert (model.units, model.size) == (n, n + 6)
    t = Tokenizer(TokenConfig(), (n,), RATE, HOP)
    tokens = t.encode(record("a", [[65_533, 65_534, 12_345, 65_539]]))
    assert torch.equal(model.decode(model.encode(tokens).ids), tokens.ids)


def test_long_utterances_are_learned_from_and_encoded_whole():
    codes = [i % 7 for i in range(20_000)]  # many times what the trainer takes as one sentence
    model = bpe.train_on([codes], 16, 60)
    tokens = Tokenizer(TokenConfig(), (16,), RATE, HOP).encode(record("a", [codes]))
    merged = model.encode(tokens)
    assert merged.ids.shape[1] < 1000
    assert torch.equal(model.decode(merged.ids), tokens.ids)


def test_flattened_codebooks():
    units = made_units(random.Random(1), sizes=(5, 3), frames=(80, 90))
    t = Tokenizer.of(units, TokenConfig(pattern="flatten"))
    both = BPETokenizer(t, bpe.train(units, t, 40))
    for r in units:
        assert torch.equal(both.decode(both.encode(r).ids), r.codes)


def test_it_learns_from_the_training_split_alone():
    other = made_units(random.Random(0), sizes=(16,), frames=(150, 200))
    changed = {
        r.id: r if r.split == "train" else record(r.id, [[0, 9] * 75], split=r.split) for r in other
    }
    other.records = changed
    assert bpe.train(other, ONE, 60).model == MODEL.model
    assert bpe.train(other, ONE, 60, split=None).model != MODEL.model


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match="cannot hold 16 units and 4 special"):
        bpe.train(UNITS, ONE, 19)
    with pytest.raises(ConfigError, match="no utterance of the split 'dev'"):
        bpe.train(UNITS, ONE, 60, split="dev")
    two = made_units(random.Random(0))
    with pytest.raises(ConfigError, match="one stream"):
        bpe.train(two, Tokenizer.of(two), 60)
    with pytest.raises(ConfigError, match="of 16 units; the tokenizer has 8"):
        BPETokenizer(Tokenizer.of(two, TokenConfig(codebooks=(1,))), MODEL)
    with pytest.raises(ConfigError, match="unit 16 given"):
        MODEL.encode(Tokenizer(TokenConfig(), (17,), RATE, HOP).encode(record("a", [[16]])))
    for bad in (0, 60):
        with pytest.raises(ConfigError, match=f"token {bad} is none"):
            MODEL.decode(torch.tensor([[bad]]))
    for data in (b"", b"not a model"):
        (tmp_path / "m").write_bytes(data)
        with pytest.raises(CheckpointError, match="not a model of unit BPE"):
            UnitBPE.load(tmp_path / "m")
    with pytest.raises(CheckpointError, match="cannot read"):
        UnitBPE.load(tmp_path / "none")


def test_a_model_of_text_is_refused():
    import io

    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["some words here"] * 3),
        model_writer=out,
        model_type="bpe",
        vocab_size=20,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(CheckpointError, match=r"U\+\w+, which stands for no unit"):
        UnitBPE(out.getvalue())
