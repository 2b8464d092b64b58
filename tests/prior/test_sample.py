import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiovq.errors import ConfigError, NonFiniteError
from audiovq.prior._base import Condition, Prior, Steps
from audiovq.prior._condition import NOTHING
from audiovq.prior._sample import Choice, sample
from tests.prior.test_contract import draw_codes, draw_condition, make

SIZES = (4, 6, 5)


@pytest.fixture(params=["wavenet", "pixelcnn"])
def prior(request):
    return make(request.param, SIZES, dilations=[1, 2, 4])


class Fixed(Prior):
    """One row whose codes are independent, with these probabilities; with a label, the others."""

    def __init__(self, probability, labelled=None):
        super().__init__()
        self.register_buffer("logits", torch.tensor(probability).log())
        self.labelled = self.logits if labelled is None else torch.tensor(labelled).log()
        self.codebook_sizes, self.labels = (len(probability),), int(labelled is not None)

    def groups(self, frames):
        for t in range(frames):
            yield [(0, t)]

    def forward(self, codes, lengths=None, condition=NOTHING):
        return self.rows(len(codes), condition).unsqueeze(2).expand(-1, -1, -1, codes.shape[2])

    def rows(self, batch, condition):
        label = torch.zeros(batch) if condition.label is None else condition.label
        return torch.where(label.view(-1, 1, 1) > 0, self.labelled, self.logits)

    def steps(self, batch, frames, condition=NOTHING):
        return FixedSteps(self.rows(batch, condition))


class FixedSteps(Steps):
    def __init__(self, found):
        self.found = found

    def logits(self):
        return self.found

    def push(self, codes):
        assert codes.shape == self.found.shape[:2]


def shares(prior, **values):
    """How often each code is drawn, of 20000."""
    codes = sample(prior, 200, 100, **values)
    return torch.bincount(codes.flatten(), minlength=prior.codebook_sizes[0]) / codes.numel()


def near(found, expected):
    expected = torch.tensor(expected)
    assert (found[expected == 0] == 0).all()
    torch.testing.assert_close(found, expected / expected.sum(), atol=0.012, rtol=0)


P = [0.1, 0.4, 0.0, 0.2, 0.3]


def test_codes_are_drawn_as_often_as_they_are_probable():
    near(shares(Fixed(P)), P)
    near(shares(Fixed(P), seed=1), P)


def test_temperature_sharpens_and_flattens():
    near(shares(Fixed(P), temperature=0.5), [p**2 for p in P])
    near(shares(Fixed(P), temperature=2.0), [math.sqrt(p) for p in P])
    for cold in (0.0, 1e-30, 1e-300):
        near(shares(Fixed(P), temperature=cold), [0.0, 1, 0, 0, 0])


def test_top_k_and_top_p_leave_the_most_probable():
    near(shares(Fixed(P), top_k=2), [0, 0.4, 0, 0, 0.3])
    near(shares(Fixed(P), top_k=100), P)
    near(shares(Fixed(P), top_p=0.69), [0, 0.4, 0, 0, 0.3])
    near(shares(Fixed(P), top_p=0.71), [0, 0.4, 0, 0.2, 0.3])
    near(shares(Fixed(P), top_p=1e-9), [0.0, 1, 0, 0, 0])
    near(shares(Fixed(P), top_p=1.0), P)
    near(shares(Fixed(P), top_k=3, top_p=0.5), [0, 0.4, 0, 0, 0.3])  # of 0.9 that top_k leaves


