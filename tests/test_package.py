"""The wheel: one top-level package; recipes, configs and models inside; it runs from there."""

import os
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_nothing_but_audiovq_is_installed(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0].split("-")[0] for n in names} == {"audiovq"}
    shared = {n for n in names if n.startswith("audiovq/_share/")}
    expected = {
        f"audiovq/_share/{p.relative_to(ROOT).as_posix()}"
        for p in [*(ROOT / "recipes").rglob("*.*"), *(ROOT / "configs").rglob("*.yaml")]
        if p.suffix in {".py", ".sh", ".yaml"}
    } | {
        f"audiovq/_share/{p.relative_to(ROOT).as_posix()}"
        for p in (ROOT / "demo_app").rglob("*.*")
        if "__pycache__" not in p.parts
    }
    models = ROOT / "audiovq" / "_share" / "models"
    expected |= {p.relative_to(ROOT).as_posix() for p in models.rglob("*") if p.is_file()}
    assert shared == expected


def test_it_lists_and_copies_from_inside_itself(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    audiovq = partial(python, "-m", "audiovq")
    assert "autoencoder/vq_ema" in audiovq("ls", "configs")
    assert audiovq("cp", "autoencoder/ae", "mine").split() == ["mine/ae.yaml", "mine/base.yaml"]
    assert "identity" in audiovq("train", "mine/ae.yaml", "--show")
    found = python("-c", "from audiovq import share; print(share.load_demo().serve.__file__)")
    assert Path(found.strip()) == tmp_path / "site" / "audiovq/_share/demo_app/serve.py"
