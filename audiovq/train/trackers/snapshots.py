"""`snapshots/`: a few validation utterances as they sound and look."""

import hashlib
from pathlib import Path

from audiovq import audio
from audiovq.files import atomic_write, remove_stale
from audiovq.train.trackers._base import Snapshot, Tracker


class Snapshots(Tracker):
    """Keeps utterances before and after as wav, and their spectrograms as PNG.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "snapshots"

    def sounds(self, step: int, snapshot: Snapshot) -> None:
        """Write the original once, and the reconstruction of each step."""
        rate = snapshot.sample_rate
        self.folder.mkdir(exist_ok=True)
        remove_stale(self.folder)
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in snapshot.name)[:80]
        if safe != snapshot.name:  # two names may become one
            safe += f"-{hashlib.sha256(snapshot.name.encode()).hexdigest()[:6]}"
        if not (self.folder / f"{safe}.original.wav").exists():
            audio.save(self.folder / f"{safe}.original.wav", snapshot.x, rate)
        audio.save(self.folder / f"{safe}.step-{step:09d}.wav", snapshot.x_hat, rate)
        if snapshot.picture is not None:
            atomic_write(self.folder / f"{safe}.step-{step:09d}.png", snapshot.picture)
