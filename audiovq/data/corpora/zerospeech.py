"""ZeroSpeech 2019 (Dunbar et al. 2019), used again in 2020: TTS without T."""

from collections.abc import Iterator
from pathlib import Path

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, all_files
from audiovq.data.manifest import Split
from audiovq.errors import ManifestError

_PARTS: dict[tuple[str, ...], Split | None] = {
    ("train", "voice"): "train",
    ("train", "parallel", "voice"): "train",
    ("train", "parallel", "source"): None,
    ("train", "unit"): None,
    ("test",): "test",
}
_LANGUAGES = {"english": "en", "english_small": "en", "surprise": "id"}


class Config(ComponentConfig):
    """ZeroSpeech 2019 has no settings."""


class ZeroSpeech(Corpus):
    """`<language>/train/{unit,voice}/<speaker>_<number>.wav` and `<language>/test/...wav`.

    The challenge has had many layouts; this is the one of 2019 and of the first task of 2020,
    which is about resynthesis from discrete units. `<language>` is `english` or `surprise`
    (Indonesian), one of them or both below ROOT. The target voices in `train/voice` (and
    `train/parallel/voice`) train, since output is to sound like them; `test` tests; the many
    speakers of `train/unit` (and `train/parallel/source`) follow the common rule, which gives a
    validation split. There is no text.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every recording; its id is its path without the suffix."""
        home = root.resolve()  # names above ROOT count: it may be `english/train`, or `test`
        relative = [p.relative_to(root) for p in all_files(root)]
        found = [(p, part) for p in relative if (part := _part(home / p)) is not None]
        if not found:
            raise ManifestError(
                f"no train/unit, train/voice or test with <speaker>_<number>.wav below {root}; is "
                f"it a language of ZeroSpeech 2019?"
            )
        for path, part in found:
            yield Utterance(
                id=path.with_suffix("").as_posix(),
                path=path.as_posix(),
                speaker=path.stem.split("_")[0],
                split=_PARTS[part],
                language=_LANGUAGES.get((home / path).parents[len(part)].name),
            )

    def fake(self, root: Path) -> None:
        """Write a voice and seven other speakers of two utterances each."""
        for s in range(8):
            part = "train/voice" if s == 0 else "test" if s > 5 else "train/unit"
            speaker = "V001" if s == 0 else f"S{s:03d}"
            for u in range(2):
                path = root / "english" / part / f"{speaker}_{100 * s + u:010d}.wav"
                _fake.write(path, 1.2, 10 * s + u)


def _part(path: Path) -> tuple[str, ...] | None:
    if path.suffix != ".wav" or "_" not in path.stem:
        return None
    folders = path.parts[:-1]
    return next((part for part in _PARTS if folders[-len(part) :] == part), None)
