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
from audiovq.eval import ask, listening
from audiovq.eval.evaluate import evaluate_systems
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
    codebooks: str = Field("", description="rates of a residual model, such as 2,4,8; empty: all")
    beside: tuple[str, ...] = Field((), description="other models, PATH or LABEL=PATH")
    anchors: str = Field("", description="such as opus:6,codec2:1300,pcm:16,resample:8")
    metrics: str = Field("", description="with commas between; all adds pitch, which is slow")
    speaker_model: str = Field("", description="hf:FOLDER, hf:OWNER/NAME or a dotted name")
    asr: str = Field("", description="hf:FOLDER, hf:OWNER/NAME or a dotted name")
    workers: int = Field(0, ge=0, le=256, description="processes that score; 0: none but this")
    page: str = Field("", description="file for a page with sounds; empty: none")
    examples: int = Field(3, ge=0, le=50, description="utterances to listen to on the page")
    out: str = Field("", description="file for the figures as JSON; empty: none")
    device: str = Field("cpu", description="cpu, cuda, cuda:1 ...; auto: cuda if there is one")


def main(config: Config) -> None:
    """Print the table; write the JSON and the page if files are named."""
    device = pick_device(config.device)
    result = evaluate_systems(
        ask.systems(
            lambda path: release.load(path).to(device),
            Path(config.model),
            codebooks=config.codebooks,
            beside=config.beside,
            anchor_names=config.anchors,
        ),
        manifests.read(config.manifest),
        split=config.split,
        metrics=ask.measures(config.metrics),
        max_utterances=config.max_utterances,
        corruption=config.corruption if config.corruption.active else None,
        judges=ask.judges(config.speaker_model, config.asr, str(device)),
        workers=config.workers,
        examples=config.examples if config.page else 0,
    )
    print(result.table())
    if config.out:
        atomic_write(Path(config.out), result.to_json() + "\n")
    if config.page:
        listening.write(Path(config.page), result)


if __name__ == "__main__":
    run_recipe(Config, main)