def test_guidance_goes_beyond_the_label():
    label, told = torch.ones(200).long(), [0.4, 0.1, 0.0, 0.3, 0.2]
    prior, condition = Fixed(P, told), Condition(label=label)
    near(shares(prior, condition=condition), told)
    near(shares(prior, condition=condition, guidance=0.0), P)
    beyond = [0.0 if p == 0 else q**3 / p**2 for p, q in zip(P, told, strict=True)]
    near(shares(prior, condition=condition, guidance=3.0), beyond)


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda w: max(w) > 1e-3),
    u=st.floats(0, 1 - 2**-24, width=32),
    temperature=st.sampled_from([0.1, 1.0, 3.0]),
    top_k=st.one_of(st.none(), st.integers(1, 9)),
    top_p=st.one_of(st.none(), st.floats(0.01, 1)),
)
def test_a_choice_is_the_slow_one(weights, u, temperature, top_k, top_p):
    """Against the definition, in plain Python; draws within 1e-6 of an edge are left out."""
    logits = torch.tensor(weights).log()
    chosen = Choice(temperature=temperature, top_k=top_k, top_p=top_p, guidance=1.0)
    found = int(chosen.choose(logits.view(1, 1, -1), torch.tensor([[u]])))
    p = [w ** (1 / temperature) for w in torch.tensor(weights).double().tolist()]
    if top_k is not None:
        least = sorted(p, reverse=True)[: min(top_k, len(p))][-1]
        p = [x if x >= least * (1 - 1e-9) else 0.0 for x in p]
    p = [x / sum(p) for x in p]
    if top_p is not None:
        before, kept = 0.0, set()
        for i in sorted(range(len(p)), key=lambda i: -p[i]):
            if abs(before - top_p) < 1e-6:
                return
            if before < top_p:
                kept.add(i)
            before += p[i]
        p = [x if i in kept else 0.0 for i, x in enumerate(p)]
    edges = [sum(p[: i + 1]) / sum(p) for i in range(len(p))]
    if min(abs(u - e) for e in edges) > 1e-6 and u > 1e-6:
        assert found == next(i for i, e in enumerate(edges) if e > u)
    assert p[found] > 0


def test_items_do_not_depend_on_batch_or_frames(prior):
    condition = draw_condition(prior, 5, 20)
    plain = dataclasses.replace(condition, codes=None, features=None)
    prior = make(type(prior).__module__.rpartition(".")[2], SIZES, local=False)
    whole = sample(prior, 5, 20, condition=plain, seed=4)
    few = sample(prior, 2, 20, condition=Condition(label=plain.label[:2]), seed=4)
    short = sample(prior, 5, 12, condition=plain, seed=4)
    assert torch.equal(few, whole[:2])
    assert torch.equal(short, whole[:, :, :12])
    assert not torch.equal(sample(prior, 5, 20, condition=plain, seed=5), whole)
    assert not torch.equal(whole[0], whole[1])


def test_a_prompt_is_continued_as_if_it_had_been_drawn(prior):
    condition = draw_condition(prior, 3, 12)
    whole = sample(prior, 3, 12, condition=condition, seed=1)
    again = sample(prior, 3, 12, condition=condition, seed=1, prompt=whole[:, :, :5])
    assert torch.equal(again, whole)
    one = draw_codes(SIZES, 1, 4, seed=5)
    found = sample(prior, 3, 12, condition=condition, prompt=one)
    assert torch.equal(found[:, :, :4], one.expand(3, -1, -1))
    assert torch.equal(sample(prior, 3, 4, condition=cut(condition, 4), prompt=one)[:1], one)
    sizes = torch.tensor(SIZES).view(1, -1, 1)
    assert ((found >= 0) & (found < sizes)).all()


