"""From nothing to codes in a few minutes: what `make quickstart` runs.

    python recipes/quickstart.py [DATA=/folder/of/speech] [OUT=runs/quickstart]

Makes synthetic speech (or takes your folder), trains a small VQ-VAE and the plain autoencoder,
resynthesises held-out recordings, extracts codes, evaluates against the untrained model, and
writes a page to look at and listen to.
"""

import sys
from pathlib import Path

import torch

import audiovq
from audiovq import config as configs
from audiovq import report, share, units
from audiovq.data import manifest as manifests
from audiovq.data.prepare import prepare
from audiovq.errors import AudioVQError
from audiovq.eval.evaluate import evaluate
from audiovq.eval.result import Report
from audiovq.resynth import resynthesise
from audiovq.train.page import add_curves
from audiovq.train.trackers.lines import read_log
from audiovq.units.extract import extract

MODELS = {
    "untrained": ("train.max_steps=0",),
    "vq": (),
    "ae": ("model.bottleneck.name=identity",),
}
FIGURES = ("log_mel_distance", "stft_distance", "si_sdr", "stoi", "pesq_wb", "usage", "perplexity",
           "bitrate", "unigram_bitrate")  # fmt: skip
HONEST = (
    "A few minutes do not make good speech: expect words to be guessed at, not understood. "
    "For a real model, train longer on real speech:"
)
NEXT = (
    "audiovq prepare folder /path/to/speech -o speech.jsonl\n"
    "audiovq train autoencoder/vq_ema data.manifest=speech.jsonl run.dir=runs/vq\n"
    "audiovq evaluate runs/vq speech.jsonl\n"
    "audiovq resynth runs/vq some.wav -o out\n"
    "audiovq extract runs/vq speech.jsonl -o units"
)


def main(data: str, out: Path) -> None:
    """Run the whole pipeline into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "speech.jsonl"
    say("1/5  speech: " + (data or "synthetic, 40 voices (espeak-ng)"))
    if data:
        found = prepare("folder", data, path)
    else:
        found = prepare("synthetic", out / "speech", path, ["speakers=40", "utterances=8"])
    manifest = manifests.read(path)

    for name, changes in MODELS.items():
        if name != "untrained":
            say(f"2/5  training {name} (goes on where it stopped, if it was interrupted)")
        train(path, out / name, changes)
    models = {name: audiovq.load(out / name) for name in MODELS}

    say("3/5  resynthesising three held-out recordings")
    chosen = spread(manifest.select("test"), 3)
    pairs = {}
    for record in chosen:
        source = manifest.file(record)
        for name in ("vq", "ae"):
            target = out / "resynth" / name / f"{record.id.replace('/', '_')}.wav"
            pairs[record.id, name] = resynthesise(models[name], source, target).target

    say("4/5  extracting codes")
    extract(models["vq"], manifest, out / "units", threads=2)

    say("5/5  evaluating on held-out recordings")
    reports = {
        name: evaluate(model, manifest, split="test", max_utterances=30, progress=False)
        for name, model in models.items()
    }
    write_page(out, manifest, chosen, pairs, reports, found.note)
    finish(out, reports)


def train(manifest: Path, folder: Path, changes: tuple[str, ...]) -> None:
    """Train one model from the quickstart config."""
    values = configs.read_yaml(share.config_path("autoencoder/quickstart"))
    settings = (f"data.manifest={manifest}", f"run.dir={folder}", *changes)
    recipe = share.load_recipe(values["recipe"])
    if "model.bottleneck.name=identity" in changes:  # another component starts from its defaults
        values = configs.merge(values, {"model": {"bottleneck": {"name": "identity", "dim": 32}}})
    recipe.main(configs.parse(recipe.Config, configs.override(values, settings), "quickstart"))


def spread(records: list[manifests.Record], count: int) -> list[manifests.Record]:
    """Return a few records, as far apart in the list as can be."""
    step = max(1, len(records) // count)
    return records[::step][:count]


def write_page(  # noqa: PLR0917  (one call, read top to bottom)
    out: Path,
    manifest: manifests.Manifest,
    chosen: list[manifests.Record],
    pairs: dict[tuple[str, str], Path],
    reports: dict[str, Report],
    note: str,
) -> None:
    """Write the page: figures, sounds, spectrograms, curves, and what to do next."""
    page = report.Page("audiovq quickstart", f"Corpus: {manifest.root}. {note}")
    page.heading("Held-out speech, before and after")
    rows = [
        [
            reports["vq"].value(k).metric.label,
            *(r.value(k).text() if k in r else "" for r in reports.values()),
            reports["vq"].value(k).metric.unit,
        ]
        for k in FIGURES
        if k in reports["vq"]
    ]
    page.table(["", *reports, "unit"], rows, caption=HONEST)
    page.code(NEXT)
    rate = audiovq.load(out / "vq").sample_rate
    for record in chosen:
        page.heading(record.id)
        if record.text:
            page.text(record.text)
        sounds = {"original": manifest.load(record, rate)}
        sounds |= {
            name: audiovq.audio.load(path) for (i, name), path in pairs.items() if i == record.id
        }
        page.sounds(sounds, rate)
        caption = "Mel spectrograms: time in seconds, level in dB below the loudest point."
        page.figure(report.spectrograms(sounds, rate), caption)
    add_curves(page, {n: read_log(out / n / "log.jsonl") for n in ("vq", "ae")})
    codes = units.load(out / "units")
    counts = torch.zeros(codes.metadata.codebook_sizes[0])
    for unit in codes.select("test"):
        counts += torch.bincount(unit.codes[0], minlength=len(counts))
    page.figure(
        report.bars(counts.sort(descending=True).values.tolist(), "code, by rank", "frames"),
        "How often each code occurs in the held-out speech, most frequent first.",
    )
    page.write(out / "report.html")


def finish(out: Path, reports: dict[str, Report]) -> None:
    """Say how it went; fail if the model learned nothing."""
    before, after = (reports[n]["log_mel_distance"] for n in ("untrained", "vq"))
    say("")
    for name, r in reports.items():
        stoi = f", STOI {r['stoi']:.3f}" if "stoi" in r else ""
        say(f"  {name:<10} log-mel distance {r['log_mel_distance']:6.2f} dB{stoi}")
    say(f"\n{HONEST}\n\n{NEXT}\n\nLook and listen: {out / 'report.html'}")
    if after > before / 2:
        raise AudioVQError(
            f"the trained model's log-mel distance ({after:.2f} dB) is over half of the untrained "
            f"one's ({before:.2f} dB): with little or unusual data, train longer"
        )


def say(text: str) -> None:
    """Tell the user, between progress bars."""
    print(text, flush=True)


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    try:
        main(given.get("DATA", ""), Path(given.get("OUT", "runs/quickstart")))
    except AudioVQError as error:
        sys.exit(f"error: {error}")
