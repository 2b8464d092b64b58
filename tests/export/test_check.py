import torch

from audiovq.export.check import Agreement, interleaved


def test_codes_are_counted():
    found = Agreement("encoder.onnx")
    found.take(torch.tensor([[[1, 2, 3]]]), torch.tensor([[[1, 2, 4]]]))
    found.take(torch.tensor([[[5]]]), torch.tensor([[[5]]]))
    assert (found.codes, found.differing, found.holds) == (4, 1, False)
    assert str(found) == "encoder.onnx\t1 of 4 codes differ (25 %)"
    assert Agreement("e", codes=1000, differing=2).holds


def test_the_largest_difference_is_kept():
    found = Agreement("decoder.onnx", seconds=0.01, eager=0.02)
    found.take(torch.tensor([0.5, 0.25]), torch.tensor([0.5, 0.0]))
    found.take(torch.tensor([8.0]), torch.tensor([10.0]))  # relative to what is beyond full scale
    assert found.largest == 0.25
    assert not found.holds
    assert str(found).startswith("decoder.onnx\tlargest difference 2.5e-01\t10 s of sound in 10.0")
    assert str(found).endswith("PyTorch 20.0 ms (2.00 x)")


def test_functions_take_turns():
    order = []
    assert len(interleaved([lambda: order.append(0), lambda: order.append(1)], 2)) == 2
    assert order == [0, 1] * 3
