import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from audiovq import share
from audiovq.errors import ConfigError
from demo_app import serve
from demo_app.settings import Settings

ROOT = Path(__file__).parents[2]

# Serves the small page as the command would, and notes whom it calls and what it writes where.
PROGRAM = """
import sys, types
called = open(sys.argv[2], "w", buffering=1)
def watch(event, arguments):
    if event == "socket.connect":
        called.write(f"connect {arguments[1]}\\n")
    if event == "socket.getaddrinfo":
        called.write(f"look up {arguments[0]}\\n")
    if event == "subprocess.Popen":
        called.write(f"start {arguments[0]}\\n")
sys.addaudithook(watch)
from tests.demo_app import small
from demo_app import serve, settings
import demo_app
style = types.ModuleType("demo_app.style")
style.looks = dict
app = types.ModuleType("demo_app.app")
app.build = small.build
sys.modules["demo_app.style"] = demo_app.style = style
sys.modules["demo_app.app"] = demo_app.app = app
serve.serve(settings.Settings(port=int(sys.argv[1])))
"""


def test_a_taken_port_is_one_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: .*--port"):
            serve.socket_of(Settings(port=port))


def test_an_address_that_is_none_is_one_line():
    with pytest.raises(ConfigError, match="--host 300.1.1.1 is no address"):
        serve.socket_of(Settings(host="300.1.1.1"))


def test_gradio_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ConfigError, match=r"audiovq\[demo\]"):
        serve.need_gradio()


def test_the_command_explains_itself_and_refuses_what_is_not_there(tmp_path):
    def audiovq(*words):
        command = [sys.executable, "-m", "audiovq", "demo", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    shown = audiovq("--help").stdout
    assert all(f"--{o}" in shown for o in ("models", "units", "host", "port", "name", "seconds"))
    done = audiovq("--models", str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is no folder" in done.stderr


def test_only_this_machine_is_listened_to_unless_one_says_otherwise(capsys):
    assert Settings().host == "127.0.0.1"
    running = serve.Running("http://127.0.0.1:1/", Path(), lambda: None)
    serve._announce(running, Settings())
    assert "note" not in capsys.readouterr().err
    serve._announce(running, Settings(host="0.0.0.0"))
    assert "no password" in capsys.readouterr().err


def test_the_demo_is_found_in_a_checkout():
    assert share.folder("demo_app") == ROOT / "demo_app"
    assert share.load_demo().serve is serve


def test_a_page_that_cannot_be_built_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(serve.tempfile, "tempdir", str(tmp_path))

    def build(settings):
        raise KeyError

    with pytest.raises(KeyError):
        serve.launch(build, Settings(port=0))
    assert serve.tempfile.tempdir == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_sigterm_leaves_nothing_and_called_nobody(tmp_path):
    noted, temporary = tmp_path / "noted", tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "0", str(noted)], cwd=ROOT, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}, text=True,
    )  # fmt: skip
    try:
        said = next(line for line in process.stderr if "the demo is at" in line)
        url = said.split()[4]
        assert httpx.get(url, trust_env=False).status_code == 200
        assert [p.name.startswith("audiovq-demo-") for p in temporary.iterdir()] == [True]
        job = httpx.post(f"{url}gradio_api/call/wait", json={"data": [60]}, trust_env=False)
        assert job.status_code == 200
        time.sleep(0.3)  # it is computing, and would for a minute
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=300)[1]
    finally:
        process.kill()
    assert process.returncode == 0
    assert rest == "the demo has stopped\n"
    assert list(temporary.iterdir()) == []
    for line in noted.read_text().splitlines():
        assert "127.0.0.1" in line or line.startswith("start"), line


def test_its_settings_are_described():
    for name, field in Settings.model_fields.items():
        assert field.description, name
    assert json.loads(Settings().model_dump_json())["max_seconds"] == 60.0
