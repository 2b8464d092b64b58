"""How codes, reconstruction and units of a model hold when sound or codes are damaged.

    audiovq stress runs/vq speech.jsonl -o stress/vq --prior runs/prior

The same command goes on where it stopped; conditions and recordings may be added later.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from audiovq import config as configs
from audiovq import figures, release
from audiovq import prior as priors
from audiovq.__main__ import run_recipe
from audiovq.data import manifest as manifests
from audiovq.errors import ConfigError
from audiovq.files import atomic_write
from audiovq.stress import conditions, plot, table
from audiovq.stress.run import stress
from audiovq.train.run import pick_device

QUICK = 3  # recordings of a first look


class Config(configs.Config):
    """What is damaged, how, and on what."""

    recipe: Literal["stress"] = Field("stress", description="this file")
    model: str = Field(description="run or model folder, or a name from `audiovq ls models`")
    manifest: str = Field(description="path of the manifest (made by `audiovq prepare`)")
    dir: str = Field(description="folder of the figures")
    prior: str = Field("", description="prior of the model's codes, for concealment; empty: none")
    conditions: tuple[str, ...] = Field((), description="names or beginnings; all; []: standard")
    split: manifests.Split | None = Field("test", description="null: all records")
    max_utterances: int | None = Field(32, ge=1, description="drawn by hash of ids; null: all")
    quick: bool = Field(False, description=f"a first look: {QUICK} recordings")
    seed: int = Field(0, ge=0, description="of all draws, with a recording's id")
    workers: int = Field(0, ge=0, le=256, description="processes that score; 0: none but this")
    device: str = Field("cpu", description="cpu, cuda, cuda:1 ...; auto: cuda if there is one")
    progress: bool = Field(True, description="show a progress bar")


def main(config: Config) -> None:
    """Measure what is left, then write table.md, table.json and stress.png."""
    chosen = conditions.choose(config.conditions)
    prior = priors.load(config.prior) if config.prior else None
    if prior is None and config.conditions:
        _refuse_without_prior(config.conditions)
    device = pick_device(config.device)
    model = release.load(config.model).to(device).eval()
    if prior is not None:
        prior.module.to(device)
    folder = Path(config.dir)
    found = stress(
        model,
        manifests.read(config.manifest),
        folder,
        chosen,
        prior=prior,
        split=config.split,
        max_utterances=QUICK if config.quick else config.max_utterances,
        seed=config.seed,
        workers=config.workers,
        progress=config.progress,
    )
    lines = table.lines_of(found)
    table.write(folder, found, lines)
    if figures.can_draw():
        atomic_write(folder / "stress.png", figures.png(plot.draw(lines)))


def _refuse_without_prior(words: tuple[str, ...]) -> None:
    """Refuse words that name nothing but what takes a prior."""
    for word in words:
        if all(c.needs_prior for c in conditions.choose([word])):
            raise ConfigError(
                f"{word} takes a prior of the model's codes: give one (--prior), or leave it out"
            )


def show(config: Config) -> None:
    """Do it, and print the table."""
    main(config)
    print((Path(config.dir) / "table.md").read_text("utf-8"), end="")


if __name__ == "__main__":
    run_recipe(Config, show)
