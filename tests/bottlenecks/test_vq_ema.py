"""The EMA quantizer against the paper's equations, and defects it must not have."""

import math
import re

import pytest
import torch
from sklearn.cluster import KMeans
from vector_quantize_pytorch import VectorQuantize

from audiovq.bottlenecks._base import Context
from audiovq.bottlenecks.vq_ema import VQEMA, Config
from audiovq.config import parse


def make(**values):
    return VQEMA(parse(Config, {"dim": 4, "codebook_size": 8, "revive_threshold": 0.0, **values}))


def set_codes(vq, codes):
    vq.codebook.ema_count.fill_(1.0)
    vq.codebook.ema_sum.copy_(codes)


def frames(items=4, length=50, dim=4, seed=0):
    return torch.randn(items, dim, length, generator=torch.Generator().manual_seed(seed))


def test_hand_worked_step():
    vq = make(dim=1, codebook_size=2, decay=0.9, eps=1e-12)
    set_codes(vq, torch.tensor([[0.0], [10.0]]))
    out = vq(torch.tensor([[[1.0, 2.0, 9.0]]]))
    assert out.codes.tolist() == [[[0, 0, 1]]]
    # the commitment terms are a quarter of 1, 4 and 1
    torch.testing.assert_close(out.loss, torch.tensor([[0.25, 1.0, 0.25]]))
    vq.update(out.statistics)
    # counts 0.9 + 0.1 times 2 and 1; sums 0.9 times 0 and 10, plus 0.1 times 3 and 9
    torch.testing.assert_close(vq.codebook.ema_count, torch.tensor([1.1, 1.0]))
    torch.testing.assert_close(vq.codebook.vectors, torch.tensor([[0.3 / 1.1], [9.9 / 1.0]]))