def cut(condition, frames):
    return dataclasses.replace(
        condition,
        codes=condition.codes[:, :, : (frames + 1) // 2],
        features=condition.features[:, :, :frames],
    )


def test_guidance_by_a_real_prior(prior):
    """Guidance 0 hears no label, no other codes and no features."""
    condition = draw_condition(prior, 3, 10)
    none = dataclasses.replace(condition, label=None, hidden=torch.ones(3).bool())
    deaf = sample(prior, 3, 10, condition=condition, guidance=0.0)
    assert torch.equal(deaf, sample(prior, 3, 10, condition=none))
    assert not torch.equal(deaf, sample(prior, 3, 10, condition=condition, guidance=3.0))


def test_it_draws_in_any_mode_and_leaves_generator_and_mode_alone(prior):
    condition, generator = draw_condition(prior, 2, 8), torch.get_rng_state()
    found = sample(prior, 2, 8, condition=condition)
    assert torch.equal(sample(prior.train(), 2, 8, condition=condition), found)
    assert prior.training
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("frames", [1, 2])
def test_fewer_frames_than_rows(prior, frames):
    condition = draw_condition(prior, 2, frames)
    found = sample(prior, 2, frames, condition=condition, temperature=0.0)
    assert torch.equal(prior(found, None, condition).argmax(2), found)


def test_steps_end_with_the_last_frame(prior):
    steps = prior.steps(1, 2, draw_condition(prior, 1, 2))
    for group in prior.groups(2):
        steps.push(torch.zeros(1, len(group)).long())
    with pytest.raises(ConfigError, match="all 2 frames"):
        steps.logits()
    with pytest.raises(ConfigError, match="0 sequences of 2 frames"):
        prior.steps(0, 2, draw_condition(prior, 1, 2))


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_a_damaged_prior_is_an_error(temperature):
    prior = make("wavenet", (5,), local=False)
    torch.nn.init.constant_(prior.last.weight, math.nan)
    with pytest.raises(NonFiniteError, match="not finite: its weights are damaged$"):
        sample(prior, 2, 5, temperature=temperature)


def test_guidance_beyond_all_numbers_is_an_error():
    prior = make("wavenet", (5,), local=False)
    condition = Condition(label=torch.tensor([1, 2]))
    with pytest.raises(NonFiniteError, match=r"or guidance=1e\+300 is too large for them"):
        sample(prior, 2, 5, condition=condition, guidance=1e300)


def test_bad_values_are_refused_in_one_line():
    prior = make("wavenet", SIZES, local=False, dilations=[1, 2])  # of a context of 6 frames
    label = Condition(label=torch.tensor([1, 2]))

    def wrong(message, batch=2, frames=10, **values):
        with pytest.raises(ConfigError, match=message) as raised:
            sample(prior, batch, frames, **values)
        assert "\n" not in str(raised.value)

    wrong("temperature=-1.0: .* at least 0", temperature=-1.0)
    wrong("temperature=nan", temperature=math.nan)
    wrong("temperature=inf", temperature=math.inf)
    wrong("top_p=0.0: above 0", top_p=0.0)
    wrong("top_p=1.5: above 0", top_p=1.5)
    wrong("top_k=0: at least 1", top_k=0)
    wrong("guidance=-0.5", guidance=-0.5, condition=label)
    wrong("guidance=2.0 needs a label", guidance=2.0)
    nobody = Condition(label=torch.tensor([0, 0]))
    wrong("guidance=2.0 needs a label", guidance=2.0, condition=nobody)
    wrong("seed=-1", seed=-1)
    wrong("0 sequences of 10 frames", batch=0)
    wrong("2 sequences of 0 frames", frames=0)
    wrong("label is of 2 items, not of 3", batch=3, condition=label)
    wrong(
        "labels 1 to 4 .* knows 0 \\(none\\) to 3", condition=Condition(label=torch.tensor([4, 1]))
    )
    wrong("no frames; leave it out", prompt=torch.zeros(2, 3, 0).long())
    wrong("11 frames, more than the 10", prompt=torch.zeros(2, 3, 11).long())
    wrong("hears no more than the last 6", prompt=torch.zeros(2, 3, 7).long())
    wrong("2 items of 1 rows.* 1 or 2 items of 3", prompt=torch.zeros(2, 1, 4).long())
    wrong("3 items of 3 rows", prompt=torch.zeros(3, 3, 4).long())
    prompt = torch.zeros(2, 3, 4).long()
    prompt[1, 0, 2] = 4
    wrong("code 4 in row 0 at frame 2; 0 to 3 are accepted", prompt=prompt)
    wrong("code -1 in row 0", prompt=-torch.ones(1, 3, 4).long())
    wrong("takes|is given 0", condition=Condition(features=torch.zeros(2, 4, 10)))
