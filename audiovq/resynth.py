"""Files through a model and back, one by one, in bounded memory."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from audiovq import audio
from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Condition
from audiovq.data.corpora._base import audio_files
from audiovq.errors import AudioError, ConfigError

Blocks = Callable[[Iterable[Float[Tensor, "1 1 _"]]], Iterable[Float[Tensor, "1 1 _"]]]


@dataclass(frozen=True)
class Resynthesis:
    """What became of one file."""

    source: Path
    target: Path
    seconds: float
    speed: float  # seconds of audio per second of work


def plan(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Return source and target of every file; folders are searched and keep their layout.

    Args:
        inputs: audio files, or folders of them.
        out: a folder, or a name that ends in .wav if the one input is a file.

    Raises:
        AudioError: an input does not exist or holds no audio.
        ConfigError: two inputs would have the same target, or an input would be replaced.
    """
    one = out.suffix.lower() == ".wav" and not out.is_dir()
    if one and (len(inputs) != 1 or inputs[0].is_dir()):
        raise ConfigError(f"{out} takes one recording; give a folder with -o for several")
    if out.exists() and not out.is_dir() and not one:
        raise ConfigError(f"{out} is a file; give a folder with -o, or one input and a .wav")
    pairs: list[tuple[Path, Path]] = []
    for given in inputs:
        if given.is_dir():
            files = audio_files(given)
            if not files:
                raise AudioError(f"no wav, flac, ogg or mp3 file below {given}")
            pairs += [(p, out / p.relative_to(given).with_suffix(".wav")) for p in files]
        else:
            audio.probe(given)
            pairs.append((given, out if one else out / f"{given.stem}.wav"))
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        if target in taken:
            raise ConfigError(f"several inputs would become {target}: {taken[target]} and {source}")
        taken[target] = source
    inputs_on_disk = {_identity(source) for source, _ in pairs if source.exists()}
    for target in taken:
        if target.exists() and _identity(target) in inputs_on_disk:
            raise ConfigError(
                f"{target} is one of the inputs and would be lost: choose another folder with -o"
            )
    return pairs


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells a file from all others, under whatever name or link it is reached."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def resynthesise(
    model: Autoencoder,
    source: Path,
    target: Path,
    condition: Condition | None = None,
    *,
    before: Blocks = lambda blocks: blocks,
    after: float = 1.0,
) -> Resynthesis:
    """Reconstruct one file to a 16-bit wav at the model's rate; appears whole or not at all.

    With a `condition` (`model.speaker_index`, `model.voice`) it is heard from that speaker. What is
    read goes through `before`, and what comes out is `after` times as loud.
    """
    start = time.perf_counter()
    target.parent.mkdir(parents=True, exist_ok=True)
    device = next(model.parameters()).device
    heard = (block.to(device) for block in before(audio.blocks(source, model.sample_rate)))
    given = (x_hat.cpu() * after for x_hat in model.reconstruct_blocks(heard, condition))
    samples = audio.save_blocks(target, given, model.sample_rate, "PCM_16")
    seconds = samples / model.sample_rate
    return Resynthesis(source, target, seconds, seconds / (time.perf_counter() - start))
