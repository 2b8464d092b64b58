"""What each loss is worth: one model, one start, four runs that differ in their losses alone.

    python benchmarks/quality/losses.py MANIFEST -o DIR --steps N [--only NAME ...]
        [--utterances N] [--rounds N] [--save] [key=value ...]

1. spectral: log-mel distances. 2. and the waveform's. 3. and discriminators, after a third of the
steps. 4. and feature matching, both under the balancer. All have the same weights at the start,
segments, steps and optimizer (`configs/loss_*.yaml`); the model is ours with spectra at both ends.
The first 2, 4, 8 and 12 codebooks are measured on test speakers. The same command goes on where it
stopped.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from _study import Entry, seconds_per_step, tabulate, train

from audiovq.data import manifest as manifests
from audiovq.files import atomic_write

ENTRIES = (
    Entry("spectral", "spectral", "loss_spectral"),
    Entry("waveform", "+ waveform", "loss_waveform"),
    Entry("adversarial", "+ adversarial", "loss_adversarial"),
    Entry("full", "+ feature matching and balancer", "loss_full"),
)
JUDGED = ("adversarial", "full")
CODEBOOKS = (2, 4, 8, 12)


def main(words: list[str] | None = None) -> None:
    given = arguments(words)
    names = given.only or [e.name for e in ENTRIES]
    folder, manifest = Path(given.out), manifests.read(given.manifest, check_files=True)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [scheduled(e, given.steps, given.settings) for e in ENTRIES]
    times_at = folder / "seconds_per_step.json"
    if not times_at.is_file():
        times = seconds_per_step(chosen, given.rounds)
        atomic_write(times_at, json.dumps(times, indent=1) + "\n")
    for entry in chosen:
        if entry.name in names:
            train(entry, given.manifest, folder, given.steps)
    tabulate(
        "losses", chosen, folder, manifest, codebooks=CODEBOOKS, most=given.utterances,
        seconds=json.loads(times_at.read_text()),
        about={"steps": given.steps, "discriminators_from": given.steps // 3},
    )  # fmt: skip


def scheduled(entry: Entry, steps: int, settings: list[str]) -> Entry:
    """Return the entry with the discriminators' schedule, and what the user set for all."""
    start = steps // 3 if entry.name in JUDGED else steps  # steps: never
    schedule = (f"adversarial.start={start}", f"discriminator_optim.decay_steps={steps - start}")
    return replace(entry, settings=(*schedule, *settings))


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest")
    parser.add_argument("settings", nargs="*", help="key=value for all")
    parser.add_argument("-o", "--out", required=True, help="folder of the runs and the table")
    parser.add_argument("--steps", type=int, required=True, help="of every run")
    parser.add_argument("--only", nargs="+", choices=[e.name for e in ENTRIES], help="train these")
    parser.add_argument("--utterances", type=int, help="of test speakers; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="to time steps in")
    parser.add_argument("--save", action="store_true", help="keep the JSON in benchmarks/results")
    given = parser.parse_intermixed_args(words)
    if given.steps < 1:
        parser.error("--steps takes 1 or more")
    return given


if __name__ == "__main__":
    main()
