import dataclasses
import itertools

import pytest
import torch
from torch.nn import functional as F

from audiovq.prior._base import Condition
from tests.prior.test_contract import close, draw_codes, draw_condition, make


def plain(net, codes):
    """One row of codes, unconditioned: the network as the paper draws it, by convolutions."""
    C = net.config.channels
    start = torch.full_like(codes[:, 0, :1], net.codebook_sizes[0])
    x = net.rows.table(torch.cat((start, codes[:, 0, :-1]), dim=1)).transpose(1, 2)
    skips = []
    for gate, out, dilation in zip(net.gates, net.outs, net.config.dilations, strict=True):
        kernel = torch.stack(gate.weight.chunk(2, dim=1), dim=2)  # (2C, C, 2): past, now
        y = F.conv1d(F.pad(x, (dilation, 0)), kernel, gate.bias, dilation=dilation)
        z = torch.tanh(y[:, :C]) * torch.sigmoid(y[:, C:])
        both = F.conv1d(z, out.weight.unsqueeze(2))
        x = x + both[:, :C]
        skips.append(both[:, C:])
    h = torch.relu(torch.stack(skips).sum(0) + net.skip_bias.view(-1, 1))
    h = torch.relu(F.conv1d(h, net.last.weight.unsqueeze(2), net.last.bias))
    head = net.heads.linear
    return F.conv1d(h, head.weight.unsqueeze(2), head.bias).unsqueeze(1)


def test_it_is_the_paper_s_network():
    net = make("wavenet", (5,), labels=0, local=False, dilations=[1, 2, 4, 1])
    codes = draw_codes((5,), 3, 20)
    close(net(codes), plain(net, codes))


@torch.no_grad()
@pytest.mark.parametrize("dilations", [[1], [1, 2, 1], [2, 1, 4], [3, 1]])
@pytest.mark.parametrize("sizes", [(5,), (4, 6, 5)])
def test_its_receptive_field_is_exactly_the_stated_context(sizes, dilations):
    """A column hears the columns as far before the last as some dilations add up to, no other.

    Those are all of the D + 1 columns before it, but for the last dilations here, which leave a
    gap, as the class says.
    """
    net, frames = make("wavenet", sizes, local=False, dilations=dilations).double(), 14
    reach, offsets = sum(dilations) + 1, {1}
    for dilation in dilations:
        offsets |= {offset + dilation for offset in offsets}
    assert (offsets == set(range(1, reach + 1))) == (dilations != [3, 1])
    assert net.context == sum(dilations) + len(sizes)
    codes = draw_codes(sizes, 1, frames)
    before, farthest, nearest = net(codes), 0, frames
    for k, t in itertools.product(range(len(sizes)), range(frames)):
        other = codes.clone()
        other[0, k, t] = (other[0, k, t] + 1) % sizes[k]
        changed = ((net(other) != before) & torch.isfinite(before))[0].any(dim=1)
        for j, u in itertools.product(range(len(sizes)), range(frames)):
            heard = (u + j) - (t + k) in offsets
            assert bool(changed[j, u]) == heard, f"({k}, {t}) -> ({j}, {u})"
            farthest = max(farthest, u - t if heard else 0)
            nearest = min(nearest, u - t if heard else 1)
    assert farthest == net.context
    # conditions are heard from one frame further ahead than codes, in the column itself
    assert nearest == 1 - net.ahead


def test_its_columns_are_those_of_the_delay_pattern():
    net = make("wavenet", (4, 6, 5))
    assert [list(g) for g in net.groups(2)] == [
        [(0, 0)],
        [(1, 0), (0, 1)],
        [(2, 0), (1, 1)],
        [(2, 1)],
    ]


def test_state_is_as_long_as_the_dilations_and_no_longer():
    net = make("wavenet", (5,), labels=0, local=False, dilations=[1, 2, 4])
    short, long = net.steps(2, 10), net.steps(2, 100_000)

    def size(steps):
        return sum(v.numel() for v in vars(steps).values() if isinstance(v, torch.Tensor))

    assert size(short) == size(long)
    assert short._ring.shape == (7, 2, 8)


def test_steps_go_round_their_rings_many_times():
    net = make("wavenet", (5, 3), dilations=[1, 3, 2])
    codes, condition = draw_codes((5, 3), 2, 60), draw_condition(net, 2, 60)
    whole, steps = net(codes, None, condition), net.steps(2, 60, condition)
    for group in net.groups(60):
        expected = torch.stack([whole[:, k, :, t] for k, t in group], dim=1)
        close(steps.logits(), expected, 1e-4)
        steps.push(torch.stack([codes[:, k, t] for k, t in group], dim=1))


def test_steps_leave_out_dropout_and_the_mode_as_it_was():
    net = make("wavenet", (5,), dropout=0.5, label_dropout=0.9).train()
    condition = draw_condition(net, 2, 4)
    found = net.steps(2, 4, condition).logits()
    assert net.training
    assert net.conditioner.training
    net.eval()
    assert torch.equal(found, net.steps(2, 4, condition).logits())


def test_a_label_is_hidden_as_often_as_asked_and_by_the_item_s_key():
    net = make("wavenet", (5,), local=False, label_dropout=0.3, dropout=0.0).train()
    items = 2000
    codes = torch.zeros(items, 1, 1, dtype=torch.int64)
    told = Condition(label=torch.ones(items).long(), keys=torch.arange(items))
    found, none = net(codes, None, told), net.eval()(codes[:1])
    hidden = torch.isclose(found, none).all(dim=(1, 2, 3)).float().mean()
    assert abs(float(hidden) - 0.3) < 0.04
    net.train()
    turned = dataclasses.replace(told, keys=told.keys.flip(0))
    close(net(codes, None, turned), found.flip(0))
