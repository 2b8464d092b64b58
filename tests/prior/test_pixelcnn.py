import itertools

import pytest
import torch

from tests.prior.test_contract import close, draw_codes, draw_condition, make


@torch.no_grad()
@pytest.mark.parametrize("dilations", [[1], [1, 2, 1], [2, 1]])
@pytest.mark.parametrize("sizes", [(5,), (4, 6), (3, 2, 4, 3, 5, 2)], ids=str)
def test_its_receptive_field_is_exactly_the_past_of_the_grid(sizes, dilations):
    """No blind spot: every row of the context's frames is heard, and the rows before its own."""
    net, frames = make("pixelcnn", sizes, local=False, dilations=dilations).double(), 8
    assert net.context == sum(dilations) + 1
    codes = draw_codes(sizes, 1, frames)
    before = net(codes)
    for k, t in itertools.product(range(len(sizes)), range(frames)):
        other = codes.clone()
        other[0, k, t] = (other[0, k, t] + 1) % sizes[k]
        changed = ((net(other) != before) & torch.isfinite(before))[0].any(dim=1)
        for j, u in itertools.product(range(len(sizes)), range(frames)):
            heard = 1 <= u - t <= net.context or (u == t and k < j)
            assert bool(changed[j, u]) == heard, f"({k}, {t}) -> ({j}, {u})"


def test_its_codes_are_drawn_frame_by_frame():
    net = make("pixelcnn", (4, 6))
    assert [list(g) for g in net.groups(2)] == [[(0, 0)], [(1, 0)], [(0, 1)], [(1, 1)]]


def test_steps_go_round_their_rings_many_times():
    net = make("pixelcnn", (5, 3), dilations=[1, 3, 2])
    codes, condition = draw_codes((5, 3), 2, 40), draw_condition(net, 2, 40)
    whole, steps = net(codes, None, condition), net.steps(2, 40, condition)
    for ((k, t),) in net.groups(40):
        close(steps.logits()[:, 0], whole[:, k, :, t], 1e-4)
        steps.push(codes[:, k, t].unsqueeze(1))


def test_steps_leave_out_dropout():
    net = make("pixelcnn", (5, 4), dropout=0.5).train()
    condition = draw_condition(net, 2, 4)
    found = net.steps(2, 4, condition).logits()
    assert torch.equal(found, net.eval().steps(2, 4, condition).logits())
