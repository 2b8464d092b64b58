import torch
from torch.nn import functional as F

from audiovq.losses.codes import mean_surprise, surprise


def smoothed(logits, codes, known, share):
    hit = surprise(logits, codes)
    return hit + share * (mean_surprise(logits, known) - hit)


def test_equals_torch_where_all_rows_have_all_codes():
    logits = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    codes = torch.randint(5, (2, 3, 4), generator=torch.Generator().manual_seed(1))
    known = torch.ones(3, 5, dtype=torch.bool)
    for share in (0.0, 0.1, 0.7):
        expected = F.cross_entropy(
            logits.transpose(1, 2), codes, reduction="none", label_smoothing=share
        )
        torch.testing.assert_close(smoothed(logits, codes, known, share), expected)


def test_codes_a_row_lacks_have_no_part():
    logits = torch.randn(1, 2, 6, 3, generator=torch.Generator().manual_seed(0))
    known = torch.arange(6) < torch.tensor([[6], [4]])
    logits = logits.masked_fill(~known.unsqueeze(2), -torch.inf).requires_grad_()
    codes = torch.zeros(1, 2, 3, dtype=torch.int64)
    loss = smoothed(logits, codes, known, 0.2)
    short = F.cross_entropy(logits[:, 1, :4], codes[:, 1], reduction="none", label_smoothing=0.2)
    torch.testing.assert_close(loss[:, 1], short)
    loss.sum().backward()
    assert torch.isfinite(logits.grad).all()
