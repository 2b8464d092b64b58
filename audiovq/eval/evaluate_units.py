"""What units are worth: every measure that the units and the manifest allow, beside a baseline."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from audiovq.data.manifest import Manifest
from audiovq.errors import AudioVQError, ConfigError
from audiovq.eval import labelled, machine, unit_prior
from audiovq.eval.coded import Coded, from_units
from audiovq.eval.joint import join
from audiovq.eval.labelled import Corpus
from audiovq.eval.unit_baseline import baseline
from audiovq.eval.unit_leaks import mfcc_frames
from audiovq.eval.unit_parts import PARTS, Aids
from audiovq.eval.unit_report import Result, UnitReport
from audiovq.eval.unit_values import Figure
from audiovq.prior._release import TrainedPrior
from audiovq.units.coder import Coder
from audiovq.units.reading import Units


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to evaluate and how.

    Attributes:
        split: of the manifest; None: all records.
        codebook: row of the codes that figures on single units look at; sources beside that have
            no such row are looked at in their first.
        tier: of the alignment that holds phones.
        skip: parts to leave out.
        seed: of every draw.
        mfcc: put k-means on MFCC of equal size beside the units, and ceilings on MFCC frames.
        folder: where to keep that k-means for the next time; None: nowhere.
        progress: show bars on stderr.
    """

    split: str | None = None
    codebook: int = 0
    tier: str = "phones"
    skip: Collection[str] = ()
    seed: int = 0
    mfcc: bool = True
    folder: Path | None = None
    progress: bool = False

    def check(self) -> None:
        """Refuse to skip what does not exist.

        Raises:
            ConfigError: names the parts.
        """
        unknown = [s for s in self.skip if s not in PARTS]
        if unknown:
            raise ConfigError(f"--skip {unknown[0]}: no such part; known: {', '.join(PARTS)}")


