"""Synthetic speech in many voices, made on the spot by espeak-ng; for trying things out."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from audiovq import audio
from audiovq.config import ComponentConfig
from audiovq.data.corpora import _espeak, _fake, _sentences
from audiovq.data.corpora._base import Corpus, Utterance
from audiovq.errors import ConfigError, ManifestError
from audiovq.files import atomic_write

_ACCENTS = (
    "en-us",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)
# Only variants without espeak-ng's breath: that noise depends on the clock.
_VARIANTS = (
    "m1",
    "f1",
    "m3",
    "linda",
    "m4",
    "steph",
    "m5",
    "belinda",
    "m6",
    "anika",
    "m7",
    "aunty",
    "m8",
)
MAX_SPEAKERS = len(_ACCENTS) * len(_VARIANTS)
_INDEX = "synthetic.json"
_SILENT = 0.01  # root mean square; pauses lie below 0.001, glides above 0.05


class Config(ComponentConfig):
    """Settings of the synthetic corpus."""

    speakers: int = Field(20, ge=1, le=MAX_SPEAKERS, description="voices")
    utterances: int = Field(15, ge=1, le=10_000, description="sentences per voice")
    seed: int = Field(0, ge=0, description="decides the sentences, tempo and pitch")
    sample_rate: int = Field(16000, ge=8000, le=48000, description="of the files (Hz)")


class Synthetic(Corpus):
    """`<voice>/<number>.flac`, with phones and text; the same bytes for the same settings.

    Needs the extra `synth` (espeakng-loader). Voices are espeak-ng's English accents and variants:
    a far cry from people, but enough to see a pipeline work.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def obtain(self, root: Path, *, progress: bool = True) -> None:
        """Speak into `root`, unless it holds this very corpus already.

        Raises:
            ManifestError: `root` holds something else.
            ConfigError: the extra `synth` is missing.
        """
        index = root / _INDEX
        wanted = self.config.model_dump(mode="json", exclude={"name"})
        if index.is_file() and _read_index(index).get("config") == wanted:
            return
        # What an interrupted run left is spoken again, to the same bytes.
        ours = {voice_name(v) for v in range(MAX_SPEAKERS)}
        if index.is_file() or (root.exists() and not {p.name for p in root.iterdir()} <= ours):
            raise ManifestError(
                f"{root} holds something else than the synthetic corpus of these settings; "
                f"choose an empty folder, or remove it"
            )
        root.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(2) as pool:
            voices = list(range(self.config.speakers))
            spoken = list(
                tqdm(
                    pool.map(lambda v: self._speak(root, v), voices),
                    total=len(voices),
                    desc="synthesising speech",
                    unit="voice",
                    disable=not progress,
                )
            )
        utterances = [u for voice in spoken for u in voice]
        text = json.dumps({"config": wanted, "utterances": utterances}, ensure_ascii=False)
        atomic_write(index, text + "\n")

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield what `obtain` made, with a tier `phones` (IPA without stress; `_` is silence)."""
        index = root / _INDEX
        if not index.is_file():
            raise ManifestError(f"no {_INDEX} in {root}: not a synthetic corpus")
        for u in _read_index(index)["utterances"]:
            phones = tuple((s, e, p) for s, e, p in u["phones"])
            yield Utterance(
                id=u["id"],
                path=u["path"],
                speaker=u["speaker"],
                language="en",
                text=u["text"],
                alignment={"phones": phones},
            )

    def fake(self, root: Path) -> None:
        """Write four made-up voices of two utterances each, without espeak-ng."""
        entries = []
        for v in range(4):
            for i in range(2):
                path = f"voice{v}/{i:03d}.flac"
                n = _fake.write(root / path, 1.2, 10 * v + i)
                entry = {"id": f"voice{v}-{i:03d}", "path": path, "speaker": f"voice{v}"}
                entries.append({**entry, "text": "made up", "phones": [[0, n, "a"]]})
        wanted = self.config.model_dump(mode="json", exclude={"name"})
        about = {"config": wanted, "utterances": entries}
        atomic_write(root / _INDEX, json.dumps(about) + "\n")

    def _speak(self, root: Path, voice: int) -> list[dict[str, Any]]:
        """Speak one voice's sentences in a process of its own; return their entries."""
        c = self.config
        name = voice_name(voice)
        texts = _sentences.sentences(c.utterances, seed=c.seed * 1000 + voice)
        folder = root / name
        folder.mkdir(exist_ok=True)
        entries = []
        with tempfile.TemporaryDirectory() as scratch:
            wavs = [f"{i}.wav" for i in range(len(texts))]
            lines = _run_espeak(
                Path(scratch),
                {
                    "voice": name,
                    "words_per_minute": 140 + 12 * (voice % 5),
                    "pitch": 35 + 7 * (voice % 6),
                    "sentences": list(zip(texts, wavs, strict=True)),
                },
            )
            for i, (text, wav, line) in enumerate(zip(texts, wavs, lines, strict=True)):
                x = audio.load(Path(scratch) / wav, c.sample_rate)
                path = folder / f"{i:03d}.flac"
                audio.save(path, x, c.sample_rate)
                entries.append(
                    {
                        "id": f"{name}-{i:03d}",
                        "path": path.relative_to(root).as_posix(),
                        "speaker": name,
                        "text": text,
                        "phones": _phones(json.loads(line), x, c.sample_rate),
                    }
                )
        return entries


