"""Exported models, made in a process of its own, where no hook looks into what is traced."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.models import MODELS

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """Folder of `NAME/model` and `NAME/graphs` for the names in MODELS."""
    folder = tmp_path_factory.mktemp("exported")
    code = "import sys; from tests.export.models import main; main(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(folder), *MODELS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder
