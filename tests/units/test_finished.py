"""What was asked for is known by the bytes of its files."""

import pytest
import torch

from audiovq.audio import save
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.errors import ManifestError
from audiovq.units.features.mfcc import MFCCFeatures
from audiovq.units.finished import request
from audiovq.units.kmeans_fit import fit
from tests.helpers import noise, small_model


def test_any_other_byte_is_another_request(tmp_path):
    small_model().save(tmp_path / "vq")
    (tmp_path / "m.jsonl").write_text("x")
    (tmp_path / "fit.jsonl").write_text("y")
    ask = {"kmeans": 8, "fit_manifest": tmp_path / "fit.jsonl", "layer": None}
    whole = request(str(tmp_path / "vq"), tmp_path / "m.jsonl", **ask)
    assert "layer" not in whole
    seen = [whole]
    for change in (
        lambda: (tmp_path / "m.jsonl").write_text("z"),
        lambda: (tmp_path / "fit.jsonl").write_text("z"),
        lambda: small_model(seed=1).save(tmp_path / "vq"),
    ):
        change()
        seen.append(request(str(tmp_path / "vq"), tmp_path / "m.jsonl", **ask))
    seen.append(request(str(tmp_path / "vq"), tmp_path / "m.jsonl", **ask | {"kmeans": 9}))
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i])
    assert request(str(tmp_path / "gone"), tmp_path / "m.jsonl") == {}
    assert request(str(tmp_path / "vq"), tmp_path) == {}  # a folder of recordings


def test_a_transformers_model_is_known_by_its_files(tmp_path):
    (tmp_path / "hubert").mkdir()
    (tmp_path / "m.jsonl").write_text("x")
    assert request(f"hf:{tmp_path / 'hubert'}", tmp_path / "m.jsonl") == {}
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "hubert" / name).write_text(name)
    one, other = (
        request(f"hf:{tmp_path / 'hubert'}{layer}", tmp_path / "m.jsonl") for layer in ("", ":3")
    )
    assert set(one) == {"source", "manifest", "model/config.json", "model/model.safetensors"}
    assert one != other


def test_features_that_are_no_numbers_are_told(tmp_path, monkeypatch):
    save(tmp_path / "a.wav", noise(1, 16000), 16000)
    record = Record(id="a", path="a.wav", sample_rate=16000, num_samples=16000, split="train")
    manifests.write(tmp_path / "m.jsonl", ".", [record])
    monkeypatch.setattr(
        MFCCFeatures, "blocks", lambda self, _: iter([torch.full((9, 39), torch.nan)])
    )
    with pytest.raises(ManifestError, match="mfcc features hold NaN"):
        fit(
            MFCCFeatures(), manifests.read(tmp_path / "m.jsonl"), 2, folder=tmp_path / "k",
            progress=False,
        )  # fmt: skip