def test_many_steps_equal_the_equations_in_float64():
    vq = make(decay=0.8)
    N, m = torch.ones(8, dtype=torch.float64), vq.codebook.ema_sum.double().clone()
    for step in range(20):
        z = frames(seed=step)
        rows = z.transpose(1, 2).reshape(-1, 4).double()
        smoothed = (N + 1e-5) / (N.sum() + 8e-5) * N.sum()
        nearest = torch.cdist(rows, m / smoothed.unsqueeze(1)).argmin(1)
        hot = torch.nn.functional.one_hot(nearest, 8).double()
        N = 0.8 * N + 0.2 * hot.sum(0)
        m = 0.8 * m + 0.2 * hot.T @ rows
        vq.update(vq(z).statistics)
    torch.testing.assert_close(vq.codebook.ema_count.double(), N, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(vq.codebook.ema_sum.double(), m, rtol=1e-4, atol=1e-4)


def test_no_decay_is_one_step_of_kmeans():
    z = frames(items=8, length=100)
    rows = z.transpose(1, 2).reshape(-1, 4)
    vq = make(decay=0.0, eps=1e-9)
    set_codes(vq, rows[:8])
    for _ in range(40):
        vq.update(vq(z).statistics)
    theirs = KMeans(8, init=rows[:8].numpy(), n_init=1, max_iter=40, tol=0).fit(rows.numpy())
    torch.testing.assert_close(
        vq.codebook.vectors, torch.from_numpy(theirs.cluster_centers_), atol=1e-3, rtol=1e-3
    )


def test_agrees_with_vector_quantize_pytorch_on_codes_and_commitment():
    z = frames()
    theirs = VectorQuantize(4, codebook_size=8, commitment_weight=0.25, rotation_trick=False)
    theirs.train()
    vq = make()
    set_codes(vq, theirs.codebook)
    quantized, codes, loss = theirs(z.transpose(1, 2), freeze_codebook=True)
    out = vq(z)
    assert torch.equal(out.codes[:, 0], codes)
    torch.testing.assert_close(out.loss.mean(), loss.sum())
    torch.testing.assert_close(out.z, quantized.transpose(1, 2), atol=1e-6, rtol=1e-5)


def test_gradient_goes_to_the_encoder_only():
    vq, z = make(), frames().requires_grad_()
    out = vq(z)
    (out.z.sum() + out.loss.sum()).backward()
    rows, codes = z.detach(), out.z.detach()
    # straight-through 1, plus commitment 0.25 * 2 (z - e) / D
    torch.testing.assert_close(z.grad, 1 + 0.25 * 2 * (rows - codes) / 4)
    assert not [p for p in vq.parameters() if p.requires_grad]


def test_state_round_trips_through_training(tmp_path):
    """Defect i (jukebox): EMA state outside the state dict is lost on resume."""
    a, b = make(revive_threshold=0.1, revive_every=3), make(revive_threshold=0.1, revive_every=3)
    for step in range(7):
        a.update(a(frames(seed=step)).statistics)
    b.load_state_dict(a.state_dict())
    for step in range(7, 14):
        for vq in (a, b):
            vq.update(vq(frames(seed=step)).statistics)
    assert all(torch.equal(x, y) for x, y in zip(a.buffers(), b.buffers(), strict=True))


def _with_one_dead_code(**values):
    vq = make(revive_threshold=0.5, revive_every=1, **values)
    codes = torch.randn(8, 4, generator=torch.Generator().manual_seed(3))
    codes[5] = 1e3
    set_codes(vq, codes)
    return vq


def test_a_revived_code_survives_the_next_steps():
    """Defect a (audiocraft, encodec): the next EMA step recomputed a revived code from old sums."""
    vq, z = _with_one_dead_code(decay=0.9), frames(items=8)
    for _ in range(8):  # until its count has fallen below the threshold
        out = vq(z)
        vq.update(out.statistics)
        if vq.codebook.vectors[5].abs().max() < 100:
            break
    revived = vq.codebook.vectors[5].clone()
    rows = z.transpose(1, 2).reshape(-1, 4)
    assert (rows - revived).abs().sum(1).min() < 1e-3  # it is a frame of the batch
    out = vq(z)
    assert (out.codes == 5).sum() > 0
    vq.update(out.statistics)
    assert (vq.codebook.vectors[5] - revived).norm() < 0.9 * revived.norm().clamp_min(1.0)
    assert vq(z).codes.eq(5).sum() > 0


def test_all_codes_recover_from_a_collapse():
    vq = make(codebook_size=64, revive_threshold=0.1, revive_every=1, candidates=16)
    set_codes(vq, torch.full((64, 4), 50.0) + torch.arange(64.0).unsqueeze(1))
    for step in range(150):
        vq.update(vq(frames(items=8, length=100, seed=step)).statistics)
    figures = vq.describe(vq(frames(items=20, length=100, seed=999)).statistics)
    assert figures["usage"] == 1.0
    assert figures["perplexity"] > 32


def test_statistics_of_all_parts_count():
    """Defect b (audiocraft): only one rank's statistics reached the codebook."""
    z = frames(items=4)
    whole, parts = make(), make()
    statistics = [
        parts(z[i : i + 2], Context(keys=torch.tensor([i, i + 1]))).statistics for i in (0, 2)
    ]
    parts.update(statistics[0] + statistics[1])
    whole.update(whole(z).statistics)
    torch.testing.assert_close(parts.codebook.ema_sum, whole.codebook.ema_sum)


def test_a_code_that_is_never_hit_stays_where_it_is():
    """Defect c (pythae, bshall): after one step an unhit code was thrown to norm 200."""
    vq = make(codebook_size=512, decay=0.999)
    before = vq.codebook.vectors.clone()
    z = frames(items=4, length=208)
    out = vq(z)
    unhit = out.statistics.sums["count"] == 0
    assert unhit.sum() > 100
    vq.update(out.statistics)
    assert vq.codebook.vectors.norm(dim=1).max() < 2 * max(
        before.norm(dim=1).max(), z.norm(dim=1).max()
    )
    torch.testing.assert_close(vq.codebook.vectors[unhit], before[unhit], rtol=1e-3, atol=1e-4)
    for _ in range(20_000):  # far below the floor without it
        vq.codebook.ema_count.mul_(1.0)
        vq.update(out.statistics)
    torch.testing.assert_close(vq.codebook.vectors[unhit], before[unhit], rtol=0.05, atol=1e-3)


def test_smoothing_acts_on_a_copy():
    """Defect d (pythae, bshall): the smoothed count was stored back and compounded."""
    vq = make(eps=1.0)
    count, total = vq.codebook.ema_count.clone(), vq.codebook.ema_count.sum()
    for _ in range(3):
        _ = vq.codebook.vectors
    assert torch.equal(vq.codebook.ema_count, count)
    # 20 steps of N <- g N + (1 - g) n keep the exact total of the frames seen.
    z = frames()
    for _ in range(20):
        vq.update(vq(z).statistics)
    expected = total * 0.99**20 + 200 * (1 - 0.99**20)
    assert float(vq.codebook.ema_count.sum()) == pytest.approx(float(expected), rel=1e-4)


def test_evaluation_never_initialises_or_updates():
    """Defect e (vector-quantize-pytorch): a first forward in eval ran k-means on that data."""
    vq = make().eval()
    before = [b.clone() for b in vq.buffers()]
    vq(frames() + 100.0)
    vq.encode(frames() + 100.0)
    assert all(torch.equal(a, b) for a, b in zip(before, vq.buffers(), strict=True))


def test_forward_and_update_never_wait_for_the_device():
    """Defect e, second half: data-dependent branches are a host synchronisation per step."""
    vq = make(revive_threshold=0.1, revive_every=1).to("meta")
    # On the meta device any `if tensor`, `.item()` or boolean indexing raises.
    mask = torch.ones(4, 1, 50, dtype=torch.bool, device="meta")
    context = Context(mask=mask, keys=torch.zeros(4, dtype=torch.int64, device="meta"))
    vq.update(vq(frames().to("meta"), context).statistics)


def test_an_empty_part_takes_the_same_path():
    """Defect f (vector-quantize-pytorch): a rank with no frames left early and the rest hung.

    The forward does nothing collective at all; an empty part yields statistics of the same
    shapes, so whatever merges them has nothing to skip.
    """
    vq = make()
    context = Context(mask=torch.zeros(4, 1, 50, dtype=torch.bool))
    empty, full = vq(frames(), context).statistics, vq(frames()).statistics
    merged = empty + full
    assert merged.sums.keys() == empty.sums.keys()
    for k in full.sums:
        assert torch.equal(merged.sums[k], full.sums[k])
    assert torch.equal(merged.candidates["frames"].frames, full.candidates["frames"].frames)


def test_modules_know_nothing_of_ranks():
    """Defects g and h (vector-quantize-pytorch): a cached world size, broadcasts not waited for."""
    import pathlib

    import audiovq

    package = pathlib.Path(audiovq.__file__).parent
    for path in package.rglob("*.py"):
        if path.name != "distributed.py":
            text = path.read_text()
            assert "torch.distributed" not in text, path
            part = path.relative_to(package).parts[0]
            may = part in {"train", "units", "commands"}
            assert "import distributed" not in text or may, path
            if part != "train":  # work is shared by the environment alone, without any exchange
                used = set(re.findall(r"\bdistributed\.(\w+)", text))
                assert used <= {"place", "one_machine"}, path


def test_revival_looks_only_every_so_many_steps():
    vq = _with_one_dead_code(decay=0.5)
    vq = make(revive_threshold=0.5, revive_every=10, decay=0.5)
    codes = torch.randn(8, 4, generator=torch.Generator().manual_seed(3))
    codes[5] = 1e3
    set_codes(vq, codes)
    for step in range(1, 11):
        vq.update(vq(frames(seed=step)).statistics)
        assert (vq.codebook.vectors[5].max() < 100) == (step == 10)


def test_large_values_do_not_cancel():
    vq = make(codebook_size=4)
    codes = torch.eye(4) * 0.5 + 30.0
    set_codes(vq, codes)
    z = (codes + 0.01).T.unsqueeze(0)
    assert vq.encode(z)[0, 0].tolist() == [0, 1, 2, 3]


def test_bf16_autocast_changes_no_code():
    vq, z = make(codebook_size=64), frames(items=8)
    plain = vq(z).codes
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(vq(z).codes, plain)


def test_initialise_sets_kmeans_centres_of_real_frames_only():
    vq, z = make(), frames(items=6, length=100)
    mask = torch.ones(6, 1, 100, dtype=torch.bool)
    mask[:, :, 60:] = False
    poisoned = torch.where(mask, z, 1e6)
    vq.initialise(poisoned, Context(mask=mask))
    assert vq.codebook.vectors.abs().max() < 10
    usage = vq.describe(vq(z).statistics)
    assert usage["usage"] == 1.0


def test_description_is_entropy_of_use():
    vq = make()
    set_codes(vq, torch.eye(8, 4) * 3)
    out = vq(torch.eye(8, 4)[:4].T.unsqueeze(0) * 3)
    figures = vq.describe(out.statistics)
    assert figures["perplexity"] == pytest.approx(4.0)
    assert figures["usage"] == 0.5
    assert math.log2(figures["perplexity"]) == pytest.approx(2.0)
