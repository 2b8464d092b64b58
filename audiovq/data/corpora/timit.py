"""TIMIT (Garofolo et al. 1993), with its hand-made phone and word times."""

from collections.abc import Iterator
from pathlib import Path

from audiovq.config import ComponentConfig
from audiovq.data.corpora import _fake
from audiovq.data.corpora._base import Corpus, Utterance, all_files, read_text, short
from audiovq.data.manifest import Split
from audiovq.errors import ManifestError


class Config(ComponentConfig):
    """TIMIT has no settings."""


class Timit(Corpus):
    """`<sentence>.phn` and `.wrd` beside each wav or flac; the folder names the speaker.

    Reads the published tree (`TRAIN/DR1/FCJF0/SA1.WAV`, upper or lower case, NIST or RIFF), whose
    TEST speakers stay test, and smaller samples of it (`dr1-fvmh0/sa1.flac`).
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every utterance that has a phone file, with tiers `phones` and `words`."""
        by_name: dict[Path, dict[str, Path]] = {}
        for path in all_files(root):
            by_name.setdefault(path.with_suffix(""), {})[path.suffix.lower()] = path
        labelled = [(beside[".phn"], beside) for beside in by_name.values() if ".phn" in beside]
        if not labelled:
            raise ManifestError(f"no .phn file below {root}; is it TIMIT's folder?")
        for phones, beside in labelled:
            # Labels without audio are told as a missing file, not left out.
            audio = beside.get(".flac") or beside.get(".wav") or phones.with_suffix(".wav")
            speaker = phones.parent.name.lower()
            tiers = {"phones": _times(phones)}
            if ".wrd" in beside:
                tiers["words"] = _times(beside[".wrd"])
            yield Utterance(
                id=f"{speaker}-{phones.stem.lower()}",
                path=audio.relative_to(root).as_posix(),
                speaker=speaker,
                split=_official_split(phones.relative_to(root)),
                language="en",
                text=_text(beside[".txt"]) if ".txt" in beside else None,
                alignment=tiers,
            )

    def fake(self, root: Path) -> None:
        """Write eight speakers of two sentences each, with phone and word times."""
        for s in range(8):
            folder = root / f"dr{s + 1}-fake{s}"
            for u, name in enumerate(("sa1", "sx7")):
                n = _fake.write(folder / f"{name}.flac", 1.5, 10 * s + u)
                cuts = [0, n // 5, n // 2, n - 900, n]
                rows = zip(cuts, cuts[1:], ("h#", "iy", "s", "h#"), strict=False)
                (folder / f"{name}.phn").write_text("".join(f"{a} {b} {p}\n" for a, b, p in rows))
                (folder / f"{name}.wrd").write_text(f"{cuts[1]} {cuts[3]} ease\n")
                (folder / f"{name}.txt").write_text(f"0 {n} Ease.\n")


def _official_split(path: Path) -> Split | None:
    """TIMIT's own test speakers stay test; the rest is for the common rule."""
    return "test" if path.parts[0].lower() == "test" else None


def _times(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Read lines of `start end label`; rows of no length are left out."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split(maxsplit=2)
        if len(parts) < 3 or not (parts[0].isdecimal() and parts[1].isdecimal()):
            raise ManifestError(
                f"{path}, line {number}: {short(line)} is not `start end label` in samples"
            )
        if int(parts[1]) > int(parts[0]):
            rows.append((int(parts[0]), int(parts[1]), parts[2].strip()))
    return tuple(rows)


def _text(path: Path) -> str:
    """Return the sentence of a file that holds `0 46797 She had your dark suit ...`."""
    return "".join(read_text(path).strip().split(maxsplit=2)[2:])