def evaluate_units(
    units: Units,
    manifest: Manifest,
    *,
    options: Options | None = None,
    beside: Sequence[Units] = (),
    fit_manifest: Manifest | None = None,
    coder: Coder | None = None,
    priors: Sequence[TrainedPrior] = (),
) -> tuple[Result, list[Corpus]]:
    """Measure units, other units, and an MFCC baseline of equal size.

    Args:
        units: what `audiovq extract` wrote.
        manifest: the corpus they were extracted from, with alignments, texts and speakers as known.
        options: what to evaluate and how.
        beside: other units of the same corpus.
        fit_manifest: where to fit the baseline, on its training split; None: the same manifest.
        coder: what made the units, for their stability and the vectors of their codes.
        priors: each of the codes of one of the units, for its bitrate.

    Returns:
        the reports, and for each the utterances behind it.

    Raises:
        ConfigError: no such codebook or part; the coder is not the one that made the units; two
            priors are of the same codes.
        CheckpointError: units that do not fit the recordings; a prior of other codes.
        ManifestError: nothing in common; overlapping alignments.
    """
    options = options or Options()
    options.check()
    tiers = {t for r in manifest.records for t in r.alignment or {}}
    if tiers and options.tier not in tiers:
        raise ConfigError(
            f"--tier {options.tier}: the manifest's alignments have {', '.join(sorted(tiers))}"
        )
    if coder is not None and coder.fingerprint() != units.metadata.model_hash:
        raise ConfigError(f"--model: {units.folder} was not extracted with this model")
    names = _names([units, *beside])
    sources = [
        from_units(u, name, options.split) for u, name in zip([units, *beside], names, strict=True)
    ]
    unit_prior.check(sources, priors)
    if coder is not None and sources[0].vectors is None:
        sources[0] = replace(sources[0], vectors=_vectors(coder))
    corpora = [_label(s, manifest, options, first=not i) for i, s in enumerate(sources)]
    why = ""
    if options.mfcc:
        corpora[1:1], why = _baseline(corpora[0], manifest, fit_manifest, options)
    frames = mfcc_frames(corpora[0], manifest) if options.mfcc else None
    aids = Aids(
        manifest=manifest, seed=options.seed, coder=coder, frames=frames,
        progress=options.progress, priors=priors,
    )  # fmt: skip
    reports = [_report(corpora[0], aids, options)]
    aids = replace(aids, coder=None, frames=None)  # ceilings are the same for all
    reports += [_report(c, aids, options) for c in corpora[1:]]
    if why:
        reports[0] = replace(reports[0], left_out={**reports[0].left_out, "MFCC row": why})
    result = Result(
        reports=reports,
        machine=machine.describe(torch.device("cpu")),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return result, corpora


def _names(units: Sequence[Units]) -> list[str]:
    """Return a name for each folder: its last part, with a number where another has it too."""
    names: list[str] = []
    for each in units:
        name, number = each.folder.resolve().name, 1
        while name in names:
            number += 1
            name = f"{each.folder.resolve().name} ({number})"
        names.append(name)
    return names


def _label(coded: Coded, manifest: Manifest, options: Options, *, first: bool) -> Corpus:
    row = options.codebook
    if not first and row >= len(coded.codebook_sizes):
        row = 0
    return labelled.label(coded, manifest, split=options.split, codebook=row, tier=options.tier)


def _vectors(coder: Coder) -> Float[np.ndarray, "N D"] | None:
    vectors = coder.vectors()
    return None if vectors is None else vectors.numpy()


def _baseline(
    corpus: Corpus, manifest: Manifest, fit_manifest: Manifest | None, options: Options
) -> tuple[list[Corpus], str]:
    """Return the baseline's row, or why there is none."""
    try:
        row = baseline(
            corpus,
            manifest,
            fit_manifest,
            seed=options.seed,
            folder=options.folder,
            progress=options.progress,
        )
    except AudioVQError as error:
        return [], str(error)
    return [_label(row, manifest, options, first=False)], ""


def _report(corpus: Corpus, aids: Aids, options: Options) -> UnitReport:
    """Run every part on one source."""
    figures: list[Figure] = []
    notes, left_out = corpus.notes(), dict.fromkeys(options.skip, "not asked for")
    parts = {k: v for k, v in PARTS.items() if k not in options.skip}
    label = corpus.coded.label
    bar = tqdm(parts.items(), desc=label, unit="part", disable=not aids.progress, leave=False)
    for name, part in bar:
        try:
            outcome = part(corpus, aids)
        except AudioVQError as error:  # of data that one part cannot use, or a missing extra
            left_out[name] = str(error)
            continue
        figures += outcome.figures
        notes += outcome.notes
        if outcome.left_out:
            left_out[name] = outcome.left_out
    coded = corpus.coded
    return UnitReport(
        label=label,
        units={
            "fingerprint": coded.fingerprint,
            "sample_rate": coded.sample_rate,
            "hop_length": coded.hop_length,
            "frame_rate": coded.sample_rate / coded.hop_length,
            "codebook_sizes": list(coded.codebook_sizes),
            "codebook": corpus.codebook,
        },
        data=_data(corpus, aids.manifest.path, options),
        figures=figures,
        left_out=left_out,
        notes=notes,
        codes=_codes(corpus),
    )


def _data(corpus: Corpus, manifest: Path, options: Options) -> dict[str, Any]:
    utterances = corpus.utterances
    return {
        "manifest": manifest.name,
        "split": options.split or "all",
        "utterances": len(utterances),
        "aligned": len(corpus.aligned),
        "speakers": len({u.speaker for u in utterances} - {None}),
        "hours": sum(u.duration for u in utterances) / 3600,
        "phones": list(corpus.phones),
        "unlabelled_frames": corpus.unlabelled,
        "only_in_units": list(corpus.only_coded),
        "only_in_manifest": list(corpus.only_listed),
        "unaligned": list(corpus.unaligned),
        "seed": options.seed,
    }


def _codes(corpus: Corpus) -> list[Mapping[str, Any]]:
    """Return what phones each code stands for."""
    if not corpus.aligned:
        return []
    joint = join(corpus)
    counts = joint.labelled().counts()
    found: list[Mapping[str, Any]] = []
    for column, code in enumerate(joint.codes):
        own = counts[:, column]
        if own.any():
            order = [i for i in np.argsort(-own, kind="stable") if own[i]]
            shares = {joint.names[i]: round(float(own[i] / own.sum()), 4) for i in order}
            found.append({"code": int(code), "frames": int(own.sum()), "phones": shares})
    return found
