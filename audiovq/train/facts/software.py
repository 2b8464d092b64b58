"""Which versions are installed, which are asked for, and whether what was compiled can be used."""

import platform
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import soundfile
import torch

import audiovq

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*([0-9.]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Software:
    """The Python packages that audiovq stands on.

    Attributes:
        python: version of Python.
        pythons: first version accepted and first that is not; "" where unknown.
        versions: of the packages by name; None for one that is not installed.
        least: the oldest version accepted, by name; empty where unknown.
        refused: why torchaudio's compiled part does not load; "" if it does.
        broken: why torchaudio cannot be used at all; "" if it can.
        libsndfile: version of the library that reads audio.
        mp3: whether that reads mp3.
    """

    python: str
    pythons: tuple[str, str]
    versions: Mapping[str, str | None]
    least: Mapping[str, str]
    refused: str
    broken: str
    libsndfile: str
    mp3: bool


def look() -> Software:
    """Look at the packages of this Python."""
    pythons, least = requirements()
    refused, broken = _torchaudio()
    return Software(
        python=platform.python_version(),
        pythons=pythons,
        versions={n: _version(n) for n in least or ("torch", "torchaudio", "numpy", "soundfile")},
        least=least,
        refused=refused,
        broken=broken,
        libsndfile=soundfile.__libsndfile_version__,
        mp3="MP3" in soundfile.available_formats(),
    )


def requirements() -> tuple[tuple[str, str], dict[str, str]]:
    """Return the range of Python and the oldest packages, as the checkout or the package says."""
    path = Path(audiovq.__file__).parent.parent / "pyproject.toml"
    try:  # an editable install's metadata may be older than the checkout
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        python, asked = project["requires-python"], project["dependencies"]
    except (OSError, ValueError, LookupError):
        try:
            about = metadata.metadata("audiovq")
        except metadata.PackageNotFoundError:
            return ("", ""), {}
        python = (about.get_all("Requires-Python") or [""])[0]
        asked = about.get_all("Requires-Dist") or []
    return _range(python), _least(a for a in asked if "extra" not in a)


def _range(text: str) -> tuple[str, str]:
    low, high = re.search(r">=\s*([\d.]+)", text), re.search(r"<\s*([\d.]+)", text)
    return (low[1] if low else "", high[1] if high else "")


def _least(asked: Iterable[str]) -> dict[str, str]:
    found = (_REQUIREMENT.match(text) for text in asked)
    return {m[1].lower(): m[2] for m in found if m}


def _version(name: str) -> str | None:
    if name == "torch":  # which says its build, `+cpu`, where the metadata may not
        return str(torch.__version__)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torchaudio() -> tuple[str, str]:
    """Return why torchaudio's compiled part is refused, and why all of it is."""
    try:
        from audiovq._torchaudio import refused  # noqa: PLC0415  (a second to import)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return "", " ".join(str(error).split())
    return " ".join(refused.split()), ""
