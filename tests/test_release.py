"""A model folder from a stranger: one clear error, nothing executed, nothing huge built."""

import json
import pickle
import shutil
import struct

import pytest
import safetensors.torch
import torch

import audiovq
from audiovq import release
from audiovq.errors import CheckpointError
from tests.helpers import small_model


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "good"
    small_model().save(folder)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "model")


def edit(folder, change):
    about = json.loads((folder / "config.json").read_text())
    change(about)
    (folder / "config.json").write_text(json.dumps(about))


def test_loads_from_the_folder_or_the_run_above_it(folder):
    a, b = audiovq.load(folder), audiovq.load(folder.parent)
    assert a.fingerprint() == b.fingerprint()
    assert not a.training
    assert not any(p.requires_grad for p in a.parameters())


def test_nothing_there(tmp_path):
    with pytest.raises(CheckpointError, match="no model at"):
        audiovq.load(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 0.5, -1])
def test_cut_off_weights(folder, keep):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        audiovq.load(folder)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_in_disguise_is_never_run(folder, tmp_path, protocol):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    for name in ("model.safetensors", "config.json"):
        other = shutil.copytree(folder, tmp_path / f"{name}-{protocol}")
        (other / name).write_bytes(pickle.dumps(Bomb(), protocol=protocol))
        with pytest.raises(CheckpointError):
            audiovq.load(other)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(format_version=99), "format_version 99"),
        (lambda a: a.update(format_version=None), "format_version None"),
        (lambda a: a.update(format="other"), "not the config of an audiovq model"),
        (lambda a: a["model"]["bottleneck"].update(name="os.path"), "if you trust it"),
        (lambda a: a["model"]["bottleneck"].update(name="../x"), "plug-in"),
        (lambda a: a["model"].update(_target_="os.system"), "unknown key"),
        (lambda a: a["model"]["encoder"].update(channels=10**9), "channels"),
        (lambda a: a["model"]["encoder"].update(strides=[2] * 500), "strides"),
        (lambda a: a["model"]["encoder"].update(strides=[0, 5]), "strides"),
        (lambda a: a["model"]["encoder"].update(channels=8), "bytes where its config"),
        (lambda a: a["model"]["bottleneck"].update(dim=5), "bytes where its config"),
        (lambda a: a.update(model=[]), "describes no model"),
        (lambda a: a.update(format_version=[1]), "format_version"),
    ],
)
def test_a_config_that_lies(folder, change, message):
    edit(folder, change)
    with pytest.raises(CheckpointError, match=message):
        audiovq.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, "\xff"])
def test_a_config_that_is_not_one(folder, text):
    (folder / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        audiovq.load(folder)


def test_a_huge_header_is_not_parsed(folder):
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 90 << 20) + b"{" * 1000)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        audiovq.load(folder)


def _rewrite(folder, change):
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path)
    path.write_bytes(safetensors.torch.save(change(state)))


def test_weights_of_another_shape_type_or_name(folder):
    state = safetensors.torch.load_file(folder / "model.safetensors")
    name = "bottleneck.codebook.ema_sum"
    for change in (
        {**state, name: state[name].T.contiguous()},
        {**state, name: state[name].view(torch.int32)},
        {**{k: v for k, v in state.items() if k != name}, "other": state[name]},
    ):
        _rewrite(folder, lambda _, c=change: c)
        with pytest.raises(CheckpointError, match="ema_sum|names"):
            audiovq.load(folder)


def test_nan_is_neither_saved_nor_loaded(folder, tmp_path):
    model = small_model()
    with torch.no_grad():
        model.bottleneck.codebook.ema_sum[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match="not saved: bottleneck.codebook.ema_sum"):
        model.save(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()

    def poison(state):
        state["bottleneck.codebook.ema_sum"][0, 0] = torch.inf
        return state

    _rewrite(folder, poison)
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        audiovq.load(folder)


def test_old_versions_migrate_by_the_table(folder, monkeypatch):
    edit(folder, lambda a: a.update(format_version=0, network=a.pop("model")))

    def migrate(about):
        return {**about, "format_version": 1, "model": about["network"]}

    with pytest.raises(CheckpointError, match="format_version 0"):
        audiovq.load(folder)
    monkeypatch.setitem(release._MIGRATIONS, 0, migrate)
    audiovq.load(folder)


def _edit_header(folder, change):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    raw = json.dumps(change(header)).encode()
    raw += b" " * (size - len(raw))  # the file keeps its length
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + size :])


@pytest.mark.parametrize(
    "change",
    [
        lambda h: {k: {**v, "data_offsets": [0, 4]} for k, v in h.items()},
        lambda h: {k: {**v, "data_offsets": [-4, 0]} for k, v in h.items()},
        lambda h: {k: {**v, "dtype": []} for k, v in h.items()},
        lambda h: {k: {**v, "shape": {}} for k, v in h.items()},
        lambda h: dict.fromkeys(h, 5),
    ],
)
def test_a_header_that_lies(folder, change):
    _edit_header(folder, change)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        audiovq.load(folder)


def test_a_flipped_bit_is_noticed(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    for position in (-1, -1000, -3333):
        data[position] ^= 1
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"checksum differs|NaN"):
            audiovq.load(folder)
        data[position] ^= 1
    path.write_bytes(data)
    audiovq.load(folder)