def voice_name(voice: int) -> str:
    """Return espeak-ng's name of a voice by its number, which is its speaker's name, too."""
    accent = _ACCENTS[voice % len(_ACCENTS)]
    return f"{accent}+{_VARIANTS[(voice + voice // len(_ACCENTS)) % len(_VARIANTS)]}"


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {"config": index["config"], "utterances": list(index["utterances"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestError(f"{path} is damaged ({error}); remove its folder") from None


def _run_espeak(folder: Path, job: dict[str, Any]) -> list[str]:
    """Run the job with `folder` as working directory; return what the program printed."""
    try:
        import espeakng_loader  # noqa: PLC0415  (optional)
    except ImportError:
        raise ConfigError(
            'synthetic speech needs espeak-ng: pip install "audiovq[synth]"'
        ) from None
    job |= {
        "library": espeakng_loader.get_library_path(),
        "data": espeakng_loader.get_data_path(),
    }
    done = subprocess.run(  # noqa: S603  (our own script, by absolute path)
        [sys.executable, "-I", _espeak.__file__],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"LC_ALL": "C.UTF-8"},
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ConfigError(f"espeak-ng failed for the voice {job['voice']}: {last}")
    return done.stdout.splitlines()


def _phones(
    spoken: dict[str, Any], x: Float[Tensor, "1 1 L"], sample_rate: int
) -> list[tuple[int, int, str]]:
    """Return [start, end, phone] in samples, from the first to the last; `_` is silence.

    An event marks a phone's start, none its end. Rows of no length, and neighbours of one name,
    are joined; so is a nameless sound with the phone before it, whose glide into a vowel it is.
    """
    scale = sample_rate / spoken["rate"]
    marks = [(0, "_"), *((round(s * scale), _plain(name)) for s, name in spoken["events"])]
    rows: list[tuple[int, int, str]] = []
    for (start, name), (stop, _) in pairwise([*marks, (x.shape[-1], "")]):
        if stop <= start:
            continue
        heard = x[..., start:stop].square().mean().sqrt() > _SILENT
        if rows and (rows[-1][2] == name or (name == "_" and bool(heard))):
            rows[-1] = (rows[-1][0], stop, rows[-1][2])
        else:
            rows.append((start, stop, name))
    return rows


def _plain(name: str) -> str:
    """Return a phone without its stress marks, which belong to the syllable."""
    return name.strip("\u02c8\u02cc") or "_"
