"""AISHELL-1 (Bu et al. 2017): 400 speakers of Mandarin."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake, _sets
from audiovq.data.corpora._base import Corpus, Utterance, all_files, lines, short
from audiovq.data.download import Archive
from audiovq.errors import ManifestError

_NAME = re.compile(r"BAC009(S\d{4})W\d{4}")


class Config(ComponentConfig):
    """AISHELL-1 has no settings."""


class Aishell(Corpus):
    """`wav/{train,dev,test}/<speaker>/<utterance>.wav`, `transcript/aishell_transcript_v0.8.txt`.

    Utterances are named like BAC009S0002W0122, which holds the speaker S0002.
    ROOT is `data_aishell` or the folder around it; the archives of the speakers in `wav/` must
    have been extracted there (`--download` does). Splits are the folders. Texts keep the spaces
    between words that the transcript has; a few hundred utterances have none.
    """

    archives: ClassVar[Mapping[str, Archive]] = {
        "data_aishell": Archive(
            "https://www.openslr.org/resources/33/data_aishell.tgz",
            "md5:2f494334227864a8a8fec932999db9d8",
            nested=True,  # an archive for each speaker
        )
    }

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every recording with its speaker and, where there is one, its text."""
        every = all_files(root)
        files = [p for p in every if p.suffix == ".wav" and _NAME.fullmatch(p.stem)]
        if not files:
            packed = any(p.name.endswith(".tar.gz") for p in every)
            hint = "extract its archives" if packed else "is it AISHELL-1's folder?"
            raise ManifestError(f"no BAC009S....W.....wav below {root}; {hint}")
        texts: dict[str, str] = {}
        for path in every:
            if path.name.startswith("aishell_transcript"):
                texts |= _transcript(path)
        splits = _sets.splits([p.relative_to(root) for p in files])
        for path, split in zip(files, splits, strict=True):
            yield Utterance(
                id=path.stem,
                path=path.relative_to(root).as_posix(),
                speaker=path.stem[6:11],
                split=split,
                language="zh",
                text=texts.get(path.stem),
            )

    def fake(self, root: Path) -> None:
        """Write six speakers of two sentences each."""
        home, rows = root / "data_aishell", []
        for s, part in enumerate(["train"] * 4 + ["dev", "test"]):
            for u in range(2):
                name = f"BAC009S{s + 2:04d}W{u + 121:04d}"
                path = home / "wav" / part / f"S{s + 2:04d}" / f"{name}.wav"
                _fake.write(path, 1.2, 10 * s + u)
                rows.append(f"{name} \u800c \u5bf9 \u697c\u5e02\n")
        table = home / "transcript" / "aishell_transcript_v0.8.txt"
        table.parent.mkdir()
        table.write_text("".join(rows), "utf-8")


def _transcript(path: Path) -> dict[str, str]:
    """Read lines of `id words`."""
    texts = {}
    for where, line in lines(path):
        name, _, text = line.strip().partition(" ")
        if not _NAME.fullmatch(name) or not text:
            raise ManifestError(f"{where}: {short(line)} is not `BAC009S....W.... words`")
        texts[name] = " ".join(text.split())
    return texts
