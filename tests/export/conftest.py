"""Exported models, made in a process of its own, where no hook looks into what is traced."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Callable[[str], Path]:
    """Give, by a name in MODELS, the folder of its `model` and `graphs`; each is exported once."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def export(name: str) -> Path:
        code = "import sys; from tests.export.models import main; main(*sys.argv[1:])"
        command = [sys.executable, "-c", code, str(folder), name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return folder / name

    return export
