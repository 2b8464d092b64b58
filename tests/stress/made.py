"""A corpus of a few short recordings, and a bench of a small model."""

import torch

from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.eval.perturb import Setting
from audiovq.stress.inputs import Scene
from tests.helpers import noise

RATE = 16000


def corpus(folder, *, speakers=("ann", "bob", "cem"), seconds=0.5):
    """A manifest of one recording per speaker, the first two in `test`."""
    records = []
    for i, speaker in enumerate(speakers):
        x = noise(1, round(seconds * RATE) + i, seed=i, scale=0.1 * (i + 1))
        audio.save(folder / f"{i}.wav", x, RATE)
        records.append(
            Record(
                id=f"r{i}", path=f"{i}.wav", sample_rate=RATE, num_samples=x.shape[-1],
                speaker=speaker, split="test" if i < 2 else "train",
            )
        )  # fmt: skip
    manifests.write(folder / "speech.jsonl", str(folder), records, corpus="made")
    return manifests.read(folder / "speech.jsonl")


def scene(x, *, key=1, rate=RATE, hop=320):
    def talkers():
        return torch.sin(torch.arange(x.shape[-1]) / 5.0)

    return Scene(x, Setting(rate, hop, key), talkers)
