"""What a prior is told of utterances beside their codes, from the folders that hold it.

Of the same model's codes, a prior of one stream may be given another (`audiovq.prior._part`). Codes
of another model, and vectors that units stand for, come from units of the same utterances, which
are found by id. Whatever is given is brought to the rate of the codes: something slower is told in
every frame that it lasts, of something faster all that falls into a frame.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Int, Int32
from torch import Tensor

from audiovq.errors import CheckpointError, ConfigError, ManifestError
from audiovq.prior._base import Condition
from audiovq.prior._part import Part
from audiovq.prior._release import About, CodesOf, FeaturesOf, TrainedPrior, about_codes
from audiovq.units.metadata import Metadata
from audiovq.units.reading import Units, load
from audiovq.units.record import UnitRecord
from audiovq.units.sequences import CodeSequences, Given, read_split


@dataclass(frozen=True)
class Folders:
    """Units of the same utterances, beside those that are modelled.

    Attributes:
        codes: whose codes are told.
        features: whose vectors are told.
    """

    codes: Units | None = None
    features: Units | None = None


def open_folders(codes: str = "", features: str = "") -> Folders:
    """Open the folders of what is given; an empty name stands for none.

    Raises:
        CheckpointError: one is no finished units folder.
        ConfigError: units whose features are to be given hold no vectors.
    """
    found = Folders(load(codes) if codes else None, load(features) if features else None)
    if found.features is not None and found.features.metadata.vectors_sha256 is None:
        raise ConfigError(
            f"{features} holds no vectors of its codes: give units of a model or of k-means, as "
            f"this audiovq extracts them"
        )
    return found


def about_features(units: Units) -> FeaturesOf:
    """Return which vectors a units folder holds."""
    vectors, metadata = units.vectors(), units.metadata
    assert vectors is not None
    assert metadata.vectors_sha256 is not None
    values = about_codes(metadata).model_dump()
    return FeaturesOf(**values, vectors_sha256=metadata.vectors_sha256, width=vectors.shape[1])


def read(
    units: Units, split: str | None, part: Part | None = None, folders: Folders = Folders()
) -> CodeSequences:
    """Read one split of units, all of it for None, and what is told beside it.

    Args:
        units: the codes.
        split: which utterances.
        part: which rows are modelled, and which are given; None: all are modelled.
        folders: of what else is given.

    Raises:
        ManifestError: the split is empty, or an utterance is not in a folder as it is here.
        CheckpointError: a shard is damaged.
        ConfigError: what is given has a rate that does not fit.
    """
    sequences = read_split(units, split)
    given = []
    if part is not None:
        whole = sequences.codes
        sequences = _view(sequences, part)
        if part.given_sizes:
            given.append([part.given_of(codes) for codes in whole])
    if folders.codes is not None:
        given.append(_aligned(sequences, folders.codes))
    places = vectors = None
    if folders.features is not None:
        places, vectors = _aligned(sequences, folders.features, 1), folders.features.vectors()
    if not given and places is None:
        return sequences
    codes = [torch.cat(rows) for rows in zip(*given, strict=True)] if given else None
    return replace(sequences, given=Given(codes=codes, places=places, vectors=vectors))


def check_for(about: About, units: Units, folders: Folders = Folders()) -> None:
    """Look whether units, and folders of what is given, are those that a prior was trained on.

    Raises:
        CheckpointError: codes or vectors are not those that the prior knows.
        ConfigError: a folder lacks that the prior needs, or it needs none.
    """
    _check(about_codes(units.metadata), _whole(about), str(units.folder), "this prior is")
    _check_folder(folders.codes, about.given_codes, "--given-codes")
    _check_folder(folders.features, about.given_features, "--given-features")


def read_for(
    about: About, units: Units, split: str | None, folders: Folders = Folders()
) -> CodeSequences:
    """Read what a prior was trained on, after `check_for`; raises what that and `read` do."""
    check_for(about, units, folders)
    return read(units, split, about.part, folders)


def condition_of(
    trained: TrainedPrior, sequences: CodeSequences, chosen: Sequence[int]
) -> Condition:
    """Return what a prior is told of some utterances, padded to the longest, on its device.

    Raises:
        ConfigError: it needs to be told something that the sequences do not have.
    """
    codes = features = None
    if sequences.given is not None:
        codes, features = sequences.given.cut([(i, 0, sequences.codes[i].shape[1]) for i in chosen])
    label = trained.label_index([sequences.speakers[i] for i in chosen])
    told = label if trained.module.labels else None
    return Condition(label=told, codes=codes, features=features).to(trained.module.device)


def given_of(about: About, folders: Folders, utterance: str) -> Condition:
    """Return the codes and features of an utterance that a prior is given, at the prior's rate.

    Raises:
        ManifestError: a folder lacks the utterance.
        CheckpointError: codes or vectors are not those that the prior knows.
        ConfigError: the prior is given something that no folder is named for.
    """
    _check_folder(folders.codes, about.given_codes, "--given-codes", extra=True)
    _check_folder(folders.features, about.given_features, "--given-features", extra=True)
    codes = features = None
    if folders.codes is not None and about.given_codes is not None:
        codes = _whole_utterance(folders.codes, about.codes, utterance)
    if folders.features is not None and about.given_features is not None:
        places, vectors = _whole_utterance(folders.features, about.codes, utterance, 1), None
        vectors = folders.features.vectors()
        features = Given(places=[places], vectors=vectors).cut([(0, 0, places.shape[1])])[1]
    return Condition(codes=None if codes is None else codes.unsqueeze(0).long(), features=features)


def _whole_utterance(
    units: Units, mine: CodesOf, name: str, rows: int | None = None
) -> Int32[Tensor, "_ _"]:
    if name not in units:
        raise ManifestError(f"{units.folder} has no utterance {name!r}")
    record, m = units[name], about_codes(units.metadata)
    seconds = record.num_samples / m.sample_rate
    frames = math.ceil(seconds * mine.frame_rate - 1e-9)
    return align(record.codes[:rows].to(torch.int32), frames, mine, m)


def _view(sequences: CodeSequences, part: Part) -> CodeSequences:
    """Return the modelled rows alone, at their own rate."""
    m = sequences.metadata
    if m.hop_length % part.ratio:
        raise ConfigError(
            f"{part.ratio} codes in a frame of {m.hop_length} samples: that is no whole number each"
        )
    names = part.names if part.ratio > 1 else tuple(m.layout[k] for k in part.rows)
    metadata = m.model_copy(
        update={
            "hop_length": m.hop_length // part.ratio,
            "codebook_sizes": part.modelled_sizes,
            "layout": names,
        }
    )
    codes = [part.modelled(c) for c in sequences.codes]
    return replace(sequences, metadata=metadata, codes=codes)


def _aligned(
    sequences: CodeSequences, other: Units, rows: int | None = None
) -> list[Int32[Tensor, "_ _"]]:
    """Return other codes of each utterance, at the rate of the sequences."""
    mine, theirs = sequences.metadata, other.metadata
    found = []
    for name, samples, codes in zip(sequences.ids, sequences.samples, sequences.codes, strict=True):
        if name not in other:
            raise ManifestError(
                f"{other.folder} has no utterance {name!r}: extract the same corpus with both "
                f"models, with --split all"
            )
        record = other[name]
        _check_length(record, int(samples), mine, other)
        values = record.codes[:rows].to(torch.int32)
        found.append(align(values, codes.shape[1], about_codes(mine), about_codes(theirs)))
    return found


def align(
    values: Int[Tensor, "R _"], frames: int, mine: CodesOf, theirs: CodesOf
) -> Int[Tensor, "_ _"]:
    """Return values of one rate at another.

    Args:
        values: one column per frame.
        frames: how many are wanted.
        mine: codes of the rate that is wanted.
        theirs: codes of the rate that the values have.

    Returns:
        (R, frames); (r * R, frames) where their rate is r times mine.
    """
    many = theirs.frames_in(mine)
    last = values.shape[1] - 1
    if many > 1:
        values = values[:, torch.arange(frames * many).clamp_max(last)]
        return rearrange(values, "k (t r) -> (r k) t", r=many)
    starts = torch.arange(frames) * (mine.hop_length * theirs.sample_rate)
    return values[:, (starts // (theirs.hop_length * mine.sample_rate)).clamp_max(last)]


def _check_length(record: UnitRecord, samples: int, mine: Metadata, other: Units) -> None:
    a, b = samples * other.metadata.sample_rate, record.num_samples * mine.sample_rate
    if abs(a - b) > max(mine.sample_rate, other.metadata.sample_rate):  # a sample, resampled
        seconds = record.num_samples / other.metadata.sample_rate
        raise ManifestError(
            f"{other.folder}: utterance {record.id!r} has {seconds:.3f} s there and "
            f"{samples / mine.sample_rate:.3f} s here: it is not the same recording"
        )


def _whole(about: About) -> CodesOf:
    """Return which codes the units must hold of which a prior models a part, or all."""
    if about.part is None:
        return about.codes
    hop = about.codes.hop_length * about.part.ratio
    update = {"codebook_sizes": about.part.codebook_sizes, "hop_length": hop}
    return about.codes.model_copy(update=update)


def _check_folder(
    units: Units | None, wanted: CodesOf | None, option: str, *, extra: bool = False
) -> None:
    """Refuse a folder of other codes; `extra`: it may be for another prior."""
    if wanted is None and (units is None or extra):
        return
    if units is None:
        assert wanted is not None
        raise ConfigError(
            f"this prior is given units of the model {wanted.model_hash[:12]} ({wanted.coder}): "
            f"name their folder with {option} DIR"
        )
    if wanted is None:
        raise ConfigError(f"this prior is not given what {units.folder} holds: leave it out")
    has = about_features(units) if isinstance(wanted, FeaturesOf) else about_codes(units.metadata)
    _check(has, wanted, str(units.folder), "this prior is given those")


def _check(has: CodesOf, wanted: CodesOf, where: str, what: str) -> None:
    a, b = (x.model_dump(exclude={"coder"}) for x in (has, wanted))
    if a == b:
        return
    key = next(k for k in b if a[k] != b[k])
    raise CheckpointError(
        f"{where} holds codes of the model {has.model_hash[:12]}, and {what} of "
        f"{wanted.model_hash[:12]} ({_differs(key, a, b)}): use codes of that model, or train a "
        f"prior on these"
    )


def _differs(key: str, a: Mapping[str, object], b: Mapping[str, object]) -> str:
    return "another model" if key == "model_hash" else f"{key} {a[key]}, not {b[key]}"
