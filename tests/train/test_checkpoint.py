import pickle
import random
import zipfile

import pytest
import torch

from audiovq import files
from audiovq.errors import CheckpointError, NonFiniteError
from audiovq.train.checkpoint import Store


class Part:
    """A stateful part with one tensor and one number."""

    def __init__(self, value):
        self.value = {"w": torch.full((3,), float(value)), "n": value}

    def state_dict(self):
        return dict(self.value)

    def load_state_dict(self, state):
        if state["w"].shape != self.value["w"].shape:
            raise ValueError("shape of w")
        self.value = dict(state)


def test_round_trip_and_retention(tmp_path):
    store = Store(tmp_path, keep=2)
    for step in (10, 20, 30):
        store.save(step, {"a": Part(step), "b": Part(step + 1)})
    assert store.steps() == [20, 30]
    a, b = Part(0), Part(0)
    assert Store(tmp_path).resume({"a": a, "b": b}) == 30
    assert (a.value["n"], b.value["n"]) == (30, 31)
    assert torch.equal(a.value["w"], torch.full((3,), 30.0))


def test_nothing_to_resume(tmp_path):
    assert Store(tmp_path / "new").resume({"a": Part(0)}) == 0


def test_stale_temporaries_go_at_the_start(tmp_path):
    (tmp_path / f"step-000000010.pt{files.STALE_MARK}ab").write_bytes(b"half")
    Store(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, -1])
def test_a_truncated_file_is_one_clear_error(tmp_path, keep):
    path = Store(tmp_path).save(5, {"a": Part(1)})
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint") as caught:
        Store(tmp_path).resume({"a": Part(0)})
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_seen(tmp_path):
    """torch.load alone loads nearly all of these, with other weights and without a word."""
    part, got, rng = Part(1), Part(0), random.Random(0)
    part.value["w"] = got.value["w"] = torch.randn(20_000, generator=torch.Generator())
    path = Store(tmp_path).save(5, {"a": part})
    data, refused = path.read_bytes(), 0
    for _ in range(100):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            Store(tmp_path).resume({"a": got})
        except CheckpointError:
            refused += 1
        else:  # the bit was in what nobody reads, such as alignment
            assert torch.equal(got.value["w"], part.value["w"])
            assert got.value["n"] == 1
    assert refused > 90


def test_a_file_that_swells_is_not_unpacked(tmp_path):
    path = Store(tmp_path).save(5, {"a": Part(1)})
    with zipfile.ZipFile(path) as old:
        members = {i.filename: old.read(i) for i in old.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, content)
    with pytest.raises(CheckpointError, match="it is compressed"):
        Store(tmp_path).resume({"a": Part(0)})


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_not_run(tmp_path, protocol):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    store = Store(tmp_path)
    store.path(5).write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(CheckpointError):
        store.resume({"a": Part(0)})
    torch.save({"format": "audiovq.checkpoint", "version": 1, "x": Bomb()}, store.path(5))
    with pytest.raises(CheckpointError):
        store.resume({"a": Part(0)})
    assert not (tmp_path / "canary").exists()


def test_other_versions_parts_and_shapes(tmp_path):
    store = Store(tmp_path)
    store.save(5, {"a": Part(1)})
    with pytest.raises(CheckpointError, match=r"holds \['a'\]; this run needs \['a', 'b'\]"):
        store.resume({"a": Part(0), "b": Part(0)})
    other = Part(0)
    other.value["w"] = torch.zeros(4)
    with pytest.raises(CheckpointError, match="a does not fit this run: shape of w"):
        store.resume({"a": other})
    torch.save({"format": "audiovq.checkpoint", "version": 9}, store.path(5))
    with pytest.raises(CheckpointError, match="version 9"):
        store.resume({"a": Part(0)})
    torch.save({"w": torch.zeros(2)}, store.path(5))
    with pytest.raises(CheckpointError, match="not an audiovq checkpoint"):
        store.resume({"a": Part(0)})


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_not_saved(tmp_path, value):
    store = Store(tmp_path)
    store.save(5, {"a": Part(1)})
    bad = Part(2)
    bad.value["w"][1] = value
    with pytest.raises(NonFiniteError, match=r"a\.w holds NaN or infinity at step 6"):
        store.save(6, {"a": bad})
    assert store.steps() == [5]


@pytest.mark.parametrize("at", ["open", "write", "fsync", "replace"])
def test_a_disk_that_fails_at_any_point_leaves_the_last_checkpoint(tmp_path, monkeypatch, at):
    """Fault injection at every kind of call a save makes."""
    store = Store(tmp_path)
    store.save(5, {"a": Part(5)})

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    class Failing:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return fail if name == "write" else getattr(self.file, name)

    real_open = files.Path.open
    with monkeypatch.context() as patch:
        if at == "fsync":
            patch.setattr(files.os, "fsync", fail)
        elif at == "replace":
            patch.setattr(files.Path, "replace", fail)
        else:
            broken = fail if at == "open" else lambda p, mode: Failing(real_open(p, mode))
            patch.setattr(files.Path, "open", broken)
        with pytest.raises(OSError, match="No space"):
            store.save(6, {"a": Part(6)})
    part = Part(0)
    assert Store(tmp_path).resume({"a": part}) == 5
    assert part.value["n"] == 5
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000005.pt"]


@pytest.mark.parametrize("content", [{}, {"parts": []}, {"parts": {}, "step": "3"}, {"step": 3}])
def test_a_checkpoint_without_its_parts_or_step(tmp_path, content):
    store = Store(tmp_path)
    torch.save({"format": "audiovq.checkpoint", "version": 1, **content}, store.path(5))
    with pytest.raises(CheckpointError, match="lacks its parts or its step"):
        store.resume({"a": Part(0)})
