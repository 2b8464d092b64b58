"""float16 storage: what is loaded is what was stored, and saving it again changes nothing."""

import json
import struct

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiovq
from audiovq import prior as priors
from audiovq import weights
from audiovq.errors import CheckpointError
from audiovq.prior._release import About, TrainedPrior
from tests.helpers import noise, small_model


@pytest.fixture(scope="module", params=["vq_ema", "identity", {"name": "rvq", "dim": 6}])
def model(request):
    made = small_model(request.param)
    if made.is_discrete:  # counts as training leaves them: uneven
        for name, buffer in made.bottleneck.named_buffers():
            if name.endswith("ema_count"):
                buffer.copy_(torch.linspace(0.07, 900.0, len(buffer)))
    return made


def file_of(folder):
    return folder / "model.safetensors"


def test_half_the_bytes_and_the_same_model_in_either_type(model, tmp_path):
    model.save(tmp_path / "whole")
    model.save(tmp_path / "half", half=True)
    half = audiovq.load(tmp_path / "half")
    sizes = [file_of(tmp_path / n).stat().st_size for n in ("whole", "half")]
    header = 8192
    assert sizes[1] - header < sizes[0] / 2
    assert weights.stored_types(file_of(tmp_path / "half")) <= {"F16", "I64"}
    assert all(
        v.dtype != torch.float16 and (not v.is_floating_point() or torch.equal(v, v.half().float()))
        for v in half.state_dict().values()
    )
    for again, stored in (("32", False), ("16", True)):  # whatever it is stored as
        half.save(tmp_path / again, half=stored)
        assert audiovq.load(tmp_path / again).fingerprint() == half.fingerprint()
    assert file_of(tmp_path / "16").read_bytes() == file_of(tmp_path / "half").read_bytes()
    assert half.fingerprint() != model.fingerprint()


def test_codes_are_rounded_and_not_counts_and_sums(model, tmp_path):
    if not model.is_discrete:
        pytest.skip("no codes")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.save(tmp_path, half=True)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())  # untouched
    half = audiovq.load(tmp_path)
    books = "codebooks" if hasattr(model.bottleneck, "codebooks") else "codebook"
    old, new = (getattr(m.bottleneck, books) for m in (model, half))
    for a, b in zip(old, new, strict=True) if books == "codebooks" else [(old, new)]:
        error = (a.vectors - b.vectors).abs()
        assert bool((error <= a.vectors.abs() * 2**-10.9 + 1e-7).all())
        assert bool((b.ema_count == 1).all())
    x = noise(2, 1500)
    same = (model.encode(x) == half.encode(x)).float().mean()
    assert same > 0.9


def test_a_model_in_training_can_be_stored_in_half(tmp_path):
    from audiovq.autoencoder import Autoencoder

    made = Autoencoder(small_model().config)  # weight norm not folded
    assert any("parametrizations" in k for k in made.state_dict())
    made.save(tmp_path, half=True)
    assert audiovq.load(tmp_path).fingerprint() != made.fingerprint()
    assert any("parametrizations" in k for k in made.state_dict())


def test_a_prior_in_half(tmp_path):
    config = {"prior": {"name": "wavenet", "channels": 4, "skip_channels": 4, "dilations": [1, 2]}}
    codes = {"model_hash": "x", "sample_rate": 16000, "hop_length": 320, "codebook_sizes": [8]}
    prior = TrainedPrior.build(About(**config, codes=codes))
    prior.save(tmp_path / "half", half=True)
    half = priors.load(tmp_path / "half")
    assert half.about == prior.about
    half.save(tmp_path / "whole")
    assert priors.load(tmp_path / "whole").fingerprint() == half.fingerprint()
    logits = half.module(torch.zeros(1, 1, 5, dtype=torch.int64))
    assert logits.dtype == torch.float32


@given(st.lists(st.floats(-70000, 70000, width=32), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_any_tensor_comes_back_as_float16_rounds_it(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("w")
    module = torch.nn.Linear(1, len(values), bias=False)
    given_ = torch.tensor(values).unsqueeze(1)
    module.weight = torch.nn.Parameter(given_, requires_grad=False)
    if not bool(torch.isfinite(given_.half()).all()):
        with pytest.raises(CheckpointError, match="float16 ends at 65504: save it in float32"):
            weights.to_bytes(module.state_dict(), half=True)
        return
    path = folder / "w.safetensors"
    path.write_bytes(weights.to_bytes(module.state_dict(), half=True))
    other = torch.nn.Linear(1, len(values), bias=False)
    weights.fill(other, weights.read(path, other), path)
    assert other.weight.dtype == torch.float32
    assert torch.equal(other.weight, given_.half().float())


@pytest.fixture
def half_folder(tmp_path):
    small_model().save(tmp_path / "half", half=True)
    return tmp_path / "half"


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 0.5, -1, -2])
def test_cut_off_half_files(half_folder, keep):
    path = file_of(half_folder)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        audiovq.load(half_folder)


def test_a_flipped_bit_of_a_half_file_is_noticed(half_folder):
    path = file_of(half_folder)
    data = bytearray(path.read_bytes())
    for position in (-1, -500, -1111):
        data[position] ^= 1
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"checksum differs|NaN"):
            audiovq.load(half_folder)
        data[position] ^= 1


def rewritten(folder, change):
    path = file_of(folder)
    state = safetensors.torch.load_file(path)
    path.write_bytes(safetensors.torch.save({k: change(k, v) for k, v in state.items()}))


def test_some_tensors_may_be_half_and_others_not(half_folder):
    before = audiovq.load(half_folder).fingerprint()
    rewritten(half_folder, lambda k, v: v.float() if k.startswith("encoder") else v)
    assert weights.stored_types(file_of(half_folder)) == {"F16", "F32", "I64"}
    assert audiovq.load(half_folder).fingerprint() == before


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(torch.bfloat16, "encoder.first.weight"), (torch.float64, "encoder.first.weight"),
     (torch.float16, "bottleneck.codebook.updates")],
)  # fmt: skip
def test_no_other_type_stands_for_another(half_folder, dtype, name):
    rewritten(half_folder, lambda k, v: v.to(dtype) if k == name else v)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        audiovq.load(half_folder)


def test_a_header_that_claims_half_of_what_is_there(half_folder):
    path = file_of(half_folder)
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    raw = json.dumps(json.loads(data[8 : 8 + size])).replace("F16", "F32").encode().ljust(size)
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + size :])
    with pytest.raises(CheckpointError, match="bytes where its config asks"):
        audiovq.load(half_folder)


def test_nan_is_not_stored_in_half(tmp_path):
    model = small_model()
    with torch.no_grad():
        model.bottleneck.codebook.ema_sum[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match="holds NaN"):
        model.save(tmp_path / "bad", half=True)
    assert not (tmp_path / "bad").exists()
