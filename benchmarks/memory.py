"""Peak memory of encoding a 60-minute file from disk, beside a 60-second one.

python benchmarks/memory.py [--save]
"""

import tempfile
from pathlib import Path

import numpy as np
import soundfile
from _common import finish, in_subprocess

CODE = """
import json, resource, sys, torch
torch.set_num_threads(1)
from audiovq import audio
from audiovq.autoencoder import Autoencoder, AutoencoderConfig
torch.manual_seed(0)
model = Autoencoder(AutoencoderConfig()).eval()
frames = sum(c.shape[-1] for c in model.encode_blocks(audio.blocks(sys.argv[1], 16000)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(json.dumps([frames, peak]))
"""


def main() -> None:
    rng = np.random.default_rng(0)
    table = [["encoding from disk", "frames", "peak memory (MB)"]]
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (60, 3600):
            path = Path(folder) / f"{seconds}.wav"
            with soundfile.SoundFile(path, "w", 16000, 1, subtype="PCM_16") as file:
                for _ in range(seconds // 60):
                    file.write(rng.normal(0, 0.05, 60 * 16000).astype(np.float32))
            frames, peaks[seconds] = in_subprocess(CODE, str(path))
            table.append([f"{seconds} s", frames, f"{peaks[seconds]:.0f}"])
    extra = peaks[3600] - peaks[60]
    table.append(["60 minutes more than 60 seconds", "", f"{extra:.0f}"])
    finish("memory", {"peak_mb": peaks, "extra_mb": extra}, table)


if __name__ == "__main__":
    main()
