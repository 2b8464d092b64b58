import socket
import threading
import time
from types import SimpleNamespace

import pytest

from demo_app.guard import decode, quota
from tests.demo_app import load, small


def test_visitors_leave_nothing_behind(monkeypatch):
    with small.start(sweep_seconds=1, queue=2, burst=10_000) as running:
        found = load.visit(running, visitors=4, uploads=3, seconds=0.5)
        assert found.wrong == []
        assert sum(found.answers.values()) == 12
        assert found.answers["measured"] >= 1
        assert load.files(running) != []
        later = SimpleNamespace(time=lambda: time.time() + 301)
        monkeypatch.setattr(quota, "time", later)
        assert load.wait_until_empty(running, 20) == []
        assert not [p for p in (running.cache.parent / "work").iterdir() if p.is_file()]


def test_a_killed_decoder_is_an_error_and_the_server_lives():
    with small.start(idle_seconds=1) as running:
        silent = _who_never_ends_a_sentence(running.port)
        visitor = small.Visitor(running)
        stored = visitor.upload(small.tone(5.0)).json()[0]

        def kill():
            while not decode._RUNNING:
                time.sleep(0.001)
            decode.stop_all()

        killer = threading.Thread(target=kill)
        killer.start()
        status, text = visitor.call("measure", small.file_at(stored))
        killer.join()
        assert status == 200
        assert "could not be decoded" in text
        assert "5.00 s" in visitor.call("measure", small.file_at(stored))[1]
        assert silent.recv(1000) == b""  # hung up on
        silent.close()


def _who_never_ends_a_sentence(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=30)
    made.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    return made


@pytest.mark.slow
def test_two_hundred_uploads_leave_memory_and_disk_as_they_were():
    short = {"keep_seconds": 15, "sweep_seconds": 5, "burst": 10_000}
    with small.start(**short) as running:
        warm = load.visit(running, visitors=20, uploads=2)
        assert warm.wrong == []
        before = load.memory()
        found = load.visit(running, visitors=20, uploads=10)
        assert found.wrong == []
        assert sum(found.answers.values()) == 200
        assert load.wait_until_empty(running, 60) == []
        assert load.memory() - before <= 20 << 20
