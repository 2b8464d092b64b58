import os
import threading
import time

import pytest

from demo_app.guard import quota
from demo_app.settings import Settings


@pytest.fixture
def cache(tmp_path):
    root = (tmp_path / "cache").resolve()
    root.mkdir()
    return quota.Cache(root, Settings(cache_bytes=1 << 20, keep_seconds=100, sweep_seconds=1))


def put(cache, name, size=10, age=0.0):
    path = cache.root / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(bytes(size))
    return path


def test_it_holds_what_lies_inside_and_nothing_else(cache, tmp_path):
    inside = put(cache, "a/x.wav")
    outside = tmp_path / "y.wav"
    outside.write_bytes(b"")
    link = cache.root / "link.wav"
    link.symlink_to(outside)
    assert cache.holds(str(inside))
    assert cache.holds(str(cache.root / "a" / ".." / "b.wav"))
    for path in (
        outside, link, cache.root, cache.root.parent, f"{cache.root}/../y.wav", "cache/a/x.wav",
        f"{cache.root}x/y.wav", "", "a\0b", "http://x/y.wav", f"file://{inside}", "x" * 9000,
    ):  # fmt: skip
        assert not cache.holds(str(path)), path


def test_there_is_room_until_the_quota_and_again_after_a_sweep(cache, monkeypatch):
    put(cache, "a/x", 1 << 19)
    assert cache.room(1 << 19)
    assert not cache.room((1 << 19) + 1)
    later = time.time() + 101
    monkeypatch.setattr(quota.time, "time", lambda: later)
    assert cache.room((1 << 19) + 1)


def test_what_was_not_used_goes_with_its_folder(cache, monkeypatch):
    old = put(cache, "a/old")
    now = time.time()
    monkeypatch.setattr(quota.time, "time", lambda: now + 99)
    assert cache.sweep() == 0
    monkeypatch.setattr(quota.time, "time", lambda: now + 101)
    new = put(cache, "b/new")
    os.utime(new, (now + 50, now + 50))  # used since
    assert cache.sweep() == 1
    assert not old.exists()
    assert not old.parent.exists()
    assert new.exists()
    assert cache.root.exists()


def test_gradios_lists_do_not_grow(cache):
    there = str(put(cache, "a/x"))
    cache.known = [{there, "/gone"}, set()]
    cache.sweep()
    assert cache.known == [{there}, set()]


def test_it_sweeps_by_itself(cache, monkeypatch):
    swept = threading.Event()
    monkeypatch.setattr(cache, "sweep", swept.set)
    cache.start()
    assert swept.wait(10)
    cache.stop()
    assert not cache._thread.is_alive()


def test_the_folder_is_private_and_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(quota.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyError), quota.folder() as made:
        (made / "x").mkdir()
        assert made.stat().st_mode & 0o777 == 0o700
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_goes_and_what_a_living_one_uses_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(quota.tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "audiovq-demo-left"
    left.mkdir()
    (left / "lock").touch()
    with quota.folder() as first, quota.folder() as second:
        assert first.exists()
        assert second.exists()
        assert not left.exists()
