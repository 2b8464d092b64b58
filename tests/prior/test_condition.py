from dataclasses import replace

import pytest
import torch

from audiovq.errors import ConfigError
from audiovq.prior._base import Condition
from audiovq.prior._condition import ConditionConfig, Conditioner, at_rest

CONFIG = ConditionConfig(condition_codes=(3,), condition_features=2, label_dropout=0.5)


def conditioner(labels=2):
    torch.manual_seed(0)
    return Conditioner(CONFIG, labels, 4).eval()


def given(frames, slow, items=1, label=None):
    codes = torch.arange(items * slow).view(items, 1, slow) % 3
    return Condition(codes=codes, features=torch.randn(items, 2, frames), label=label)


@pytest.mark.parametrize(
    ("frames", "slow"), [(6, 6), (6, 3), (5, 3), (6, 2), (5, 2), (1, 1), (8, 1)]
)
def test_a_slow_code_holds_for_its_frames(frames, slow):
    net, condition = conditioner(), given(frames, slow)
    found, every = net(condition, frames), -(-frames // slow)
    for t in range(frames):
        code = condition.codes[0, 0, t // every]
        expected = net.codes[0](code) + net.features(condition.features[0, :, t])
        torch.testing.assert_close(found[0, t], expected)


def test_nothing_but_the_label_is_known_past_the_end():
    net, label = conditioner(), torch.tensor([1, 2])
    inside = torch.tensor([[True] * 4, [True, False, False, False]])
    found = net(given(4, 4, 2, label), 4, inside, more=2)
    assert found.shape == (2, 6, 4)
    torch.testing.assert_close(found[0, 4:], net.label(label[[0]]).expand(2, 4))
    torch.testing.assert_close(found[1, 1:], net.label(label[[1]]).expand(5, 4))


def test_what_does_not_fit_is_refused():
    net = conditioner()
    with pytest.raises(ConfigError, match="codes has 0 rows; this prior is given 1"):
        net(Condition(), 4)
    with pytest.raises(ConfigError, match="features has 0 values per frame; .* given 2"):
        net(Condition(codes=torch.zeros(1, 1, 4).long()), 4)
    with pytest.raises(ConfigError, match="features has 5 frames for 4"):
        net(given(5, 4), 4)
    for slow in (0, 3, 5):
        with pytest.raises(ConfigError, match=f"codes has {slow} frames for 7 frames"):
            net(given(7, slow), 7)
    with pytest.raises(ConfigError, match="knows no labels"):
        conditioner(labels=0)(given(4, 4, label=torch.ones(1).long()), 4)


def test_at_rest_hides_no_label_and_changes_no_mode():
    net, condition = conditioner(), given(3, 3, 50, torch.ones(50).long())
    expected = net(condition, 3)
    net.train()
    torch.testing.assert_close(at_rest(net, condition, 3), expected)
    assert net.training
    assert not torch.allclose(net(condition, 3), expected)


def test_hidden_items_are_told_nothing():
    net, hidden = conditioner(), torch.tensor([True, False])
    condition = given(3, 3, 2, torch.tensor([1, 2]))
    told = net(condition, 3)
    found = net(replace(condition, hidden=hidden), 3)
    torch.testing.assert_close(found[0], torch.zeros(3, 4))
    torch.testing.assert_close(found[1], told[1])


def test_training_hides_all_of_an_item_at_the_stated_rate():
    """Beside the labels that it hides alone; by the item's key, whatever the batch."""
    config = CONFIG.model_copy(update={"condition_dropout": 0.2})
    torch.manual_seed(0)
    net, items = Conditioner(config, 1, 4), 4000
    condition = given(2, 2, items, torch.ones(items).long())
    silent = (net(condition, 2) == 0).all(dim=2).all(dim=1)
    assert 0.17 < float(silent.float().mean()) < 0.23
    some = replace(
        condition, codes=condition.codes[7:20], features=condition.features[7:20],
        label=condition.label[7:20], keys=torch.arange(7, 20),
    )  # fmt: skip
    assert torch.equal((net(some, 2) == 0).all(dim=2).all(dim=1), silent[7:20])
    assert not (net.eval()(condition, 2) == 0).all(dim=2).any()
