"""speechocean762 (Zhang et al. 2021): English read by speakers of Mandarin."""

from collections.abc import Iterator
from pathlib import Path

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake, _kaldi
from audiovq.data.corpora._base import Corpus, Utterance
from audiovq.data.manifest import Split
from audiovq.errors import ManifestError

_PARTS: dict[str, Split | None] = {"train": None, "test": "test"}


class Config(ComponentConfig):
    """speechocean762 has no settings."""


class SpeechOcean762(Corpus):
    """`WAVE/SPEAKER<id>/<utterance>.WAV`, and Kaldi data directories `train` and `test`.

    Paths in `wav.scp` are relative to ROOT. Speakers of the test list stay test; the rest is for
    the common rule, as there is no list for validation. The phones in `resource/` have no times.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield what `train` and `test` list, or the one of them that is there."""
        parts = {root / n: split for n, split in _PARTS.items() if (root / n).is_dir()}
        if not parts:
            raise ManifestError(f"neither train nor test in {root}; is it speechocean762's folder?")
        for folder, split in parts.items():
            yield from _kaldi.utterances(root, folder, split=split, language="en")

    def fake(self, root: Path) -> None:
        """Write eight speakers of two utterances each."""
        for s in range(8):
            folder = root / ("test" if s > 5 else "train")
            folder.mkdir(parents=True, exist_ok=True)
            for u in range(2):
                name = f"{s:04d}{u:05d}"
                path = f"WAVE/SPEAKER{s:04d}/{name}.WAV"
                _fake.write(root / path, 1.2, 10 * s + u)
                rows = {"wav.scp": path, "utt2spk": f"{s:04d}", "text": "MADE UP"}
                for table, value in rows.items():
                    with (folder / table).open("a") as file:
                        file.write(f"{name}\t{value}\n")
