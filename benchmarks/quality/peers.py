"""Architectures at equal terms: ours beside EnCodec's and DAC's, trained and measured alike.

    python benchmarks/quality/peers.py MANIFEST -o DIR [--steps N | --minutes M] [--only NAME ...]
        [--recipe adversarial|spectral] [--utterances N] [--rounds N] [--save] [key=value ...]

Each is a model of 12 codebooks of 1,024 at 50 Hz with quantizer dropout, of the same weights in
encoder and decoder within 5 %, trained by the same recipe on the same segments in the same order
with the same losses, optimizer and steps (`configs/*.yaml`); the peers at a quarter of our learning
rate, which suits them better. Discriminators begin after a third of the steps; in the recipe
`spectral` never. The first 2, 4, 8 and 12 codebooks, 1 to 6 kbit/s, are measured on test speakers.
The same command goes on where it stopped.

`--minutes` gives all as many steps as the slowest takes so long for, as timed. Seconds per step are
taken in turns, one after the other. What differs from the published architectures is said by each
component (`dac_encoder.py`, ...).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from _study import Entry, seconds_per_step, tabulate, train

from audiovq.data import manifest as manifests
from audiovq.files import atomic_write

# Ours learn at 2e-3. At that rate DAC was worse after 400 steps than after 60, and EnCodec was at
# 1.21 nepers of log-mel distance on held-out speakers after 500; at this one at .96.
PEERS_RATE = ("optim.lr=5.0e-4",)
ENTRIES = (
    Entry("stft", "audiovq, STFT and inverse STFT", "stft"),
    Entry("istft", "audiovq, convolutions and inverse STFT", "istft"),
    Entry("conv", "audiovq, convolutions", "conv"),
    Entry("encodec", "EnCodec's architecture", "encodec", PEERS_RATE),
    Entry("dac", "DAC's architecture", "dac", PEERS_RATE),
)
CODEBOOKS = (2, 4, 8, 12)


def main(words: list[str] | None = None) -> None:
    given = arguments(words)
    names = given.only or [e.name for e in ENTRIES]
    chosen = [replace(e, settings=(*e.settings, *given.settings)) for e in ENTRIES]
    folder, manifest = Path(given.out), manifests.read(given.manifest, check_files=True)
    folder.mkdir(parents=True, exist_ok=True)
    times_at = folder / "seconds_per_step.json"
    if not times_at.is_file():  # once: steps by the clock must not change when it goes on
        times = seconds_per_step(chosen, given.rounds)
        atomic_write(times_at, json.dumps(times, indent=1) + "\n")
    seconds = json.loads(times_at.read_text())
    steps = given.steps or steps_in(given.minutes, seconds, given.recipe)
    start = steps if given.recipe == "spectral" else steps // 3
    schedule = (f"adversarial.start={start}", f"discriminator_optim.decay_steps={steps - start}")
    chosen = [replace(e, settings=(*schedule, *e.settings)) for e in chosen]
    for entry in chosen:
        if entry.name in names:
            train(entry, given.manifest, folder, steps)
    tabulate(
        "peers", chosen, folder, manifest, codebooks=CODEBOOKS, most=given.utterances,
        seconds=seconds,
        about={"recipe": given.recipe, "steps": steps, "discriminators_from": start},
    )  # fmt: skip


def steps_in(minutes: float, seconds: dict[str, dict[str, float]], recipe: str) -> int:
    """Return the steps, in fifties, that the slowest architecture takes so long for."""
    shares = {"plain": 1.0, "adversarial": 0.0}
    if recipe == "adversarial":
        shares = {"plain": 1 / 3, "adversarial": 2 / 3}
    slowest = max(sum(share * s[k] for k, share in shares.items()) for s in seconds.values())
    return max(1, int(60 * minutes / slowest / 50)) * 50


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest")
    parser.add_argument("settings", nargs="*", help="key=value for all")
    parser.add_argument("-o", "--out", required=True, help="folder of the runs and the table")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="of every run")
    length.add_argument("--minutes", type=float, help="of the slowest run; steps are equal")
    parser.add_argument("--only", nargs="+", choices=[e.name for e in ENTRIES], help="train these")
    parser.add_argument("--recipe", choices=("adversarial", "spectral"), default="adversarial")
    parser.add_argument("--utterances", type=int, help="of test speakers; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="to time steps in")
    parser.add_argument("--save", action="store_true", help="keep the JSON in benchmarks/results")
    given = parser.parse_intermixed_args(words)
    if (given.steps or 1) < 1 or (given.minutes or 1) <= 0:
        parser.error("--steps takes 1 or more, --minutes more than 0")
    return given


if __name__ == "__main__":
    main()
