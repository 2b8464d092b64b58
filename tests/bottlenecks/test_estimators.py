"""How gradients pass a quantizer, against plain formulas and vector-quantize-pytorch."""

import torch
from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

from audiovq.bottlenecks._estimators import ESTIMATORS, rotate


def pair(rows=50, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, dim, generator=generator).requires_grad_()
    return z, torch.randn(rows, dim, generator=generator)


def test_every_estimator_returns_the_code_itself_bit_for_bit():
    z, z_q = pair()
    for estimator in ESTIMATORS.values():
        assert torch.equal(estimator(z, z_q), z_q)


def test_rotation_equals_an_explicit_rotation_matrix():
    z, z_q = (t.double() for t in pair(rows=5))
    z = z.detach().requires_grad_()
    gradient = torch.randn(5, 6, dtype=torch.float64)
    rotate(z, z_q).backward(gradient)
    for row in range(5):
        e, q = (v / v.norm() for v in (z.detach()[row], z_q[row]))
        r = (e + q) / (e + q).norm()
        matrix = torch.eye(6).double() - 2 * torch.outer(r, r) + 2 * torch.outer(q, e)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(6).double())  # a rotation
        scale = z_q[row].norm() / z.detach()[row].norm()
        torch.testing.assert_close(scale * matrix @ z.detach()[row], z_q[row])  # from z to z_q
        torch.testing.assert_close(z.grad[row], scale * matrix.T @ gradient[row])


def test_rotation_gradient_equals_vector_quantize_pytorch():
    z, z_q = pair()
    theirs = z.detach().clone().requires_grad_()
    gradient = torch.randn(50, 6)
    rotate(z, z_q).backward(gradient)
    rotate_to(theirs, z_q).backward(gradient)
    torch.testing.assert_close(z.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_rotation_of_zero_and_opposite_vectors_is_finite():
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    z_q = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    rotate(z, z_q).backward(torch.ones(3, 2))
    assert torch.isfinite(z.grad).all()


def test_a_frame_or_code_of_length_zero_turns_nothing():
    for z, z_q in ((torch.zeros(1, 4), torch.ones(1, 4)), (torch.ones(1, 4), torch.zeros(1, 4))):
        z.requires_grad_()
        rotate(z, z_q).sum().backward()
        assert torch.equal(z.grad, torch.ones(1, 4))
