"""LibriSpeech (Panayotov et al. 2015), and corpora in its layout, such as LibriTTS-R dev sets."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake, _sets
from audiovq.data.corpora._base import Corpus, Utterance, all_files, read_text
from audiovq.data.download import Archive
from audiovq.errors import ManifestError

_SHA256 = {  # of the archives at openslr.org/12, as torchaudio checks them, too
    "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    "dev-other": "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    "test-other": "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    "train-clean-100": "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    "train-clean-360": "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    "train-other-500": "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
}


class Config(ComponentConfig):
    """LibriSpeech has no settings."""


class LibriSpeech(Corpus):
    """`<set>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac` with `*.trans.txt` beside.

    Where its own lists are there whole (train-*, dev-* and test-*), they are the splits; of a
    part of the corpus, dev-* validates and test-* tests, and train-* follows the common rule.
    """

    archives: ClassVar[Mapping[str, Archive]] = {
        name: Archive(f"https://www.openslr.org/resources/12/{name}.tar.gz", f"sha256:{digest}")
        for name, digest in _SHA256.items()
    }

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every utterance with speaker and, where there is one, transcript."""
        files = [p for p in all_files(root) if p.suffix == ".flac" and p.stem.count("-") == 2]
        if not files:
            raise ManifestError(
                f"no <speaker>-<chapter>-<number>.flac below {root}; is it LibriSpeech's folder?"
            )
        own = _sets.splits([p.relative_to(root) for p in files])
        texts: dict[Path, dict[str, str]] = {}
        for path, split in zip(files, own, strict=True):
            if path.parent not in texts:
                texts[path.parent] = _transcripts(path.parent)
            yield Utterance(
                id=path.stem,
                path=path.relative_to(root).as_posix(),
                speaker=path.stem.split("-")[0],
                split=split,
                language="en",
                text=texts[path.parent].get(path.stem),
            )

    def fake(self, root: Path) -> None:
        """Write eight speakers of two utterances each, half of them transcribed."""
        for s in range(8):
            speaker, chapter = 19 + s, 198 + s
            folder = root / "train-clean-100" / str(speaker) / str(chapter)
            names = [f"{speaker}-{chapter}-{u:04d}" for u in range(2)]
            for u, name in enumerate(names):
                _fake.write(folder / f"{name}.flac", 2.0 + 0.3 * u, 10 * s + u)
            if s % 2:
                lines = [f"{name} MADE UP SPEECH\n" for name in names]
                (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))


def _transcripts(folder: Path) -> dict[str, str]:
    texts = {}
    for path in sorted(folder.glob("*.trans.txt")):
        for line in read_text(path).splitlines():
            name, _, text = line.partition(" ")
            texts[name] = text
    return texts
