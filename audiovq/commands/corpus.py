"""Commands on corpora."""

from pathlib import Path
from typing import Annotated

import typer

from audiovq.commands._app import Json, app, print_json


@app.command()
def prepare(
    corpus: Annotated[str, typer.Argument(help="a name from `audiovq ls corpora`")],
    root: Annotated[Path, typer.Argument(help="the corpus's folder")],
    options: Annotated[
        list[str] | None, typer.Argument(help="settings of the corpus: key=value ...")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="manifest to write (JSONL)")] = Path(
        "manifest.jsonl"
    ),
    max_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="share of files that may be unusable")
    ] = 0.01,
    download: Annotated[
        list[str],
        typer.Option(
            metavar="NAME", help="fetch that archive of the corpus into ROOT first (repeatable)"
        ),
    ] = [],  # noqa: B006
    check: Annotated[
        bool, typer.Option("--check", help="only look: list bad files, write no manifest")
    ] = False,
    as_json: Json = False,
) -> None:
    """Decode every file once, name the bad ones, and write the manifest with its splits.

    Speakers are kept apart: 7 in 10 train, 1 validates, 2 test, by a hash of the speaker's name.
    Files that are not usable are listed in OUT.rejected.jsonl with the reason; OUT.stats.json and
    OUT.stats.png show length, level, clipping and pauses. --download fetches what some corpora
    publish (librispeech, libritts: dev-clean ...; librilight: small ...; vctk: 0.92; ljspeech:
    1.1; aishell: data_aishell), goes on where it broke off, and checks the sum.

    Example: audiovq prepare folder ~/recordings -o speech.jsonl
    """
    from audiovq.data.prepare import prepare as run

    report = run(
        corpus,
        root,
        out,
        options or (),
        max_rejected=max_rejected,
        fetch=download,
        only_check=check,
    )
    if as_json:
        print_json(report.to_dict())
        return
    for split, n in report.utterances.items():
        hours, speakers = report.hours[split], report.speakers[split]
        print(f"{split:<11}{n:>7} utterances {hours:>8.2f} h {speakers:>5} speakers")
    print(", ".join(f"{n} {status}" for status, n in report.statuses.items()))
    s = report.statistics
    print(
        f"median: {s['duration_s']['median']:.2f} s, {s['level_dbfs']['median']:.1f} dBFS, "
        f"{s['pauses']['median']:.0%} pauses; {s['files_with_clipping']} files with clipping "
        f"(more in {report.manifest}.stats.json)"
    )
    if report.problems:
        print(f"listed in {report.manifest}.rejected.jsonl")
    if report.note:
        print(f"note: {report.note}")
