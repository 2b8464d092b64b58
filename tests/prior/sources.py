"""A source whose entropy rate is known, and how a small prior learns it."""

import math

import torch

from audiovq.prior._base import Condition


def markov(sizes, *, seed=0, sharp=1.5):
    """Transition probabilities of a random chain: from each joint code to each, (M, M)."""
    generator = torch.Generator().manual_seed(seed)
    joint = math.prod(sizes)
    return (sharp * torch.randn(joint, joint, generator=generator)).double().softmax(dim=1)


def residual_like(first, second, *, seed=0, sharp=1.5):
    """As `markov`, of two rows; the first needs itself alone, the second also the new first."""
    generator = torch.Generator().manual_seed(seed)
    a = sharp * torch.randn(first, 1, first, 1, generator=generator)  # from (i, j) to (k, l)
    b = sharp * torch.randn(1, second, first, second, generator=generator)
    both = a.double().softmax(dim=2) * b.double().softmax(dim=3)  # [i, j, k, l]
    number = torch.arange(first).view(-1, 1) + first * torch.arange(second)  # as `draw` has it
    found, n = torch.empty(first * second, first * second).double(), number.flatten()
    found[n.unsqueeze(1), n] = both.flatten(2).flatten(0, 1)
    return found


def stationary(transition):
    """How often each joint code comes."""
    return torch.linalg.matrix_power(transition, 1000)[0]


def entropy_rate(transition):
    """Nats per frame, in the long run."""
    rate = -(transition * transition.log()).sum(dim=1)
    return float((stationary(transition) * rate).sum())


def draw(transition, sizes, items, frames, *, seed):
    """Sequences of the chain (items, K, frames), begun where it is in the long run."""
    generator = torch.Generator().manual_seed(seed)
    start = stationary(transition).expand(items, -1)
    state, found = torch.multinomial(start, 1, generator=generator)[:, 0], []
    for _ in range(frames):
        found.append(state)
        state = torch.multinomial(transition[state], 1, generator=generator)[:, 0]
    joint, rows = torch.stack(found, dim=1), []
    for size in sizes:
        rows.append(joint % size)
        joint = joint // size
    return torch.stack(rows, dim=1)


def nats_of_source(transition, codes, sizes, *, skip):
    """What the chain itself needs per frame, the first ones (at least one) left out."""
    joint, weight = 0, 1
    for row, size in enumerate(sizes):
        joint, weight = joint + weight * codes[:, row], weight * size
    return -float(transition[joint[:, skip - 1 : -1], joint[:, skip:]].log().mean())


def learn(prior, codes, *, steps, batch=16, rate=1e-2):
    """Fit a prior to codes by Adam with a rate that falls to 0."""
    prior.train()
    optimizer = torch.optim.Adam(prior.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        chosen = torch.randint(len(codes), (batch,), generator=generator)
        condition = Condition(keys=chosen + step * len(codes))
        loss = -prior.log_prob(codes[chosen], None, condition).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return prior.eval()


def nats_per_frame(prior, codes, *, skip):
    """What a prior needs per frame, the first ones left out."""
    with torch.no_grad():
        found = prior.log_prob(codes)[:, :, skip:].double()
    return float(-found.sum() / (found.shape[0] * found.shape[2]))


def check_learnt(prior, transition):
    """Nats per frame of new sequences against the rate; no prior beats their source by much."""
    sizes, rate = prior.codebook_sizes, entropy_rate(transition)
    unseen = draw(transition, sizes, 2000, 64, seed=2)
    source = nats_of_source(transition, unseen, sizes, skip=4)
    assert abs(source / rate - 1) < 0.005  # the sample is fair
    found = nats_per_frame(prior, unseen, skip=4)
    assert abs(found / rate - 1) < 0.01
    assert found > 0.999 * source
