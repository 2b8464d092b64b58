import pytest
import torch

from audiovq.prior._dropout import dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_it_hides_as_much_as_asked_and_keeps_the_expectation(probability):
    x = torch.ones(4, 500, 25)
    found = dropout(x, probability, torch.arange(4), "a")
    assert abs(float((found == 0).float().mean()) - probability) < 0.01
    assert abs(float(found.mean()) - 1) < 0.05
    assert len(found.unique()) == 2


def test_a_draw_belongs_to_item_name_frame_and_element():
    x, keys = torch.randn(3, 20, 5), torch.tensor([7, 8, 9])
    found = dropout(x, 0.4, keys, "a")
    assert torch.equal(dropout(x[:, :7], 0.4, keys, "a"), found[:, :7])
    assert torch.equal(dropout(x[[2]], 0.4, keys[[2]], "a"), found[[2]])
    assert torch.equal(dropout(x.view(3, 20, 5, 1), 0.4, keys, "a").view_as(x), found)
    assert not torch.equal(dropout(x, 0.4, keys, "b"), found)
    assert not torch.equal(dropout(x, 0.4, keys + 1, "a"), found)


def test_none_is_none():
    x = torch.randn(2, 3, 4)
    assert dropout(x, 0.0, torch.arange(2), "a") is x


def test_elements_are_unrelated():
    """Neighbours, which share a hash, are hidden together as often as chance has it."""
    hidden = (dropout(torch.ones(1, 4000, 8), 0.5, torch.arange(1), "a")[0] == 0).float()
    together = torch.corrcoef(hidden.T) - torch.eye(8)
    assert together.abs().max() < 0.06
