"""Commands that make codes of a corpus."""

from pathlib import Path
from typing import Annotated

import typer

from audiovq.commands._app import (
    Device,
    Json,
    Plugin,
    SplitName,
    Threads,
    app,
    check_device,
    print_json,
    set_threads,
)
from audiovq.errors import CheckpointError, ConfigError
from audiovq.units.metadata import Metadata, ShardFormat

CorpusArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST",
        help="a manifest made by `audiovq prepare`, a folder of recordings, or a tar of them",
    ),
]


@app.command()
def extract(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="a model or run folder, or a name from `audiovq ls models`; hf:PATH[:LAYER], a "
            "HuBERT, WavLM or wav2vec 2.0 of transformers on your disk; or mfcc",
        ),
    ],
    manifest: CorpusArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the codes")] = Path("units"),
    split: Annotated[SplitName, typer.Option(help="which records")] = SplitName.all,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact/--fast", help="codes that depend on nothing but audio and model, or sooner"
        ),
    ] = True,
    threads: Threads = 1,
    kmeans: Annotated[
        int | None,
        typer.Option(
            min=2, help="number of units, by k-means on what a continuous MODEL, hf: or mfcc gives"
        ),
    ] = None,
    kmeans_from: Annotated[
        Path | None, typer.Option(help="a k-means that is there, such as UNITS/kmeans")
    ] = None,
    fit_manifest: Annotated[
        Path | None,
        typer.Option(help="corpus whose training split k-means is fitted on [MANIFEST]"),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(min=0, help="of hf:PATH [three quarters of the depth]")
    ] = None,
    hop: Annotated[int | None, typer.Option(min=1, help="samples per frame of mfcc [320]")] = None,
    sample_rate: Annotated[int | None, typer.Option(min=1000, help="of mfcc (Hz) [16000]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of k-means")] = 0,
    shards: Annotated[
        ShardFormat, typer.Option(help="format of the files: parquet needs the extra `units`")
    ] = "parquet",
    max_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="share of recordings that may be unusable")
    ] = 0.01,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Write the codes of a corpus: units.json and shards, read by `audiovq.units.load(DIR)`.

    Killed anywhere, the same command goes on and ends with the same bytes, with any --threads and
    any number of processes: torchrun --nproc_per_node=4 -m audiovq extract ... shares the shards
    among them, on one machine or many. Recordings that cannot be used are listed in
    DIR/rejected.jsonl. Long ones are streamed. `audiovq verify DIR` checks the codes,
    `audiovq export-units` writes other formats, `audiovq evaluate-units` says what they are worth.

    Example: audiovq extract runs/vq speech.jsonl -o units

    Example: audiovq extract hf:models/hubert-base:9 speech.jsonl --kmeans 500 -o units
    """
    from audiovq.units.finished import finished, request

    options = {"layer": layer, "hop_length": hop, "sample_rate": sample_rate}
    arrays = None if kmeans_from is None else kmeans_from / "kmeans.safetensors"
    asked = request(
        source, manifest, kmeans=kmeans, kmeans_from=arrays, fit_manifest=fit_manifest,
        seed=None if kmeans is None else seed, **options,
    )  # fmt: skip
    splits = None if split == SplitName.all else (split.value,)
    kind = "cuda" if device.startswith("cuda") else device
    done = finished(out, asked, splits=splits, exact=exact, shard_format=shards, device=kind)
    from audiovq import share

    if done is not None:
        if not share.is_follower():
            _say(out, done)
        return

    from audiovq.data import manifest as manifests
    from audiovq.units.corpus import open_corpus
    from audiovq.units.extract import check_folder
    from audiovq.units.extract import extract as run
    from audiovq.units.sources import open_coder_among, where

    set_threads(1)  # each batch is computed by one thread; --threads batches at a time
    corpus, unreadable = open_corpus(manifest)
    check_folder(out)
    coder = open_coder_among(
        source, size=kmeans, manifest=corpus, kmeans_from=kmeans_from, seed=seed, folder=out,
        fit_manifest=None if fit_manifest is None else manifests.read(fit_manifest),
        device=check_device(_of_this_process(device)), plugins=plugin, threads=threads,
        max_rejected=max_rejected, **options,
    )  # fmt: skip
    units = run(
        coder,
        corpus,
        out,
        splits=splits,
        exact=exact,
        threads=threads,
        max_rejected=max_rejected,
        shard_format=shards,
        unreadable=unreadable,
        request=asked,
        made_from=where(
            source, manifest, kmeans="kmeans" if kmeans or kmeans_from else None, **options
        ),
    )
    if not share.is_follower():
        _say(out, units.metadata)


@app.command()
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="UNITS", help="a folder made by `audiovq extract`")
    ],
    model: Annotated[
        str | None, typer.Option(help="what made the units, if it is no longer where it was")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="the corpus, if it is no longer where it was")
    ] = None,
    codes: Annotated[
        int, typer.Option(min=1, help="compare at least this many codes, or all there are")
    ] = 20_000,
    as_json: Json = False,
    device: Device = "cpu",
    plugin: Plugin = [],  # noqa: B006
) -> None:
    """Extract a sample again in other ways, and count the codes that differ from those stored.

    Alone, in batches, padded, in blocks of odd sizes, and with two threads. For units extracted
    in exact mode none may differ (exit code 2 if any does). Says, too, how close codes are to
    flipping: the relative change of a frame that would give it the second nearest code.

    Example: audiovq verify units
    """
    from audiovq.units import load
    from audiovq.units.corpus import open_corpus
    from audiovq.units.sources import reopen
    from audiovq.units.verify import verify as run

    set_threads(1)
    units = load(folder)
    told = units.metadata.made_from
    if manifest is None and "manifest" not in told:
        raise ConfigError(f"{folder} does not say where its corpus was: give --manifest")
    corpus, _ = open_corpus(manifest or Path(told["manifest"]))
    coder = reopen(units, model, device=check_device(device), plugins=plugin)
    found = run(units, coder, corpus, codes=codes)
    if as_json:
        print_json(found.to_dict())
    else:
        print(found.table())
    if found.exact and found.flips:
        raise CheckpointError(
            f"{found.flips} codes of {folder} differ, which exact mode promises not to happen: "
            f"was it extracted on another kind of processor or with another version of torch "
            f"({units.metadata.software.get('torch')})?"
        )


def _of_this_process(device: str) -> str:
    """Return the GPU that is this process's own, if there are several processes."""
    from audiovq import distributed

    place = distributed.place()
    return f"cuda:{place[2]}" if device == "cuda" and place is not None else device


def _say(out: Path, m: Metadata) -> None:
    number = sum(shard.records for shard in m.shards)
    bad = f", {m.rejected} left out (rejected.jsonl)" if m.rejected else ""
    print(
        f"{out}: {number} utterances{bad}, {m.frame_rate:g} frames per second, "
        f"codebook sizes {m.codebook_sizes}, {m.bitrate:.0f} bit/s nominal"
    )
