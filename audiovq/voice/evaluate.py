"""Whether conversion works: whose voice it is afterwards, and whether the same is said.

All speakers of the corpus that can be judged are converted to one another. Who is heard is said
by a classifier that learned from other recordings of these speakers (`_speaker_judge`), what is
said by one that learned from labelled speech (`_phone_judge`); each beside its ceiling. Beside
conversions stand recordings that a filter gave the target's long-term spectrum: what is gained
without a model.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from audiovq.autoencoder import Autoencoder
from audiovq.bottlenecks._base import Condition
from audiovq.data.manifest import Manifest, Record
from audiovq.errors import ConfigError
from audiovq.eval.estimate import Estimate, Floats, mean_over_speakers
from audiovq.eval.probes import Probe, speaker_probe
from audiovq.voice._phone_judge import agreement
from audiovq.voice._speaker_judge import Describer, centred, named, spread
from audiovq.voice.normalise import How, Normaliser, coloured, long_term
from audiovq.voice.phones import Phones, phone_accuracy, phone_judge
from audiovq.voice.reference import hear
from audiovq.voice.report import Conversion, Judged, VoiceReport

Voices = Mapping[str, Condition]  # by speaker


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured.

    Attributes:
        test: split that is converted.
        fit: split that voices are known from: the classifier's, and references.
        by_reference: take each target's voice from a recording (the longest of the split `fit`)
            and not from the model's table.
        groups: group, such as the sex, of speakers; conversions within and across are told apart.
        labelled: a corpus with phone times; None: what is said is not judged.
        most: utterances of each speaker that are converted; None: all.
        how: what recordings are normalised in before they are encoded (`Normaliser`).
        progress: show bars on stderr.
    """

    test: str = "test"
    fit: str = "train"
    by_reference: bool = False
    groups: Mapping[str, str] | None = None
    labelled: Manifest | None = None
    most: int | None = None
    how: How = "spectrum"
    progress: bool = False


def evaluate_voice(model: Autoencoder, manifest: Manifest, options: Options) -> VoiceReport:
    """Convert the test recordings of all speakers to all others, and judge what comes out.

    Raises:
        ConfigError: the model takes no speakers; fewer than two of the corpus's can be judged;
            scikit-learn is missing.
        AudioError: a recording cannot be read, or no reference can be made of it.
    """
    model.speaker_index([])  # refuses a model without speakers
    known, tests = _chosen(model, manifest, options)
    voices = _voices(model, manifest, known, by_reference=options.by_reference)
    describe = Describer(model.sample_rate)
    fitted = [
        (describe(manifest.load(r, model.sample_rate)), r.speaker)
        for records in known.values()
        for r in tqdm(records, desc="learning voices", disable=not options.progress)
    ]
    phones = None if options.labelled is None else phone_judge(options.labelled, model.sample_rate)
    chosen = [r for part in tests.values() for r in part]
    records = tqdm(chosen, desc="converting", disable=not options.progress)
    judges = _Judges(describe, phones, options.how)
    rows = list(_conversions(model, manifest, records, voices, judges))
    filtered = list(_filtered(manifest, chosen, known, judges))
    judged = partial(_judged, train=[v for v, _ in fitted], speakers=[str(s) for _, s in fitted])
    return VoiceReport.of(
        judged(rows),
        filtered=judged(filtered),
        movement=_movement(rows),
        groups=options.groups or {},
        speakers=sorted(known),
        by_reference=options.by_reference,
        probe=_probe(model, manifest, [*known.values(), *tests.values()], options.how),
        phones=None
        if options.labelled is None
        else phone_accuracy(model, options.labelled, list(voices.values()), how=options.how),
    )


def _chosen(
    model: Autoencoder, manifest: Manifest, options: Options
) -> tuple[dict[str, list[Record]], dict[str, list[Record]]]:
    """Return, by speaker, the records that voices are known from, and those that are converted."""
    if options.test == options.fit or "all" in (options.test, options.fit):
        raise ConfigError(
            f"split {options.test!r} is to be converted, {options.fit!r} to be learned from; give "
            f"two of train, validation and test, so that the judge has heard nothing it judges"
        )
    known, tests = (_by_speaker(manifest.select(s)) for s in (options.fit, options.test))
    able = set(known) & set(tests)
    if not options.by_reference:
        able &= set(model.speakers)
    if len(able) < 2:
        raise ConfigError(
            f"{manifest.path}: {len(able)} speakers have recordings in both splits "
            f"({options.fit} and {options.test})"
            f"{'' if options.by_reference else ' and a row in the table of the model'}; two or "
            f"more are needed to convert one to the other"
        )
    most = options.most
    return {s: known[s] for s in sorted(able)}, {s: tests[s][:most] for s in sorted(able)}


