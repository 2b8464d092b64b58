from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from audiovq.errors import CheckpointError, ConfigError
from audiovq.prior._kneser_ney import discounts
from audiovq.prior.ngram import Config, NGram
from tests.prior import sources


def utterances(sizes, count, *, seed, frames=40):
    """Codes that follow each other unevenly, so that counts of all sizes occur."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        length = int(torch.randint(1, frames, (), generator=generator))
        u = torch.rand(len(sizes), length, generator=generator)
        codes = (u**3 * torch.tensor(sizes).unsqueeze(1)).long()
        codes[:, 1::3] = (codes[:, 1::3] + 1) % torch.tensor(sizes).unsqueeze(1)
        found.append(codes)
    return found


def fitted(sizes, order, corpus):
    prior = NGram(Config(order=order), sizes)
    prior.fit([(codes, None) for codes in corpus])
    return prior


class Reference:
    """Interpolated Kneser-Ney by the book, in dictionaries of tuples."""

    def __init__(self, sizes, order, corpus):
        self.sizes, self.order = sizes, order
        self.counts = [self._count(k, corpus) for k in range(len(sizes))]

    def history(self, codes, k, t):
        above = [codes[j][t] for j in reversed(range(k))]
        own = [codes[k][t - lag] if t >= lag else "start" for lag in range(1, self.order)]
        return tuple(above + own)

    def _count(self, k, corpus):
        longest = Counter()
        for codes in (c.tolist() for c in corpus):
            for t in range(len(codes[k])):
                longest[self.history(codes, k, t), codes[k][t]] += 1
        orders = [longest]
        while len(next(iter(orders[0]))[0]):
            seen = defaultdict(set)
            for history, code in orders[0]:
                seen[history[:-1], code].add(history[-1])
            orders.insert(0, Counter({ngram: len(before) for ngram, before in seen.items()}))
        return orders

    def probability(self, codes, k, t, code):
        history, found = self.history(codes, k, t), 1 / self.sizes[k]
        for m, counts in enumerate(self.counts[k]):
            discount = self._discounts(counts)
            after = {w: c for (h, w), c in counts.items() if h == history[:m]}
            if not after:
                return found
            total = sum(after.values())
            rest = sum(discount[min(c, 3)] for c in after.values()) / total
            kept = after.get(code, 0) - discount[min(after.get(code, 0), 3)]
            found = kept / total + rest * found
        return found

    def _discounts(self, counts):
        n = Counter(counts.values())
        if not n[1]:
            return [0, 0.5, 0.5, 0.5]
        y = n[1] / (n[1] + 2 * n[2])
        if not (n[2] and n[3] and n[4]):
            return [0, y, y, y]
        d = [0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
        return d if min(d[1:]) > 0 else [0, y, y, y]


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("sizes", [(7,), (3, 5, 4)])
def test_every_probability_is_that_of_dictionaries(sizes, order):
    corpus = utterances(sizes, 12, seed=0)
    prior, slow = fitted(sizes, order, corpus), Reference(sizes, order, corpus)
    generator = torch.Generator().manual_seed(1)  # half of the contexts were never seen
    even = torch.stack([torch.randint(n, (60,), generator=generator) for n in sizes])
    for codes in (*utterances(sizes, 2, seed=1, frames=12), even):
        logits, plain = prior(codes[None])[0], codes.tolist()
        chosen = prior.log_prob(codes[None])[0]
        for k in range(len(sizes)):
            for t in range(codes.shape[1]):
                expected = [slow.probability(plain, k, t, w) for w in range(sizes[k])]
                assert sum(expected) == pytest.approx(1)
                assert logits[k, : sizes[k], t].exp().tolist() == pytest.approx(expected, rel=1e-5)
                assert float(chosen[k, t].exp()) == pytest.approx(expected[plain[k][t]], rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(1, 4),
)
def test_all_codes_stay_possible_and_add_up_to_one(corpus, order):
    prior = fitted((6,), order, [torch.tensor([codes]) for codes in corpus])
    probability = prior(torch.tensor([corpus[0]]).unsqueeze(0)).double().exp()
    assert (probability > 0).all()
    torch.testing.assert_close(probability.sum(2), torch.ones(1, 1, len(corpus[0])).double())


def test_utterances_begin_anew():
    """The last code of one utterance does not precede the first of the next."""
    ends, begins = torch.tensor([[0, 1]]), torch.tensor([[2, 0]])
    apart = fitted((3,), 2, [ends, begins] * 3)
    joined = fitted((3,), 2, [torch.cat((ends, begins), 1)] * 3)
    question = torch.tensor([[[1, 2]]])
    assert apart.log_prob(question)[0, 0, 1] < joined.log_prob(question)[0, 0, 1]


def test_the_order_of_utterances_changes_nothing_and_counting_starts_anew():
    corpus = utterances((5, 4), 6, seed=2)
    prior, other = fitted((5, 4), 3, corpus), fitted((5, 4), 3, corpus[::-1])
    other.fit(corpus[::-1])  # codes without labels
    for (name, buffer), same in zip(prior.named_buffers(), other.buffers(), strict=True):
        assert torch.equal(buffer, same), name


def test_units_are_counted_by_split():
    records = [
        SimpleNamespace(codes=codes, split=split)
        for split in ("train", "test")
        for codes in utterances((5,), 4, seed=len(split))
    ]

    class Units:
        def select(self, split):
            return (r for r in records if split in {None, r.split})

    for split, part in (("train", records[:4]), ("test", records[4:]), (None, records)):
        prior = NGram(Config(), (5,))
        prior.fit(Units(), split)
        expected = fitted((5,), 3, [r.codes for r in part])
        assert all(
            torch.equal(a, b) for a, b in zip(prior.buffers(), expected.buffers(), strict=True)
        )
    with pytest.raises(ConfigError, match="no codes to count in the split 'validation'"):
        NGram(Config(), (5,)).fit(Units(), "validation")


@pytest.mark.parametrize("codes", [[[0, 5]], [[0, -1]], [[0, 1], [0, 1]]])
def test_codes_of_another_model_are_refused(codes):
    with pytest.raises(ConfigError, match=r"do not fit codebooks of \(5,\)"):
        NGram(Config(), (5,)).fit([(torch.tensor(codes), None)])


def test_before_counting_all_codes_are_equally_likely():
    probability = NGram(Config(), (4, 2))(torch.zeros(1, 2, 3, dtype=torch.int64)).exp()
    assert (probability[0, 0] == 0.25).all()
    assert (probability[0, 1, :2] == 0.5).all()
    assert (probability[0, 1, 2:] == 0).all()


def test_blocks_change_nothing(monkeypatch):
    prior = fitted((5, 4), 3, utterances((5, 4), 6, seed=3))
    codes = utterances((5, 4), 1, seed=4)[0][None]
    whole = prior(codes)
    monkeypatch.setattr("audiovq.prior.ngram._BLOCK", 12)
    assert torch.equal(prior(codes), whole)


def test_discounts_are_those_of_chen_and_goodman():
    counts = torch.tensor([1] * 10 + [2] * 5 + [3] * 3 + [4] * 2 + [9])
    y = 10 / 20
    expected = [0, 1 - 2 * y * 5 / 10, 2 - 3 * y * 3 / 5, 3 - 4 * y * 2 / 3]
    assert discounts(counts).tolist() == pytest.approx(expected)
    assert discounts(torch.tensor([7, 8])).tolist() == [0, 0.5, 0.5, 0.5]  # nothing is rare
    assert discounts(torch.tensor([1, 1, 2])).tolist() == [0, 0.5, 0.5, 0.5]  # 2 / (2 + 2)
    counts = torch.tensor([1, 2, 3, 3, 3, 3, 4])  # equation 26 gives 2 - 3 / 3 * 4 < 0
    assert discounts(counts).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])


def test_the_state_goes_through_safetensors(tmp_path):
    corpus = utterances((5, 4), 6, seed=5)
    prior, other = fitted((5, 4), 3, corpus), fitted((5, 4), 3, corpus[:1])
    save_file(prior.state_dict(), tmp_path / "n.safetensors")
    other.load_state_dict(load_file(tmp_path / "n.safetensors"))
    codes = corpus[0][None]
    assert torch.equal(other(codes), prior(codes))
    with pytest.raises(RuntimeError, match="Missing key"):
        NGram(Config(order=4), (5, 4)).load_state_dict(prior.state_dict())


@pytest.mark.parametrize(
    ("field", "damage"),
    [
        ("kept", lambda x: x * 1.01),
        ("kept", lambda x: x * float("nan")),
        ("kept", lambda x: x[:-1]),
        ("kept", lambda x: x.float()),
        ("kept", lambda x: x.flip(0)),
        ("rest", torch.zeros_like),
        ("rest", lambda x: x[None]),
        ("entries", lambda x: x.flip(0)),
        ("entries", lambda x: x + 10_000),
        ("entries", lambda x: x - 10_000),
        ("entries", lambda x: x.double()),
        ("contexts", lambda x: x.flip(0)),
        ("contexts", lambda x: x + 10_000),
    ],
)
def test_a_damaged_state_is_refused(field, damage):
    prior = fitted((5,), 2, utterances((5,), 6, seed=6))
    state = prior.state_dict()
    state[f"row0_order2_{field}"] = damage(state[f"row0_order2_{field}"])
    with pytest.raises(CheckpointError, match="order 2 of row 0 are damaged"):
        NGram(Config(order=2), (5,)).load_state_dict(state)


def test_its_context_is_what_it_says():
    assert [NGram(Config(order=n), (5, 4)).context for n in (1, 2, 5)] == [0, 1, 4]


def test_steps_end_with_the_last_code():
    steps = NGram(Config(), (5, 4)).steps(2, 1)
    for _ in range(2):
        assert steps.logits().shape == (2, 1, 5)
        steps.push(torch.zeros(2, 1, dtype=torch.int64))
    with pytest.raises(ConfigError, match="all 1 frames"):
        steps.logits()


def test_a_markov_source_is_learnt():
    transition = sources.residual_like(3, 4)
    prior = NGram(Config(order=2), (3, 4))
    prior.fit(sources.draw(transition, (3, 4), 64, 500, seed=1))
    sources.check_learnt(prior, transition)
