import pytest
import torch

from audiovq.stress import conceal
from tests.helpers import small_model
from tests.prior.test_contract import draw_codes, make

SIZES = [(5,), (4, 6)]


@pytest.fixture(
    scope="module", params=[(n, s) for n in ("wavenet", "ngram") for s in SIZES], ids=str
)
def prior(request):
    name, sizes = request.param
    return make(name, sizes, local=False, labels=0)


def mask(frames, seed=0, share=0.4):
    return torch.rand(frames, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("pattern", ["1101001101", "0110010000"])
def test_the_last_code_and_silence(pattern):
    codes = torch.arange(20).view(2, 10)
    lost = torch.tensor([c == "1" for c in pattern])
    quiet = torch.tensor([77, 88])
    expected, last = [], quiet
    for t in range(10):
        last = last if lost[t] else codes[:, t]
        expected.append(last)
    assert torch.equal(conceal.with_last(codes, lost, quiet), torch.stack(expected, dim=1))
    found = conceal.with_silence(codes, lost, quiet)
    assert torch.equal(found[:, ~lost], codes[:, ~lost])
    assert (found[:, lost] == quiet.view(2, 1)).all()


def test_silence_is_what_the_model_gives_for_silence():
    model = small_model()
    codes = model.encode(torch.zeros(1, 1, 5000))[0]
    assert torch.equal(conceal.silence(model), codes[:, codes.shape[1] // 2])


def test_the_most_probable_code_given_all_before(prior):
    """Against the whole forward pass, run again for every code that is missing."""
    frames = 14
    codes, lost = draw_codes(prior.codebook_sizes, 1, frames)[0], mask(frames)
    known = codes.clone()
    known[:, lost] = 0
    for group in prior.groups(frames):
        with torch.no_grad():
            logits = prior(known.unsqueeze(0))[0]
        for k, t in group:
            if lost[t]:
                known[k, t] = logits[k, :, t].argmax()
    found = conceal.by_prior(prior, codes, [lost], [0], [False])[0]
    assert torch.equal(found, known)
    assert torch.equal(found[:, ~lost], codes[:, ~lost])


def test_draws_depend_on_their_own_mask_and_key_alone(prior):
    codes = draw_codes(prior.codebook_sizes, 1, 12)[0]
    masks = [mask(12, seed) for seed in range(5)]
    masks[2] = torch.zeros(12, dtype=torch.bool)
    keys, draw = [11, 12, 13, 14, 11], [True, True, True, False, True]
    together = conceal.by_prior(prior, codes, masks, keys, draw)
    for i in range(5):
        alone = conceal.by_prior(prior, codes, masks[i : i + 1], keys[i : i + 1], draw[i : i + 1])
        assert torch.equal(together[i], alone[0])
    assert torch.equal(together[2], codes)


def test_draws_follow_the_prior():
    """Two frames in a row, so that each has a draw of its own, and the second knows the first."""
    prior = make("wavenet", (5,), local=False, labels=0)
    codes, lost = torch.zeros(1, 4, dtype=torch.int64), torch.tensor([False, True, True, False])
    number = 3000
    found = conceal.by_prior(prior, codes, [lost] * number, list(range(number)), [True] * number)
    pairs = torch.stack(found)[:, 0, 1:3]
    shares = (5 * pairs[:, 0] + pairs[:, 1]).bincount(minlength=25) / number
    with torch.no_grad():
        first = prior(codes.unsqueeze(0))[0, 0, :, 1].softmax(0)
        given = torch.zeros(5, 1, 4, dtype=torch.int64)
        given[:, 0, 1] = torch.arange(5)
        second = prior(given)[:, 0, :, 2].softmax(1)
    assert shares == pytest.approx((first.unsqueeze(1) * second).flatten(), abs=0.025)


def test_more_sequences_than_go_through_at_once():
    prior = make("wavenet", (5,), local=False, labels=0)
    codes = draw_codes((5,), 1, 6)[0]
    masks = [mask(6, seed, 0.6) for seed in range(20)]
    found = conceal.by_prior(prior, codes, masks, list(range(20)), [True] * 20)
    last = conceal.by_prior(prior, codes, masks[19:], [19], [True])
    assert torch.equal(found[19], last[0])
