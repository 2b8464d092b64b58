import re
import subprocess
import sys
from pathlib import Path

import audiovq

FAIL = """
import builtins, sys
real = builtins.__import__
def refuse(name, *args, **kwargs):
    if name == "torchaudio" and "torchaudio._extension" not in sys.modules:
        sys.modules["torchaudio.half_imported"] = object()
        raise {error}
    return real(name, *args, **kwargs)
builtins.__import__ = refuse
from audiovq._torchaudio import torchaudio
builtins.__import__ = real
assert "torchaudio.half_imported" not in sys.modules
import torch
assert torchaudio.functional.melscale_fbanks(257, 0.0, 8000.0, 40, 16000).shape == (257, 40)
assert torchaudio.functional.resample(torch.zeros(1, 441), 44100, 16000).shape == (1, 160)
import torchaudio as later
assert later is torchaudio
"""


def test_torchaudio_works_beside_a_torch_of_another_build():
    for error in ('OSError("libcudart.so.13")', 'RuntimeError("different CUDA versions")'):
        subprocess.run([sys.executable, "-c", FAIL.format(error=error)], check=True)


def test_one_module_imports_torchaudio():
    root = Path(audiovq.__file__).parent
    pattern = re.compile(r"^\s*(import torchaudio|from torchaudio)", re.MULTILINE)
    found = [p.name for p in root.rglob("*.py") if pattern.search(p.read_text(encoding="utf-8"))]
    assert found == ["_torchaudio.py"]
