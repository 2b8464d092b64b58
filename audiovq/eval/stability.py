"""Whether units stay the same when the sound changes but the words do not.

Unit edit distance (UED): the edit distance between the deduplicated units of perturbed and of
clean speech, divided by the number of the clean ones; a mean over utterances, so it can exceed 1.
Frame error: the share of frames with another unit, where frames still correspond in time. Of
several codebooks, the mean over them.

Source: Gat et al. 2022 ("Augmentation invariant discrete representation for generative spoken
language modeling", arXiv:2209.15483). Published figures may be divided by another
length (frames), and their time stretch keeps the pitch, so ours stand beside each other only.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from torch import Tensor

from audiovq.data.corruption import fixed_key
from audiovq.errors import AudioError, ConfigError
from audiovq.eval.edit import deduplicated, edit_distance
from audiovq.eval.estimate import Estimate, mean_over_speakers
from audiovq.eval.perturb import DEFAULT, Perturbation, Setting

CHANCE = "chance"  # the utterance's own units, half its length later

Waveform = tuple[str, str | None, Float[Tensor, "1 1 _"]]  # id, speaker, samples
Encode = Callable[[Float[Tensor, "1 1 _"]], Int[Tensor, "K _"]]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How far units move under one perturbation.

    Attributes:
        perturbation: its name.
        ued: unit edit distance, from 0; None where it could not be done.
        frame_error: in [0, 1]; None where frames do not correspond.
        utterances: how many.
        reason: why there is no figure.
    """

    perturbation: str
    ued: Estimate | None = None
    frame_error: Estimate | None = None
    utterances: int = 0
    reason: str = ""


def stability(
    encode: Encode,
    waveforms: Iterable[Waveform],
    sample_rate: int,
    hop_length: int,
    *,
    perturbations: Sequence[Perturbation] = DEFAULT,
    seed: int = 0,
) -> list[Stability]:
    """Return how far units move under each perturbation.

    A last row, `chance`, compares each utterance's units with themselves turned round by half
    its length, as the perturbed ones would be if only length and shares of units were left.

    Args:
        encode: from a waveform (1, 1, L) to codes (K, T); better exact, so that nothing but the
            sound differs.
        waveforms: ids, speakers and samples, at the sample rate of the units' model.
        sample_rate: Hz.
        hop_length: samples per frame.
        perturbations: what is done to the waveforms.
        seed: of the noise, with the id.

    Raises:
        ConfigError: there are no waveforms.
    """
    speakers: list[str | None] = []
    moved = [_Moved(p) for p in perturbations]
    chance = _Moved(Perturbation(CHANCE, lambda x, _: x))
    for name, speaker, x in waveforms:
        clean = _array(encode(x))
        setting = Setting(sample_rate, hop_length, fixed_key(f"{seed} {name}"))
        for each in moved:
            each.add(encode, x, clean, setting)
        chance.compare(np.roll(clean, clean.shape[1] // 2, axis=1), clean)
        speakers.append(speaker)
    if not speakers:
        raise ConfigError("stability needs at least one waveform; none was given")
    return [each.result(speakers) for each in [*moved, chance]]


def unit_edit_distance(codes: Codes, clean: Codes) -> float:
    """Return the edit distance of deduplicated rows over the clean one's length, rows averaged.

    Args:
        codes: (K, T) of the perturbed speech.
        clean: (K, T') of the clean speech, T' at least 1.
    """
    each = []
    for row, reference in zip(codes, clean, strict=True):
        runs = deduplicated(reference)
        each.append(edit_distance(deduplicated(row), runs) / len(runs))
    return float(np.mean(each))


class _Moved:
    """The distances under one perturbation, so far."""

    def __init__(self, perturbation: Perturbation) -> None:
        self.perturbation = perturbation
        self.ued: list[float] = []
        self.errors: list[float] = []
        self.reason = ""

    def add(
        self, encode: Encode, x: Float[Tensor, "1 1 L"], clean: Codes, setting: Setting
    ) -> None:
        """Perturb one utterance, unless that was found to be impossible."""
        if self.reason:
            return
        try:
            changed = self.perturbation.apply(x, setting)
        except AudioError as error:
            self.reason = str(error)
            return
        self.compare(_array(encode(changed)), clean)

    def compare(self, codes: Codes, clean: Codes) -> None:
        """Count the codes of one utterance."""
        self.ued.append(unit_edit_distance(codes, clean))
        if self.perturbation.aligned and codes.shape == clean.shape:
            self.errors.append(float((codes != clean).mean()))

    def result(self, speakers: Sequence[str | None]) -> Stability:
        """Return the means; none if some utterance could not be perturbed."""
        if self.reason:
            return Stability(perturbation=self.perturbation.name, reason=self.reason)
        whole = len(self.errors) == len(speakers)
        return Stability(
            perturbation=self.perturbation.name,
            ued=mean_over_speakers(np.array(self.ued), speakers),
            frame_error=mean_over_speakers(np.array(self.errors), speakers) if whole else None,
            utterances=len(speakers),
        )


def _array(codes: Int[Tensor, "K T"]) -> Codes:
    return np.asarray(codes.cpu().numpy(), np.int64)
