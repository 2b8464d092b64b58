import ast
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from audiovq import audio
from audiovq.errors import AudioError, ConfigError
from demo_app import guard
from demo_app.guard import child, decode
from demo_app.settings import Settings
from tests.demo_app import bombs
from tests.demo_app.small import tone

ROOT = Path(__file__).parents[3]


@pytest.fixture
def stored(tmp_path):
    def store(data, name="a.wav"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return store


@pytest.mark.parametrize(
    ("kind", "subtype", "channels"),
    [("WAV", "FLOAT", 2), ("FLAC", "PCM_24", 1), ("OGG", "OPUS", 2), ("MP3", None, 1)],
)
def test_what_is_read_is_what_the_library_reads(stored, kind, subtype, channels):
    data = tone(6.0, 24_000, channels, format=kind, subtype=subtype)
    path = stored(data, f"x.{kind.lower()}")
    found = guard.read(path, Settings())
    expected = audio.load(path)
    assert found.sample_rate == audio.probe(path).sample_rate
    assert torch.equal(found.x, expected)
    assert found.x.dtype == torch.float32


def test_a_flac_that_leaves_its_length_open_is_read(stored):
    path = stored(bombs.flac_of_unknown_length(tone(format="FLAC")))
    assert guard.read(path, Settings()).x.shape[-1] == 8000


@pytest.mark.parametrize("name", [n for n in bombs.cheap() if bombs.leaves_open(n)])
def test_bombs_that_pass_the_header_are_stopped_by_the_decoder(stored, name):
    before = _peak()
    try:
        found = guard.read(stored(bombs.cheap()[name]), Settings())
        assert name == "FLAC, a lie about the length"  # as much is decoded as it says
        assert found.seconds == 2.0
    except AudioError as error:
        assert "longer or larger" in str(error)  # noqa: PT017  (either may be)
    assert _peak() - before < 50 << 20


def test_half_a_flac_and_not_a_number_are_refused(stored):
    data = tone(3.0, format="FLAC")
    with pytest.raises(AudioError, match="cut off"):
        guard.read(stored(data[: len(data) // 2]), Settings())
    samples = bytearray(tone(subtype="FLOAT"))
    samples[-4:] = b"\x00\x00\xc0\x7f"
    with pytest.raises(AudioError, match="NaN"):
        guard.read(stored(bytes(samples)), Settings())


def test_only_regular_files_are_opened(tmp_path, stored):
    link, pipe = tmp_path / "link.wav", tmp_path / "pipe.wav"
    link.symlink_to(stored(tone()))
    os.mkfifo(pipe)
    for path, words in (
        (None, "no recording yet"),
        (link, "not there"),
        (pipe, "only a file"),
        (tmp_path, "only a file"),
        (tmp_path / "gone.wav", "not there"),
        ("a\0b", "not there"),
    ):
        with pytest.raises(AudioError, match=words) as caught:
            guard.read(path, Settings())
        assert str(tmp_path) not in str(caught.value)


def test_a_name_is_no_path_and_no_markup(stored):
    assert guard.read(stored(tone(), "<b>my ..voice\n.wav"), Settings()).name == "bmy ..voice"
    assert guard.read(stored(tone(), "?.wav"), Settings()).name == "recording"


def test_what_is_used_is_kept_longer(stored):
    path = stored(tone())
    os.utime(path, (0, 0))
    guard.read(path, Settings())
    assert time.time() - path.stat().st_mtime < 60


def test_a_killed_child_is_an_error_and_nothing_more(stored):
    path = stored(tone())

    def kill():
        while not decode._RUNNING:
            time.sleep(0.001)
        decode.stop_all()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(AudioError, match="could not be decoded"):
        guard.read(path, Settings())
    killer.join()
    assert not decode._RUNNING
    assert guard.read(path, Settings()).x.shape[-1] == 8000


@pytest.mark.slow
def test_fifty_killed_children_are_fifty_errors(stored):
    path = stored(tone(10.0, format="FLAC"))
    errors = 0
    for i in range(50):

        def kill(wait=0.004 * i):
            while not decode._RUNNING:
                time.sleep(0.0005)
            time.sleep(wait)
            decode.stop_all()

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            guard.read(path, Settings())
        except AudioError:
            errors += 1
        killer.join()
    assert errors >= 10  # those that had not ended before
    assert guard.read(path, Settings()).x.shape[-1] == 160_000


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", "could not be decoded"),
        ("raise SystemExit('/srv/secret')", "could not be decoded"),
        ("pass", "no sound"),
        ("import os; os.write(1, bytes(4) + b'\\0\\0\\xc0\\x7f' * 9)", "no sound"),
    ],
)
def test_a_child_that_was_taken_over_cannot_say_anything(
    stored, tmp_path, monkeypatch, program, words
):
    taken = tmp_path / "taken.py"
    taken.write_text(program)
    monkeypatch.setattr(decode, "_PROGRAM", taken)
    with pytest.raises(AudioError, match=words) as caught:
        guard.read(stored(tone()), Settings())
    assert "secret" not in str(caught.value)


ENDS = {  # of a child that goes too far; it has a second
    "import signal; signal.alarm(0)\nwhile True: pass": {-signal.SIGXCPU, -signal.SIGKILL},
    "bytearray(2 << 30)": {1},
    "import time; time.sleep(60)": {-signal.SIGALRM},
    "import os\nfor _ in range(3): os.write(1, bytes(2000))": {1},
}


def test_the_child_is_confined(tmp_path):
    code = f"import runpy; c = runpy.run_path({child.__file__!r}); c['confine'](1 << 30, 1, 3000)\n"
    with (tmp_path / "out").open("wb") as out:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code + p], stdout=out, stderr=subprocess.DEVNULL
            )
            for p in ENDS
        ]
        for process, ended in zip(started, ENDS.values(), strict=True):
            assert process.wait() in ended, process.args
    assert (tmp_path / "out").stat().st_size <= 3000


def test_the_child_imports_numpy_and_soundfile_alone():
    tree = ast.parse(Path(child.__file__).read_text())
    named = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    ours = {"json", "os", "signal", "sys", "collections.abc", "typing", "resource"}
    assert named == ours | {"numpy", "soundfile"}


def test_it_is_given_no_secret(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "canary")
    assert "canary" not in repr(decode._environment())


def test_a_busy_demo_says_so(stored, monkeypatch):
    settings = Settings(decoders=1, decode_seconds=1)
    slots = threading.BoundedSemaphore(1)
    monkeypatch.setattr(decode, "_SLOTS", {1: slots})
    monkeypatch.setattr(slots, "acquire", lambda timeout: False)
    with pytest.raises(ConfigError, match="busy"):
        guard.read(stored(tone()), settings)


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