def _by_speaker(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.speaker is not None:
            found.setdefault(record.speaker, []).append(record)
    return found


def _voices(
    model: Autoencoder,
    manifest: Manifest,
    known: Mapping[str, Sequence[Record]],
    *,
    by_reference: bool,
) -> Voices:
    if not by_reference:
        return {name: model.speaker_index([name]) for name in known}
    longest = {name: max(records, key=lambda r: r.duration) for name, records in known.items()}
    return {
        name: hear(model, manifest.load(r, model.sample_rate), model.sample_rate)
        for name, r in longest.items()
    }


@dataclass(frozen=True)
class _Judges:
    """What the judges look at."""

    describe: Describer
    phones: Phones | None
    how: How

    def row(
        self, record: Record, x: Float[Tensor, "1 1 L"], target: str | None, said: np.ndarray | None
    ) -> Conversion:
        """Return what is seen of a waveform; `said` are the phones of the recording itself."""
        same = None if self.phones is None or said is None else agreement(said, self.phones(x))
        return Conversion(
            id=record.id,
            source=str(record.speaker),
            target=target,
            vector=self.describe(x),
            same=same,
        )


def _conversions(
    model: Autoencoder,
    manifest: Manifest,
    records: Iterable[Record],
    voices: Voices,
    judge: _Judges,
) -> Iterator[Conversion]:
    """Yield each recording as it is, and in each voice."""
    for record in records:
        x = manifest.load(record, model.sample_rate)
        said = None if judge.phones is None else judge.phones(x)
        yield judge.row(record, x, None, None)
        for target, y in in_voices(model, x, voices, judge.how):
            yield judge.row(record, y, target, said)


def _filtered(
    manifest: Manifest,
    records: Iterable[Record],
    known: Mapping[str, Sequence[Record]],
    judge: _Judges,
) -> Iterator[Conversion]:
    """Yield each recording with every speaker's mean long-term spectrum."""
    rate = judge.describe.sample_rate
    spectra = {
        name: torch.stack([long_term(manifest.load(r, rate)) for r in own]).mean(dim=0)
        for name, own in known.items()
    }
    for record in records:
        x = manifest.load(record, rate)
        for name, spectrum in spectra.items():
            yield judge.row(record, coloured(x, spectrum), name, None)


def _movement(rows: Sequence[Conversion]) -> Estimate | None:
    """Return how much frames change over time in one's own voice, of how much in the recording."""
    before = {row.id: spread(row.vector) for row in rows if row.target is None}
    own = [row for row in rows if row.target == row.source]
    found = [float(np.mean(spread(row.vector) / before[row.id])) for row in own]
    return mean_over_speakers(np.array(found), [row.source for row in own]) if own else None


def in_voices(
    model: Autoencoder, x: Float[Tensor, "1 1 L"], voices: Voices, how: How = "spectrum"
) -> Iterator[tuple[str, Float[Tensor, "1 1 L"]]]:
    """Yield a waveform in each voice; what `convert` gives, encoded once."""
    normal = Normaliser.of(x, model.sample_rate, how)
    z = model.embed(normal(x).to(next(model.parameters()).device))
    for name, voice in voices.items():
        yield name, model.decode_embedding(z, x.shape[-1], voice).cpu() * normal.back


def _judged(
    rows: Sequence[Conversion], train: Sequence[Floats], speakers: Sequence[str]
) -> list[Judged]:
    """Return who is heard in each row, after recordings whose speakers are known."""
    vectors = np.stack([row.vector for row in rows])
    made = np.array([row.target is not None for row in rows])
    moved = vectors.copy()
    moved[made] = centred(vectors[made], np.stack(train))
    heard, again = named(train, speakers, vectors), named(train, speakers, moved)
    return [
        Judged(source=row.source, target=row.target, heard=a, centred=b, same=row.same)
        for row, a, b in zip(rows, heard, again, strict=True)
    ]


def _probe(
    model: Autoencoder, manifest: Manifest, items: Sequence[Sequence[Record]], how: How
) -> Probe | None:
    """Return how well a linear classifier names the speaker of a bag of codes."""
    if not model.is_discrete:
        return None
    records = [r for part in items for r in part]
    encode = _encoder(model, manifest, how)
    return speaker_probe(
        [encode(r) for r in records],
        [r.speaker for r in records],
        sizes=model.codebook_sizes,
        texts=[r.text for r in records],
    )


def _encoder(
    model: Autoencoder, manifest: Manifest, how: How
) -> Callable[[Record], Int64[np.ndarray, "K T"]]:
    def encode(record: Record) -> Int64[np.ndarray, "K T"]:
        x = manifest.load(record, model.sample_rate)
        x = Normaliser.of(x, model.sample_rate, how)(x)
        found: np.ndarray = model.encode(x.to(next(model.parameters()).device))[0].cpu().numpy()
        return found

    return encode
