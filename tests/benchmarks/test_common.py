"""What every script of benchmarks does: what it writes is of no one machine's folders."""

import importlib
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    was_there = "_common" in sys.modules
    yield importlib.import_module("_common")
    if not was_there:
        del sys.modules["_common"]


def test_a_result_holds_no_absolute_path(common, monkeypatch, tmp_path):
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    words = [str(tmp_path / "speech.jsonl"), "runs/vq", "--rounds", "3", f"codes={tmp_path}/units"]
    monkeypatch.setattr(sys, "argv", ["x.py", *words, f"--out={tmp_path}/a", "--save"])
    common.finish("some", {}, [["figure"], [1]])
    found = json.loads((tmp_path / "results" / "some.json").read_text())
    said = "speech.jsonl runs/vq --rounds 3 codes=units --out=a --save"
    assert found["command"] == f"python benchmarks/some.py {said}"


def test_results_hold_no_folder_of_a_machine():
    for path in (FOLDER / "results").rglob("*.json"):
        assert "/tmp/" not in path.read_text(), path
