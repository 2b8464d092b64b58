"""What is written, run by onnxruntime and torch.export alone."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

import audiovq
from audiovq.errors import ConfigError
from audiovq.export import programs, write
from audiovq.export.parts import Wanted
from tests.export.models import run_example
from tests.helpers import noise, small_model

SHAPES = [(1, 1), (1, 10), (3, 20), (2, 73), (1, 1000)]


@pytest.fixture(params=["conv", pytest.param("spectra", marks=pytest.mark.slow)])
def folder(request, exported):
    return exported(request.param)


@pytest.fixture
def model(folder):
    return audiovq.load(folder / "model")


def session(folder, name):
    return onnxruntime.InferenceSession(str(folder / "graphs" / f"{name}.onnx"))


@pytest.mark.parametrize(("items", "length"), SHAPES)
def test_onnx_gives_what_the_model_gives(folder, model, items, length):
    x = noise(items, length, seed=items)
    codes = model.encode(x)
    (found,) = session(folder, "encoder").run(None, {"waveform": x.numpy()})
    assert found.dtype == np.int64
    assert np.array_equal(found, codes.numpy())
    (x_hat,) = session(folder, "decoder").run(None, {"codes": codes.numpy()})
    assert np.abs(x_hat - model.decode(codes).numpy()).max() < 1e-6


@pytest.mark.parametrize("length", [20, 995])
def test_torch_export_gives_what_the_model_gives(folder, model, length):
    x = noise(2, length)
    codes = model.encode(x)
    encoder, decoder = (
        torch.export.load(folder / "graphs" / f"{name}.pt2").module()
        for name in ("encoder", "decoder")
    )
    assert torch.equal(encoder(x), codes)
    assert (decoder(codes) - model.decode(codes)).abs().max() < 1e-6


def test_a_model_that_looks_ahead_has_no_streams(folder):
    names = {f.stem for f in (folder / "graphs").glob("*.onnx")}
    assert names == {"encoder", "decoder"}


def test_the_manifest_says_what_the_files_are(folder, model):
    about = json.loads((folder / "graphs" / "export.json").read_text())
    assert about["fingerprint"] == model.fingerprint()
    assert (about["sample_rate"], about["hop_length"]) == (16000, 10)
    assert about["codebook_sizes"] == list(model.codebook_sizes)
    files = {f for g in about["graphs"].values() for f in g["files"].values()}
    assert files | {"export.json", "README.md"} == {f.name for f in (folder / "graphs").iterdir()}
    for name, graph in about["graphs"].items():
        runtime = session(folder, name)
        for ports, real in (("inputs", runtime.get_inputs()), ("outputs", runtime.get_outputs())):
            assert [p["name"] for p in graph[ports]] == [r.name for r in real]
            for port, r in zip(graph[ports], real, strict=True):
                fixed = [a if isinstance(a, int) else None for a in port["shape"]]
                assert fixed == [a if isinstance(a, int) else None for a in r.shape]


def test_nothing_tells_of_the_machine(folder):
    here = str(write.Path(__file__).parents[2]).encode()
    for file in (folder / "graphs").iterdir():
        data = file.read_bytes()
        assert here not in data, file.name
        assert b"site-packages" not in data, file.name


def test_the_example_of_the_readme_runs_without_torch(exported, tmp_path):
    x = noise(1, 995)
    found = run_example(exported("conv") / "graphs", 0, x, tmp_path)
    wanted = audiovq.load(exported("conv") / "model").reconstruct((x * 32767).short() / 32768)
    assert np.abs(found - wanted[0, 0].numpy()).max() < 1e-6


def test_a_graph_that_is_not_the_models_is_not_written(exported, tmp_path, monkeypatch):
    other = (exported("conv") / "graphs" / "decoder.onnx").read_bytes()
    monkeypatch.setattr(programs, "trace", lambda _: None)
    monkeypatch.setattr(programs, "to_onnx", lambda *_: other)
    wanted = Wanted(("decoder",), streaming=False)
    with pytest.raises(ConfigError, match=r"not what the model is \(decoder.onnx: largest"):
        write.export(small_model(seed=1), tmp_path / "new", wanted, formats=("onnx",))
    assert not list(tmp_path.iterdir())
    write.export(
        audiovq.load(exported("conv") / "model"), tmp_path / "new", wanted, formats=("onnx",)
    )
    assert (tmp_path / "new" / "export.json").is_file()
    with pytest.raises(ConfigError, match="holds an export; add --force"):
        write.export(small_model(), tmp_path / "new")
    (tmp_path / "new" / "of-the-earlier").touch()
    write.export(
        audiovq.load(exported("conv") / "model"),
        tmp_path / "new",
        wanted,
        formats=("onnx",),
        force=True,
    )
    assert not (tmp_path / "new" / "of-the-earlier").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    (tmp_path / "new" / "export.json").unlink()
    with pytest.raises(ConfigError, match="holds something else"):
        write.export(small_model(), tmp_path / "new", force=True)


def test_weights_beyond_what_a_file_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "ONNX_BYTES", 1000)
    with pytest.raises(ConfigError, match="GB of weights.*--format torch"):
        write.export(small_model(), tmp_path / "new", formats=("onnx",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"formats": ("tflite",)}, "onnx, torch or both"),
        ({"opset": 9}, "opset 9 given; 18 to 23"),
        ({"wanted": {"codebooks": 2}}, "2 codebooks asked for; 1 to 1"),
        ({"wanted": {"parts": ("head",)}}, "encoder, decoder or both"),
        ({"wanted": {"speaker": "ann"}}, "no table of speakers"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, values, message):
    with pytest.raises(ConfigError, match=message):
        values["wanted"] = Wanted(**values.get("wanted", {}))
        write.export(small_model(), tmp_path / "new", **values)
    assert not list(tmp_path.iterdir())
