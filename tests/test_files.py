import os
import stat

import pytest

from audiovq import files


def test_write_replaces_whole_and_honours_umask(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    old_umask = os.umask(0o027)
    try:
        files.atomic_write(path, "new")
    finally:
        os.umask(old_umask)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_open(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch, broken):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.json"
    path.write_text("old")
    monkeypatch.setattr(os, broken, fail)
    monkeypatch.setattr("pathlib.Path.replace", fail if broken == "replace" else os.rename)
    with pytest.raises(OSError, match="No space"):
        files.atomic_write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_order_is_fsync_file_then_rename_then_fsync_folder(tmp_path, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, files.Path.replace

    def fsync(fd):
        events.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        real_fsync(fd)

    def replace(self, target):
        events.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(files.Path, "replace", replace)
    files.atomic_write(tmp_path / "a", b"x")
    assert events == ["file", "rename", "folder"]


def test_stale_temporaries_are_removed_and_nothing_else(tmp_path):
    (tmp_path / f"a.pt{files.STALE_MARK}0123").write_text("half")
    (tmp_path / "a.pt").write_text("whole")
    assert [p.name for p in files.remove_stale(tmp_path)] == [f"a.pt{files.STALE_MARK}0123"]
    assert os.listdir(tmp_path) == ["a.pt"]


def test_sha256_of_known_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")
