"""What many tests start from: speech, and the command line.

Speech is real where AUDIOVQ_TEST_DATA names some, made up otherwise.
"""

import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.corpora.librispeech import Config, LibriSpeech
from audiovq.data.manifest import Manifest
from audiovq.data.splits import assign
from tests.figures import FIGURES

FEW_SPEAKERS = 3

# Two workers that compile librosa's functions at once into one cache can leave it such that every
# process that reads it crashes: each has its own.
_NUMBA = tempfile.TemporaryDirectory() if "PYTEST_XDIST_WORKER" in os.environ else None
if _NUMBA is not None:
    os.environ["NUMBA_CACHE_DIR"] = _NUMBA.name


def pytest_configure(config):
    torch.set_num_threads(1)  # results must not depend on it, and the cores are shared


def pytest_terminal_summary(terminalreporter):
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def speech_root() -> Path | None:
    """Folder of real speech (LibriSpeech, timit-sample, ...), or None where there is none."""
    named = os.environ.get("AUDIOVQ_TEST_DATA")
    if not named:
        return None
    root = Path(named)
    assert root.is_dir(), f"AUDIOVQ_TEST_DATA={named} is not a folder"
    return root


@pytest.fixture(scope="session")
def librispeech_root(speech_root, tmp_path_factory) -> Path:
    """LibriSpeech's folder: the real subset, or a made-up look-alike."""
    if speech_root is not None and (speech_root / "LibriSpeech").is_dir():
        return speech_root / "LibriSpeech"
    root = tmp_path_factory.mktemp("librispeech")
    LibriSpeech(Config()).fake(root)
    return root


@pytest.fixture(scope="session")
def speech_manifest(librispeech_root, tmp_path_factory) -> Manifest:
    """A dozen utterances at most, of a few speakers in every split."""
    corpus = LibriSpeech(Config())
    records = []
    for utterance in corpus.utterances(librispeech_root):
        info = audio.probe(librispeech_root / utterance.path)
        records.append(utterance.record(info, info.num_samples))
    records, _ = assign(records)
    chosen = []
    for split in manifests.SPLITS:
        speakers: dict[str, list] = {}
        for record in records:
            if record.split == split:
                speakers.setdefault(record.speaker, []).append(record)
        chosen += [r for s in list(speakers)[:FEW_SPEAKERS] for r in speakers[s][:2]]
    path = tmp_path_factory.mktemp("manifest") / "speech.jsonl"
    manifests.write(path, str(librispeech_root), chosen, corpus="librispeech")
    return manifests.read(path, check_files=True)


@pytest.fixture
def utterance(speech_manifest) -> torch.Tensor:
    """The first test utterance at 16 kHz, (1, 1, L)."""
    return speech_manifest.load(speech_manifest.select("test")[0], 16000)


@pytest.fixture
def run(capsys, monkeypatch):
    """Run `audiovq ...` in this process; returns exit code, stdout and stderr."""

    def go(*arguments):
        from audiovq.__main__ import main

        monkeypatch.setattr(sys, "argv", ["audiovq", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out = capsys.readouterr()
        return stop.value.code or 0, out.out, out.err

    return go
