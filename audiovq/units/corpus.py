"""What to extract, where no manifest was prepared: any folder of recordings, or a tar of them."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.corpora._base import AUDIO_SUFFIXES, Utterance
from audiovq.data.corpora.folder import Config, Folder
from audiovq.data.manifest import Manifest, Record
from audiovq.data.splits import assign
from audiovq.errors import AudioError, ManifestError

NAME = "manifest.jsonl"


def open_corpus(path: Path) -> tuple[Manifest, dict[str, str]]:
    """Return the corpus at a path, and the id and reason of every file that is no recording.

    Args:
        path: a manifest; a folder, of which every wav, flac, ogg and mp3 file is taken, also in
            tars; or an uncompressed tar. Only headers are read: what is damaged further on turns
            up when it is decoded.

    Raises:
        ManifestError: there is no such file, or nothing to hear in it.
    """
    if path.is_dir():
        return _survey(path, list(Folder(Config()).utterances(path)), path / NAME)
    if path.suffix == ".tar":
        names = [n for n in sorted(_members(path)) if PurePosixPath(n).suffix.lower() in _AUDIO]
        if not names:
            raise ManifestError(f"no wav, flac, ogg or mp3 file in {path}")
        utterances = [
            Utterance(id=str(PurePosixPath(n).with_suffix("")), path=f"{path.name}/{n}")
            for n in names
        ]
        return _survey(path.parent, utterances, path)
    if path.suffix in {".gz", ".tgz", ".zip", ".bz2", ".xz"}:
        raise ManifestError(f"{path} is compressed: unpack it, or give an uncompressed tar")
    return manifests.read(path), {}


_AUDIO = AUDIO_SUFFIXES


def _members(path: Path) -> list[str]:
    if not path.is_file():
        raise ManifestError(f"there is no file {path}")
    return list(audio.tar_members(path))


def _survey(root: Path, utterances: list[Utterance], path: Path) -> tuple[Manifest, dict[str, str]]:
    """Read every header."""
    records: list[Record] = []
    bad: dict[str, str] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        seen = pool.map(lambda u: _header(root, u), utterances)
        for utterance, found in zip(utterances, seen, strict=True):
            if isinstance(found, Record):
                records.append(found)
            else:
                bad[utterance.id] = found
    if not records:
        first = next(iter(bad.values()))
        raise ManifestError(f"none of the {len(bad)} files under {root} can be read: {first}")
    twice = len(records) + len(bad) - len({r.id for r in records} | bad.keys())
    if twice:
        raise ManifestError(f"{path}: {twice} files share the name of another; rename them")
    return Manifest(path, root, {}, assign(records)[0]), bad


def _header(root: Path, utterance: Utterance) -> Record | str:
    try:
        info = audio.probe(root / utterance.path)
        return utterance.record(info, info.num_samples)
    except AudioError as error:
        return str(error)
    except ValidationError as error:  # such as a name that is not UTF-8
        return str(error.errors()[0]["msg"])
