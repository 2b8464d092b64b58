import re
from pathlib import Path

import pytest

from tests.demo_app import attacks, small

LIMITS = {"max_upload": 1 << 20, "burst": 10_000}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    canary = tmp_path_factory.mktemp("home") / "canary.wav"
    canary.write_text(attacks.CANARY)
    listener = attacks.Listener()
    with small.start(**LIMITS) as running:
        visitor = small.Visitor(running)
        yield attacks.Scene(visitor, running, canary, listener, LIMITS)
        assert listener.calls == []
        status, text = visitor.measure(small.tone())  # it lives, and works
        assert status == 200
        assert "0.50 s at 16000 Hz" in text
        assert running.cache.exists()
    assert not running.cache.exists()
    listener.close()


def test_there_are_thirty_at_least():
    assert len(attacks.ATTACKS) >= 30


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_every_attack_is_refused(scene, name):
    status, text = attacks.ATTACKS[name](scene)
    assert attacks.was_refused(status, text), (status, text[:300])
    assert attacks.CANARY not in text
    assert "Traceback" not in text
    assert "root:" not in text
    if Path.home() not in scene.canary.parents:
        assert str(Path.home()) not in text
    assert scene.listener.calls == []


def test_a_name_that_climbs_stays_in_the_cache(scene):
    for name in ("../../climbed.wav", "/etc/climbed.wav", "..\\climbed.wav", "a\0.wav", "x" * 300):
        status, text = scene.form((name, small.tone()))
        for path in re.findall(r'"([^"]+)"', text) if status == 200 else []:
            assert scene.running.cache in Path(path).resolve().parents
    assert not list(scene.running.cache.parents[1].glob("climbed*"))


def test_a_fault_of_the_program_shows_nothing_of_it(scene):
    status, text = scene.visitor.call("fail")
    assert status == 200
    assert "event: error" in text
    assert "secret" not in text
    assert "RuntimeError" not in text


def test_the_pages_own_data_name_no_path_of_the_server(scene):
    for path in ("/", "/config", "/gradio_api/info"):
        status, text = scene.get(path)
        assert status == 200
        assert str(Path(__file__).parents[2]) not in text
        assert str(scene.running.cache) not in text


def test_gradios_own_client_gets_through(scene, tmp_path):
    from gradio_client import Client, handle_file

    path = tmp_path / "mine.wav"
    path.write_bytes(small.tone())
    client = Client(scene.running.url, verbose=False, download_files=str(tmp_path / "got"))
    length, back = client.predict(handle_file(str(path)), api_name="/measure")
    assert length == "0.50 s at 16000 Hz"
    assert Path(back).read_bytes()[:4] == b"RIFF"
