"""The equations, written out with loops over items, views and verdicts, are the oracles."""

import pytest
import torch

from audiovq.discriminators._base import Map, View
from audiovq.losses import adversarial

FORMS = ("hinge", "least_squares")


def views(lengths, seed, *, channels=3):
    """Two views of values drawn at random, nonzero past the items' ends."""
    generator = torch.Generator().manual_seed(seed)

    def made(c, steps, other):
        values = torch.randn(len(lengths), c, steps, other, generator=generator)
        own = torch.tensor([-(-n * steps // max(lengths)) for n in lengths])
        return Map(values=values, steps=own)

    return tuple(
        View(logits=made(1, s, p), features=(made(channels, s, p), made(channels, 2 * s, p)))
        for s, p in ((6, 2), (9, 1))
    )


HIGH = {"hinge": lambda v: max(0.0, 1.0 - v), "least_squares": lambda v: (v - 1.0) ** 2}
LOW = {"hinge": lambda v: max(0.0, 1.0 + v), "least_squares": lambda v: v**2}


def verdicts(view, item):
    return view.logits.values[item, 0, : int(view.logits.steps[item])].flatten().tolist()


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("form", FORMS)
def test_both_sides_are_their_equations(form):
    ours, theirs = views([5, 3, 1], 0), views([5, 3, 1], 1)
    rival = adversarial.discriminator_loss(form, ours, theirs)
    own = adversarial.generator_loss(form, theirs)
    for i in range(3):
        each = [
            mean(map(HIGH[form], verdicts(a, i))) + mean(map(LOW[form], verdicts(b, i)))
            for a, b in zip(ours, theirs, strict=True)
        ]
        assert float(rival[i]) == pytest.approx(mean(each), rel=1e-5)
        expected = mean(mean(map(HIGH[form], verdicts(b, i))) for b in theirs)
        assert float(own[i]) == pytest.approx(expected, rel=1e-5)


def test_feature_matching_is_its_equation():
    ours, theirs = views([5, 2], 0), views([5, 2], 1)
    found = adversarial.feature_loss(ours, theirs)
    for i in range(2):
        each = []
        for a, b in zip(ours, theirs, strict=True):
            layers = []
            for p, q in zip(a.features, b.features, strict=True):
                n = int(p.steps[i])
                x, y = p.values[i, :, :n], q.values[i, :, :n]
                layers.append(float((x - y).abs().mean() / (x.abs().mean() + adversarial.FLOOR)))
            each.append(mean(layers))
        assert float(found[i]) == pytest.approx(mean(each), rel=1e-5)
    assert not adversarial.feature_loss(ours, ours).any()


def test_only_reconstructions_features_get_a_gradient():
    ours, theirs = views([4], 0), views([4], 1)
    leaves = [f.values.requires_grad_() for v in (*ours, *theirs) for f in v.features]
    adversarial.feature_loss(ours, theirs).sum().backward()
    half = len(leaves) // 2
    assert all(x.grad is None for x in leaves[:half])
    assert all(x.grad is not None and x.grad.any() for x in leaves[half:])


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_past_an_end_is_ignored(form):
    ours, theirs = views([6, 2], 0), views([6, 2], 1)
    spoiled = views([6, 2], 0)
    for v in spoiled:
        for m in (v.logits, *v.features):
            m.values[1, :, int(m.steps[1]) :] = torch.nan
    for loss in (
        lambda a: adversarial.discriminator_loss(form, a, theirs),
        lambda a: adversarial.feature_loss(a, theirs),
        lambda a: adversarial.generator_loss(form, a),
    ):
        assert torch.equal(loss(ours), loss(spoiled))


@pytest.mark.parametrize(("form", "level"), [("hinge", 0.0), ("least_squares", 0.5)])
def test_accuracy_is_the_share_on_the_right_side(form, level):
    ours = views([5, 2], 0)
    for original in (True, False):
        found = adversarial.accuracy(form, ours, original=original)
        for view, shares in zip(ours, found, strict=True):
            for i in range(2):
                right = [(v > level) == original for v in verdicts(view, i)]
                assert float(shares[i]) == pytest.approx(mean(right))


def test_a_perfect_discriminator_has_no_loss_and_the_best_guess_has_two_or_a_half():
    def fixed(value):
        m = Map(values=torch.full((1, 1, 4, 1), value), steps=torch.tensor([4]))
        return (View(logits=m, features=(m,)),)

    assert float(adversarial.discriminator_loss("hinge", fixed(1.0), fixed(-1.0))) == 0.0
    assert float(adversarial.discriminator_loss("least_squares", fixed(1.0), fixed(0.0))) == 0.0
    assert float(adversarial.discriminator_loss("hinge", fixed(0.0), fixed(0.0))) == 2.0
    assert float(adversarial.discriminator_loss("least_squares", fixed(0.5), fixed(0.5))) == 0.5
