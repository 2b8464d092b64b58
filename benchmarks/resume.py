"""How long a finished extraction takes to be recognised, beside importing torch.

    python benchmarks/resume.py MODEL [--utterances 100000] [--save]

Makes units of that many utterances of 0.6 s, with codes drawn at random in place of the model's
(what they are does not matter here), and gives `audiovq extract` the same arguments again.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from _common import finish, interleaved
from torch import Tensor

import audiovq
from audiovq import audio
from audiovq.data import manifest as manifests
from audiovq.data.manifest import Record
from audiovq.units.coder import ModelCoder
from audiovq.units.extract import extract
from audiovq.units.finished import request

SECONDS, ROUNDS = 0.6, 5


class _Drawn(ModelCoder):
    """The model's facts, and codes out of a hat."""

    def encode(self, items: Sequence[Tensor], *, exact: bool) -> list[Tensor]:
        del exact
        frames = [-(-x.shape[-1] // self.hop_length) for x in items]
        return [torch.randint(self.codebook_sizes[0], (len(self.layout), n)) for n in frames]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--utterances", type=int, default=100_000)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    coder = _Drawn(audiovq.load(given.model))
    size = round(SECONDS * coder.sample_rate)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        audio.save(folder / "a.wav", torch.rand(1, size) - 0.5, coder.sample_rate)
        records = [
            Record(id=f"u{i}", path="a.wav", sample_rate=coder.sample_rate, num_samples=size)
            for i in range(given.utterances)
        ]
        path, out = folder / "m.jsonl", folder / "units"
        manifests.write(path, ".", records)
        extract(coder, manifests.read(path), out, request=request(given.model, path))
        again = ["-m", "audiovq", "extract", given.model, str(path), "-o", str(out)]

        def run(*words: str) -> None:
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

        seconds = interleaved(
            {
                "extract again": lambda: run(*again),
                "import torch": lambda: run("-c", "import torch"),
                "start Python": lambda: run("-c", ""),
            },
            ROUNDS,
        )
    table = [["", "s"], *[[k, f"{v:.2f}"] for k, v in seconds.items()]]
    finish("resume", {"utterances": given.utterances, "seconds": seconds}, table)


if __name__ == "__main__":
    main()
