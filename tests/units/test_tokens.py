import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.config import parse
from audiovq.errors import ConfigError
from audiovq.units.tokens import TokenConfig, Tokenizer, deduplicate
from tests.units.made import HOP, RATE, record

SIZES = (4, 3, 5)
PICTURE = record("a", [[3, 3, 1], [2, 2, 0], [4, 4, 4]])


def tokenizer(sizes=SIZES, **config):
    return Tokenizer(TokenConfig(**config), sizes, RATE, HOP)


utterances = st.integers(1, 12).flatmap(
    lambda frames: st.tuples(
        *(st.lists(st.integers(0, n - 1), min_size=frames, max_size=frames) for n in SIZES)
    )
)
configs = st.builds(
    TokenConfig,
    codebooks=st.none() | st.lists(st.sampled_from([0, 1, 2]), min_size=1, unique=True).map(tuple),
    pattern=st.sampled_from(["parallel", "flatten", "delay", "first"]),
    deduplicate=st.booleans(),
    offsets=st.none() | st.booleans(),
    bos=st.booleans(),
    eos=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(utterances, configs, st.integers(0, 3))
def test_decode_undoes_encode(rows, config, padding):
    codes = torch.tensor(rows)
    t = Tokenizer(config, SIZES, RATE, HOP)
    found = t.encode(record("a", rows))
    assert found.ids.shape == found.durations.shape == found.first.shape
    assert found.ids.shape[0] == t.streams
    assert 0 <= int(found.ids.min()) <= int(found.ids.max()) < t.vocabulary.size
    pad = torch.full((t.streams, padding), t.vocabulary.pad)
    ids = torch.cat([found.ids, pad], 1)
    durations = torch.cat([found.durations, torch.zeros_like(pad)], 1)
    assert torch.equal(t.decode(ids, durations), codes[list(t.rows)])
    if not config.deduplicate:
        assert torch.equal(t.decode(ids), codes[list(t.rows)])


def slow_runs(columns):
    runs = []
    for column in columns:
        if runs and runs[-1][0] == column:
            runs[-1][1] += 1
        else:
            runs.append([column, 1])
    return runs


@settings(max_examples=100, deadline=None)
@given(utterances)
def test_deduplicate_merges_equal_columns(rows):
    kept, lengths = deduplicate(torch.tensor(rows))
    expected = slow_runs(list(zip(*rows, strict=True)))
    assert [tuple(c) for c in kept.t().tolist()] == [c for c, _ in expected]
    assert lengths.tolist() == [n for _, n in expected]


def test_patterns_as_pictured():
    def ids(**config):
        return tokenizer(**config).encode(PICTURE).ids.tolist()

    pad = 5
    assert ids() == [[3, 3, 1], [2, 2, 0], [4, 4, 4]]
    assert ids(offsets=True) == [[3, 3, 1], [6, 6, 4], [11, 11, 11]]
    assert ids(pattern="flatten") == [[3, 6, 11, 3, 6, 11, 1, 4, 11]]
    assert ids(pattern="flatten", offsets=False) == [[3, 2, 4, 3, 2, 4, 1, 0, 4]]
    assert ids(pattern="delay") == [
        [3, 3, 1, pad, pad],
        [pad, 2, 2, 0, pad],
        [pad, pad, 4, 4, 4],
    ]
    assert ids(pattern="first") == [[3, 3, 1]]
    assert ids(pattern="first", codebooks=(2, 0)) == [[4, 4, 4]]
    assert ids(codebooks=(1,), deduplicate=True, bos=True, eos=True) == [[4, 2, 0, 5]]


def test_special_tokens_come_after_all_codes():
    v = tokenizer(pattern="flatten").vocabulary
    assert (v.pad, v.bos, v.eos, v.size) == (12, 13, 14, 15)
    v = tokenizer(codebooks=(0, 1)).vocabulary
    assert (v.pad, v.size) == (4, 7)


def test_times_of_tokens():
    found = tokenizer(codebooks=(0,), deduplicate=True, bos=True, eos=True).encode(PICTURE)
    assert found.durations.tolist() == [[0, 2, 1, 0]]
    assert found.starts.tolist() == [[0.0, 0.0, 0.2, 0.297]]  # 297 samples at 1 kHz
    assert found.ends.tolist() == [[0.0, 0.2, 0.297, 0.297]]
    delayed = tokenizer(pattern="delay", codebooks=(0, 1)).encode(PICTURE)
    assert delayed.first.tolist() == [[0, 1, 2, 3], [0, 0, 1, 2]]
    assert delayed.durations.tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]
    flat = tokenizer(pattern="flatten", codebooks=(0, 1)).encode(PICTURE)
    assert flat.starts.tolist() == [[0.0, 0.0, 0.1, 0.1, 0.2, 0.2]]


@pytest.mark.parametrize(
    ("config", "ids", "message"),
    [
        ({}, [[1]], "1 streams of tokens given; this tokenizer has 3"),
        ({"pattern": "flatten"}, [[0, 4]], "2 flattened tokens are not whole frames of 3"),
        ({"pattern": "flatten"}, [[4, 0, 7]], "token 4 is not of the codebook"),
        ({"pattern": "delay"}, [[0], [0], [0]], "1 delayed tokens hold no frame of 3"),
        ({"pattern": "first"}, [[0, 6, 0]], "token 6 is not of the codebook"),
        ({"pattern": "first"}, [[-1]], "token -1"),
    ],
)
def test_what_a_bad_model_generates_is_refused(config, ids, message):
    with pytest.raises(ConfigError, match=message):
        tokenizer(**config).decode(torch.tensor(ids))


def test_nothing_decodes_to_nothing():
    for pattern in ("parallel", "flatten", "delay", "first"):
        t = tokenizer(pattern=pattern)
        empty = torch.zeros(t.streams, 0, dtype=torch.int64)
        assert t.decode(empty).shape == (len(t.rows), 0)


def test_refuses_rows_that_are_not_there():
    with pytest.raises(ConfigError, match="codebook 3 was asked for; the units have 3"):
        tokenizer(codebooks=(0, 3))
    for bad in ((-1,), (1, 1), ()):
        with pytest.raises(ConfigError, match="codebooks"):
            parse(TokenConfig, {"codebooks": bad})
