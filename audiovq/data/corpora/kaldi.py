"""Any corpus prepared for Kaldi, ESPnet or the like."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake, _kaldi
from audiovq.data.corpora._base import Corpus, Utterance
from audiovq.data.manifest import Split


class Config(ComponentConfig):
    """Settings of a Kaldi corpus."""

    data: str = Field(
        ".", description="data directory, relative to ROOT; its utterances follow the common rule"
    )
    train: str | None = Field(None, description="data directory of the training split, instead")
    validation: str | None = Field(None, description="data directory of the validation split")
    test: str | None = Field(None, description="data directory of the test split")
    language: str | None = Field(None, description="BCP 47 tag of all files, such as en or de-CH")


class Kaldi(Corpus):
    """A data directory: `wav.scp`, and `segments`, `utt2spk` and `text` where they are there.

    - `wav.scp`: `recording path`; the path is relative to ROOT, or absolute and below it. A
      recording that is a command (`sph2pipe ... |`) is refused, and never run.
    - `segments`: `utterance recording start end [channel]`, in seconds; an end of -1 is the
      recording's, and an end up to half a second behind it is cut, as Kaldi does.
    - `utt2spk`: `utterance speaker`, `text`: `utterance words`. Without utt2spk nobody is known
      to speak; with it, every utterance must have a speaker.

    `data=data/all` names one directory; `train=data/train test=data/test` name one per split.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield what the data directories list."""
        c = self.config
        named: dict[Split, str | None] = {
            "train": c.train, "validation": c.validation, "test": c.test
        }  # fmt: skip
        parts: dict[str, Split | None] = {d: split for split, d in named.items() if d is not None}
        for data, split in (parts or {c.data: None}).items():
            yield from _kaldi.utterances(root, root / data, split=split, language=c.language)

    def fake(self, root: Path) -> None:
        """Write six speakers of one recording each, two utterances in each recording."""
        tables: dict[str, list[str]] = {n: [] for n in ("wav.scp", "segments", "utt2spk", "text")}
        for s in range(6):
            recording = f"spk{s}-tape"
            _fake.write(root / "audio" / f"{recording}.wav", 3.0, 10 * s)
            tables["wav.scp"].append(f"{recording} audio/{recording}.wav\n")
            for u, times in enumerate(("0.0 1.4", "1.5 -1")):
                tables["segments"].append(f"spk{s}-{u} {recording} {times}\n")
                tables["utt2spk"].append(f"spk{s}-{u} spk{s}\n")
                tables["text"].append(f"spk{s}-{u} made up\n")
        for name, rows in tables.items():
            (root / name).write_text("".join(rows))
