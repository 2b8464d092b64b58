"""Reconstruct held-out speech and measure it; every figure with a 95 % interval.

    python recipes/evaluate.py model=runs/vq manifest=speech.jsonl

`audiovq evaluate` is the same with options, and says what every figure means.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from audiovq import config as configs
from audiovq import release
from audiovq.__main__ import run_recipe
from audiovq.data import manifest as manifests
from audiovq.data.corruption import CorruptionConfig
from audiovq.eval.evaluate import evaluate
from audiovq.files import atomic_write
from audiovq.train.run import pick_device


class Config(configs.Config):
    """What is measured, on what."""

    recipe: Literal["evaluate"] = Field("evaluate", description="this file")
    model: str = Field(description="run or model folder")
    manifest: str = Field(description="path of the manifest (made by `audiovq prepare`)")
    split: manifests.Split | None = Field("test", description="null: all records")
    max_utterances: int | None = Field(None, ge=1, description="spread over the split; null: all")
    corruption: CorruptionConfig = Field(CorruptionConfig(), description="what the model hears")
    out: str = Field("", description="file for the figures as JSON; empty: none")
    device: str = Field("cpu", description="cpu, cuda, cuda:1 ...; auto: cuda if there is one")


def main(config: Config) -> None:
    """Print the table; write the JSON if a file is named."""
    result = evaluate(
        release.load(config.model).to(pick_device(config.device)),
        manifests.read(config.manifest),
        split=config.split,
        max_utterances=config.max_utterances,
        corruption=config.corruption if config.corruption.active else None,
    )
    print(result.table())
    if config.out:
        atomic_write(Path(config.out), result.to_json() + "\n")


if __name__ == "__main__":
    run_recipe(Config, main)
