"""The outcome of an evaluation of voice conversion: for people a table, for machines JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audiovq.eval.estimate import Estimate, Floats, mean_over_speakers
from audiovq.eval.probes import Probe
from audiovq.voice.phones import PhoneAccuracy

FORMAT, VERSION = "audiovq.voices", 1

# Name of each figure: what it is.
FIGURES: Mapping[str, str] = {
    "target": "target named after conversion",
    "target_within": "  pairs within a group",
    "target_across": "  pairs across groups",
    "source": "source still named after conversion",
    "own": "own voice, passed through",
    "original": "original (ceiling)",
    "centred_target": "centred: target named",
    "centred_target_within": "  pairs within a group",
    "centred_target_across": "  pairs across groups",
    "centred_source": "centred: source still named",
    "centred_own": "centred: own voice, passed through",
    "filter_target": "a filter alone: target named",
    "filter_source": "a filter alone: source still named",
    "filter_centred_target": "a filter alone, centred: target named",
    "movement": "change over time, own voice over recording",
    "same_converted": "same phone said, converted",
    "same_own": "same phone said, own voice (ceiling)",
    "phones_converted": "phone right, converted",
    "phones_anyone": "phone right, no speaker said",
    "phones_original": "phone right, original (ceiling)",
    "speaker_from_codes": "speaker named from codes (less is better)",
}


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A recording as it is, or in a voice.

    Attributes:
        target: whose voice; None: the recording itself.
        vector: of its MFCC frames.
        same: share of frames said to hold the same phone as the recording; None: not asked.
    """

    id: str
    source: str
    target: str | None
    vector: Floats
    same: float | None = None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A recording, as it is or in a voice, and whose voice is heard.

    Attributes:
        heard: by the classifier.
        centred: by the same, when what the model does to all voices alike was taken out.
    """

    source: str
    target: str | None
    heard: str
    centred: str
    same: float | None = None


@dataclass(frozen=True, kw_only=True)
class VoiceReport:
    """What became of the voices.

    Attributes:
        speakers: who was converted to one another.
        by_reference: whether targets were known from a recording, not from the model's table.
        conversions: how many.
        chance: of naming the target by guessing.
        figures: by their names in `FIGURES`, as far as they were asked for.
        majority: share of the commonest phone: what naming it always gives; None: not asked.
    """

    speakers: Sequence[str]
    by_reference: bool
    conversions: int
    chance: float
    figures: Mapping[str, Estimate]
    majority: float | None = None

    @classmethod
    def of(
        cls,
        rows: Sequence[Judged],
        *,
        groups: Mapping[str, str],
        speakers: Sequence[str],
        by_reference: bool,
        filtered: Sequence[Judged] = (),
        movement: Estimate | None = None,
        probe: Probe | None = None,
        phones: PhoneAccuracy | None = None,
    ) -> "VoiceReport":
        """Return the figures of judged recordings; intervals are over source speakers.

        Args:
            rows: recordings, and what a model made of them.
            filtered: what a filter made of them.
            groups: of speakers.
            speakers: who was converted to one another.
            by_reference: whether targets were known from a recording.
            movement: how much frames change over time, own voices over recordings.
            probe: of the codes.
            phones: what is said.
        """
        found = _voices(rows, groups, "", lambda r: r.heard)
        found |= _voices(rows, groups, "centred_", lambda r: r.centred)
        found |= _voices(filtered, {}, "filter_", lambda r: r.heard)
        found |= _voices(filtered, {}, "filter_centred_", lambda r: r.centred)
        found["movement"] = movement
        found["same_converted"] = _same([r for r in rows if r.target not in (None, r.source)])
        found["same_own"] = _same([r for r in rows if r.target == r.source])
        if phones is not None:
            found["phones_converted"] = phones.converted
            found["phones_anyone"] = phones.anyone
            found["phones_original"] = phones.original
        found["speaker_from_codes"] = None if probe is None else probe.accuracy
        return cls(
            speakers=speakers,
            by_reference=by_reference,
            conversions=sum(r.target not in (None, r.source) for r in rows),
            chance=1 / len(speakers),
            figures={k: v for k in FIGURES if (v := found.get(k)) is not None},
            majority=None if phones is None else phones.majority,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    def table(self) -> str:
        """Return the figures as lines of text."""
        how = "recordings" if self.by_reference else "the model's table"
        head = (
            f"{self.conversions} conversions among {len(self.speakers)} speakers, voices from "
            f"{how}; chance {self.chance:.3f}"
        )
        lines = [head, *(f"{FIGURES[k]:<42} {v.text(3)}" for k, v in self.figures.items())]
        return "\n".join(lines)


def _voices(
    rows: Sequence[Judged], groups: Mapping[str, str], prefix: str, heard: Callable[[Judged], str]
) -> dict[str, Estimate | None]:
    """Return how often who is named, to one judge."""
    alone = [r for r in rows if r.target is None]
    own = [r for r in rows if r.target == r.source]
    made = [r for r in rows if r.target not in (None, r.source)]
    known = [r for r in made if r.source in groups and r.target in groups]
    within = [r for r in known if groups[r.source] == groups[str(r.target)]]
    across = [r for r in known if groups[r.source] != groups[str(r.target)]]
    return {
        f"{prefix}target": _share(made, lambda r: heard(r) == r.target),
        f"{prefix}target_within": _share(within, lambda r: heard(r) == r.target),
        f"{prefix}target_across": _share(across, lambda r: heard(r) == r.target),
        f"{prefix}source": _share(made, lambda r: heard(r) == r.source),
        f"{prefix}own": _share(own, lambda r: heard(r) == r.source),
        f"{prefix}original": _share(alone, lambda r: heard(r) == r.source),
    }


def _share(rows: Sequence[Judged], is_hit: Callable[[Judged], bool]) -> Estimate | None:
    if not rows:
        return None
    hits = np.array([is_hit(r) for r in rows], np.float64)
    return mean_over_speakers(hits, [r.source for r in rows])


def _same(rows: Sequence[Judged]) -> Estimate | None:
    told = [r for r in rows if r.same is not None]
    if not told:
        return None
    values = np.array([r.same for r in told], np.float64)
    return mean_over_speakers(values, [r.source for r in told])
