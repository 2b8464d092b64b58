"""What the page of a prior's run shows of codes, as a file: it is drawn when neither is at hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32
from pydantic import Field

from audiovq import config as configs
from audiovq import release
from audiovq.config import Config
from audiovq.eval import surprise, transitions
from audiovq.eval.estimate import Estimate
from audiovq.eval.prior_score import LABELS, Score, score
from audiovq.eval.unit_rates import run_lengths
from audiovq.files import atomic_write
from audiovq.prior._release import TrainedPrior
from audiovq.units.sequences import CodeSequences

FILE = "held_out.json"  # in a run folder
FORMAT, VERSION = "audiovq.prior_summary", 1
CODES, UTTERANCES, SECONDS = 128, 100, 10.0  # shown at most
_MIGRATIONS: release.Migrations = {}

Numbers = tuple[float, ...]
Counts = tuple[int, ...]


class Figure(Config):
    """A figure with its 95 % interval, if it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    def text(self, digits: int) -> str:
        """Return it for a table, the interval on a second line."""
        shown = f"{self.value:,.{digits}f}"
        if self.low is None or self.high is None:
            return shown
        return f"{shown}\n[{self.low:,.{digits}f}, {self.high:,.{digits}f}]"


class Cost(Config):
    """What codes cost in one way of writing them."""

    label: str
    bits_per_code: Figure
    bits_per_second: Figure


class Follow(Config):
    """Which code of the first row follows which, in an order that shows it."""

    codes: Counts = Field(description="the commonest, in that order")
    share: float = Field(description="of all codes")
    lift: tuple[Numbers, ...] = Field(description="log2 of P(next | code) / P(next)")
    stays: Numbers = Field(description="share of a code's successors that equal it")
    runs: Counts = Field(description="how many runs of equal codes last 1, 2, ... frames")


class Example(Config):
    """Surprise over time."""

    id: str
    bits: tuple[Numbers, ...]
    mean: float = Field(description="of the whole utterance (bits per code)")


class Surprise(Config):
    """How surprised the prior is, and where."""

    utterances: int
    row_means: Numbers = Field(description="bits per code of each row")
    width: float = Field(description="of a bin of the histogram (bits)")
    repeated: Counts = Field(description="codes equal to the one before, by surprise")
    changed: Counts = Field(description="the others")
    by_position: tuple[Numbers, ...] = Field(description="bits, rows by doubling positions")
    examples: tuple[Example, ...]


class Summary(Config):
    """What `held_out.json` holds."""

    format: Literal["audiovq.prior_summary"] = "audiovq.prior_summary"
    format_version: int = VERSION
    prior: str = Field(description="its name")
    fingerprint: str = Field(description="of the prior")
    data: str = Field(description="what it was scored on, in words")
    frame_rate: float = Field(gt=0, description="of the codes (Hz)")
    nominal: Numbers = Field(description="log2 of each row's codebook size")
    costs: tuple[Cost, ...]
    saved: Figure | None = None
    follow: Follow
    surprise: Surprise

    @property
    def bits_per_code(self) -> float:
        """Of the held-out codes under the prior."""
        return next(c for c in self.costs if c.label == LABELS["prior"]).bits_per_code.value


def summarise(
    trained: TrainedPrior, learned: CodeSequences, held_out: CodeSequences, where: str
) -> Summary:
    """Score held-out utterances and look at what was learned from.

    Args:
        trained: the prior, in eval mode.
        learned: training utterances, for which code follows which.
        held_out: those of other speakers.
        where: their folder, to be said.
    """
    shown = held_out.spread(UTTERANCES)
    wanted, found = set(shown.ids), []

    def keep(i: int, nats: Float32[np.ndarray, "K T"]) -> None:
        if held_out.ids[i] in wanted:
            found.append(surprise.of_nats(nats))

    scored = score(trained, held_out, "validation", where, keep)
    about = trained.about
    return Summary(
        prior=about.prior.name,
        fingerprint=trained.fingerprint(),
        data=_words(scored.about["data"]),
        frame_rate=about.codes.frame_rate,
        nominal=tuple(np.log2(about.codes.codebook_sizes).tolist()),
        costs=_costs(scored),
        saved=None if scored.saved is None else _figure(scored.saved, 100.0),
        follow=_follow(learned),
        surprise=_surprise(shown, found),
    )


def write(path: Path, summary: Summary) -> None:
    """Write it in one step."""
    atomic_write(path, summary.model_dump_json(exclude_none=True))


def read(path: Path) -> Summary:
    """Read what `write` wrote.

    Raises:
        CheckpointError: it is not that, or of another version.
        ConfigError: a value is not accepted.
    """
    values = release.read_config(path, FORMAT, VERSION, _MIGRATIONS)
    return configs.parse(Summary, values, str(path))


def _words(data: Mapping[str, int | float | str]) -> str:
    number, speakers, seconds = data["utterances"], data["speakers"], data["seconds"]
    return f"{number} utterances of {speakers} speakers, {seconds:,.0f} s, split {data['split']}"


def _costs(scored: Score) -> tuple[Cost, ...]:
    return tuple(
        Cost(
            label=LABELS[r.name],
            bits_per_code=_figure(r.bits_per_code),
            bits_per_second=_figure(r.bits_per_second),
        )
        for r in scored.rates
    )


def _figure(e: Estimate, by: float = 1.0) -> Figure:
    low, high = (None if v is None else by * v for v in (e.low, e.high))
    return Figure(value=by * e.value, low=low, high=high)


def _follow(learned: CodeSequences) -> Follow:
    rows = [codes[0].numpy().astype(np.int64) for codes in learned.codes]
    size = learned.metadata.codebook_sizes[0]
    counts = learned.counts()[0]
    codes = transitions.commonest(counts, CODES)
    pairs = transitions.count(rows, codes, size)
    lift = transitions.lift(pairs)
    order = transitions.arrange(lift)
    runs = np.bincount(np.concatenate([run_lengths(row) for row in rows]))[1:]
    return Follow(
        codes=tuple(codes[order].tolist()),
        share=float(counts[codes].sum() / counts.sum()),
        lift=_rounded(lift[np.ix_(order, order)]),
        stays=tuple(transitions.stays(pairs)[order].round(4).tolist()),
        runs=tuple(runs.tolist()),
    )


def _surprise(shown: CodeSequences, found: Sequence[surprise.Bits]) -> Surprise:
    width = 0.5
    repeated, changed = surprise.histogram(found, shown.codes, width).tolist()
    means, _ = surprise.by_position(found)
    most = round(SECONDS * shown.metadata.frame_rate)
    return Surprise(
        utterances=len(shown),
        row_means=tuple(surprise.row_means(found).tolist()),
        width=width,
        repeated=tuple(repeated),
        changed=tuple(changed),
        by_position=tuple(map(tuple, means.tolist())),
        examples=tuple(
            Example(
                id=shown.ids[i],
                bits=_rounded(found[i][:, :most]),
                mean=float(found[i].mean()),
            )
            for i in surprise.telling(found)
        ),
    )


def _rounded(table: np.ndarray) -> tuple[Numbers, ...]:
    return tuple(map(tuple, table.round(2).tolist()))
