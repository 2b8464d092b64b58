"""Write the codes of a corpus as units, exactly and resumably.

    python recipes/extract.py model=runs/vq manifest=speech.jsonl out=units

The same command goes on where it stopped. `audiovq extract` is the same with options.
"""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from audiovq import config as configs
from audiovq import release, share
from audiovq.__main__ import run_recipe
from audiovq.data import manifest as manifests
from audiovq.train.run import pick_device
from audiovq.units.corpus import open_corpus
from audiovq.units.extract import extract
from audiovq.units.metadata import ShardFormat


class Config(configs.Config):
    """What is extracted, and how."""

    recipe: Literal["extract"] = Field("extract", description="this file")
    model: str = Field(description="run or model folder")
    manifest: str = Field(description="a manifest, a folder of recordings, or a tar of them")
    out: str = Field("units", description="folder for the codes")
    splits: tuple[manifests.Split, ...] | None = Field(None, description="null: all records")
    exact: bool = Field(True, description="codes that depend on nothing but audio and model")
    threads: int = Field(1, ge=1, description="utterances at a time; changes no code")
    shards: ShardFormat = Field("parquet", description="format of the files")
    device: str = Field("cpu", description="cpu, cuda, cuda:1 ...; auto: cuda if there is one")


def main(config: Config) -> None:
    """Extract what is not extracted yet."""
    torch.set_num_threads(1)  # of an utterance: codes must not depend on the machine's cores
    corpus, unreadable = open_corpus(Path(config.manifest))
    units = extract(
        release.load(config.model).to(pick_device(config.device)),
        corpus,
        Path(config.out),
        splits=config.splits,
        exact=config.exact,
        threads=config.threads,
        shard_format=config.shards,
        unreadable=unreadable,
    )
    if not share.is_follower():
        sizes = units.metadata.codebook_sizes
        print(f"{config.out}: {len(units)} utterances, codebook sizes {sizes}")


if __name__ == "__main__":
    run_recipe(Config, main)
