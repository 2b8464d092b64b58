"""A real training tracked offline; what Weights & Biases wrote is read back, bytes and all."""

import json
import struct

import pytest

wandb = pytest.importorskip("wandb")

from wandb.proto import wandb_internal_pb2 as proto  # noqa: E402

from audiovq.errors import ConfigError  # noqa: E402
from audiovq.train.trackers.lines import read_log  # noqa: E402
from audiovq.train.trackers.wandb import WandB, _identity, _without_secrets  # noqa: E402
from tests.test_recipes import speech as speech  # noqa: E402, PLC0414  (a fixture)
from tests.test_recipes import train  # noqa: E402

CANARY = "c4nary7f3e9a1b5d2c8e6f"
BLOCK = 32768


def records(path):
    """Yield the records of a .wandb file: LevelDB's log format after a header of 7 bytes."""
    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        if kind == 0:
            break
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in {1, 4}:
            record = proto.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def history(folder):
    """Return what was logged, one mapping per call, of all runs in a folder."""
    rows = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for record in records(path):
            if record.WhichOneof("record_type") == "history":
                rows.append({})
                for item in record.history.item:
                    *outer, last = item.nested_key or [item.key]
                    place = rows[-1]
                    for key in outer:
                        place = place.setdefault(key, {})
                    place[last] = json.loads(item.value_json)
    return rows


@pytest.fixture(scope="module")
def tracked(speech, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", CANARY)
        patch.setenv("HF_TOKEN", CANARY)
        patch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # whoever tries to reach anyone fails
        changes = ("log.wandb=offline", "log.snapshots=1", "log.every=2", "train.validate_every=2")
        train(speech, folder, "train.max_steps=4", *changes)
        train(speech, folder, "train.max_steps=6", *changes)
    return folder


def test_curves_are_those_of_the_log(tracked):
    rows = history(tracked)
    sent = {r["step"]: r["train/loss"] for r in rows if "train/loss" in r}
    assert sent == {
        e["step"]: e["train/loss"] for e in read_log(tracked / "log.jsonl") if "train/loss" in e
    }
    assert sorted(sent) == [2, 4, 6]
    assert any("validation/mel" in r for r in rows)


def test_sounds_pictures_and_histograms_are_there(tracked):
    rows = history(tracked)
    kinds = {v["_type"] for r in rows for v in r.values() if isinstance(v, dict) and "_type" in v}
    assert {"audio-file", "image-file", "histogram"} <= kinds
    histogram = next(v for r in rows for k, v in r.items() if k.startswith("codes/"))
    assert sum(histogram["values"]) > 0
    assert histogram["values"] == sorted(histogram["values"], reverse=True)
    media = {p.suffix for p in tracked.rglob("media/**/*") if p.is_file()}
    assert {".wav", ".png"} <= media


def test_a_run_that_goes_on_is_one_run(tracked):
    assert len(list(tracked.glob("wandb/offline-run-*"))) == 2
    ids = {p.name.rsplit("-", 1)[1] for p in tracked.glob("wandb/offline-run-*")}
    assert ids == {json.loads((tracked / "wandb.json").read_text())["id"]}


def test_no_secret_is_in_any_file(tracked):
    for path in (p for p in tracked.rglob("*") if p.is_file()):
        assert CANARY.encode() not in path.read_bytes(), path


def test_addresses_lose_their_user():
    settings = {"a": [f"https://me:{CANARY}@host/x", 1], "b": {"c": "s3://bucket/key"}}
    assert _without_secrets(settings) == {"a": ["https://host/x", 1], "b": {"c": "s3://bucket/key"}}


def test_queries_and_odd_passwords_are_cut_too():
    for text in (f"https://u:{CANARY}/w@h/x", f"https://u:a@{CANARY}@h/x", f"s3://h/x?t={CANARY}"):
        assert CANARY not in _without_secrets(text)


def test_a_torn_identity_is_a_new_run(tmp_path):
    (tmp_path / "wandb.json").write_text('{"id"')
    assert len(_identity(tmp_path)) == 8
    assert _identity(tmp_path) == _identity(tmp_path)


def test_online_without_a_key_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")
    with pytest.raises(ConfigError, match=r"log.wandb=online cannot start .*wandb login"):
        WandB(tmp_path, "online", {})
