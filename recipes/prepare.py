"""Decode every file of a corpus once, name the bad ones, and write the manifest with its splits.

    python recipes/prepare.py corpus=folder root=recordings out=speech.jsonl

`audiovq prepare` is the same with options, and downloads what may be downloaded.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from audiovq import config as configs
from audiovq.__main__ import run_recipe
from audiovq.data.prepare import prepare


class Config(configs.Config):
    """Which corpus, and what it may cost."""

    recipe: Literal["prepare"] = Field("prepare", description="this file")
    corpus: str = Field("folder", description="a name from `audiovq ls corpora`")
    root: str = Field(description="the corpus's folder")
    out: str = Field("speech.jsonl", description="manifest to write")
    options: tuple[str, ...] = Field((), description="settings of the corpus, as key=value")
    max_rejected: float = Field(0.01, ge=0, le=1, description="share of files that may be unusable")


def main(config: Config) -> None:
    """Prepare, and say what came of it."""
    report = prepare(
        config.corpus,
        Path(config.root),
        Path(config.out),
        config.options,
        max_rejected=config.max_rejected,
    )
    for split, n in report.utterances.items():
        print(f"{split:<11}{n:>7} utterances {report.hours[split]:>8.2f} h")
    print(", ".join(f"{n} {status}" for status, n in report.statuses.items()))


if __name__ == "__main__":
    run_recipe(Config, main)
